"""A forest trail: winding, uneven, between spruces, birches, bushes and rocks, with hikers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.simulation import mesh as m
from thermal_fusion_ros.simulation import plants, vehicles
from thermal_fusion_ros.simulation.actors import Track, place
from thermal_fusion_ros.simulation.materials import srgb
from thermal_fusion_ros.simulation.people import bystander, pedestrian
from thermal_fusion_ros.simulation.worlds import Builder, Ground, World

START, END = -16.0, 105.0


class Terrain:
    """Heights, and where the trail runs."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.bend = [
            (float(rng.uniform(1.0, 3.0)), float(rng.uniform(22, 40)), float(rng.uniform(0, 6))),
            (float(rng.uniform(0.3, 0.9)), float(rng.uniform(9, 15)), float(rng.uniform(0, 6))),
        ]
        self.waves = [
            (float(a), rng.normal(0, 1, 2) / w, float(rng.uniform(0, 6)))
            for a, w in ((1.1, 17.0), (0.5, 8.0), (0.16, 2.6), (0.05, 0.9))
        ]
        self.slope = float(rng.uniform(-0.03, 0.03))
        self.bank = float(rng.uniform(-0.10, 0.10))
        self.width = float(rng.uniform(0.8, 1.25))
        self.start = self.middle(0.0)

    def middle(self, x: NDArray[np.floating] | float) -> NDArray[np.floating]:
        """Y of the trail."""
        return sum(a * np.sin(np.asarray(x) / w * 2 * np.pi * 0.5 + p) for a, w, p in self.bend)  # type: ignore[return-value]

    def height(
        self, x: NDArray[np.floating] | float, y: NDArray[np.floating] | float
    ) -> NDArray[np.floating]:
        """Ground height: rough beside the trail, worn smooth on it."""
        x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        n = y - self.middle(x)
        wild = 1 - np.exp(-((n / 2.6) ** 2))
        rough = sum(a * np.sin(k[0] * x + k[1] * y + p) for a, k, p in self.waves)
        long_waves = sum(a * np.sin(k[0] * x + p) for a, k, p in self.waves[:2]) * 0.35
        rut = -0.05 * np.exp(-((np.abs(n) / 0.5) ** 2))
        return self.slope * x + wild * (rough + self.bank * n) + (1 - wild) * long_waves + rut


def build(seed: int) -> World:
    """A trail along x; the rig keeps to its right."""
    rng = np.random.default_rng([seed, 2])
    b = Builder(rng)
    land = Terrain(rng)

    def ground(x: float, y: float) -> float:
        return float(land.height(x, y))

    _ground(b, land, rng)
    _plants(b, land, rng)
    _people(b, land, rng, ground)
    xs = np.arange(0.0, 92.0, 1.0)
    offset = 0.35 * land.width
    away = np.column_stack([xs, land.middle(xs) - offset])
    path = Track(away, float(rng.uniform(0.8, 1.2)), 1.0, closed=False, rounding=2)
    smoke = [
        [x, float(land.middle(x)) + float(rng.uniform(-3, 3)), ground(x, float(land.middle(x))), 0.9]
        for x in (9.0, 22.0, 42.0)
    ]
    return b.finish("trail", seed, path, ground, indoor=False, bumpiness=0.035, smoke=smoke)


def _ground(b: Builder, land: Terrain, rng: np.random.Generator) -> None:
    p = b.palette
    xs = np.arange(START - 14, END + 14, 0.5)
    inner = np.arange(-2.0, 2.01, 0.25)
    outer = np.concatenate([np.arange(2.4, 8, 0.6), np.arange(8, 20, 1.2), np.arange(20, 46, 2.5)])
    ns = np.concatenate([-outer[::-1], inner, outer])
    x, n = np.meshgrid(xs, ns, indexing="ij")
    # The grid bends with the width of the trail: its worn edge is a column, not a staircase.
    edge = land.width * (1 + 0.18 * np.sin(0.9 * xs) + 0.10 * np.sin(2.3 * xs + 1))[:, None]
    n = np.where(np.abs(n) <= 2.0, n * edge, np.sign(n) * (np.abs(n) - 2.0 + 2.0 * edge))
    y = land.middle(x) + n
    z = land.height(x, y)
    v = np.stack([x, y, z], -1)
    du, dv = np.gradient(v, axis=0), np.gradient(v, axis=1)
    normal = np.cross(du, dv)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    faces = m.grid_faces(len(xs), len(ns), closed=False)
    middle = np.broadcast_to(0.5 * (ns[1:] + ns[:-1]), (len(xs) - 1, len(ns) - 1))
    wild = p("litter") if rng.random() < 0.6 else p("grass", color=srgb("55612f"), second=srgb("6b5a38"))
    side = p("litter", color=srgb("5f5a33"), second=srgb("55682f"))
    soil = p("soil")
    kind = np.where(np.abs(middle) < 0.75, soil, np.where(np.abs(middle) < 1.75, side, wild))
    mesh = m.Mesh.of(v.reshape(-1, 3), faces, wild, normal.reshape(-1, 3))
    b.add(replace(mesh, material=np.repeat(kind.reshape(-1), 2).astype(np.int32)))
    # Hills far behind, so that the world has no edge.
    a = np.linspace(0, 2 * np.pi, 97)
    rings = []
    for r, rise in ((58.0, -1.5), (90.0, 2.0), (150.0, 11.0), (260.0, 26.0), (420.0, 30.0)):
        bumps = 1 + 0.35 * np.sin(3 * a + r) + 0.2 * np.sin(7 * a + 2 * r)
        rings.append(np.stack([45 + r * 1.25 * np.cos(a), r * np.sin(a), rise * bumps + land.slope * 45], -1))
    b.add(m.loft(rings, p("needle", color=srgb("3d4d2e"), translucency=0.0)).smoothed(80))


