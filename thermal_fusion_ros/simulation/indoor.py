"""Indoors: a corridor and a warehouse."""

from __future__ import annotations

import numpy as np

from thermal_fusion_ros.simulation import mesh as m
from thermal_fusion_ros.simulation.actors import Actor, Lamp, Track, place
from thermal_fusion_ros.simulation.materials import Palette, srgb
from thermal_fusion_ros.simulation.people import bystander, pedestrian
from thermal_fusion_ros.simulation.worlds import Builder, World


def _flat(x: float, y: float) -> float:
    return 0.0


def _exit_sign(p: Palette) -> int:
    green = srgb("1a7a3f")
    return p("panel_light", name="exit", color=green, emission=(0.05, 0.55, 0.22), switch="always", heat=4.0)


def corridor(seed: int) -> World:
    """A corridor along x: doors, windows with radiators, noticeboards, people."""
    rng = np.random.default_rng([seed, 3])
    b = Builder(rng)
    p = b.palette
    half, high, start, end = float(rng.uniform(1.45, 1.9)), float(rng.uniform(2.6, 3.0)), -8.0, 58.0
    wall = p("wall", color=srgb(str(rng.choice(["d8d6cf", "cfd6d4", "ddd3c0", "c8cfd8"]))))
    dado = p("wall", color=srgb(str(rng.choice(["8fa3a8", "a39a86", "7f93a6", "9aa889"]))))
    floor = p("vinyl", color=srgb(str(rng.choice(["8f9492", "a39b8c", "7d8894"]))))
    b.add(m.rectangle((start, -half), (end, half), 0, floor))
    b.add(m.rectangle((start, -half), (end, half), high, p("ceiling")))
    for side in (-1, 1):
        y = side * half
        b.add(m.span([start, y, 0], [end, y + side * 0.2, high], wall))
        b.add(m.span([start, y, 0.12], [end, y - side * 0.012, 1.05], dado))
        b.add(m.span([start, y, 0], [end, y - side * 0.02, 0.12], p("dark_trim")))
        b.add(m.span([start, y - side * 0.02, 1.02], [end, y - side * 0.06, 1.09], p("wood")))
    _ends(b, half, high, start, end, wall)
    for x in np.arange(start + 1.5, end, 3.0):
        dead = rng.random() < 0.06
        b.add(m.box([1.2, 0.6, 0.03], [x, 0, high - 0.005], p("panel_light") if not dead else p("trim")))
        if not dead:
            b.lamps.append(Lamp((x, 0.0, high - 0.08), (2.9, 2.9, 2.75), (0, 0, -1), -1.0, 8.0, "indoor"))
    for x in np.arange(start + 6, end, 14.0):
        b.add(m.box([0.03, 0.36, 0.16], [x, 0, high - 0.22], _exit_sign(p)))
        b.lamps.append(Lamp((x, 0.0, high - 0.35), (0.03, 0.16, 0.07), (0, 0, -1), -1.0, 6.0, "always"))
    pipe = p("galvanised", emissivity=0.9)
    y = half - 0.16
    b.add(
        m.cylinder([start, y, high - 0.14], [end, y, high - 0.14], 0.055, pipe, 12).heated(
            float(rng.uniform(8, 22))
        )
    )
    b.add(
        m.cylinder([start, y - 0.16, high - 0.12], [end, y - 0.16, high - 0.12], 0.04, pipe, 12).heated(-3.0)
    )
    for side in (-1, 1):
        _corridor_side(b, rng, side, half, start, end)
    lane = 0.30 * half
    for _ in range(int(rng.integers(4, 7))):
        yy = float(rng.uniform(0.42, 0.62)) * half
        speed = float(rng.uniform(0.7, 1.3))
        first = float(rng.uniform(5, 45))
        track = Track(
            [[-4, yy], [50, yy]], speed, first + (0 if rng.random() < 0.5 else 54), closed=False, rounding=0.3
        )
        b.add_actor(pedestrian(p, rng, track, _flat))
    for _ in range(int(rng.integers(1, 4))):
        x = float(rng.uniform(5, 30))
        yy = float(rng.choice([-1, 1])) * (half - 0.35)
        b.add_actor(bystander(p, rng, x, yy, 0.0, float(-np.sign(yy) * np.pi / 2 + rng.normal(0, 0.5))))
    path = Track([[0, -lane], [46, -lane]], float(rng.uniform(0.55, 0.75)), 1.0, closed=False, rounding=0.5)
    smoke = [[float(x), float(rng.uniform(-1, 1)), 0.0, 0.8] for x in (7, 16, 30)]
    return b.finish("corridor", seed, path, _flat, indoor=True, bumpiness=0.003, smoke=smoke)


