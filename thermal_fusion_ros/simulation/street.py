"""A street: two lanes, parked cars, pavements, houses or blocks, trees, lamps, a crossing with traffic lights."""

from __future__ import annotations

import numpy as np

from thermal_fusion_ros.simulation import mesh as m
from thermal_fusion_ros.simulation import plants, vehicles
from thermal_fusion_ros.simulation.actors import Lamp, Track
from thermal_fusion_ros.simulation.buildings import building
from thermal_fusion_ros.simulation.people import bystander, pedestrian
from thermal_fusion_ros.simulation.worlds import Builder, Ground, World

KERB = 0.13
LENGTH = 150.0
BEHIND = -25.0


def build(seed: int) -> World:
    """A street along x; the rig drives on the right-hand lane."""
    rng = np.random.default_rng([seed, 1])
    b = Builder(rng)
    b.warm_lamps = bool(rng.random() < 0.5)
    style = str(rng.choice(["city", "house"], p=[0.6, 0.4]))
    lane = float(rng.uniform(3.0, 3.5))
    parking = float(rng.choice([2.1, 2.1, 0.0]))
    half = lane + parking  # of the carriageway
    walk = float(rng.uniform(2.6, 3.8))
    garden = float(rng.uniform(2.5, 5.0)) if style == "house" else 0.0
    crossing = float(rng.uniform(17, 30))
    side_street = crossing + 12.0
    front = half + walk + garden

    def ground(x: float, y: float) -> float:
        on_walk = abs(y) > half and not (side_street - 4.0 < x < side_street + 4.0)
        near_crossing = abs(x - crossing) < 1.8 and abs(y) < half + 0.4
        return KERB if on_walk and not near_crossing else 0.0

    _carriageway(b, half, lane, parking, walk, front, crossing, side_street)
    for side in (-1, 1):
        _houses(b, rng, style, side, front, side_street)
        _furniture(b, rng, side, half, walk, garden, crossing, side_street)
        if parking:
            _parked(b, rng, side, lane, parking, crossing, side_street)
    _people(b, rng, half, walk, crossing, ground)
    _traffic(b, rng, lane, side_street)
    lane_y = -0.5 * lane
    path = Track(
        [[0, lane_y], [95, lane_y], [101, 0], [95, -lane_y], [0, -lane_y], [-6, 0]],
        float(rng.uniform(1.6, 2.6)),
        6.0,
        rounding=5,
    )
    smoke = [
        [float(rng.uniform(7, 16)), float(rng.uniform(-3, 4)), 0.0, 1.0],
        [float(rng.uniform(18, 40)), float(rng.uniform(-5, 5)), 0.0, 0.8],
        [float(rng.uniform(40, 70)), float(rng.uniform(-4, 4)), 0.0, 0.7],
    ]
    return b.finish("street", seed, path, ground, indoor=False, bumpiness=0.010, smoke=smoke)