def _plants(b: Builder, land: Terrain, rng: np.random.Generator) -> None:
    p = b.palette
    kind = str(rng.choice(["spruce", "mixed", "leafy"]))
    taken: list[tuple[float, float]] = []
    for _ in range(int(rng.integers(300, 430))):
        x, n = (
            float(rng.uniform(START, END)),
            float(rng.choice([-1, 1])) * (2.9 + 30 * float(rng.random()) ** 1.3),
        )
        y = float(land.middle(x)) + n
        gap = 2.2 if abs(n) < 9 else 2.6
        if any((x - a) ** 2 + (y - c) ** 2 < gap**2 for a, c in taken):
            continue
        taken.append((x, y))
        near = abs(n) < 7 and x < 55
        leaves = (7000 if x < 28 else 3500) if near else 1100 if abs(n) < 14 else 450
        conifer = rng.random() < {"spruce": 0.9, "mixed": 0.5, "leafy": 0.12}[kind]
        if conifer:
            tree = plants.conifer(p, rng, float(rng.uniform(6, 15)), leaves)
        else:
            tree = plants.broadleaf(p, rng, float(rng.uniform(6, 12)), leaves)
        b.add(tree.yawed(float(rng.uniform(0, 6))).moved([x, y, float(land.height(x, y))]))
    for _ in range(170):
        x, n = float(rng.uniform(START, 70)), float(rng.choice([-1, 1])) * float(rng.uniform(1.9, 12))
        y = float(land.middle(x)) + n
        b.add(
            plants.bush(p, rng, float(rng.uniform(0.25, 0.65)), 220 if abs(n) < 6 else 90).moved(
                [x, y, float(land.height(x, y))]
            )
        )
    for _ in range(45):
        x, n = float(rng.uniform(START, 80)), float(rng.choice([-1, 1])) * float(rng.uniform(1.4, 9))
        y = float(land.middle(x)) + n
        b.add(
            plants.rock(p, rng, float(rng.uniform(0.12, 0.6)) ** 1.3).moved([x, y, float(land.height(x, y))])
        )
    for _ in range(10):  # fallen trunks
        x, n = float(rng.uniform(0, 70)), float(rng.choice([-1, 1])) * float(rng.uniform(2.6, 8))
        y = float(land.middle(x)) + n
        a, half = float(rng.uniform(0, 3)), float(rng.uniform(1, 2.2))
        ends = [[x + s * half * np.cos(a), y + s * half * np.sin(a)] for s in (-1, 1)]
        if all(abs(e[1] - float(land.middle(e[0]))) > land.width + 0.6 for e in ends):
            r = float(rng.uniform(0.12, 0.24))
            first, last = ([*e, float(land.height(*e)) + r * 0.7] for e in ends)
            b.add(m.cylinder(first, last, r, p("bark"), 12))
    count = 9000
    xs = rng.uniform(-8, 45, count)
    ns = rng.choice([-1, 1], count) * (land.width * 0.8 + rng.gamma(1.6, 1.1, count))
    clump = np.sin(xs * 1.7) + np.sin(ns * 2.3 + xs) > -0.3
    xs, ns = xs[clump], ns[clump]
    ys = land.middle(xs) + ns
    at = np.column_stack([xs, ys, land.height(xs, ys)])
    b.add(plants.grass(p, rng, at, 0.24, str(rng.choice(["64763a", "7a7a3e", "566d34"]))))


def _people(b: Builder, land: Terrain, rng: np.random.Generator, ground: Ground) -> None:
    xs = np.arange(-4.0, 96.0, 1.0)
    for _ in range(int(rng.integers(5, 8))):
        side = float(rng.choice([-0.75, 1.15, 1.15])) * land.width
        line = np.column_stack([xs, land.middle(xs) + side])
        speed = float(rng.uniform(0.9, 1.4))
        start = float(rng.uniform(8, 70)) + (0.0 if rng.random() < 0.6 else 100.0)
        b.add_actor(pedestrian(b.palette, rng, Track(line, speed, start, closed=False, rounding=2), ground))
    for _ in range(int(rng.integers(2, 5))):
        x = float(rng.uniform(6, 40))
        y = float(land.middle(x)) + float(rng.choice([-1, 1])) * float(rng.uniform(1.8, 6))
        b.add_actor(bystander(b.palette, rng, x, y, ground(x, y), float(rng.uniform(-3, 3))))
    if rng.random() < 0.6:
        line = np.column_stack([xs, land.middle(xs) + 0.9 * land.width])
        for actor in vehicles.cyclist(
            b.palette, rng, Track(line, 3.2, float(rng.uniform(120, 180)), closed=False, rounding=2), ground
        ):
            b.add_actor(actor)
    if rng.random() < 0.5:
        x = float(rng.uniform(12, 30))
        y = float(land.middle(x)) + float(rng.choice([-1, 1])) * 4.2
        car = vehicles.car(b.palette, rng, (x, y, float(rng.uniform(-0.4, 0.4))), shape=vehicles.SUV)
        raised = place(0.0, 0.0, ground(x, y), 0.0)
        b.park(replace(car, pose=lambda t: raised @ car.pose(t)))
