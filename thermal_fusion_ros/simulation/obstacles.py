"""Things that stand where nobody expects them: what a robot must not run into, whatever it is.

A depth network that has only seen roads, walls and what belongs there takes a crate in the way for a stain on the road.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from thermal_fusion_ros.simulation import mesh as m
from thermal_fusion_ros.simulation.actors import Labelled
from thermal_fusion_ros.simulation.mesh import F32
from thermal_fusion_ros.simulation.worlds import World

MATERIALS = ("cardboard", "wood", "plastic", "enamel", "steel", "rubber", "rock", "concrete", "bag", "panel")
DRIVE_S = 60.0  # of the rig's way they stand along
BESIDE_M = 4.0  # of it at most; between walls less
BETWEEN_WALLS_M = 1.5
APART_M = (1.5, 8.0)  # along the way, on average
MOST = 60
SMALLEST_M, LARGEST_M = 0.2, 1.6
_SUNK_M = 0.03  # no gap under them where the ground is uneven


def with_things(world: World, things: Sequence[m.Mesh], label: str = "") -> World:
    """`world` with more things in it, in its coordinates. With a label they are instances, which come last."""
    labelled, parts = list(world.labelled), [world.static]
    for thing in things:
        if label:
            labelled.append(Labelled(len(labelled) + 1, label, {}, moving=False))
        parts.append(thing.of_instance(len(labelled)) if label else thing)
    return replace(world, static=m.merge(parts), labelled=labelled)


def scatter(world: World, rng: np.random.Generator) -> tuple[list[m.Mesh], F32]:
    """Boxes and drums of all sizes along the way of the rig, and N×3 x, y, radius: where they stand."""
    things, places = [], []
    beside = BETWEEN_WALLS_M if world.indoor else BESIDE_M
    count = world.path.distance(DRIVE_S) / rng.uniform(*APART_M)
    for _ in range(min(MOST, int(count))):
        x, y, yaw = world.path(float(rng.uniform(0, DRIVE_S)))
        aside = float(rng.uniform(-beside, beside))
        x, y = x - aside * np.sin(yaw), y + aside * np.cos(yaw)
        low, high = np.log([SMALLEST_M, LARGEST_M])
        long, wide, tall = (float(v) for v in np.exp(rng.uniform(low, high, 3)))
        z = world.ground(x, y) - _SUNK_M
        material = world.palette(str(rng.choice(MATERIALS)))
        if rng.random() < 0.75:
            thing = m.box((long, wide, tall), (0, 0, tall / 2), material)
        else:
            thing = m.cylinder((0, 0, 0), (0, 0, tall), wide / 2, material)
        things.append(thing.yawed(float(rng.uniform(0, np.pi))).moved((x, y, z)))
        places.append((x, y, float(np.hypot(long, wide)) / 2))
    return things, np.asarray(places, np.float32).reshape(-1, 3)  # a short way may have none