def _carriageway(
    b: Builder,
    half: float,
    lane: float,
    parking: float,
    walk: float,
    front: float,
    crossing: float,
    side: float,
) -> None:
    p = b.palette
    asphalt, paint, kerb, pavement = p("asphalt"), p("paint"), p("kerb"), p("pavement")
    far = LENGTH + 60
    b.add(m.rectangle((BEHIND - 60, -half), (far, half), 0, asphalt))
    b.add(m.rectangle((-300, -300), (500, 300), -0.06, p("grass")))
    verge = p("grass") if front - half - walk > 1 else pavement
    for s in (-1, 1):
        b.add(m.rectangle((side - 4, s * half), (side + 4, s * 80), 0, asphalt))
        for x0, x1 in ((BEHIND - 60, side - 4), (side + 4, far)):
            inner, outer = s * half, s * (half + walk)
            b.add(m.span([x0, inner, -0.2], [x1, inner + s * 0.16, KERB], kerb))
            b.add(m.rectangle((x0, inner + s * 0.16), (x1, outer), KERB, pavement))
            b.add(m.rectangle((x0, outer), (x1, s * (front + 25)), KERB - 0.01, verge))
        if parking:
            y = s * lane
            for x in np.arange(BEHIND - 20, far, 5.6):
                if abs(x - crossing) > 3 and abs(x - side) > 6:
                    b.add(m.rectangle((x, y), (x + 0.1, s * half), 0.006, paint))
    for x in np.arange(BEHIND - 40, far, 6.0):
        if abs(x + 1.5 - crossing) > 4.5 and abs(x + 1.5 - side) > 7:
            b.add(m.rectangle((x, -0.06), (x + 3, 0.06), 0.006, paint))
    for y in np.arange(-half + 0.4, half - 0.3, 1.0):
        b.add(m.rectangle((crossing - 1.6, y), (crossing + 1.6, y + 0.5), 0.006, paint))
    for s, x in ((-1, crossing - 2.6), (1, crossing + 2.3)):
        y0, y1 = sorted((s * 0.1, s * lane))
        b.add(m.rectangle((x, y0), (x + 0.3, y1), 0.006, paint))
    rng = b.rng
    for _ in range(14):  # manholes, patches
        x, y = float(rng.uniform(3, 90)), float(rng.uniform(-half + 0.6, half - 0.6))
        if rng.random() < 0.4:
            b.add(m.cylinder([x, y, -0.02], [x, y, 0.005], 0.33, p("black_metal"), 18))
        else:
            w, d = rng.uniform(0.8, 3.5), rng.uniform(0.5, 1.6)
            patch = p("asphalt", name="patch", color=(0.05, 0.05, 0.052))
            b.add(m.rectangle((x, y), (x + w, y + d), 0.004, patch))


def _houses(
    b: Builder, rng: np.random.Generator, style: str, side: int, front: float, crossing_street: float
) -> None:
    x = BEHIND - 10
    while x < LENGTH:
        width = float(rng.uniform(9, 17)) if style == "city" else float(rng.uniform(8, 12))
        if x < crossing_street + 6 and x + width > crossing_street - 6:
            x = crossing_street + 6.0
            continue
        seen = style == "house" or abs(x + width / 2 - crossing_street) < 24
        mesh = building(b.palette, rng, width, float(rng.uniform(9, 12)), style, seen)
        set_back = front + (float(rng.uniform(0, 1.0)) if style == "house" else 0.0)
        # The outside of the model is towards -y.
        turned = mesh.yawed(np.pi).moved([x + width, 0, 0]) if side < 0 else mesh
        mesh = turned.moved([0 if side < 0 else x, side * set_back, KERB])
        b.add(mesh)
        x += width + (
            float(rng.uniform(2.5, 6.0)) if style == "house" else float(rng.choice([0.0, 0.0, 0.0, 2.5]))
        )
    # What closes the view at both ends and down the side street.
    for at in (BEHIND - 45, LENGTH + 12):
        for k in range(4):
            mesh = building(b.palette, rng, 14, 10, "city")
            turned = mesh.yawed(-np.pi / 2 if at > 0 else np.pi / 2)
            y = side * (k * 14 + 7)
            b.add(turned.moved([at, y + (7 if at > 0 else -7), 0]))
    mesh = building(b.palette, rng, 16, 10, "city").moved([-8, 0, 0])
    b.add(
        mesh.moved([crossing_street, 55, 0])
        if side > 0
        else mesh.yawed(np.pi).moved([crossing_street, -55, 0])
    )


