"""A camera on a pole or a roof that looks down on people: views that no robot's own camera has, and rooms with people
in the middle of them. What is learnt of people at eye level alone is not known from above.
"""

from __future__ import annotations

import numpy as np

from thermal_fusion_ros.simulation import mesh as m
from thermal_fusion_ros.simulation.mesh import F32
from thermal_fusion_ros.simulation.rig import F64, Rig, base_pose, mounted
from thermal_fusion_ros.simulation.worlds import World

HEIGHT_M = (2.6, 8.0)
CENTRE_M = (4.0, 16.0)  # along the ground to where the middle of the picture is
ZOOM = (0.95, 1.7)
ASIDE_M = 2.5  # of the rig's way, deviation
TRIES = 12
_FALLS = 0.35  # log ratio of distances: how far from the middle who is looked at may stand
_ON_THE_WAY_S = 55.0


def raise_camera(rig: Rig, rng: np.random.Generator) -> Rig:
    """The rig with a longer lens, high above the ground and looking down, a little askew."""
    height, centre = (float(np.exp(rng.uniform(*np.log(span)))) for span in (HEIGHT_M, CENTRE_M))
    zoom = float(np.exp(rng.uniform(*np.log(ZOOM))))
    pitch, roll = float(np.arctan2(height, centre)), np.radians(rng.normal(0, 3.0))
    return rig.remounted(mounted(0.0, height, pitch, roll), zoom)


def stand(world: World, rig: Rig, crowds_N2: F32, rng: np.random.Generator) -> tuple[float, F64]:
    """When, and from where (world_from_base): turned to somebody who is about where the camera looks, if anybody is.

    `crowds_N2`: x, y of people who don't move, beside the world's actors.
    """
    height = rig.base_from_rgb[2, 3]
    centre = height / -np.tan(np.arcsin(rig.base_from_rgb[2, 2]))
    best: tuple[float, float, F64] | None = None
    for _ in range(TRIES):
        t = float(rng.uniform(0.0, _ON_THE_WAY_S))
        base = base_pose(world, t)
        base[:3, 3] += base[:3, 1] * ASIDE_M * rng.normal()
        bearing = float(rng.uniform(-np.pi, np.pi))
        off = 10.0
        who = int(rng.integers(max(1, len(world.actors) + len(crowds_N2))))
        if world.actors or len(crowds_N2):
            moving = who - len(crowds_N2)
            place = crowds_N2[who] if moving < 0 else world.actors[moving].pose(t)[0, :2, 3]
            away = place - base[:2, 3]
            bearing = float(np.arctan2(away[1], away[0])) + float(rng.normal(0, 0.15))
            off = abs(float(np.log(max(np.hypot(*away), 0.1) / centre)))
        level = np.eye(4)
        level[:3, :3] = m.rotation_z(bearing)
        level[:3, 3] = base[:3, 3]
        if best is None or off < best[0]:
            best = off, t, level
        if off < _FALLS:
            break
    assert best is not None
    return best[1:]
