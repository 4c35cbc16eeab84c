"""Lamps of a moment, gathered, and how much of each arrives at a point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.simulation.actors import Lamp
from thermal_fusion_ros.simulation.conditions import Condition
from thermal_fusion_ros.simulation.materials import SWITCHES
from thermal_fusion_ros.simulation.tracing import Moment

F32 = NDArray[np.float32]


def switched(c: Condition) -> dict[str, float]:
    """How bright each kind of lamp is: street lamps from dusk, indoor light in working hours."""
    indoor = {"day": 1.0, "dusk": 0.55, "night": 0.0}[c.time]
    return {"street": c.lamps, "indoor": indoor, "always": 1.0}


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

    def arriving(self, point: F32) -> tuple[NDArray[np.intp], F32, F32]:
        """For N×3 points: which are lit, unit vectors to the lamp and irradiance as a share of `color`."""
        to = self.position - point
        d2 = np.einsum("ij,ij->i", to, to)
        near = np.flatnonzero(d2 < self.reach**2)
        if self.cone > -1:
            axis = to[near] @ self.direction
            ok = -axis > (self.cone - 0.02) * np.sqrt(d2[near])
            near = near[ok]
        to, d2 = to[near], np.maximum(d2[near], 0.04)
        to /= np.sqrt(d2)[:, None]
        fall = (1 - (d2 / self.reach**2) ** 2) ** 2 / d2
        if self.cone > -1:
            spread = np.clip((-(to @ self.direction) - self.cone) / (1 - self.cone), 0, 1)
            fall = fall * (spread * (2 - spread)) ** 1.5
        return near, to, fall.astype(np.float32)


def gather(moment: Moment, c: Condition, extra: tuple[Lamp, ...], eye: NDArray[np.floating]) -> list[Light]:
    """Lamps that are on and near enough to the camera at `eye` to matter, nearest first, at most 24."""
    on = switched(c)
    found: list[tuple[float, Light]] = []

    def add(lamp: Lamp, pose: F32) -> None:
        power = on[lamp.switch]
        if power <= 0:
            return
        position = pose[:3, :3] @ np.array(lamp.position, np.float32) + pose[:3, 3]
        direction = pose[:3, :3] @ np.array(lamp.direction, np.float32)
        direction /= np.linalg.norm(direction)
        distance = float(np.linalg.norm(position - eye))
        if distance < 75:
            color = np.array(lamp.color, np.float32) * power
            found.append((distance, Light(position, color, direction, lamp.cone, lamp.reach)))

    still = np.eye(4, dtype=np.float32)
    for lamp in (*moment.stage.world.lamps, *extra):
        add(lamp, still)
    for i in moment.active:
        pose = moment.bones[moment.stage.first_bone[i]]
        for lamp in moment.stage.world.actors[i].lamps:
            add(lamp, pose)
    found.sort(key=lambda item: item[0])
    return [light for _, light in found[:24]]
