"""Motor scooters and who rides them; some deliver."""

from __future__ import annotations

import numpy as np

from thermal_fusion_ros.simulation import mesh as m
from thermal_fusion_ros.simulation.actors import Actor, Lamp, Track, place
from thermal_fusion_ros.simulation.materials import Palette, srgb
from thermal_fusion_ros.simulation.mesh import F32
from thermal_fusion_ros.simulation.people import body, skeleton
from thermal_fusion_ros.simulation.vehicles import PAINTS
from thermal_fusion_ros.simulation.worlds import Ground

WHEEL, AXLES = 0.22, (-0.56, 0.62)
SEAT = (-0.30, 0.0, 0.84)  # of the rider's hips
DELIVERS = 0.35  # share of them
MOTOR_K = 7.0  # warmer than the rest


def _scooter(palette: Palette, rng: np.random.Generator) -> tuple[m.Mesh, str]:
    color = str(rng.choice(list(PAINTS)))
    paint = palette("jacket", name="scooter_" + color, color=srgb(PAINTS[color]), gloss=0.06, body=0.0)
    dark, steel = palette("plastic"), palette("steel")
    parts = [
        m.span([-0.16, -0.16, 0.27], [0.38, 0.16, 0.35], dark),
        m.ellipsoid([-0.46, 0, 0.52], [0.36, 0.17, 0.22], paint, 16, 10),
        m.ellipsoid([-0.40, 0, 0.76], [0.40, 0.15, 0.07], dark, 16, 8),
        m.tube([(0.36, 0, 0.30), (0.44, 0, 0.70), (0.50, 0, 1.02)], [0.19, 0.20, 0.10], paint, 14, flat=0.5),
        m.tube([(0.44, -0.33, 1.06), (0.48, 0, 1.03), (0.44, 0.33, 1.06)], 0.016, dark, 6),
        m.tube([(0.50, 0, 0.95), (AXLES[1], 0, WHEEL)], 0.03, steel, 8),
        m.ellipsoid([0.57, 0, 0.90], [0.05, 0.08, 0.06], palette("headlamp_on"), 12, 8),
        m.ellipsoid([-0.80, 0, 0.62], [0.03, 0.09, 0.04], palette("taillamp_on"), 10, 6),
    ]
    parts += [
        m.cylinder([x, -0.055, WHEEL], [x, 0.055, WHEEL], WHEEL, palette("tyre"), 22).heated(3.0)
        for x in AXLES
    ]
    parts.append(m.cylinder([AXLES[0], -0.12, WHEEL], [AXLES[0], 0.12, WHEEL], 0.11, steel).heated(MOTOR_K))
    if rng.random() < DELIVERS:
        cargo = palette("panel", color=srgb(str(rng.choice(["d8b02a", "2d6cb0", "b5302a", "2f2f31"]))))
        parts.append(m.span([-1.02, -0.25, 0.80], [-0.56, 0.25, 1.28], cargo))
    return m.merge(parts), color


def scooter(palette: Palette, rng: np.random.Generator, track: Track, ground: Ground) -> tuple[Actor, Actor]:
    """A scooter, which counts as a motorcycle, and the person on it: two labelled objects."""
    mesh, color = _scooter(palette, rng)
    h = float(np.clip(rng.normal(1.72, 0.08), 1.5, 1.92))
    rider, facts = body(palette, rng, h)
    lean = float(rng.uniform(0.0, 0.25))
    bones = skeleton(h, lean, (1.35, 1.35), (1.25, 1.25), (0.75, 0.75), (0.45, 0.45), (0.2, 0.2))
    lamp = Lamp((0.64, 0, 0.9), (30, 28, 25), (1.0, 0.0, -0.05), 0.9, 22.0, "headlamp")

    def at(t: float) -> F32:
        x, y, yaw = track(t)
        return place(x, y, ground(x, y), yaw)

    return (
        Actor("motorcycle", mesh, lambda t: at(t)[None], {"color": color}, (lamp,), 1.0),
        Actor(
            "person", rider, lambda t: at(t) @ place(*SEAT, 0.0) @ bones, {**facts, "does": "riding"}, (), 1.0
        ),
    )