def _ends(b: Builder, half: float, high: float, start: float, end: float, wall: int) -> None:
    p = b.palette
    for x, inward in ((start, 1), (end, -1)):
        b.add(m.span([x, -half, 0], [x - inward * 0.2, half, high], wall))
        for s in (-1, 1):
            b.add(m.span([x, 0.01 * s, 0], [x + inward * 0.04, 0.9 * s, 2.1], p("door")))
            b.add(m.span([x, 0.25 * s, 1.2], [x + inward * 0.05, 0.65 * s, 1.9], p("glass")))


def _door(p: Palette, x: float, rng: np.random.Generator, kind: int) -> m.Mesh:
    """A closed door in the plane y = 0, room side -y."""
    trim = p("trim")
    parts = [
        m.span([x - 0.46, -0.025, 0], [x + 0.46, 0.02, 2.05], kind),
        m.span([x - 0.56, -0.06, 0], [x - 0.46, 0.02, 2.15], trim),
        m.span([x + 0.46, -0.06, 0], [x + 0.56, 0.02, 2.15], trim),
        m.span([x - 0.56, -0.06, 2.05], [x + 0.56, 0.02, 2.15], trim),
        m.cylinder([x + 0.32, -0.075, 1.0], [x + 0.43, -0.075, 1.0], 0.012, p("steel"), 8),
        m.cylinder([x + 0.42, -0.02, 1.0], [x + 0.42, -0.08, 1.0], 0.02, p("steel"), 8),
        m.span([x + 0.62, -0.012, 1.45], [x + 0.84, 0.02, 1.62], p("dark_trim")),
    ]
    if rng.random() < 0.4:
        parts.append(m.span([x - 0.12, -0.035, 1.1], [x + 0.12, 0.0, 1.85], p("glass")))
    return m.merge(parts)


