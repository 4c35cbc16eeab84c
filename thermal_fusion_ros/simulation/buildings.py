"""Houses and blocks along a street: facades with windows, doors, shops, roofs."""

from __future__ import annotations

import numpy as np

from thermal_fusion_ros.simulation import mesh as m
from thermal_fusion_ros.simulation.materials import Palette, srgb

WALLS = {
    "brick": ("9a5a42", "8a4f3d", "a56b4e", "7d4a3e"),
    "plaster": ("d9cfb8", "cdb58c", "c9c3b5", "b8a99a", "d8b9a0", "a9b3b0", "e0d6c2"),
    "panel": ("a9adb0", "8e9498", "b9b2a6"),
}


def window(x: float, z: float, width: float, height: float, pane: int, frame: int, bars: int) -> list[m.Mesh]:
    """A window in the plane y = 0, outside towards -y; (x, z) is the middle of its sill."""
    depth, bar = 0.07, 0.055
    out = [m.span([x - width / 2, -0.012, z], [x + width / 2, 0.02, z + height], pane)]
    for low, high in (
        ((x - width / 2 - bar, z - bar), (x - width / 2, z + height + bar)),
        ((x + width / 2, z - bar), (x + width / 2 + bar, z + height + bar)),
        ((x - width / 2, z + height), (x + width / 2, z + height + bar)),
    ):
        out.append(m.span([low[0], -depth, low[1]], [high[0], 0.02, high[1]], frame))
    out.append(m.span([x - width / 2 - 0.1, -0.15, z - 0.08], [x + width / 2 + 0.1, 0.02, z], frame))
    for k in range(1, bars + 1):
        at = x - width / 2 + width * k / (bars + 1)
        out.append(m.span([at - 0.02, -0.035, z], [at + 0.02, 0.02, z + height], frame))
    if bars and height > 1.3:
        out.append(
            m.span(
                [x - width / 2, -0.035, z + 0.68 * height],
                [x + width / 2, 0.02, z + 0.68 * height + 0.04],
                frame,
            )
        )
    return out


def facade(
    palette: Palette,
    rng: np.random.Generator,
    width: float,
    floors: int,
    storey: float,
    wall: int,
    shop: bool,
    tall_base: float,
) -> m.Mesh:
    """Street side of a building: spans x in [0, width], outside towards -y, plane y = 0."""
    parts: list[m.Mesh] = []
    trim = palette("trim") if rng.random() < 0.7 else palette("dark_trim")
    bays = max(2, int(width / rng.uniform(2.3, 3.2)))
    pitch = width / bays
    w = pitch * float(rng.uniform(0.38, 0.52))
    h = storey * float(rng.uniform(0.42, 0.56))
    bars = int(rng.integers(0, 3))
    panes = [palette("window"), palette("window_lit"), palette("window_cool")]
    odds = [0.66, 0.25, 0.09]
    for floor in range(1, floors):
        base = tall_base + (floor - 1) * storey
        for bay in range(bays):
            x = (bay + 0.5) * pitch
            parts += window(x, base + 0.9, w, h, panes[int(rng.choice(3, p=odds))], trim, bars)
        if rng.random() < 0.45:
            parts.append(m.span([-0.02, -0.10, base - 0.08], [width + 0.02, 0.02, base + 0.08], trim))
    door_bay = int(rng.integers(0, bays))
    if shop:
        sign = palette(
            "trim",
            name="sign",
            color=srgb(str(rng.choice(["8a2b22", "22507a", "2d5a3c", "3a3a40", "a8701f"]))),
            emission=(0.10, 0.07, 0.05),
        )
        frame = palette("dark_trim")
        for bay in range(bays):
            x0, x1 = bay * pitch + 0.18, (bay + 1) * pitch - 0.18
            if bay == door_bay:
                parts.append(m.span([x0 + 0.2, -0.03, 0.05], [x0 + 1.25, 0.02, 2.25], palette("shop")))
                parts.append(m.span([x0 + 1.25, -0.06, 0.0], [x1, 0.02, 2.6], wall))
            else:
                parts.append(m.span([x0, -0.02, 0.45], [x1, 0.02, 2.55], palette("shop")))
                parts.append(m.span([x0, -0.09, 0.36], [x1, 0.02, 0.47], frame))
                parts.append(
                    m.span([0.5 * (x0 + x1) - 0.03, -0.05, 0.45], [0.5 * (x0 + x1) + 0.03, 0.02, 2.55], frame)
                )
        parts.append(m.span([0.1, -0.22, 2.68], [width - 0.1, 0.02, 3.22], sign))
        if rng.random() < 0.6:
            awning = palette(
                "jacket",
                name="awning",
                color=srgb(str(rng.choice(["9a3a2e", "35604a", "c9b98f", "2f4a70"]))),
                body=0.0,
            )
            y = -float(rng.uniform(0.9, 1.4))
            parts.append(
                m.quad(
                    [[0.4, -0.05, 2.66], [width - 0.4, -0.05, 2.66], [width - 0.4, y, 2.30], [0.4, y, 2.30]],
                    awning,
                )
            )
            parts.append(
                m.quad(
                    [[0.4, y, 2.30], [width - 0.4, y, 2.30], [width - 0.4, y, 2.13], [0.4, y, 2.13]], awning
                )
            )
    else:
        for bay in range(bays):
            x = (bay + 0.5) * pitch
            if bay == door_bay:
                parts.append(m.span([x - 0.55, -0.05, 0.0], [x + 0.55, 0.02, 2.15], palette("door")))
                parts.append(m.span([x - 0.68, -0.09, 0.0], [x - 0.55, 0.02, 2.3], trim))
                parts.append(m.span([x + 0.55, -0.09, 0.0], [x + 0.68, 0.02, 2.3], trim))
                parts.append(m.span([x - 0.75, -0.30, 2.3], [x + 0.75, 0.02, 2.42], trim))
                parts.append(m.span([x - 0.8, -0.55, -0.02], [x + 0.8, 0.0, 0.14], palette("concrete")))
            else:
                parts += window(x, 0.95, w, h, panes[int(rng.choice(3, p=odds))], trim, bars)
        if rng.random() < 0.5:
            parts.append(m.span([-0.01, -0.05, 0.0], [width + 0.01, 0.02, 0.5], palette("concrete")))
    return m.merge(parts)


