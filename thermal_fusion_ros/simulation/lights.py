"""Lamps of a moment, gathered, and how much of each arrives at a point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.simulation.actors import Lamp
from thermal_fusion_ros.simulation.conditions import Condition
from thermal_fusion_ros.simulation.materials import SWITCHES
from thermal_fusion_ros.simulation.mesh import F32
from thermal_fusion_ros.simulation.tracing import Moment
from thermal_fusion_ros.simulation.vectors import dot, row_dot


def switched(c: Condition) -> dict[str, float]:
    """How bright each kind of lamp is: street lamps from dusk, indoor light in working hours."""
    indoor = {"day": 1.0, "dusk": 0.55, "night": 0.0}[c.time]
    daylight = {"day": 1.0, "dusk": 0.22, "night": 0.003}[c.time]
    beam = c.lamps * (10.0 if c.glare else 1.0)  # full beam straight into the camera
    return {"street": c.lamps, "headlamp": beam, "indoor": indoor, "daylight": daylight, "always": 1.0}


def switch_table(c: Condition) -> F32:
    """The same by switch number."""
    on = switched(c)
    return np.array([on[s] for s in SWITCHES], np.float32)


@dataclass(frozen=True)
class Light:
    """One lamp in world coordinates, switched on."""

    position: F32
    color: F32
    direction: F32
    cone: float
    reach: float

    def arriving(self, point: F32, near: NDArray[np.intp]) -> tuple[NDArray[np.intp], F32, F32]:
        """For the points `near` of N×3: which are lit, unit vectors to the lamp, irradiance as a share of `color`."""
        to = self.position - np.take(point, near, axis=0)
        d2 = row_dot(to, to)
        ok = d2 < self.reach**2
        if self.cone > -1:
            ok &= -dot(to, self.direction) > (self.cone - 0.02) * np.sqrt(d2)
        if not ok.all():
            near, to, d2 = near[ok], to[ok], d2[ok]
        d2 = np.maximum(d2, 0.04)
        to /= np.sqrt(d2)[:, None]
        fall = (1 - (d2 / self.reach**2) ** 2) ** 2 / d2
        if self.cone > -1:
            spread = np.clip((-dot(to, self.direction) - self.cone) / (1 - self.cone), 0, 1)
            fall = fall * (spread * (2 - spread)) ** 1.5
        return near, to, fall.astype(np.float32)


def within_reach(lights: Sequence[Light], point: F32) -> list[NDArray[np.intp]]:
    """For each lamp, which of N×3 points may be near enough to be lit."""
    if not lights:
        return []
    # |p - l|² < r² without a difference per lamp; `arriving` checks again without its rounding.
    origin = np.mean([light.position for light in lights], axis=0).astype(np.float32)
    p = point - origin
    square = row_dot(p, p)
    out = []
    for light in lights:
        q = light.position - origin
        out.append(np.flatnonzero(square - dot(p, 2 * q) < light.reach**2 * 1.01 - float(q @ q)))
    return out


def gather(
    moment: Moment, c: Condition, extra: tuple[Lamp, ...], pose: NDArray[np.floating], most: int = 24
) -> list[Light]:
    """Lamps that are on and may light something the camera at `pose` sees, nearest first, at most `most`."""
    eye, ahead = pose[:3, 3], pose[:3, 2]
    on = switched(c)
    found: list[tuple[float, Light]] = []

    def add(lamp: Lamp, at: F32) -> None:
        power = on[lamp.switch]
        if power <= 0:
            return
        position = at[:3, :3] @ np.array(lamp.position, np.float32) + at[:3, 3]
        direction = at[:3, :3] @ np.array(lamp.direction, np.float32)
        direction /= np.linalg.norm(direction)
        distance = float(np.linalg.norm(position - eye))
        if distance < 75 and float((position - eye) @ ahead) > -0.8 * lamp.reach:
            color = np.array(lamp.color, np.float32) * power
            found.append((distance, Light(position, color, direction, lamp.cone, lamp.reach)))

    still = np.eye(4, dtype=np.float32)
    for lamp in (*moment.stage.world.lamps, *extra):
        add(lamp, still)
    for i in moment.active:
        for lamp in moment.stage.world.actors[i].lamps:
            add(lamp, moment.bones[moment.stage.first_bone[i]])
    found.sort(key=lambda item: item[0])
    return [light for _, light in found[:most]]
