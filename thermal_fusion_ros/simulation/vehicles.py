"""Cars, vans, trucks, buses, bicycles: lofted bodies with glass, wheels that turn, lamps and warm engines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from thermal_fusion_ros.simulation import mesh as m
from thermal_fusion_ros.simulation.actors import Actor, Lamp, Pose, Track, place
from thermal_fusion_ros.simulation.materials import Palette, srgb
from thermal_fusion_ros.simulation.people import body as person_body
from thermal_fusion_ros.simulation.people import skeleton

PAINTS = {
    "white": "dfe0de",
    "silver": "a2a6aa",
    "black": "17181b",
    "gray": "55595f",
    "red": "9a1c1c",
    "blue": "22437d",
    "green": "2d4a3a",
    "beige": "b5a486",
    "orange": "c4581c",
}


@dataclass(frozen=True)
class Shape:
    """Side view of a body as (x, z) lines, metres, nose at +x, ground at z 0."""

    label: str
    length: float
    width: float
    belt: Sequence[tuple[float, float]]  # lower edge of the windows, bonnet edge
    roof: Sequence[tuple[float, float]]  # top of the body
    glass: tuple[float, float, float, float]  # x of: rear glass foot, roof rear, roof front, windscreen foot
    pillars: Sequence[float]  # x of the opaque strips between side windows
    axles: tuple[float, float]
    wheel: float  # radius
    clearance: float = 0.20
    tumble: float = 0.80  # roof width as a share of the belt's


HATCH = Shape(
    "car",
    4.05,
    1.76,
    [(-2.02, 0.93), (0.8, 0.90), (1.25, 0.86), (1.90, 0.70), (2.02, 0.60)],
    [
        (-2.02, 0.95),
        (-1.93, 1.02),
        (-1.55, 1.42),
        (-0.5, 1.50),
        (0.25, 1.45),
        (1.12, 0.95),
        (1.7, 0.82),
        (2.02, 0.66),
    ],
    (-1.95, -1.5, 0.25, 1.12),
    (-1.25, -0.28),
    (-1.24, 1.28),
    0.31,
)
SEDAN = Shape(
    "car",
    4.70,
    1.82,
    [(-2.35, 0.90), (0.9, 0.92), (1.4, 0.88), (2.15, 0.70), (2.35, 0.58)],
    [
        (-2.35, 0.92),
        (-1.95, 1.02),
        (-1.75, 1.03),
        (-1.0, 1.40),
        (-0.3, 1.45),
        (0.35, 1.40),
        (1.25, 0.97),
        (1.9, 0.82),
        (2.35, 0.64),
    ],
    (-1.72, -0.95, 0.35, 1.25),
    (-1.05, -0.2),
    (-1.35, 1.42),
    0.33,
)
SUV = Shape(
    "car",
    4.55,
    1.88,
    [(-2.27, 1.05), (1.0, 1.02), (1.4, 1.00), (2.1, 0.88), (2.27, 0.72)],
    [
        (-2.27, 1.08),
        (-2.15, 1.2),
        (-1.85, 1.62),
        (-0.5, 1.70),
        (0.35, 1.64),
        (1.15, 1.10),
        (2.0, 0.96),
        (2.27, 0.80),
    ],
    (-2.14, -1.8, 0.35, 1.15),
    (-1.35, -0.25),
    (-1.36, 1.38),
    0.36,
    0.24,
    0.82,
)
VAN = Shape(
    "car",
    5.1,
    1.98,
    [(-2.55, 1.15), (1.3, 1.12), (1.9, 1.05), (2.4, 0.88), (2.55, 0.72)],
    [
        (-2.55, 1.2),
        (-2.52, 1.9),
        (-2.4, 1.96),
        (0.0, 2.0),
        (1.0, 1.95),
        (1.95, 1.14),
        (2.4, 0.96),
        (2.55, 0.80),
    ],
    (-2.54, -2.45, 1.0, 1.95),
    (-2.3, -2.0, -1.0, -0.9, 0.1),
    (-1.6, 1.65),
    0.34,
    0.22,
    0.86,
)
BUS = Shape(
    "bus",
    11.4,
    2.5,
    [(-5.7, 1.30), (5.2, 1.30), (5.66, 1.05), (5.7, 0.8)],
    [(-5.7, 1.4), (-5.62, 2.9), (-5.4, 3.05), (0, 3.1), (5.2, 3.05), (5.45, 2.9), (5.68, 1.15), (5.7, 0.9)],
    (-5.68, -5.6, 5.42, 5.68),
    (-4.6, -3.0, -1.4, 0.2, 1.8, 3.4, 4.9),
    (-3.0, 2.9),
    0.48,
    0.30,
    0.95,
)
CAB = Shape(
    "truck",
    2.3,
    2.3,
    [(-1.15, 1.5), (0.9, 1.5), (1.1, 1.3), (1.15, 1.0)],
    [(-1.15, 2.6), (0.0, 2.75), (0.6, 2.70), (1.08, 1.55), (1.15, 1.2)],
    (-9.0, -9.0, 0.6, 1.08),
    (-0.6,),
    (-9.0, 0.2),
    0.46,
    0.45,
    0.92,
)
CARS = (HATCH, SEDAN, SUV, VAN)


def taper(shape: Shape, x: np.ndarray | float) -> np.ndarray:
    """Width at x as a share of the whole: the plan view is rounded at both ends."""
    half = shape.length / 2
    end = np.clip((np.abs(x) - 0.62 * half) / (0.38 * half), 0, 1)
    round_off = 0.85 if shape.label == "car" else 0.94
    return (1 - (1 - round_off) * end**2.6) * np.where(end > 0.985, 0.96, 1.0)


def shell(shape: Shape, palette: Palette, paint: int) -> m.Mesh:
    """The body without its wheels: a loft over cross-sections, panels told apart by where they lie."""
    half, width = shape.length / 2, shape.width / 2
    rear_foot, roof_rear, roof_front, front_foot = shape.glass
    xs = set(np.linspace(-half, half, 25))
    xs |= {x for x, _ in shape.roof} | {p + d for p in shape.pillars for d in (-0.045, 0.045)}
    xs |= {v for v in shape.glass if abs(v) <= half} | {-half + 0.05, half - 0.05, -half + 0.14, half - 0.14}
    x = np.array(sorted(v for v in xs if -half <= v <= half))
    keep = np.concatenate([[True], np.diff(x) > 0.012])
    x = x[keep]
    top = np.interp(x, *np.array(shape.roof).T)
    belt = np.minimum(np.interp(x, *np.array(shape.belt).T), top - 0.03)
    w = width * taper(shape, x)
    end = np.clip((np.abs(x) - 0.62 * half) / (0.38 * half), 0, 1)
    bottom = shape.clearance + (0.10 * end**3 if shape.label == "car" else 0.0)
    cabin = np.clip((top - belt) / 0.45, 0, 1)
    glass_w = w * (0.965 - (1 - shape.tumble) * 0.3 * cabin)
    roof_w = w * ((1 - cabin) * 0.86 + cabin * (shape.tumble - 0.02))
    rows = [
        (w * 0.80, bottom),
        (w * 0.965, bottom + 0.02),
        (w * 0.995, bottom + 0.14),
        (w, bottom * 0.45 + belt * 0.55),
        (w * 0.985, belt - 0.07),
        (w * 0.965, belt),
        (glass_w, belt + 0.02 * np.minimum(cabin + 0.4, 1)),
        (roof_w, top - 0.075 * cabin - 0.012),
        (roof_w * 0.93, top - 0.02 * cabin - 0.006),
        (roof_w * 0.55, top),
        (roof_w * 0.0, top + 0.012),
    ]
    left = np.stack(
        [np.stack([x, np.broadcast_to(y, x.shape), np.broadcast_to(z, x.shape)], -1) for y, z in rows], 1
    )
    right = left[:, ::-1][:, 1:] * np.array([1, -1, 1])
    sections = np.concatenate([left, right], 1)
    count = sections.shape[1]
    body = m.loft(sections, paint).smoothed(34)

    glass, trim = palette("glass"), palette("plastic")
    middle = 0.5 * (x[1:] + x[:-1])
    material = np.full((len(x) - 1, count - 1), paint)
    column = np.minimum(np.arange(count - 1), count - 2 - np.arange(count - 1))
    material[:, column <= 0] = trim
    sides = (
        (middle > roof_rear - 0.35)
        & (middle < front_foot - 0.18)
        & (0.5 * (top[1:] + top[:-1]) - 0.5 * (belt[1:] + belt[:-1]) > 0.22)
    )
    for p in shape.pillars:
        sides &= np.abs(middle - p) > 0.045
    material[np.ix_(sides, column == 6)] = glass
    screens = ((middle > roof_front) & (middle < front_foot)) | ((middle > rear_foot) & (middle < roof_rear))
    material[np.ix_(screens, column >= 8)] = glass
    material[np.ix_(screens, column == 7)] = paint
    body = replace(body, material=np.repeat(material.reshape(-1), 2).astype(np.int32))
    ends = []
    for i, foot in ((0, rear_foot), (-1, front_foot)):
        ring = sections[i]
        up = ring[:, 2] > belt[i]
        fan = np.vstack([ring, [ring[0, 0], 0, float(np.median(ring[:, 2]))]])
        face = m.Mesh.of(fan, [(k, k + 1, count) for k in range(count - 1)] + [(count - 1, 0, count)], paint)
        upright = abs(foot - x[i]) < 0.1 and top[i] - belt[i] > 0.25
        face = replace(
            face, material=np.where(upright & np.append(up[:-1], False), glass, paint).astype(np.int32)
        )
        ends.append(face)
    floor = m.span(
        [-half * 0.9, -width * 0.82, shape.clearance * 0.7],
        [half * 0.9, width * 0.82, shape.clearance + 0.15],
        trim,
    )
    return m.merge([body, *ends, floor])


def wheel(palette: Palette, radius: float, width: float) -> m.Mesh:
    """A wheel about the origin, axle along y."""
    tyre, rim, dark = palette("tyre"), palette("rim"), palette("plastic")
    parts = [m.cylinder([0, -width / 2, 0], [0, width / 2, 0], radius, tyre, 22)]
    for side in (-1, 1):
        face = side * (width / 2 + 0.004)
        parts.append(m.cylinder([0, side * width * 0.4, 0], [0, face, 0], radius * 0.66, dark, 18))
        for k in range(5):
            a = 2 * np.pi * k / 5
            spoke = m.box([radius * 0.6, 0.012, radius * 0.17], [radius * 0.33, face, 0], rim)
            parts.append(spoke.turned(m.rotation_y(a)))
        ring = np.linspace(0, 2 * np.pi, 19)
        rows = [
            np.stack([r * np.cos(ring), np.full(19, face + side * 0.003), r * np.sin(ring)], -1)
            for r in (0.57 * radius, 0.67 * radius)
        ]
        parts.append(m.loft(rows, rim))
    return m.merge(parts)


def fittings(shape: Shape, palette: Palette, lit: bool) -> m.Mesh:
    """Lamps, grille, plates, mirrors, door seams, wheel arches."""
    half, width = shape.length / 2, shape.width / 2
    nose = float(np.interp(half - 0.02, *np.array(shape.belt).T))
    head, tail = palette("headlamp_on" if lit else "headlamp"), palette("taillamp_on" if lit else "taillamp")
    trim, dark, plate = palette("plastic"), palette("dark_trim"), palette("trim")
    rear_belt = shape.belt[0][1]
    parts = []
    for side in (-1, 1):
        front_y, rear_y = side * width * 0.66, side * width * 0.72
        parts.append(m.ellipsoid([half - 0.12, front_y, nose - 0.02], [0.16, 0.20, 0.072], head, 12, 6))
        parts.append(m.box([0.10, 0.26, 0.13], [-half + 0.035, rear_y, rear_belt - 0.13], tail))
        mirror_x = shape.glass[3] - 0.28
        belt_at = float(np.interp(mirror_x, *np.array(shape.belt).T))
        parts.append(
            m.ellipsoid([mirror_x, side * (width + 0.08), belt_at + 0.07], [0.07, 0.10, 0.065], trim, 10, 6)
        )
        for axle in shape.axles:
            if abs(axle) < half:
                y = width * float(taper(shape, axle)) + 0.004
                arch = m.cylinder(
                    [axle, side * width * 0.6, shape.wheel],
                    [axle, side * y, shape.wheel],
                    shape.wheel * 1.15,
                    trim,
                    24,
                )
                parts.append(arch)
        for seam in shape.pillars[-2:]:
            belt_at = float(np.interp(seam, *np.array(shape.belt).T))
            low, high = shape.clearance + 0.12, belt_at - 0.06
            line = m.span([seam - 0.006, width * 0.9, low], [seam + 0.006, width + 0.002, high], dark)
            parts.append(line.scaled([1, side, 1]))
            parts.append(
                m.box([0.16, 0.03, 0.025], [seam - 0.17, side * (width + 0.004), belt_at - 0.12], dark)
            )
    nose_x, low = half - 0.10, shape.clearance + 0.15
    parts.append(m.ellipsoid([nose_x, 0, nose - 0.14], [0.13, width * 0.45, 0.075], trim, 20, 8))
    parts.append(m.ellipsoid([nose_x, 0, low], [0.125, width * 0.70, 0.085], trim, 24, 8))
    parts.append(m.ellipsoid([-nose_x, 0, low], [0.125, width * 0.74, 0.095], trim, 24, 8))
    parts.append(m.box([0.02, 0.48, 0.105], [half + 0.035, 0, low + 0.07], plate))
    parts.append(m.box([0.02, 0.48, 0.105], [-half - 0.012, 0, rear_belt - 0.28], plate))
    return m.merge(parts)


def warm_up(shape: Shape, strength: float) -> Callable[[np.ndarray], np.ndarray]:
    """Kelvin that an engine adds to the body: bonnet, grille, underside, exhaust. `strength` 0..1: how much of it."""
    half = shape.length / 2
    where = -half * 0.8 if shape.label == "bus" else half * 0.72

    def heat(v: np.ndarray) -> np.ndarray:
        near = np.exp(-(((v[:, 0] - where) / (0.24 * shape.length)) ** 2))
        low = np.clip(1.15 - v[:, 2], 0, 1)
        pipe = np.exp(
            -((v[:, 0] + half) ** 2 + (v[:, 1] + 0.5 * shape.width / 2) ** 2 + (v[:, 2] - 0.3) ** 2) / 0.06
        )
        return strength * (near * (6 + 13 * low) + 3.0 * (v[:, 2] < 0.4) + 24 * pipe)

    return heat


def chassis(shape: Shape, palette: Palette, color: str, warmth: float, lit: bool) -> m.Mesh:
    """Body and fittings, warmed (0..1), on bone 0."""
    gloss = 0.045 if shape.label == "car" else 0.03
    paint = palette(
        "jacket",
        name="paint_" + color,
        color=srgb(PAINTS[color]),
        grain=(0.01, 0.02, 0.02),
        gloss=gloss,
        emissivity=0.90,
        absorptivity=0.85 if color in ("black", "blue", "gray") else 0.5,
        inertia=0.12,
        body=0.0,
    )
    return m.merge([shell(shape, palette, paint), fittings(shape, palette, lit)]).heated(
        warm_up(shape, warmth)
    )


def headlights(shape: Shape) -> tuple[Lamp, ...]:
    """Two dipped beams."""
    half, y = shape.length / 2, shape.width * 0.33
    power = 70.0
    color = (power, 0.93 * power, 0.80 * power)
    return tuple(
        Lamp((half + 0.1, s * y, 0.68), color, (1.0, 0.0, -0.10), 0.90, 30.0, "headlamp") for s in (-1, 1)
    )


def rolling(shape: Shape, axles: Sequence[float], where: Track | tuple[float, float, float]) -> Pose:
    """Bones of a vehicle that stands at a pose or follows a track: body, then left and right wheel of each axle."""
    y = [shape.width / 2 * float(taper(shape, axle)) - 0.11 for axle in axles]

    def pose(t: float) -> np.ndarray:
        (px, py, yaw), gone = (where(t), where.distance(t)) if isinstance(where, Track) else (where, 0.0)
        root = place(px, py, 0.0, yaw)
        out = [root]
        spin = m.rotation_y(gone / shape.wheel)
        for axle, reach in zip(axles, y, strict=True):
            for side in (1, -1):
                local = np.eye(4, dtype=np.float32)
                local[:3, :3] = spin
                local[:3, 3] = (axle, side * reach, shape.wheel)
                out.append(root @ local)
        return np.stack(out).astype(np.float32)

    return pose


def with_wheels(base: m.Mesh, shape: Shape, palette: Palette, axles: Sequence[float], heat: float) -> m.Mesh:
    """Add a wheel bone for each wheel."""
    one = wheel(palette, shape.wheel, 0.22 if shape.label == "car" else 0.30).heated(heat)
    return m.merge([base, *(one.on_bone(1 + i) for i in range(2 * len(axles)))])


def car(
    palette: Palette,
    rng: np.random.Generator,
    where: Track | tuple[float, float, float],
    shape: Shape | None = None,
) -> Actor:
    """A car; parked where a pose is given, driving where a track is. Lamps of a driving one are lit from dusk."""
    shape = shape or CARS[int(rng.choice(4, p=[0.35, 0.28, 0.27, 0.10]))]
    color = str(rng.choice(list(PAINTS), p=[0.2, 0.17, 0.16, 0.15, 0.1, 0.1, 0.05, 0.04, 0.03]))
    driving = isinstance(where, Track)
    recently = 0.0 if rng.random() < 0.6 else float(rng.uniform(0.2, 0.9))
    base = chassis(shape, palette, color, 1.0 if driving else recently, driving)
    mesh = with_wheels(base, shape, palette, shape.axles, 9.0 if driving else 4.0 * recently)
    facts = {"color": color, "does": "driving" if driving else "parked"}
    lamps = headlights(shape) if driving else ()
    return Actor(shape.label, mesh, rolling(shape, shape.axles, where), facts, lamps, shape.length / 2)


def bus(palette: Palette, rng: np.random.Generator, track: Track) -> Actor:
    """A city bus, driving."""
    color = str(rng.choice(["red", "white", "blue", "orange"]))
    mesh = with_wheels(chassis(BUS, palette, color, 1.0, lit=True), BUS, palette, BUS.axles, 8.0)
    facts = {"color": color, "does": "driving"}
    return Actor("bus", mesh, rolling(BUS, BUS.axles, track), facts, headlights(BUS), 5.7)


def truck(palette: Palette, rng: np.random.Generator, where: tuple[float, float, float]) -> Actor:
    """A delivery truck, parked: cab and box."""
    color = str(rng.choice(["white", "blue", "red", "gray"]))
    front = 2.25
    cab = chassis(CAB, palette, color, 0.6, lit=False).moved([front, 0, 0])
    cargo_paint = palette("panel", color=srgb("cfd0cc"), pattern="corrugated", emissivity=0.9)
    trim = palette("plastic")
    parts = [
        cab,
        m.span([-3.6, -1.2, 0.95], [1.05, 1.2, 3.25], cargo_paint),
        m.span([-3.65, -1.22, 0.88], [1.08, 1.22, 1.0], trim),
        m.span([-3.5, -0.5, 0.55], [2.0, 0.5, 0.95], trim),
        m.span([-3.62, -1.0, 0.6], [-3.5, 1.0, 0.75], palette("taillamp")),
    ]
    axles = (-2.3, front + 0.2)
    mesh = with_wheels(m.merge(parts), CAB, palette, axles, 8.0)
    return Actor("truck", mesh, rolling(CAB, axles, where), {"color": color, "does": "parked"}, radius=3.6)


def _bicycle_frame(palette: Palette, color: str) -> m.Mesh:
    frame = palette(
        "jacket", name="frame_" + color, color=srgb(PAINTS[color]), gloss=0.05, emissivity=0.85, body=0.0
    )
    dark = palette("plastic")
    r = 0.017
    seat, crank, head, rear, front = (
        (-0.20, 0, 0.86),
        (0.0, 0, 0.30),
        (0.40, 0, 0.86),
        (-0.45, 0, 0.34),
        (0.56, 0, 0.34),
    )
    lines = [
        (seat, crank),
        (crank, (0.42, 0, 0.70)),
        (seat, (0.40, 0, 0.80)),
        (crank, rear),
        (rear, (-0.17, 0, 0.78)),
        ((0.38, 0, 0.92), front),
    ]
    parts = [m.tube([a, b], r, frame, 8) for a, b in lines]
    parts += [m.ellipsoid([-0.23, 0, 0.90], [0.13, 0.06, 0.035], dark, 10, 6)]
    parts += [
        m.tube([(0.36, -0.26, 0.98), (0.40, 0, 0.97), (0.36, 0.26, 0.98)], 0.014, dark, 6),
        m.tube([head, (0.39, 0, 0.98)], 0.014, dark, 6),
    ]
    return m.merge(parts)


def _bicycle_wheel(palette: Palette) -> m.Mesh:
    a = np.linspace(0, 2 * np.pi, 29)
    r = 0.33
    rows = [
        np.stack(
            [
                (r + 0.018 * np.cos(p)) * np.cos(a),
                np.full(29, 0.018 * np.sin(p)),
                (r + 0.018 * np.cos(p)) * np.sin(a),
            ],
            -1,
        )
        for p in np.linspace(0, 2 * np.pi, 7)
    ]
    steel = palette("steel")
    spokes = [
        m.tube([(0, 0, 0), (r * np.cos(p), 0, r * np.sin(p))], 0.0025, steel, 3, caps=False)
        for p in np.linspace(0, 2 * np.pi, 12, endpoint=False)
    ]
    return m.merge([m.loft(rows, palette("tyre")).smoothed(80), *spokes])


def cyclist(
    palette: Palette, rng: np.random.Generator, track: Track, ground: Callable[[float, float], float]
) -> tuple[Actor, Actor]:
    """A bicycle and the person on it, two labelled objects."""
    color = str(rng.choice(["red", "blue", "black", "white", "green", "orange"]))
    wheel_mesh = _bicycle_wheel(palette)
    bike = m.merge([_bicycle_frame(palette, color), wheel_mesh.on_bone(1), wheel_mesh.on_bone(2)])
    h = float(np.clip(rng.normal(1.74, 0.07), 1.55, 1.92))
    rider, facts = person_body(palette, rng, h)

    def bike_pose(t: float) -> np.ndarray:
        x, y, yaw = track(t)
        root = place(x, y, ground(x, y), yaw)
        spin = m.rotation_y(track.distance(t) / 0.35)
        out = [root]
        for axle in (-0.45, 0.56):
            local = np.eye(4, dtype=np.float32)
            local[:3, :3], local[:3, 3] = spin, (axle, 0, 0.345)
            out.append(root @ local)
        return np.stack(out).astype(np.float32)

    def rider_pose(t: float) -> np.ndarray:
        x, y, yaw = track(t)
        a = track.distance(t) / 0.9
        hip, knee = [], []
        for p in (0.0, np.pi):  # two-link reach from the saddle to the pedal
            pedal = np.array([0.16 * np.cos(a + p) + 0.20, 0.16 * np.sin(a + p) - 0.56])
            d = min(float(np.hypot(*pedal)), 0.475 * h)
            l1, l2 = 0.245 * h, 0.235 * h
            bend = np.arccos(np.clip((l1**2 + l2**2 - d**2) / (2 * l1 * l2), -1, 1))
            inner = np.arccos(np.clip((l1**2 + d**2 - l2**2) / (2 * l1 * d), -1, 1))
            hip.append(float(np.arctan2(pedal[0], -pedal[1]) + inner))
            knee.append(float(np.pi - bend))
        bones = skeleton(h, 0.55, (hip[0], hip[1]), (knee[0], knee[1]), (1.25, 1.25), (0.25, 0.25))
        root = place(x, y, ground(x, y), yaw)
        return (root @ place(-0.20, 0.0, 0.95, 0.0) @ bones).astype(np.float32)

    return (
        Actor("bicycle", bike, bike_pose, {"color": color, "does": "riding"}, (), 0.9),
        Actor("person", rider, rider_pose, {**facts, "does": "cycling"}, (), 0.9),
    )
