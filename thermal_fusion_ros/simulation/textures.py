"""Procedural textures at several scales, filtered by the footprint of the pixel that sees them.

One tileable noise picture per scale is looked up with OpenCV's `remap`; octaves finer than a pixel fade out instead of
flickering. Patterns (bricks, planks, tiles) are drawn from plane coordinates and fade to their mean the same way.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import cv2
import numpy as np

from thermal_fusion_ros.simulation.materials import PATTERNS
from thermal_fusion_ros.simulation.mesh import F32

_SIZE = 512
_COLUMNS = 1024  # remap wants pictures; flat lists of rays are folded into rows of this many
SCALES = (
    (0.011, 0.05),
    (0.06, 0.4),
    (1.1, 6.0),
)  # metres per texel, and the wavelength at which an octave is gone


@cache
def noise_tile(octave: int) -> F32:
    """512×512 tileable noise, mean 0, deviation 1, falling off as 1/f above a corner frequency."""
    rng = np.random.default_rng([octave, 4242])
    spectrum = np.fft.rfft2(rng.normal(size=(_SIZE, _SIZE)))
    fy = np.fft.fftfreq(_SIZE)[:, None] * _SIZE
    fx = np.fft.rfftfreq(_SIZE)[None] * _SIZE
    f = np.hypot(fx, fy)
    low = (40.0, 9.0, 6.0)[octave]
    gain = np.where(f > 0, 1.0 / np.maximum(f, low), 0.0) * (1 - np.exp(-((f / (0.5 * low)) ** 2)))
    gain *= np.exp(-((f / (0.42 * _SIZE)) ** 4))
    tile = np.fft.irfft2(spectrum * gain, (_SIZE, _SIZE))
    return ((tile - tile.mean()) / tile.std()).astype(np.float32)


def sample(tile: F32, u: F32, v: F32) -> F32:
    """Bilinear look-up of a wrapping picture at N texel coordinates."""
    n = len(u)
    rows = -(-n // _COLUMNS)
    fold = np.zeros((2, rows * _COLUMNS), np.float32)
    height, width = tile.shape[:2]
    # remap keeps coordinates in 16 bits: wrap them before it does
    fold[0, :n] = u - np.floor(u / np.float32(width)) * np.float32(width)
    fold[1, :n] = v - np.floor(v / np.float32(height)) * np.float32(height)
    out: Any = cv2.remap(
        tile,
        fold[0].reshape(rows, -1),
        fold[1].reshape(rows, -1),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_WRAP,
    )
    return out.reshape(rows * _COLUMNS, *tile.shape[2:])[:n]


def plane_coordinates(local: F32, normal: F32) -> tuple[F32, F32]:
    """Two coordinates in the plane a surface lies in most: (x, y) on floors, (along, up) on walls."""
    a = np.abs(normal)
    floor = a[:, 2] > np.maximum(a[:, 0], a[:, 1])
    along_x = a[:, 1] >= a[:, 0]
    u = np.where(floor | along_x, local[:, 0], local[:, 1])
    v = np.where(floor, local[:, 1], local[:, 2])
    return u, v


def grain(u: F32, v: F32, footprint: F32, octave: int) -> F32:
    """Noise of one octave at N plane coordinates, faded where a pixel (footprint in metres) is too big for it."""
    texel, gone = SCALES[octave]
    fade = np.clip(1.35 - footprint / gone, 0.0, 1.0)
    out = np.zeros(len(u), np.float32)
    seen = np.flatnonzero(fade > 0.02)
    if len(seen):
        turn = (0.8, 0.6) if octave % 2 else (1.0, 0.0)  # octaves lie at different angles: no grid shows
        uu, vv = u[seen], v[seen]
        ru = (turn[0] * uu - turn[1] * vv) / np.float32(texel)
        rv = (turn[1] * uu + turn[0] * vv) / np.float32(texel)
        out[seen] = sample(noise_tile(octave), ru, rv) * fade[seen]
    return out


def _line(x: F32, pitch: float, width: float, footprint: F32) -> F32:
    """Coverage (0..1) of lines of `width` every `pitch`, box-filtered over the footprint."""
    w = np.maximum(footprint, 1e-4)
    d = np.abs(x / pitch - np.round(x / pitch)) * pitch
    cover = np.clip((width / 2 - d) / w + 0.5, 0, 1) * np.minimum(1.0, width / w)
    far = np.clip(footprint / pitch - 0.4, 0, 1)
    return (cover * (1 - far) + (width / pitch) * far).astype(np.float32)


def _cell(i: F32, j: F32) -> F32:
    """A number in [0, 1) for each integer cell."""
    return np.mod(np.sin(i * np.float32(127.1) + j * np.float32(311.7)) * np.float32(4375.85), 1.0).astype(
        np.float32
    )


def _courses(
    u: F32, v: F32, f: F32, length: float, height: float, joint: float, shift: float
) -> tuple[F32, F32]:
    row = np.floor(v / height)
    uu = u + (row % 2) * (length * shift)
    mortar = np.maximum(_line(uu, length, joint, f), _line(v, height, joint, f))
    near = np.clip(1.2 - f / height, 0, 1)
    return mortar, (_cell(np.floor(uu / length), row) - 0.5) * near


def room(u: F32, v: F32, along: F32, up: F32, inward: F32, footprint: F32) -> F32:
    """Brightness N of what is seen through windows: boxes of rooms behind the facade, curtains before some.

    `u`, `v` are facade coordinates, (`along`, `up`, `inward`) the view ray in the same axes ("interior mapping",
    van Dongen 2008): the pixel's ray is cut with the room's walls, floor and ceiling.
    """
    wide, high, deep = np.float32(3.1), np.float32(2.9), np.float32(3.6)
    column, storey = np.floor(u / wide), np.floor(v / high)
    life = _cell(column, storey)
    pu, pv = u - column * wide, v - storey * high
    tiny = np.float32(1e-4)

    def reach(p: F32, d: F32, size: np.float32) -> F32:
        return np.where(d > 0, size - p, p) / np.maximum(np.abs(d), tiny)

    side, level, back = reach(pu, along, wide), reach(pv, up, high), deep / np.maximum(inward, tiny)
    t = np.minimum(np.minimum(side, level), back)
    x, y, z = pu + along * t, pv + up * t, inward * t
    lamp = np.exp(-(((x - wide / 2) ** 2 + (y - high) ** 2 + (z - deep / 2) ** 2) / 6.0))
    tone = np.where(level <= t, np.where(up > 0, 1.15, 0.40), np.where(side <= t, 0.72, 0.9)).astype(
        np.float32
    )
    shelf = (
        (back <= t)
        & (y < 1.0 + life)
        & (_cell(np.floor(x / 0.55) + 7 * column, np.floor(y / 0.5) + storey) > 0.45)
    )
    tone = np.where(shelf, tone * 0.45, tone)
    fade = np.clip(1.3 - footprint / 0.12, 0, 1)
    inside = (0.45 + 0.9 * lamp) * (0.75 + (tone - 0.75) * fade)
    folds = 0.62 + 0.16 * np.sin(u * 34 + life * 9) * np.clip(1.2 - footprint / 0.1, 0, 1)
    drawn = np.abs(_cell(column + 3, storey + 5) - 0.5) > 0.36
    return (np.where(drawn, folds, inside) * (0.55 + 0.75 * life)).astype(np.float32)


def pattern(kind: int, u: F32, v: F32, footprint: F32) -> tuple[F32, F32]:
    """(share of the second colour 0..1, relative brightness change) of N points of one pattern."""
    name, f = PATTERNS[kind], footprint
    zero = np.zeros(len(u), np.float32)
    if name == "brick":
        mortar, tone = _courses(u, v, f, 0.24, 0.075, 0.011, 0.5)
        return mortar * 0.85, tone * 0.45
    if name == "blocks":
        mortar, tone = _courses(u, v, f, 0.4, 0.2, 0.012, 0.5)
        return mortar * 0.8, tone * 0.15
    if name == "tiles":
        mortar, tone = _courses(u, v, f, 0.5, 0.5, 0.010, 0.0)
        return mortar * 0.8, tone * 0.16
    if name == "roof":
        mortar, tone = _courses(u, v, f, 0.22, 0.20, 0.020, 0.5)
        return mortar * 0.7, tone * 0.35
    if name == "planks":
        seam = _line(u, 0.145, 0.008, f)
        tone = (_cell(np.floor(u / 0.145), zero) - 0.5) * np.clip(1.2 - f / 0.145, 0, 1)
        return seam, tone * 0.3
    if name == "corrugated":
        near = np.clip(1.2 - f / 0.12, 0, 1)
        return zero, 0.22 * np.sin(u * np.float32(2 * np.pi / 0.2)) * near
    if name == "panel":
        seam = np.maximum(_line(u, 1.2, 0.02, f), _line(v, 0.6, 0.015, f))
        return seam * 0.8, (_cell(np.floor(u / 1.2 + 0.5), np.floor(v / 0.6 + 0.5)) - 0.5) * 0.06
    if name == "bark":
        ridge = grain(u * 5.0, v * 0.8, f * 3, 1)
        return np.clip(0.35 + 0.4 * ridge, 0, 1), zero
    if name == "cardboard":
        tape = _line(u, 0.62, 0.05, f) * 0.4
        return tape, zero
    if name == "carpet":
        return zero, 0.3 * grain(u, v, f, 0)
    return zero, zero
