"""The sky in both spectra."""

from __future__ import annotations

import numpy as np

from thermal_fusion_ros.simulation.conditions import Condition
from thermal_fusion_ros.simulation.mesh import F32
from thermal_fusion_ros.simulation.textures import noise_tile, sample
from thermal_fusion_ros.simulation.vectors import dot, spread


def clouds(direction: F32, cover: float, t: float) -> F32:
    """Share of cloud (0..1) in N directions; none below the horizon."""
    up = direction[:, 2]
    flat = direction[:, :2] / (np.maximum(up, 0.0) + 0.10)[:, None]
    u, v = flat[:, 0] * 14 + 0.12 * t, flat[:, 1] * 14 + 40.0
    field = 0.62 * sample(noise_tile(2), u, v) + 0.30 * sample(noise_tile(1), u * 2.7 + 9, v * 2.7)
    field += 0.14 * sample(noise_tile(0), u * 7.3, v * 7.3 + 5)
    threshold = 1.25 - 2.6 * cover
    return (np.clip((field - threshold) / 0.9, 0, 1) * np.clip(up * 9, 0, 1)).astype(np.float32)


def mean_radiance(c: Condition) -> F32:
    """Average radiance of the upper half: what a surface facing up receives from it."""
    clear = 0.55 * np.array(c.sky_zenith, np.float32) + 0.45 * np.array(c.sky_horizon, np.float32)
    clear = 0.55 * clear + 0.45 * clear.mean()  # cameras balance most of the blue of shade away
    return (clear * (1 + 0.15 * c.clouds) * c.ambient).astype(np.float32)


def radiance(direction: F32, c: Condition, t: float, detail: bool = True) -> F32:
    """Visible radiance N×3 of the sky in N unit directions; `detail` adds clouds, sun disc, moon and stars."""
    zenith, horizon = np.array(c.sky_zenith, np.float32), np.array(c.sky_horizon, np.float32)
    sun, light = c.sun_direction, np.array(c.sun, np.float32)
    up = direction[:, 2]
    high = 1 - np.exp(-np.maximum(up, 0) * (3.2 if c.time != "dusk" else 2.6))
    cosine = dot(direction, sun)
    out = spread(high, zenith - horizon, horizon)
    if c.time == "dusk":  # the warm half of the sky is where the sun went down
        flat = direction[:, :2] @ (sun[:2] / max(float(np.hypot(*sun[:2])), 1e-6))
        side = np.clip(0.5 + 0.5 * flat, 0, 1)[:, None] * np.exp(-np.maximum(up, 0) * 4)[:, None]
        out = out * (0.45 + 0.75 * side) + side * np.array([0.16, 0.05, 0.0], np.float32)
    near = np.maximum(cosine, 0)
    # Everything the sun draws on the sky fades behind fog.
    clear = 1.0 if c.medium == "clear" else 0.4
    strength = 1.0 if c.time != "night" else 3.0
    near8 = np.square(np.square(np.square(near)))
    out += spread(0.05 * near8 + 0.10 * near8**7 + 0.5 * near8**110, light * strength * clear)
    if not detail:
        return out.astype(np.float32)
    cover = clouds(direction, c.clouds, t)[:, None]
    night = c.time == "night"
    tint = 0.55 * zenith + 0.8 * horizon if night else 0.75 * mean_radiance(c) + 0.13 * light
    edge = light * (0.10 * near**6)[:, None]
    out = out * (1 - 0.85 * cover) + 0.85 * cover * (tint * (0.75 + 0.35 * (1 - cover)) + edge)
    if night:
        out = _stars(out, direction, 1 - cover[:, 0], up)
        disc = np.clip((cosine - 0.99994) / 0.00002, 0, 1) * (1 - 0.8 * cover[:, 0])
        out += disc[:, None] * np.array([0.9, 0.92, 1.0], np.float32)
    else:
        disc = np.clip((cosine - 0.99996) / 0.00002, 0, 1) * (1 - cover[:, 0]) * clear
        out += disc[:, None] * light * 25
    below = np.clip(-up * 12, 0, 1)[:, None]
    return (out * (1 - below) + below * 0.5 * horizon).astype(np.float32)


def _stars(out: F32, direction: F32, clear: F32, up: F32) -> F32:
    az = np.arctan2(direction[:, 1], direction[:, 0]) * 90
    el = np.arcsin(np.clip(up, -1, 1)) * 90
    i, j = np.floor(az), np.floor(el)
    seed = np.mod(np.sin(i * np.float32(12.9898) + j * np.float32(78.233)) * np.float32(4375.85), 1.0)
    at = np.hypot(az - i - 0.5, el - j - 0.5)
    shine = (
        np.where(seed > 0.988, np.clip(1 - at / 0.28, 0, 1) * (seed - 0.988) * 7, 0)
        * clear
        * np.clip(up * 4, 0, 1)
    )
    return out + shine[:, None].astype(np.float32)


def temperature(direction: F32, c: Condition, t: float, detail: bool = True) -> F32:
    """Apparent temperature in kelvin of N sky directions: cold overhead, near air temperature at the horizon."""
    up = np.clip(direction[:, 2], 0.0, 1.0)
    out = c.air_k - (c.air_k - c.sky_k) * (1 - np.exp(-3.2 * up)) / (1 - np.exp(-3.2))
    if detail:
        cover = clouds(direction, c.clouds, t)
        out = out + 0.6 * cover * (c.air_k - 9 - out)
    return out.astype(np.float32)