def _furniture(
    b: Builder,
    rng: np.random.Generator,
    side: int,
    half: float,
    walk: float,
    garden: float,
    crossing: float,
    side_street: float,
) -> None:
    p = b.palette
    metal = p("galvanised")
    spacing = float(rng.uniform(20, 26))
    offset = 0.0 if side > 0 else spacing / 2
    y = side * (half + 0.55)
    lamp_color = (34.0, 27.0, 18.0) if b.warm_lamps else (30.0, 28.5, 25.0)
    for x in np.arange(-16 + offset, 120, spacing):
        if abs(x - side_street) < 5.5:
            continue
        height = 6.4
        reach = -side * 1.5
        b.add(
            m.tube(
                [
                    [x, y, 0],
                    [x, y, 1.0],
                    [x, y, height - 0.6],
                    [x, y + 0.3 * reach, height - 0.1],
                    [x, y + reach, height],
                ],
                [0.085, 0.075, 0.06, 0.05, 0.04],
                metal,
                9,
            )
        )
        b.add(m.box([0.28, 0.62, 0.10], [x, y + reach, height + 0.01], p("black_metal")))
        b.add(m.box([0.20, 0.5, 0.03], [x, y + reach, height - 0.05], p("lamp")))
        b.lamps.append(Lamp((x, y + reach, height - 0.1), lamp_color, (0, 0, -1.0), 0.30, 18.0))
    # trees in the pavement, hedges and gardens by houses
    if rng.random() < 0.75:
        step = float(rng.uniform(9, 14))
        for x in np.arange(-12 + rng.uniform(0, step), 105, step):
            if abs(x - crossing) < 3.5 or abs(x - side_street) < 6 or rng.random() < 0.2:
                continue
            leaves = 6000 if x < 32 else 2500 if x < 60 else 900
            tree = plants.broadleaf(p, rng, float(rng.uniform(5.0, 7.5)), leaves)
            b.add(tree.moved([x, side * (half + 0.9), KERB]))
    if garden:
        for x in np.arange(-20, 100, 1.0):
            if rng.random() < 0.5 and abs(x - side_street) > 6:
                r = float(rng.uniform(0.35, 0.6))
                b.add(plants.bush(p, rng, r, 160).moved([x, side * (half + walk + 0.6), KERB]))
        for _ in range(6):
            x = float(rng.uniform(0, 90))
            if abs(x - side_street) > 7:
                tree = plants.broadleaf(p, rng, float(rng.uniform(4, 7)), 2500)
                b.add(tree.moved([x, side * (half + walk + garden * 0.55), KERB]))
    # traffic light on the right-hand side of each direction
    x = crossing - 2.3 if side < 0 else crossing + 2.3
    ty = side * (half + 0.35)
    b.add(m.cylinder([x, ty, 0], [x, ty, 3.0], 0.055, metal, 10))
    housing = p("black_metal")
    lights = [m.box([0.22, 0.26, 0.84], [x, ty, 2.85], housing)]
    on = int(rng.integers(0, 3))
    for k, (name, emission) in enumerate(
        (("red", (2.6, 0.10, 0.06)), ("amber", (2.4, 1.3, 0.1)), ("green", (0.1, 2.2, 1.2)))
    ):
        lens = p(
            "taillamp",
            name="lens_" + name,
            color=tuple(0.08 + 0.05 * e for e in emission),
            switch="always",
            emission=emission if k == on else (0.0, 0.0, 0.0),
            heat=7.0 if k == on else 0.0,
        )
        z = 3.12 - 0.27 * k
        face = -0.112 if side < 0 else 0.112
        lights.append(m.cylinder([x, ty, z], [x + face, ty, z], 0.09, lens, 14))
        lights.append(m.box([0.10, 0.22, 0.02], [x + face * 1.4, ty, z + 0.10], housing))
    b.add_object("traffic light", m.merge(lights), shows=("red", "amber", "green")[on])
    # signs, bins, bollards, boxes
    for _ in range(5):
        x = float(rng.uniform(4, 80))
        if abs(x - side_street) < 5:
            continue
        kind = rng.integers(0, 4)
        y = side * (half + 0.4)
        if kind == 0:
            b.add(m.cylinder([x, y, 0], [x, y, 2.6], 0.03, metal, 8))
            b.add(
                m.cylinder(
                    [x - 0.02, y, 2.4], [x + 0.02, y, 2.4], 0.30, p("paint", color=(0.75, 0.08, 0.07)), 20
                )
            )
            b.add(m.cylinder([x - 0.026, y, 2.4], [x + 0.026, y, 2.4], 0.21, p("trim"), 20))
        elif kind == 1:
            b.add(
                m.cylinder([x, y + side * 0.2, 0], [x, y + side * 0.2, KERB + 0.95], 0.22, p("dark_trim"), 16)
            )
        elif kind == 2:
            for k in range(4):
                b.add(
                    m.cylinder(
                        [x + 1.4 * k, y, 0], [x + 1.4 * k, y, KERB + 0.85], 0.055, p("black_metal"), 10
                    )
                )
        else:
            b.add(
                m.span(
                    [x, y + side * 0.1 - 0.2, 0],
                    [x + 0.9, y + side * 0.1 + 0.2, KERB + 1.2],
                    p("panel", color=(0.2, 0.24, 0.2)),
                ).heated(3.0)
            )


