"""Trees, bushes, grass: branching trunks and a triangle per leaf."""

from __future__ import annotations

import numpy as np

from thermal_fusion_ros.simulation import mesh as m
from thermal_fusion_ros.simulation.materials import Palette, srgb


def broadleaf(palette: Palette, rng: np.random.Generator, height: float, leaves: int = 1500) -> m.Mesh:
    """A deciduous tree at the origin."""
    bark = palette("birch") if rng.random() < 0.2 else palette("bark")
    hue = str(rng.choice(["66803f", "5f783c", "748745", "586f3a", "808744"]))
    leaf = palette("leaf", color=srgb(hue))
    trunk_r = 0.017 * height + 0.05
    fork = height * float(rng.uniform(0.28, 0.42))
    lean = rng.normal(0, 0.02, 2) * height
    spine = np.array(
        [
            [0, 0, -0.15],
            [0.2 * lean[0], 0.2 * lean[1], 0.12 * height],
            [*(0.6 * lean), fork],
            [*lean, 0.72 * height],
        ]
    )
    parts = [m.tube(spine, [trunk_r * 1.35, trunk_r, 0.75 * trunk_r, 0.22 * trunk_r], bark, 9, caps=False)]
    tips = [spine[-1]]
    for k in range(int(rng.integers(5, 9))):
        a = 2 * np.pi * k / 6.5 + rng.normal(0, 0.4)
        z0 = float(rng.uniform(fork * 0.85, 0.66 * height))
        f = (z0 - fork) / max(0.72 * height - fork, 0.1)
        start = np.array([*(lean * (0.6 + 0.4 * max(f, 0))), z0])
        reach = height * float(rng.uniform(0.16, 0.27))
        end = start + np.array([np.cos(a) * reach, np.sin(a) * reach, height * rng.uniform(0.06, 0.2)])
        bend = 0.5 * (start + end) + [0, 0, -0.02 * height]
        parts.append(m.tube([start, bend, end], np.array([0.38, 0.25, 0.1]) * trunk_r, bark, 6, caps=False))
        tips += [bend, end]
        side = end + rng.normal(0, 0.07, 3) * height
        parts.append(m.tube([bend, side], np.array([0.18, 0.06]) * trunk_r, bark, 5, caps=False))
        tips.append(side)
    centres = np.array(tips) + np.array([0, 0, 0.04 * height])
    extra = centres[rng.integers(0, len(centres), 6)] + rng.normal(0, 0.06, (6, 3)) * height
    centres = np.vstack([centres, extra])
    which = rng.integers(0, len(centres), leaves)
    radius = height * rng.uniform(0.09, 0.15, len(centres))
    direction = m.unit(rng.normal(size=(leaves, 3)))
    at = centres[which] + direction * (radius[which] * rng.uniform(0.35, 1.0, leaves) ** 0.5)[:, None] * [
        1,
        1,
        0.75,
    ]
    middle = centres.mean(0)
    normal = m.unit(0.65 * m.unit(at - middle) + 0.45 * direction + [0, 0, 0.25])
    size = height * 0.026 * rng.uniform(0.7, 1.4, leaves) * (1500 / leaves) ** 0.5
    size = np.minimum(size, 0.30)
    parts.append(
        m.shards(at, normal, size, leaf, rng, facing=m.unit(direction + rng.normal(0, 0.6, (leaves, 3))))
    )
    return m.merge(parts)