def _corridor_side(
    b: Builder, rng: np.random.Generator, side: int, half: float, start: float, end: float
) -> None:
    p = b.palette
    colors = [
        p("door"),
        p("door", color=srgb("a97c4b"), second=srgb("8d6439")),
        p("enamel", color=srgb("5f7d94")),
        p("enamel", color=srgb("b9b4a4")),
    ]
    kind = colors[int(rng.integers(0, 4))]
    windows = side > 0 and rng.random() < 0.6
    parts: list[m.Mesh] = []
    x = start + 2.0
    while x < end - 2:
        choice = rng.random()
        if windows and choice < 0.45:
            pane = p(
                "panel_light",
                name="frosted",
                color=srgb("9aa4aa"),
                emission=(1.5, 1.65, 1.8),
                switch="daylight",
                heat=0.0,
                emissivity=0.86,
            )
            parts.append(m.span([x - 0.7, -0.02, 1.15], [x + 0.7, 0.02, 2.25], pane).heated(-6.0))
            for k in (-0.72, 0.0, 0.72):
                parts.append(m.span([x + k - 0.035, -0.06, 1.1], [x + k + 0.035, 0.02, 2.3], p("trim")))
            for z in (1.1, 2.25):
                parts.append(m.span([x - 0.75, -0.08, z], [x + 0.75, 0.02, z + 0.06], p("trim")))
            for k in range(12):
                parts.append(
                    m.span([x - 0.66 + k * 0.11, -0.11, 0.2], [x - 0.58 + k * 0.11, -0.03, 0.8], p("trim"))
                )
            parts[-12:] = [part.heated(float(18 + 4 * np.sin(k))) for k, part in enumerate(parts[-12:])]
            b.lamps.append(
                Lamp((x, side * (half - 0.3), 1.7), (2.0, 2.2, 2.4), (0, -side, 0), -1.0, 6.0, "daylight")
            )
        elif choice < 0.62:
            parts.append(_door(p, x, rng, kind))
        elif choice < 0.72:
            board = p("enamel", color=srgb(str(rng.choice(["7a5b3c", "3d5a4a", "c8c4b8"]))))
            parts.append(m.span([x - 0.6, -0.02, 1.2], [x + 0.6, 0.02, 2.0], board))
            for _ in range(5):
                u, v = float(rng.uniform(-0.5, 0.35)), float(rng.uniform(1.25, 1.75))
                sheet = p("enamel", color=srgb(str(rng.choice(["e8e6da", "d6c27a", "a9c3d6", "d69a8e"]))))
                parts.append(m.span([x + u, -0.026, v], [x + u + 0.17, -0.018, v + 0.22], sheet))
        elif choice < 0.80:
            red = p("enamel", color=srgb("a51d18"), gloss=0.05)
            parts.append(m.cylinder([x, -0.14, 0.75], [x, -0.14, 1.18], 0.075, red, 16))
            parts.append(m.ellipsoid([x, -0.14, 1.2], [0.075, 0.075, 0.05], red))
            parts.append(m.span([x - 0.02, -0.16, 1.22], [x + 0.05, -0.10, 1.30], p("black_metal")))
        elif choice < 0.87:
            parts.append(m.cylinder([x, -0.25, 0.0], [x, -0.25, 0.62], 0.18, p("dark_trim"), 18))
        elif choice < 0.93:
            wood, leg = p("wood"), p("black_metal")
            parts.append(m.span([x - 0.7, -0.42, 0.43], [x + 0.7, -0.05, 0.47], wood))
            parts += [m.span([x + k, -0.38, 0], [x + k + 0.05, -0.1, 0.43], leg) for k in (-0.6, 0.55)]
        else:
            body = p("enamel", color=srgb(str(rng.choice(["9a2420", "2b4a86"]))))
            glow = p("panel_light", name="vending", emission=(0.30, 0.33, 0.36), switch="always", heat=3.0)
            parts.append(m.span([x - 0.45, -0.68, 0.03], [x + 0.45, -0.02, 1.85], body).heated(4.0))
            parts.append(m.span([x - 0.38, -0.70, 0.75], [x + 0.15, -0.66, 1.72], glow))
            for row in range(5):
                for column in range(6):
                    u, v = x - 0.36 + 0.086 * column, 0.79 + 0.185 * row
                    ware = p(
                        "enamel",
                        color=srgb(str(rng.choice(["b3261e", "1f6f3d", "d8a21c", "2757a8", "7a3f22"]))),
                    )
                    parts.append(
                        m.cylinder([u + 0.04, -0.715, v], [u + 0.04, -0.715, v + 0.12], 0.03, ware, 8)
                    )
                parts.append(
                    m.span(
                        [x - 0.38, -0.73, 0.77 + 0.185 * row], [x + 0.15, -0.69, 0.785 + 0.185 * row], body
                    )
                )
            b.lamps.append(
                Lamp((x, side * (half - 0.9), 1.3), (0.16, 0.17, 0.18), (0, -side, 0), -1.0, 5.0, "always")
            )
        x += float(rng.uniform(1.7, 2.9))
    mesh = m.merge(parts)
    # Parts were built for a wall whose room lies towards -y.
    b.add(mesh.moved([0, half, 0]) if side > 0 else mesh.scaled([1, -1, 1]).moved([0, -half, 0]))


