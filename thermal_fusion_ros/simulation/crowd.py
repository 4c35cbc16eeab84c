"""More people than a world has by itself, alone and in groups, on foot, on bicycles and scooters; frozen in mid-step.

For training: what hides what, and how people look where they are many, is learnt from pictures with many of them.
"""

from __future__ import annotations

import numpy as np

from thermal_fusion_ros.simulation.actors import Actor, Track
from thermal_fusion_ros.simulation.mesh import F32, Mesh
from thermal_fusion_ros.simulation.obstacles import with_things
from thermal_fusion_ros.simulation.people import bystander, pedestrian
from thermal_fusion_ros.simulation.scooters import scooter
from thermal_fusion_ros.simulation.vehicles import cyclist
from thermal_fusion_ros.simulation.worlds import World

GROUPS = (8, 16)  # in a world
DRIVE_S = 55.0  # of the rig's way they are along
BESIDE_M = 4.5  # deviation from it; between walls less
BETWEEN_WALLS_M = 0.8
MOST = 5  # people in a group; fewer are more frequent
APART_M = 0.75
RIDERS = 0.35  # share of groups that are somebody riding


def gather(world: World, rng: np.random.Generator) -> tuple[World, F32]:
    """`world` with people in it, and N×2 x, y where each group is."""
    things: dict[str, list[Mesh]] = {}
    places = []
    beside = BETWEEN_WALLS_M if world.indoor else BESIDE_M
    for _ in range(int(rng.integers(*GROUPS))):
        x, y, yaw = world.path(float(rng.uniform(0, DRIVE_S)))
        aside = beside * float(rng.normal())
        x, y = x - aside * np.sin(yaw), y + aside * np.cos(yaw)
        heading = float(rng.uniform(-np.pi, np.pi))
        for actor in _group(world, x, y, heading, rng):
            things.setdefault(actor.label, []).append(actor.still(0.0))
        places.append((x, y))
    for label, meshes in things.items():
        world = with_things(world, meshes, label)
    return world, np.asarray(places, np.float32).reshape(-1, 2)


def _group(world: World, x: float, y: float, heading: float, rng: np.random.Generator) -> list[Actor]:
    if rng.random() < RIDERS:
        ride = scooter if rng.random() < 0.6 else cyclist
        return list(ride(world.palette, rng, _track(x, y, heading), world.ground))
    found = []
    for _ in range(min(MOST, int(rng.geometric(0.45)))):
        dx, dy = rng.normal(0, APART_M, 2)
        if rng.random() < 0.75:
            turn = heading + float(rng.normal(0, 0.4))
            track = _track(x + dx, y + dy, turn)
            found.append(pedestrian(world.palette, rng, track, world.ground))
        else:
            z = world.ground(x + dx, y + dy)
            found.append(bystander(world.palette, rng, x + dx, y + dy, z, float(rng.uniform(-np.pi, np.pi))))
    return found


def _track(x: float, y: float, heading: float) -> Track:
    """A straight way that begins here."""
    end = (x + 10 * np.cos(heading), y + 10 * np.sin(heading))
    return Track([(x, y), end], 1.2, closed=False)