def conifer(palette: Palette, rng: np.random.Generator, height: float, leaves: int = 1400) -> m.Mesh:
    """A spruce at the origin: whorls of drooping branches covered in needles."""
    bark, needle = (
        palette("bark"),
        palette("needle", color=srgb(str(rng.choice(["46583c", "3d5040", "4e5c3a"])))),
    )
    r = 0.012 * height + 0.06
    parts = [
        m.tube(
            [[0, 0, -0.15], [0, 0, 0.5 * height], [0, 0, height]],
            [r * 1.2, 0.6 * r, 0.03],
            bark,
            8,
            caps=False,
        )
    ]
    low = float(rng.uniform(0.12, 0.3))
    f = rng.uniform(0, 1, leaves) ** 0.75
    whorl = np.round(f * 13) / 13 + rng.normal(0, 0.012, leaves)
    z = height * (low + (1 - low) * np.clip(whorl, 0, 1))
    spread = height * 0.19 * (1 - np.clip(whorl, 0, 0.98)) ** 0.85 + 0.05
    a = np.floor(rng.uniform(0, 9, leaves)) / 9 * 2 * np.pi + whorl * 40 + rng.normal(0, 0.13, leaves)
    out = rng.uniform(0.12, 1.0, leaves) ** 0.6
    droop = 0.32 * spread * out**2
    at = np.stack(
        [
            np.cos(a) * spread * out,
            np.sin(a) * spread * out,
            z - droop + rng.normal(0, 0.012, leaves) * height,
        ],
        -1,
    )
    normal = m.unit(np.stack([np.cos(a), np.sin(a), np.full(leaves, 0.7)], -1))
    size = height * 0.030 * rng.uniform(0.6, 1.4, leaves) * (1400 / leaves) ** 0.5
    size = np.minimum(size, 0.20)
    facing = m.unit(
        np.stack([np.cos(a) * 0.5, np.sin(a) * 0.5, np.ones(leaves)], -1) + rng.normal(0, 0.45, (leaves, 3))
    )
    if leaves < 1500:  # too few to close the crown: a dark core behind them
        core = palette("needle", color=srgb("263522"), translucency=0.0)
        parts.append(m.cone([0, 0, height * low], height * (0.97 - low), 0.12 * height, core, 10))
    parts.append(m.shards(at, normal, size, needle, rng, facing=facing, stretch=2.6))
    return m.merge(parts)


def bush(palette: Palette, rng: np.random.Generator, radius: float, leaves: int = 350) -> m.Mesh:
    """A round bush at the origin."""
    leaf = palette("bush", color=srgb(str(rng.choice(["4f7430", "5d7a34", "43652f", "6b7a3a"]))))
    direction = m.unit(rng.normal(size=(leaves, 3)))
    at = direction * radius * rng.uniform(0.55, 1.0, leaves)[:, None] * [1, 1, 0.8] + [0, 0, 0.6 * radius]
    at[:, 2] = np.maximum(at[:, 2], 0.03)
    core = m.ellipsoid(
        [0, 0, 0.5 * radius],
        [0.7 * radius, 0.7 * radius, 0.6 * radius],
        palette("bush", color=srgb("2b4020")),
        10,
        6,
    )
    size = radius * 0.16 * rng.uniform(0.7, 1.4, leaves) * (350 / leaves) ** 0.4
    return m.merge(
        [
            core,
            m.shards(
                at,
                m.unit(direction + np.array([0, 0, 0.3])),
                size,
                leaf,
                rng,
                facing=m.unit(direction + rng.normal(0, 0.7, (leaves, 3))),
            ),
        ]
    )


def grass(
    palette: Palette, rng: np.random.Generator, at: np.ndarray, height: float = 0.22, color: str = "6a8238"
) -> m.Mesh:
    """Blades standing at N×3 points."""
    n = len(at)
    blade = palette("leaf", name="blade", color=srgb(color), translucency=0.35)
    a = rng.uniform(0, 2 * np.pi, n)
    across = np.stack([np.cos(a), np.sin(a), np.zeros(n)], -1)
    tall = height * rng.uniform(0.4, 1.3, n)
    lean = rng.normal(0, 0.35, (n, 2)) * tall[:, None]
    w = (0.012 + 0.02 * tall)[:, None]
    tip = at + np.column_stack([lean, tall])
    v = np.stack([at - across * w, at + across * w, tip], 1).reshape(-1, 3)
    normal = np.repeat(
        m.unit(np.stack([0.3 * np.cos(a + 1.57), 0.3 * np.sin(a + 1.57), np.ones(n)], -1)), 3, axis=0
    )
    return m.Mesh.of(v, np.arange(3 * n).reshape(-1, 3), blade, normal)


def rock(palette: Palette, rng: np.random.Generator, size: float) -> m.Mesh:
    """A boulder at the origin, half in the ground."""
    ball = m.ellipsoid([0, 0, 0], size * rng.uniform(0.7, 1.2, 3) * [1, 1, 0.7], palette("rock"), 14, 9)
    k = rng.normal(size=(6, 3)) * 2.2 / size
    bumps = sum(np.sin(ball.vertices @ k[i] + i) for i in range(6)) * 0.045 * size
    v = ball.vertices + bumps[:, None] * m.unit(ball.vertices)
    return m.Mesh.of(v, ball.triangles, palette("rock")).smoothed(50)