def warehouse(seed: int) -> World:
    """A hall with racks of pallets, a forklift, workers in vests, high lamps and roof lights."""
    rng = np.random.default_rng([seed, 4])
    b = Builder(rng)
    p = b.palette
    x0, x1, high = -8.0, 62.0, float(rng.uniform(6.5, 8.0))
    aisle, deep = float(rng.uniform(3.2, 4.0)), 1.1
    half = aisle / 2 + 3 * (2 * deep + 0.2) / 2 + aisle * 1.0 + 2.5
    floor, wall = p("screed"), p("panel", color=srgb("b9bcbc"))
    b.add(m.rectangle((x0, -half), (x1, half), 0, floor))
    roof = p("panel", color=srgb("c6c8c8"), pattern="corrugated")
    b.add(m.rectangle((x0, -half), (x1, half), high, roof))
    for side in (-1, 1):
        b.add(m.span([x0, side * half, 0], [x1, side * (half + 0.3), high], wall))
    b.add(
        m.span([x0 - 0.3, -half, 0], [x0, half, high], wall),
        m.span([x1, -half, 0], [x1 + 0.3, half, high], wall),
    )
    for y in np.arange(-half + 3, half - 2, 5.0):
        gate = p("panel", name="gate", color=srgb("7c8a94"), pattern="corrugated", interior=0.0)
        b.add(m.span([x1 - 0.06, y - 1.6, 0], [x1 + 0.01, y + 1.6, 3.6], gate).heated(-7.0))
        b.add(m.span([x1 - 0.12, y - 1.75, 0], [x1, y - 1.6, 3.75], p("enamel", color=srgb("d8b21a"))))
        b.add(m.span([x1 - 0.12, y + 1.6, 0], [x1, y + 1.75, 3.75], p("enamel", color=srgb("d8b21a"))))
    _roof(b, x0, x1, half, high)
    line = p("paint", color=srgb("d6b022"))
    for s in (-1, 1):
        y = s * (aisle / 2 - 0.12)
        b.add(m.rectangle((x0, y - 0.05), (x1 - 4, y + 0.05), 0.005, line))
        _rack(b, rng, x0 + 2, x1 - 10, s * (aisle / 2 + deep / 2), deep, high)
        _rack(b, rng, x0 + 2, x1 - 10, s * (aisle / 2 + deep * 1.5 + 0.15), deep, high)
        far = s * (aisle / 2 + 2 * deep + 0.3 + aisle + deep / 2)
        if abs(far) + deep < half:
            _rack(b, rng, x0 + 2, x1 - 10, far, deep, high)
    _clutter(b, rng, x1, aisle)
    _workers(b, rng, aisle)
    path = Track(
        [[0, -0.16 * aisle], [48, -0.16 * aisle]],
        float(rng.uniform(0.6, 0.8)),
        1.0,
        closed=False,
        rounding=0.5,
    )
    smoke = [[float(x), float(rng.uniform(-2, 2)), 0.0, 0.9] for x in (8, 19, 34)]
    return b.finish("warehouse", seed, path, _flat, indoor=True, bumpiness=0.004, smoke=smoke)


def _roof(b: Builder, x0: float, x1: float, half: float, high: float) -> None:
    p = b.palette
    steel = p("galvanised")
    for x in np.arange(x0 + 3, x1, 6.0):
        b.add(m.span([x - 0.08, -half, high - 0.35], [x + 0.08, half, high - 0.25], steel))
        b.add(m.span([x - 0.08, -half, high - 0.95], [x + 0.08, half, high - 0.87], steel))
        for y in np.arange(-half, half, 1.4):
            b.add(m.tube([[x, y, high - 0.9], [x, y + 0.7, high - 0.3]], 0.03, steel, 5, caps=False))
            b.add(m.tube([[x, y + 0.7, high - 0.3], [x, y + 1.4, high - 0.9]], 0.03, steel, 5, caps=False))
        lamp = p("panel_light", emission=(7.0, 7.0, 6.6))
        for y in (0.0, -half * 0.62, half * 0.62):
            b.add(m.cone([x + 3, y, high - 1.25], 0.3, 0.26, p("black_metal"), 14, 0.08))
            b.add(m.cylinder([x + 3, y, high - 1.27], [x + 3, y, high - 1.25], 0.24, lamp, 14))
            b.lamps.append(Lamp((x + 3, y, high - 1.3), (26, 26, 24.5), (0, 0, -1), 0.15, 16.0, "indoor"))
    glass = p(
        "panel_light",
        name="roof_light",
        color=srgb("9aa4aa"),
        emission=(1.6, 1.75, 1.9),
        switch="daylight",
        emissivity=0.86,
    )
    for x in np.arange(x0 + 6, x1 - 4, 12.0):
        for y in (-half * 0.5, half * 0.5):
            b.add(m.box([2.4, 2.0, 0.04], [x, y, high - 0.01], glass).heated(-5.0))
            b.lamps.append(Lamp((x, y, high - 0.5), (16, 17.5, 19), (0, 0, -1), 0.0, 15.0, "daylight"))
    b.add(m.box([0.04, 0.9, 0.4], [x1 - 0.1, 0, 4.1], _exit_sign(p)))
    b.lamps.append(Lamp((x1 - 0.6, 0, 4.0), (0.2, 1.0, 0.45), (-1, 0, -0.3), -1.0, 12.0, "always"))


