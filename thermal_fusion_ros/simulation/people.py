"""People: bodies of smooth tapered limbs on a walking skeleton, dressed, warm."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from thermal_fusion_ros.simulation import mesh as m
from thermal_fusion_ros.simulation.actors import Actor, Pose, Track, place
from thermal_fusion_ros.simulation.materials import Palette, srgb

TORSO, HEAD, UPPER_L, UPPER_R, FORE_L, FORE_R, THIGH_L, THIGH_R, SHANK_L, SHANK_R, FOOT_L, FOOT_R = range(12)
HIP = 0.515  # joints as shares of the height (Drillis and Contini's segment lengths, rounded)
THIGH, SHANK, FOOT = 0.245, 0.235, 0.035
SHOULDER, UPPER_ARM, FOREARM = 0.788, 0.170, 0.150

JACKETS = {
    "blue": "2f4c7d",
    "red": "9c2b26",
    "black": "1c1d21",
    "gray": "6a6d72",
    "green": "3d5a3c",
    "yellow": "c79a2b",
    "white": "d6d4cd",
    "brown": "6b4a30",
    "orange": "d2611c",
    "teal": "24706f",
}
TROUSERS = ("23262e", "34435c", "4a4038", "15161a", "6d675c", "3b3f3a")
SKINS = ("e3b797", "c99a7c", "a87455", "7c5138", "593a29")
HAIRS = ("1b1512", "2c2019", "4b3524", "80623c", "8a8580", "5a2f1d")


def body(
    palette: Palette, rng: np.random.Generator, height: float, vest: bool = False
) -> tuple[m.Mesh, dict[str, str]]:
    """A dressed body in its rest frames (each bone's origin at its joint, limbs pointing down)."""
    name = str(rng.choice(list(JACKETS), p=[0.15, 0.09, 0.19, 0.14, 0.1, 0.05, 0.09, 0.1, 0.03, 0.06]))
    if vest:
        name = str(rng.choice(["orange", "yellow"]))
    jacket = palette("jacket", color=srgb(JACKETS[name]), body=round(float(rng.uniform(0.26, 0.42)), 2))
    trousers = palette(
        "trousers", color=srgb(str(rng.choice(TROUSERS))), body=round(float(rng.uniform(0.36, 0.52)), 2)
    )
    skin = palette("skin", color=srgb(str(rng.choice(SKINS))))
    hair = palette("hair", color=srgb(str(rng.choice(HAIRS))))
    shoe = palette("shoe")
    h = height
    b = float(rng.uniform(0.94, 1.12))  # build
    coat = float(rng.choice([0.0, 0.0, 0.07]))  # a longer coat hangs below the hips
    parts = []

    def ring(z: float, depth: float, width: float, forward: float = 0.0) -> np.ndarray:
        phi = np.linspace(0, 2 * np.pi, 18, endpoint=False)
        return np.column_stack(
            [h * (b * depth * np.cos(phi) + forward), h * b * width * np.sin(phi), np.full(18, h * (z - HIP))]
        )

    top = [
        (0.485 - coat, 0.074 + 0.35 * coat, 0.101 + 0.15 * coat),
        (0.52, 0.073, 0.101),
        (0.57, 0.066, 0.090),
        (0.61, 0.062, 0.085),
        (0.67, 0.066, 0.092),
        (0.73, 0.070, 0.105),
        (0.765, 0.068, 0.117),
        (0.788, 0.062, 0.124),
        (0.806, 0.054, 0.117),
        (0.820, 0.046, 0.090),
        (0.833, 0.038, 0.060),
        (0.846, 0.033, 0.038),
        (0.856, 0.031, 0.033),
        (0.857, 0.0, 0.0),
    ]
    chest = m.loft([ring(*r) for r in top], jacket, closed=True).smoothed(80)
    parts.append(
        chest.heated(
            lambda v: (
                1.8 * np.exp(-(((v[:, 2] / h + HIP - 0.70) / 0.12) ** 2)) * (1 - 6 * np.abs(v[:, 1]) / h)
            )
        )
    )
    hips = [
        (0.46, 0.0, 0.0),
        (0.465, 0.040, 0.060),
        (0.49, 0.062, 0.088),
        (0.53, 0.066, 0.092),
        (0.56, 0.055, 0.08),
    ]
    parts.append(m.loft([ring(*r) for r in hips], trousers, closed=True).smoothed(80))
    parts.append(m.tube([[0, 0, (0.82 - HIP) * h], [0.006 * h, 0, (0.885 - HIP) * h]], 0.031 * h, skin, 12))
    if rng.random() < 0.3:
        bag = palette("bag", color=srgb(str(rng.choice(["4a3326", "27364a", "5a1f1f", "2a2a2a"]))))
        parts.append(m.ellipsoid([-0.088 * h, 0, (0.70 - HIP) * h], [0.05 * h, 0.075 * h, 0.105 * h], bag))
    meshes = [m.merge(parts).on_bone(TORSO)]

    face = [
        m.ellipsoid([0.008 * h, 0, 0.055 * h], [0.050 * h, 0.042 * h, 0.064 * h], skin, 18, 12).heated(
            lambda v: np.where(v[:, 0] > 0.03 * h, -1.2 + 2.2 * (np.abs(v[:, 2] / h - 0.068) < 0.012), 0.4)
        ),
        m.ellipsoid([0.058 * h, 0, 0.050 * h], [0.010 * h, 0.008 * h, 0.013 * h], skin, 8, 6).heated(-3.0),
        m.ellipsoid([0.0, 0.043 * h, 0.055 * h], [0.012 * h, 0.006 * h, 0.017 * h], skin, 8, 6),
        m.ellipsoid([0.0, -0.043 * h, 0.055 * h], [0.012 * h, 0.006 * h, 0.017 * h], skin, 8, 6),
    ]
    style = rng.choice(["short", "long", "cap", "helmet" if vest else "short"])
    cover = palette(
        "jacket", color=srgb("d6b21f" if vest else JACKETS[str(rng.choice(list(JACKETS)))]), body=0.25
    )
    crown = hair if style in ("short", "long") else cover
    face.append(m.ellipsoid([-0.010 * h, 0, 0.072 * h], [0.053 * h, 0.0465 * h, 0.055 * h], crown, 18, 10))
    if style == "long":
        face.append(m.ellipsoid([-0.030 * h, 0, 0.030 * h], [0.032 * h, 0.045 * h, 0.070 * h], hair, 14, 8))
    if style in ("cap", "helmet"):
        face.append(m.ellipsoid([0.045 * h, 0, 0.085 * h], [0.040 * h, 0.036 * h, 0.006 * h], cover, 14, 6))
    meshes.append(m.merge(face).on_bone(HEAD))

    short_sleeves = bool(rng.random() < 0.2)
    for side, upper, fore in ((1, UPPER_L, FORE_L), (-1, UPPER_R, FORE_R)):
        arm = m.tube(
            [[0, 0, 0.005 * h], [0, 0, -UPPER_ARM * 0.5 * h], [0, 0, -UPPER_ARM * h]],
            np.array([0.031, 0.030, 0.026]) * h * b,
            jacket,
            12,
        )
        meshes.append(arm.heated(-0.6).on_bone(upper))
        sleeve = skin if short_sleeves else jacket
        lower = [
            m.tube(
                [[0, 0, 0], [0, 0, -0.05 * h], [0, 0, -FOREARM * h]],
                np.array([0.026, 0.026, 0.019]) * h * b,
                sleeve,
                12,
            ),
            m.ellipsoid(
                [0.004 * h, 0, -(FOREARM + 0.038) * h], [0.020 * h, 0.011 * h, 0.044 * h], skin, 10, 8
            ).heated(-2.0),
            m.ellipsoid(
                [0.020 * h, -side * 0.006 * h, -(FOREARM + 0.028) * h],
                [0.008 * h, 0.007 * h, 0.022 * h],
                skin,
                8,
                6,
            ),
        ]
        meshes.append(m.merge(lower).heated(-0.9).on_bone(fore))
    for thigh, shank, foot in ((THIGH_L, SHANK_L, FOOT_L), (THIGH_R, SHANK_R, FOOT_R)):
        meshes.append(
            m.tube(
                [[0, 0, 0.01 * h], [0, 0, -0.10 * h], [0, 0, -THIGH * h]],
                np.array([0.046, 0.048, 0.038]) * h * b,
                trousers,
                14,
            ).on_bone(thigh)
        )
        meshes.append(
            m.tube(
                [[0, 0, 0], [-0.006 * h, 0, -0.07 * h], [0, 0, -0.16 * h], [0, 0, -SHANK * h]],
                np.array([0.038, 0.036, 0.029, 0.029]) * h * b,
                trousers,
                14,
            )
            .heated(-0.8)
            .on_bone(shank)
        )
        sole = [
            m.ellipsoid([0.020 * h, 0, -0.008 * h], [0.046 * h, 0.028 * h, 0.030 * h], shoe, 14, 8),
            m.ellipsoid([0.055 * h, 0, -0.018 * h], [0.050 * h, 0.029 * h, 0.017 * h], shoe, 14, 8),
        ]
        meshes.append(m.merge(sole).on_bone(foot))
    return m.merge(meshes), {"jacket": name}


def skeleton(
    h: float,
    lean: float,
    hip: tuple[float, float],
    knee: tuple[float, float],
    shoulder: tuple[float, float],
    elbow: tuple[float, float],
    ankle: tuple[float, float] = (0.0, 0.0),
) -> np.ndarray:
    """12×4×4 bone poses below the hips' frame. Radians, (left, right): hip and shoulder forward, knee back."""
    out = np.tile(np.eye(4, dtype=np.float32), (12, 1, 1))
    out[TORSO, :3, :3] = m.rotation_y(lean)

    def under(parent: int, child: int, offset: tuple[float, float, float], turn: float) -> None:
        out[child, :3, :3] = out[parent, :3, :3] @ m.rotation_y(turn)
        out[child, :3, 3] = out[parent, :3, 3] + out[parent, :3, :3] @ np.array(offset, np.float32)

    under(TORSO, HEAD, (0.004 * h, 0, (0.878 - HIP) * h), -0.8 * lean)
    for i, side in enumerate((1, -1)):
        under(TORSO, UPPER_L + i, (0, side * 0.112 * h, (SHOULDER - HIP) * h), -lean - shoulder[i])
        out[UPPER_L + i, :3, :3] = m.rotation_x(side * 0.10) @ out[UPPER_L + i, :3, :3]
        under(UPPER_L + i, FORE_L + i, (0, 0, -UPPER_ARM * h), -elbow[i])
        out[THIGH_L + i, :3, :3] = m.rotation_y(-hip[i])
        out[THIGH_L + i, :3, 3] = (0, side * 0.047 * h, 0)
        under(THIGH_L + i, SHANK_L + i, (0, 0, -THIGH * h), knee[i])
        under(SHANK_L + i, FOOT_L + i, (0, 0, -SHANK * h), ankle[i] - (knee[i] - hip[i]) * 0.6)
    return out


def walking(h: float, track: Track, phase: float, ground: Callable[[float, float], float]) -> Pose:
    """Bones of somebody who walks along `track`; the lower foot always touches the ground."""
    stride = 0.80 * h

    def pose(t: float) -> np.ndarray:
        x, y, yaw = track(t)
        a = 2 * np.pi * track.distance(t) / stride + phase
        s, c = float(np.sin(a)), float(np.cos(a))
        swing = 0.44
        bones = skeleton(
            h,
            lean=0.05,
            hip=(0.06 + swing * s, 0.06 - swing * s),
            knee=(0.14 + 0.85 * max(0.0, c) ** 2, 0.14 + 0.85 * max(0.0, -c) ** 2),
            shoulder=(-0.40 * s, 0.40 * s),
            elbow=(0.30 + 0.15 * s, 0.30 - 0.15 * s),
        )
        lift = -min(float(bones[f, 2, 3]) for f in (FOOT_L, FOOT_R)) + FOOT * h
        root = place(x, y, ground(x, y) + lift, yaw)
        return (root @ bones).astype(np.float32)

    return pose


def standing(h: float, x: float, y: float, z: float, yaw: float, rng: np.random.Generator) -> Pose:
    """Bones of somebody who stands and shifts their weight a little."""
    left, right = (float(v) for v in rng.uniform(0.0, 0.35, 2))
    phone = bool(rng.random() < 0.4)
    p = float(rng.uniform(0, 6))

    def pose(t: float) -> np.ndarray:
        sway = 0.03 * float(np.sin(0.9 * t + p))
        shoulder = (0.15 * left, 0.7) if phone else (0.1 * left, 0.1 * right)
        elbow = (0.3, 1.5) if phone else (0.25 + left, 0.25 + right)
        bones = skeleton(h, sway, (0.04, -0.04), (0.06, 0.05), shoulder, elbow)
        lift = -min(float(bones[f, 2, 3]) for f in (FOOT_L, FOOT_R)) + FOOT * h
        return (place(x, y, z + lift, yaw + sway) @ bones).astype(np.float32)

    return pose


def pedestrian(
    palette: Palette,
    rng: np.random.Generator,
    track: Track,
    ground: Callable[[float, float], float],
    vest: bool = False,
) -> Actor:
    """Somebody walking along a track."""
    h = float(np.clip(rng.normal(1.72, 0.09), 1.5, 1.95))
    mesh, facts = body(palette, rng, h, vest)
    return Actor(
        "person",
        mesh,
        walking(h, track, float(rng.uniform(0, 6)), ground),
        {**facts, "does": "walking"},
        (),
        0.5,
    )


def bystander(
    palette: Palette, rng: np.random.Generator, x: float, y: float, z: float, yaw: float, vest: bool = False
) -> Actor:
    """Somebody standing."""
    h = float(np.clip(rng.normal(1.72, 0.09), 1.5, 1.95))
    mesh, facts = body(palette, rng, h, vest)
    return Actor("person", mesh, standing(h, x, y, z, yaw, rng), {**facts, "does": "standing"}, (), 0.5)