def _parked(
    b: Builder,
    rng: np.random.Generator,
    side: int,
    lane: float,
    parking: float,
    crossing: float,
    side_street: float,
) -> None:
    for x in np.arange(-18 + float(rng.uniform(0, 3)), 100, 5.6):
        if rng.random() < 0.42 or abs(x - crossing) < 5.0 or abs(x - side_street) < 8:
            continue
        y = side * (lane + 0.5 * parking + float(rng.normal(0, 0.06)))
        yaw = (0.0 if side < 0 else np.pi) + float(rng.normal(0, 0.015))
        if rng.random() < 0.06:
            b.park(vehicles.truck(b.palette, rng, (x, y, yaw)))
        else:
            b.park(vehicles.car(b.palette, rng, (x, y, yaw)))


def _people(
    b: Builder, rng: np.random.Generator, half: float, walk: float, crossing: float, ground: Ground
) -> None:
    def speed() -> float:
        return float(rng.uniform(0.9, 1.6)) * float(rng.choice([-1.0, 1.0]))

    for side in (-1, 1):
        for _ in range(int(rng.integers(2, 5))):
            y0, y1 = side * (half + 0.9 + rng.uniform(0, 0.4)), side * (half + walk - rng.uniform(0.3, 0.8))
            a, c = float(rng.uniform(2, 12)), float(rng.uniform(28, 60))
            track = Track(
                [[a, y0], [c, y0], [c, y1], [a, y1]], speed(), float(rng.uniform(0, 100)), rounding=0.8
            )
            b.add_actor(pedestrian(b.palette, rng, track, ground))
    for _ in range(int(rng.integers(2, 4))):  # over the crossing and back
        x = crossing + float(rng.uniform(-1.1, 1.1))
        edge = half + 1.4
        loop = [
            [x, -edge],
            [x, edge],
            [x + float(rng.choice([-1, 1])) * 7, edge + 0.4],
            [x, edge + 0.8],
            [x + 0.6, -edge],
            [x - 6, -edge - 0.6],
        ]
        b.add_actor(
            pedestrian(
                b.palette, rng, Track(loop, abs(speed()), float(rng.uniform(0, 40)), rounding=0.7), ground
            )
        )
    for _ in range(int(rng.integers(1, 4))):
        x, side = float(rng.uniform(6, 40)), int(rng.choice([-1, 1]))
        y = side * (half + float(rng.uniform(0.8, walk - 0.5)))
        b.add_actor(bystander(b.palette, rng, x, y, ground(x, y), float(rng.uniform(-3, 3))))
    if rng.random() < 0.7:
        y = half - 0.5 - (1.9 if half > 4 else 0.0)
        track = Track(
            [[-20, -y], [110, -y], [112, 0], [110, y], [-20, y], [-24, 0]],
            4.2,
            float(rng.uniform(20, 60)),
            rounding=2,
        )
        for actor in vehicles.cyclist(b.palette, rng, track, ground):
            b.add_actor(actor)


def _traffic(b: Builder, rng: np.random.Generator, lane: float, side_street: float) -> None:
    y = 0.5 * lane
    loop = [[-60, -y], [170, -y], [176, 0], [170, y], [-60, y], [-66, 0]]
    length = 2 * 230
    # Everybody drives the same loop at the same speed, so that nobody runs into anybody.
    speed = float(rng.uniform(5.0, 7.5))
    for k in range(int(rng.integers(3, 6))):
        start = length * 0.5 + float(rng.uniform(20, 60)) + 45.0 * k
        b.add_actor(vehicles.car(b.palette, rng, Track(loop, speed, start, rounding=4)))
    if rng.random() < 0.4:
        b.add_actor(vehicles.bus(b.palette, rng, Track(loop, speed, length * 0.5 + 330, rounding=4)))
    cross = Track(
        [
            [side_street + 1.8, -75],
            [side_street + 1.8, 75],
            [side_street - 1.8, 75],
            [side_street - 1.8, -75],
        ],
        6.0,
        float(rng.uniform(0, 150)),
        rounding=1,
    )
    if rng.random() < 0.5:
        b.add_actor(vehicles.car(b.palette, rng, cross))