def _rack(
    b: Builder, rng: np.random.Generator, x0: float, x1: float, y: float, deep: float, high: float
) -> None:
    p = b.palette
    post = p("enamel", name="post", color=srgb("1f4f8f"))
    beam = p("enamel", name="beam", color=srgb("d0641c"))
    bay = 2.8
    levels = [0.0, 1.9, 3.6, 5.2] if high > 6.9 else [0.0, 1.9, 3.6]
    top = levels[-1] + 1.2
    for x in np.arange(x0, x1 + 0.1, bay):
        for s in (-1, 1):
            b.add(
                m.span([x - 0.05, y + s * deep / 2 - 0.04, 0], [x + 0.05, y + s * deep / 2 + 0.04, top], post)
            )
    for x in np.arange(x0, x1 - bay + 0.1, bay):
        for level in levels:
            if level > 0:
                for s in (-1, 1):
                    b.add(
                        m.span(
                            [x, y + s * deep / 2 - 0.03, level - 0.12],
                            [x + bay, y + s * deep / 2 + 0.03, level],
                            beam,
                        )
                    )
            for slot in (0.72, 2.08):
                if rng.random() < 0.80:
                    b.add(_pallet(p, rng).moved([x + slot, y + float(rng.normal(0, 0.03)), level]))


def _pallet(p: Palette, rng: np.random.Generator) -> m.Mesh:
    """A loaded pallet at the origin."""
    wood = p("wood", color=srgb("9c7c52"))
    parts = [m.span([-0.58, -0.48, 0.11], [0.58, 0.48, 0.145], wood)]
    parts += [m.span([-0.58, yy - 0.05, 0], [0.58, yy + 0.05, 0.11], wood) for yy in (-0.42, 0.0, 0.42)]
    tone = str(rng.choice(["a57f55", "b08a5e", "96724a", "bda077"]))
    board = p("cardboard", color=srgb(tone))
    kind = rng.random()
    if kind < 0.55:
        size = np.array([[0.56, 0.46, 0.38], [0.37, 0.46, 0.30], [0.56, 0.31, 0.45]][int(rng.integers(0, 3))])
        layers = int(rng.integers(1, 4))
        for z in range(layers):
            for i in range(int(1.14 / size[0])):
                for j in range(int(0.94 / size[1])):
                    if z == layers - 1 and rng.random() < 0.2:
                        continue
                    at = [
                        -0.56 + (i + 0.5) * size[0],
                        -0.46 + (j + 0.5) * size[1],
                        0.145 + (z + 0.5) * size[2],
                    ]
                    parts.append(m.box(size * 0.975, at, board).yawed(float(rng.normal(0, 0.01))))
    elif kind < 0.75:
        wrap = p(
            "enamel",
            name="wrap",
            color=srgb(str(rng.choice(["c9cdd0", "2c2e31", "8fa7b3"]))),
            gloss=0.06,
            grain=(0.08, 0.06, 0.0),
        )
        parts.append(m.box([1.1, 0.9, float(rng.uniform(0.7, 1.3))], [0, 0, 0.75], wrap))
    elif kind < 0.9:
        drum = p(
            "enamel", name="drum", color=srgb(str(rng.choice(["2b4f80", "7a2420", "3a3d40"]))), gloss=0.05
        )
        for along in (-0.28, 0.28):
            for across in (-0.24, 0.24):
                parts.append(m.cylinder([along, across, 0.145], [along, across, 1.02], 0.26, drum, 18))
    return m.merge(parts)


def _clutter(b: Builder, rng: np.random.Generator, x1: float, aisle: float) -> None:
    p = b.palette
    for _ in range(7):
        x, s = float(rng.uniform(x1 - 9.5, x1 - 4)), float(rng.uniform(-8, 8))
        if abs(s) > 1.6:
            b.add(_pallet(p, rng).yawed(float(rng.normal(0, 0.2))).moved([x, s, 0]))
    for _ in range(6):
        x, s = float(rng.uniform(4, 45)), float(rng.choice([-1, 1])) * (aisle / 2 - 0.45)
        kind = rng.random()
        if kind < 0.4:
            cone = p("enamel", color=srgb("d9541e"))
            b.add(
                m.cone([x, s, 0.02], 0.5, 0.15, cone, 16, 0.03),
                m.box([0.36, 0.36, 0.03], [x, s, 0.015], cone),
            )
        elif kind < 0.7:
            b.add(_pallet(p, rng).scaled([0.8, 0.5, 0.8]).moved([x, s, 0]))
        else:
            b.add(m.cylinder([x, s, 0], [x, s, 0.9], 0.27, p("dark_trim"), 18))


