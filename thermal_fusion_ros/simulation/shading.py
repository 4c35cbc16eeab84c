"""Visible light: what colour each hit surface sends to the camera."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.simulation import sky, textures
from thermal_fusion_ros.simulation.conditions import Condition
from thermal_fusion_ros.simulation.lights import Light, switch_table, switched, within_reach
from thermal_fusion_ros.simulation.materials import PATTERNS, MaterialTable
from thermal_fusion_ros.simulation.mesh import F32
from thermal_fusion_ros.simulation.tracing import Moment, Surface
from thermal_fusion_ros.simulation.vectors import dot, row_dot, spread

_WINDOW = PATTERNS.index("window")


def _ray(origin: F32, direction: F32) -> F32:
    out = np.empty((len(origin), 6), np.float32)
    out[:, :3], out[:, 3:] = origin, direction
    return out


def lifted(s: Surface, index: NDArray[np.intp] | slice = slice(None)) -> F32:
    """Points a little off their surface, so that a shadow ray does not hit the surface it starts on."""
    eps = 0.004 + 0.0004 * s.distance[index]
    return s.position[index] + s.true_normal[index] * eps[:, None]


def sunlight(moment: Moment, s: Surface, c: Condition, table: MaterialTable, sun: F32 | None = None) -> F32:
    """Share (0 or 1) of sun or moon that N points see."""
    sun = c.sun_direction if sun is None else sun
    facing = (dot(s.true_normal, sun) > 0) | (table.translucency[s.material] > 0)
    out = np.zeros(len(s.index), np.float32)
    test = np.flatnonzero(facing)
    if len(test):
        rays = _ray(lifted(s, test), np.broadcast_to(sun, (len(test), 3)))
        out[test] = ~moment.blocked(rays, np.inf)
    return out


def albedo(s: Surface, table: MaterialTable, pixel_angle: float) -> F32:
    """Diffuse colour N×3, with grain at three scales and patterns."""
    material = s.material
    color = np.take(table.color, material, axis=0)
    second = np.take(table.second, material, axis=0)
    u, v = textures.plane_coordinates(s.local, s.true_normal)
    cosine = np.abs(row_dot(s.true_normal, s.direction))
    footprint = s.distance * np.float32(pixel_angle) / np.maximum(np.sqrt(cosine), 0.12)
    amount = np.take(table.grain, material, axis=0)
    change = np.zeros(len(material), np.float32)
    for octave in range(2):
        change += amount[:, octave] * textures.grain(u, v, footprint, octave)
    broad = textures.grain(u, v, footprint, 2)
    change += 0.3 * amount[:, 2] * broad
    mix = np.clip(0.5 + 0.5 * broad, 0, 1) * np.minimum(amount[:, 2] * 3, 1)
    kinds = table.pattern[material]
    patterned = np.flatnonzero(kinds)
    if len(patterned):
        mix[patterned] = 0
        for kind in np.unique(kinds[patterned]):
            at = np.flatnonzero(kinds == kind)
            share, tone = textures.pattern(int(kind), u[at], v[at], footprint[at])
            mix[at] = share
            change[at] += tone
            if kind == _WINDOW:  # an unlit room behind glass is dark by day, whatever its wallpaper
                color[at] *= (0.05 + 0.16 * _room(s, at, u, v, footprint))[:, None]
    second -= color
    second *= mix[:, None]
    color += second
    color *= np.maximum(1 + change, 0.15)[:, None]
    return np.clip(color, 0.004, 0.92, out=color)


def _room(s: Surface, at: NDArray[np.intp], u: F32, v: F32, footprint: F32) -> F32:
    """What is seen through the window panes `at`."""
    d, n = s.direction[at], s.true_normal[at]
    along = np.where(np.abs(n[:, 1]) >= np.abs(n[:, 0]), d[:, 0], d[:, 1])
    inward = np.maximum(-np.einsum("ij,ij->i", d, n), 0.05)
    return textures.room(u[at], v[at], along, d[:, 2], inward, footprint[at])


def illumination(
    moment: Moment,
    s: Surface,
    table: MaterialTable,
    c: Condition,
    lights: Sequence[Light],
    openness: F32,
    sunlit: F32,
) -> F32:
    """Light N×3 that falls on surfaces: a white one has this radiance.

    `openness` (0..1) is the share of surroundings not blocked nearby, `sunlit` (0..1) of the sun or moon.
    """
    thin = table.translucency[s.material]
    up = 0.5 + 0.5 * s.normal[:, 2]
    sky_light = sky.mean_radiance(c)
    sun, sun_light = c.sun_direction, np.array(c.sun, np.float32)
    if moment.stage.world.indoor:
        around = np.float32(0.26 * switched(c)["indoor"] + 0.0012)
        light = spread(up * openness, np.full(3, -0.35 * around), 0.0) + spread(openness, np.full(3, around))
    else:
        bounce = sky_light + sun_light * np.float32(max(float(sun[2]), 0) / np.pi * 0.6)
        ground = np.array([0.144, 0.136, 0.12], np.float32) * bounce
        light = spread(openness, ground) + spread(up * openness, sky_light - ground)
    facing = dot(s.normal, sun)
    lambert = np.maximum(facing, 0) * (1 - thin) + thin * (0.35 + 0.45 * np.abs(facing))
    light += spread(lambert * sunlit, sun_light / np.float32(np.pi))
    if lights:
        light += _lamps(moment, s, lights, thin) / np.float32(np.pi)
    return light


def reflect(
    moment: Moment,
    s: Surface,
    table: MaterialTable,
    c: Condition,
    pixel_angle: float,
    light: F32,
    sunlit: F32,
    plain_sky: bool = False,
) -> F32:
    """Radiance N×3 that surfaces send to the camera under `light` (see :func:`illumination`)."""
    indoor = moment.stage.world.indoor
    material = s.material
    out = albedo(s, table, pixel_angle)
    out *= light
    emits = np.flatnonzero(np.take(table.emission.max(1) > 0, material))
    if len(emits):
        power = switch_table(c)[table.switch[material[emits]]]
        bright = table.emission[material[emits]] * power[:, None]
        panes = np.flatnonzero(table.pattern[material[emits]] == _WINDOW)
        if len(panes):
            at = emits[panes]
            u, v = textures.plane_coordinates(s.local, s.true_normal)
            bright[panes] *= _room(s, at, u, v, s.distance * np.float32(pixel_angle))[:, None]
        out[emits] += bright
    return _mirror(out, moment, s, table, c, sunlit, indoor, plain_sky)


def _mirror(
    out: F32,
    moment: Moment,
    s: Surface,
    table: MaterialTable,
    c: Condition,
    sunlit: F32,
    indoor: bool,
    plain_sky: bool,
) -> F32:
    """Reflection of the surroundings in glossy surfaces (Schlick), without tracing them."""
    gloss = table.gloss[s.material]
    at = np.flatnonzero(gloss > 0)
    if not len(at):
        return out
    d, n = s.direction[at], s.normal[at]
    cosine = np.clip(-row_dot(d, n), 0, 1)
    share = gloss[at] + (1 - gloss[at]) * (1 - cosine) ** 5 * 0.8
    r = d + 2 * cosine[:, None] * n
    if indoor:
        glow = np.float32(0.5 * switched(c)["indoor"] + 0.002)
        seen: F32 = np.clip(0.35 + 0.65 * r[:, 2:], 0, 1) * glow * np.ones(3, np.float32)
    else:
        seen = sky.radiance(r, c, moment.t, detail=not plain_sky and c.time != "night")
        # A skyline of houses and trees stands between the street and the low sky.
        line = (
            0.16
            + 0.05 * np.sin(5 * np.arctan2(r[:, 1], r[:, 0]))
            + 0.03 * np.sin(17 * np.arctan2(r[:, 1], r[:, 0]))
        )
        above = np.clip((r[:, 2] - line) / 0.05 + 0.5, 0, 1)[:, None]
        light = sky.mean_radiance(c) + np.array(c.sun, np.float32) * 0.1
        dark = light * np.where(r[:, 2:] > 0, 0.20, 0.10)
        seen = dark * (1 - above) + seen * above
        shine = np.clip(dot(r, c.sun_direction), 0, 1) ** 700
        seen = seen + (shine * sunlit[at])[:, None] * np.array(c.sun, np.float32) * 6
    out[at] = out[at] * (1 - share[:, None]) + share[:, None] * seen
    return out


def _lamps(moment: Moment, s: Surface, lights: Sequence[Light], thin: F32) -> F32:
    """Irradiance N×3 from lamps; the strongest at each point casts a shadow."""
    total = np.zeros((len(s.index), 3), np.float32)
    best = np.zeros(len(s.index), np.float32)
    which = np.full(len(s.index), -1, np.int32)
    for number, (light, some) in enumerate(zip(lights, within_reach(lights, s.position), strict=True)):
        near, to, fall = light.arriving(s.position, some)
        if not len(near):
            continue
        facing = row_dot(np.take(s.normal, near, axis=0), to)
        share = fall * (np.maximum(facing, 0) * (1 - thin[near]) + thin[near] * (0.3 + 0.4 * np.abs(facing)))
        total[near] += spread(share, light.color)
        strength = share * light.color.max()
        ahead = strength > best[near]
        best[near[ahead]] = strength[ahead]
        which[near[ahead]] = number
    test = np.flatnonzero((which >= 0) & (best > 0.004))
    if len(test):
        place = np.array([light.position for light in lights], np.float32)
        color = np.array([light.color / light.color.max() for light in lights], np.float32)
        origin = lifted(s, test)
        to = place[which[test]] - origin
        far = np.linalg.norm(to, axis=1)
        hidden = moment.blocked(_ray(origin, to / far[:, None]), np.maximum(far - 0.35, 0.01))
        shadow = test[hidden]
        total[shadow] -= best[shadow, None] * color[which[shadow]]
    return np.maximum(total, 0)


def openness(moment: Moment, s: Surface, reach: float, rng: np.random.Generator, count: int = 4) -> F32:
    """Share of `count` random directions over each surface that are free within `reach` metres."""
    n = len(s.index)
    if not n:
        return np.ones(0, np.float32)
    d = rng.normal(size=(count, n, 3)).astype(np.float32)
    d /= np.linalg.norm(d, axis=-1, keepdims=True)
    d += s.true_normal * np.float32(1.02)  # cosine-weighted
    d /= np.linalg.norm(d, axis=-1, keepdims=True)
    origin = np.broadcast_to(lifted(s), (count, n, 3)).reshape(-1, 3)
    free = ~moment.blocked(_ray(origin, d.reshape(-1, 3)), reach)
    return free.reshape(count, n).mean(0).astype(np.float32)
