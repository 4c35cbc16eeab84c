"""Fog and smoke: density in space, what it hides and the light it throws back.

Density is integrated once per camera on a coarse grid of view cells (slices along coarse rays), with the light of sky,
sun and lamps scattered in each; a pixel then looks its distance up. The same optical depth, times the share that acts
on 8–14 µm, dims thermal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from thermal_fusion_ros.simulation import sky
from thermal_fusion_ros.simulation.conditions import Condition
from thermal_fusion_ros.simulation.lights import Light, switched, within_reach
from thermal_fusion_ros.simulation.mesh import F32
from thermal_fusion_ros.simulation.vectors import dot, spread
from thermal_fusion_ros.simulation.worlds import World

_SLICES = 22
_NEAR, _FAR = 0.6, 90.0
_FOLD = 1024


@cache
def _billows() -> F32:
    rng = np.random.default_rng(31337)
    field = gaussian_filter(rng.normal(size=(48, 48, 48)), 1.7, mode="wrap")
    return (field / field.std()).astype(np.float32)


def density(point: F32, c: Condition, world: World, t: float) -> F32:
    """Share (0..~2) of the nominal extinction at N world points."""
    wind = np.array([0.08, 0.05, 0.0] if world.indoor else [0.35, 0.55, 0.0], np.float32)
    lift = np.array([0, 0, 0.45 if c.medium == "smoke" else 0], np.float32)
    q = point - wind * np.float32(t) - lift * np.float32(t)
    coarse = map_coordinates(_billows(), (q / np.float32(1.15)).T, order=1, mode="grid-wrap")
    fine = map_coordinates(_billows(), (q / np.float32(0.37) + 11).T, order=1, mode="grid-wrap")
    noise = coarse + 0.5 * fine
    if c.medium == "fog":
        height = 1.0 if world.indoor else np.exp(-np.maximum(point[:, 2], 0) / 18)
        return (np.clip(1 + 0.6 * c.patchiness * noise, 0.2, 2) * height).astype(np.float32)
    base = 0.04 + 0.13 * np.exp(-np.maximum(point[:, 2], 0) / 3.5)
    for x, y, z, strength in world.smoke_sources:
        rise = np.maximum(point[:, 2] - z, 0)
        spread = 1.3 + 0.5 * rise
        away = (point[:, 0] - x - 0.25 * rise) ** 2 + (point[:, 1] - y - 0.35 * rise) ** 2
        base = base + strength * 1.5 * np.exp(-away / (2 * spread**2)) * np.exp(-rise / 7)
    billow = np.clip(1 + c.patchiness * 0.75 * noise, 0.08, 2.6)
    return (base * billow).astype(np.float32)


@dataclass(frozen=True)
class ViewMedium:
    """What lies in the air of one view: cumulative optical depth and scattered light per slice, as pictures."""

    depth_atlas: F32  # (slices·h)×w×C: optical depth and, if lit, scattered r g b
    height: int
    width: int
    scale: tuple[float, float]  # coarse cells per pixel
    tail: float  # optical depth per metre beyond the last slice

    def look_up(self, x: F32, y: F32, distance: F32) -> tuple[F32, F32]:
        """(optical depth N, scattered light N×3) up to `distance` along the rays of pixels (x, y)."""
        n = len(x)
        reach = np.clip(distance, _NEAR * 0.02, _FAR)
        s = np.where(
            reach < _NEAR,
            reach / _NEAR,
            1 + np.log(np.maximum(reach, _NEAR) / _NEAR) / np.log(_FAR / _NEAR) * (_SLICES - 2),
        )
        low = np.minimum(np.floor(s), _SLICES - 2)
        share = (s - low).astype(np.float32)[:, None]
        rows = -(-n // _FOLD)
        fold = np.zeros((2, rows * _FOLD), np.float32)
        fold[0, :n] = np.clip((x + 0.5) * self.scale[0] - 0.5, 0, self.width - 1)
        at = np.clip((y + 0.5) * self.scale[1] - 0.5, 0, self.height - 1.001)
        out = []
        for step in (0, 1):
            fold[1, :n] = at + (low + step) * self.height
            got = cv2.remap(
                self.depth_atlas, fold[0].reshape(rows, _FOLD), fold[1].reshape(rows, _FOLD), cv2.INTER_LINEAR
            )
            out.append(got.reshape(rows * _FOLD, -1)[:n])
        value = out[0] + (out[1] - out[0]) * share
        extra = np.clip(np.where(np.isfinite(distance), distance, 400.0) - _FAR, 0, 400) * self.tail
        return value[:, 0] + extra.astype(np.float32), value[:, 1:]


def prepare(
    eye: F32,
    direction: F32,
    c: Condition,
    world: World,
    t: float,
    lights: Sequence[Light] | None,
    shape: tuple[int, int],
) -> ViewMedium:
    """Integrate the medium over a coarse grid of view rays (h×w×3 unit, world frame).

    `shape` is the full picture (height, width). Without `lights` no light is scattered (thermal needs the depth alone).
    """
    h, w = direction.shape[:2]
    edge = np.concatenate([[0.0], _NEAR * (_FAR / _NEAR) ** (np.arange(_SLICES - 1) / (_SLICES - 2))]).astype(
        np.float32
    )
    middle, thick = 0.5 * (edge[1:] + edge[:-1]), np.diff(edge)
    point = eye + middle[:, None, None, None] * direction[None]
    flat = point.reshape(-1, 3)
    sigma = (c.extinction * density(flat, c, world, t)).reshape(_SLICES - 1, h, w)
    step = sigma * thick[:, None, None]
    atlas = np.zeros((_SLICES, h, w, 1 if lights is None else 4), np.float32)
    atlas[1:, ..., 0] = np.cumsum(step, 0)
    if lights is not None:
        glow = _light(flat, direction, c, world, lights).reshape(_SLICES - 1, h, w, 3)
        before = np.exp(-atlas[:-1, ..., 0])
        gain = (before * (1 - np.exp(-step)))[..., None] * glow * np.array(c.scatter, np.float32)
        atlas[1:, ..., 1:] = np.cumsum(gain, 0)
    tail = c.extinction * (0.9 if c.medium == "fog" else 0.3)
    return ViewMedium(atlas.reshape(_SLICES * h, w, -1), h, w, (w / shape[1], h / shape[0]), tail)


def _light(point: F32, direction: F32, c: Condition, world: World, lights: Sequence[Light]) -> F32:
    """Light per unit of scattering at each cell: sky from all sides, sun by its phase, lamps by distance."""
    cosine = dot(direction.reshape(-1, 3), c.sun_direction)
    g = 0.55
    phase = (1 - g * g) / (1 + g * g - 2 * g * cosine) ** 1.5 / (4 * np.pi)
    if world.indoor:
        around = np.full(3, 0.30 * switched(c)["indoor"] + 0.004, np.float32)
        out = np.broadcast_to(around, (len(point), 3)).copy()
    else:
        around = sky.mean_radiance(c) * 0.85
        around = 0.4 * around + 0.6 * around.mean()
        sun = np.array(c.sun, np.float32) * (0.7 if c.medium == "smoke" else 1.6)
        row = around + phase[:, None] * sun
        out = np.broadcast_to(row[None], (_SLICES - 1, *row.shape)).reshape(-1, 3).copy()
    for light, some in zip(lights, within_reach(lights, point), strict=True):
        near, _, share = light.arriving(point, some)
        # Close to a lamp 1/d² would blow a single cell up: soften it over the size of a cell.
        out[near] += spread(np.minimum(share, 0.6), light.color / np.float32(4 * np.pi))
    return out.astype(np.float32)