def building(
    palette: Palette,
    rng: np.random.Generator,
    width: float,
    depth: float,
    style: str,
    open_sides: bool = False,
) -> m.Mesh:
    """A building whose street front is x in [0, width] at y = 0 (outside -y).

    `open_sides` puts windows into the two walls that stand across the street.
    """
    kind = str(
        rng.choice(
            ["brick", "plaster", "panel"], p=[0.38, 0.5, 0.12] if style == "city" else [0.45, 0.55, 0.0]
        )
    )
    wall = palette(kind, color=srgb(str(rng.choice(WALLS[kind]))))
    storey = float(rng.uniform(2.9, 3.3))
    floors = int(rng.integers(3, 6)) if style == "city" else int(rng.integers(1, 3))
    shop = style == "city" and bool(rng.random() < 0.55)
    base = 3.45 if shop else storey
    top = base + (floors - 1) * storey
    parts = [
        m.span([0, 0, -0.3], [width, depth, top], wall),
        facade(palette, rng, width, floors, storey, wall, shop, base),
    ]
    if open_sides:
        flank = facade(palette, rng, depth, floors, storey, wall, False, base)
        parts.append(flank.yawed(-np.pi / 2).moved([0, depth, 0]))
        parts.append(flank.yawed(np.pi / 2).moved([width, 0, 0]))
    roof = palette("roof", color=srgb(str(rng.choice(["7d4534", "5b3f37", "4a4a4d", "6b5348"]))))
    if style == "house" or rng.random() < 0.35:
        rise = float(rng.uniform(0.30, 0.5)) * depth * 0.5 if style == "house" else 2.2
        o = 0.35
        ridge = top + rise
        a, b = -o, width + o
        mid = depth / 2
        eave = top - 0.1
        parts.append(m.quad([[a, -o, eave], [b, -o, eave], [b, mid, ridge], [a, mid, ridge]], roof))
        parts.append(
            m.quad([[a, depth + o, eave], [b, depth + o, eave], [b, mid, ridge], [a, mid, ridge]], roof)
        )
        for x in (0.0, width):
            parts.append(m.Mesh.of([[x, 0, top], [x, depth, top], [x, mid, ridge - 0.12]], [(0, 1, 2)], wall))
        parts.append(m.span([a, -o - 0.10, eave - 0.10], [b, -o + 0.02, eave + 0.03], palette("dark_trim")))
        if rng.random() < 0.8:
            cx = float(rng.uniform(0.2, 0.8)) * width
            chimney = palette("brick")
            warm = 9.0 if rng.random() < 0.6 else 1.0
            parts.append(
                m.span(
                    [cx - 0.35, mid - 0.3, ridge - 0.9], [cx + 0.35, mid + 0.3, ridge + 0.7], chimney
                ).heated(warm)
            )
        top = ridge
    else:
        trim = palette("trim")
        parts.append(m.span([-0.12, -0.22, top - 0.25], [width + 0.12, 0.1, top + 0.12], trim))
        parts.append(m.span([0, 0.0, top], [width, 0.25, top + 0.6], wall))
        if rng.random() < 0.6:
            x = float(rng.uniform(0.2, 0.7)) * width
            parts.append(m.span([x, 2.0, top], [x + 1.6, 3.2, top + 1.3], palette("galvanised")).heated(4.0))
    if rng.random() < 0.5:
        parts.append(
            m.cylinder(
                [width - 0.15, -0.07, 0],
                [width - 0.15, -0.07, top * 0.9 if style != "house" else base * floors],
                0.05,
                palette("galvanised"),
                8,
            )
        )
    return m.merge(parts)