def _workers(b: Builder, rng: np.random.Generator, aisle: float) -> None:
    p = b.palette
    for _ in range(int(rng.integers(3, 6))):
        y = float(rng.uniform(0.12, 0.34)) * aisle
        start = float(rng.uniform(6, 42)) + (0 if rng.random() < 0.5 else 52)
        track = Track([[-3, y], [49, y]], float(rng.uniform(0.8, 1.3)), start, closed=False, rounding=0.4)
        b.add_actor(pedestrian(p, rng, track, _flat, vest=bool(rng.random() < 0.8)))
    for _ in range(int(rng.integers(1, 4))):
        x, y = float(rng.uniform(6, 30)), float(rng.choice([-1, 1])) * (aisle / 2 - 0.35)
        b.add_actor(bystander(p, rng, x, y, 0.0, float(rng.uniform(-3, 3)), vest=True))
    x = 53.5
    loop = [[x, -8], [x + 2.2, -8], [x + 2.2, 8], [x, 8]]
    if rng.random() < 0.7:
        b.add_actor(_forklift(p, rng, Track(loop, 1.6, float(rng.uniform(0, 30)), rounding=1.0)))
    else:
        y = 0.22 * aisle
        b.add_actor(
            _forklift(
                p, rng, Track([[18, y], [50, y]], 1.2, float(rng.uniform(0, 20)), closed=False, rounding=0.5)
            )
        )


def _forklift(p: Palette, rng: np.random.Generator, track: Track) -> Actor:
    """A counterbalance truck; the engine at its back is warm."""
    paint = p(
        "enamel", name="forklift", color=srgb(str(rng.choice(["c99a16", "c24a18", "3a6a3c"]))), gloss=0.05
    )
    dark, steel = p("plastic"), p("black_metal")
    parts = [
        m.span([-0.95, -0.5, 0.18], [-0.35, 0.5, 1.05], paint).heated(14.0),
        m.ellipsoid([-0.93, 0, 0.62], [0.22, 0.5, 0.42], paint, 18, 10).heated(10.0),
        m.span([-0.35, -0.5, 0.18], [0.55, 0.5, 0.55], paint).heated(4.0),
        m.span([-0.30, -0.25, 0.55], [0.12, 0.25, 0.75], dark),
        m.span([-0.38, -0.25, 0.75], [-0.28, 0.25, 1.25], dark),
        m.span([0.62, -0.42, 0.08], [0.70, -0.32, 2.15], steel),
        m.span([0.62, 0.32, 0.08], [0.70, 0.42, 2.15], steel),
        m.span([0.62, -0.42, 2.05], [0.70, 0.42, 2.15], steel),
        m.span([0.70, -0.45, 0.25], [0.76, 0.45, 0.75], steel),
        m.span([0.74, -0.30, 0.07], [1.75, -0.18, 0.11], steel),
        m.span([0.74, 0.18, 0.07], [1.75, 0.30, 0.11], steel),
        m.span([-0.85, -0.5, 2.05], [0.5, 0.5, 2.1], dark),
        m.tube([[0.45, 0, 0.55], [0.32, 0, 0.95]], 0.02, dark, 8),
        m.tube([[0.30, -0.16, 0.95], [0.30, 0.16, 0.97]], 0.018, dark, 8),
    ]
    for x in (-0.82, 0.47):
        for s in (-1, 1):
            parts.append(m.tube([[x, s * 0.46, 0.5], [x, s * 0.46, 2.07]], 0.025, steel, 8))
    tyre = p("tyre")
    for x, r in ((-0.62, 0.24), (0.40, 0.29)):
        for s in (-1, 1):
            parts.append(m.cylinder([x, s * 0.36, r], [x, s * 0.56, r], r, tyre, 18).heated(5.0))
    beacon = p(
        "panel_light",
        name="beacon",
        color=srgb("c8701a"),
        emission=(1.6, 0.7, 0.08),
        switch="always",
        heat=4.0,
    )
    parts.append(m.cylinder([-0.7, 0, 2.1], [-0.7, 0, 2.22], 0.06, beacon, 12))

    def pose(t: float) -> np.ndarray:
        x, y, yaw = track(t)
        return place(x, y, 0.0, yaw)[None]

    return Actor("forklift", m.merge(parts), pose, {"does": "driving"}, (), 1.3)
