"""What surfaces are made of, in both spectra."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Color = tuple[float, float, float]

SWITCHES = ("street", "headlamp", "indoor", "daylight", "always")
PATTERNS = tuple("plain brick blocks planks tiles roof corrugated bark window carpet panel cardboard".split())


@dataclass(frozen=True)
class Material:
    """A surface. Colours are linear albedo; `grain` is the relative variation at 2–30 cm, 0.3–3 m and 3–60 m.

    Thermal: `emissivity` in 8–14 µm; `absorptivity` of sunlight; `inertia` 0 follows air, sky and sun at once, 1
    keeps the day far into the night; `heat` kelvin above its surroundings; `body` is the pull from the air (0) towards
    the body core (1); `interior` is the pull towards the temperature inside a building.
    """

    name: str
    color: Color
    pattern: str = "plain"
    grain: tuple[float, float, float] = (0.10, 0.08, 0.06)
    second: Color | None = None  # what the coarse grain and the pattern mix in
    gloss: float = 0.0  # mirror reflection at normal incidence; rises towards grazing (Schlick)
    emission: Color = (0.0, 0.0, 0.0)
    translucency: float = 0.0  # share of light that comes through from behind (leaves)
    emissivity: float = 0.94
    absorptivity: float = 0.7
    inertia: float = 0.5
    heat: float = 0.0
    body: float = 0.0
    interior: float = 0.0
    switch: str = "street"  # what turns its emission on, one of SWITCHES


def gray(value: float) -> Color:
    """A neutral colour."""
    return (value, value, value)


def srgb(text: str) -> Color:
    """Linear colour of a `rrggbb` string."""
    c = np.array([int(text[i : i + 2], 16) for i in (0, 2, 4)]) / 255.0
    lin = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    return (float(lin[0]), float(lin[1]), float(lin[2]))


BASE: dict[str, Material] = {
    m.name: m
    for m in (
        Material("asphalt", gray(0.088), grain=(0.20, 0.05, 0.16), second=gray(0.062), absorptivity=0.92,
                 inertia=0.85),
        Material("paint", gray(0.62), grain=(0.18, 0.22, 0.1), second=gray(0.3), absorptivity=0.35,
                 inertia=0.8),
        Material("enamel", gray(0.5), grain=(0.02, 0.04, 0.03), gloss=0.03, emissivity=0.92,
                 absorptivity=0.5, inertia=0.3),
        Material("pavement", gray(0.26), "tiles", (0.12, 0.08, 0.15), gray(0.13), absorptivity=0.6,
                 inertia=0.75),
        Material("kerb", gray(0.34), grain=(0.12, 0.1, 0.1), absorptivity=0.55, inertia=0.8),
        Material("concrete", gray(0.32), grain=(0.10, 0.10, 0.15), absorptivity=0.6, inertia=0.8),
        Material("grass", srgb("65733f"), grain=(0.30, 0.16, 0.25), second=srgb("79793f"), absorptivity=0.6,
                 inertia=0.2),
        Material("soil", srgb("7a6347"), grain=(0.30, 0.22, 0.25), second=srgb("5b4630"), absorptivity=0.75,
                 inertia=0.5),
        Material("litter", srgb("6b5434"), grain=(0.38, 0.22, 0.22), second=srgb("57592f"), absorptivity=0.7,
                 inertia=0.3),
        Material("bark", srgb("6a5847"), "bark", (0.25, 0.15, 0.1), srgb("3b2f26"), absorptivity=0.7,
                 inertia=0.6),
        Material("birch", srgb("cfc8ba"), "bark", (0.2, 0.25, 0.1), srgb("2f2b28"), absorptivity=0.45,
                 inertia=0.6),
        Material("leaf", srgb("66803f"), grain=(0.2, 0.2, 0.25), second=srgb("8a9a3e"), translucency=0.45,
                 absorptivity=0.35, inertia=0.05, emissivity=0.96),
        Material("needle", srgb("3c5a32"), grain=(0.2, 0.2, 0.2), second=srgb("55703c"), translucency=0.25,
                 absorptivity=0.4, inertia=0.05, emissivity=0.96),
        Material("bush", srgb("4f7430"), grain=(0.25, 0.2, 0.2), second=srgb("6f8438"), translucency=0.4,
                 absorptivity=0.4, inertia=0.08, emissivity=0.96),
        Material("rock", srgb("8b867c"), grain=(0.25, 0.25, 0.2), second=srgb("6d6a60"), absorptivity=0.65,
                 inertia=0.9),
        Material("brick", srgb("9a5a42"), "brick", (0.18, 0.10, 0.12), srgb("b9aea0"), absorptivity=0.7,
                 inertia=0.9,
                 interior=0.05),
        Material("plaster", srgb("d9cfb8"), grain=(0.05, 0.06, 0.12), second=srgb("b6ab95"), absorptivity=0.45,
                 inertia=0.75, interior=0.07),
        Material("panel", srgb("a9adb0"), "panel", (0.03, 0.04, 0.06), gray(0.2), absorptivity=0.5,
                 inertia=0.4),
        Material("roof", srgb("7d4534"), "roof", (0.2, 0.15, 0.15), srgb("4c2c22"), absorptivity=0.8,
                 inertia=0.4),
        Material("trim", srgb("dedad0"), grain=(0.03, 0.03, 0.05), absorptivity=0.35, inertia=0.5),
        Material("dark_trim", srgb("34363a"), grain=(0.05, 0.05, 0.05), absorptivity=0.85, inertia=0.4),
        Material("door", srgb("5a3a28"), "planks", (0.08, 0.08, 0.05), srgb("38241a"), inertia=0.3,
                 interior=0.12),
        Material("window", srgb("1c2228"), "window", (0.0, 0.0, 0.0), gray(0.25), gloss=0.10, emissivity=0.86,
                 absorptivity=0.15, inertia=0.25, interior=0.22),
        Material("window_lit", srgb("c9a877"), "window", (0.0, 0.0, 0.0), gray(0.3), gloss=0.08,
                 emission=(0.26, 0.165, 0.078),
                 emissivity=0.86, absorptivity=0.15, inertia=0.25, interior=0.34),
        Material("window_cool", srgb("aab4c0"), "window", (0.0, 0.0, 0.0), gray(0.3), gloss=0.08,
                 emission=(0.15, 0.18, 0.22),
                 emissivity=0.86, absorptivity=0.15, inertia=0.25, interior=0.32),
        Material("shop", srgb("c9b79a"), "window", (0.0, 0.0, 0.0), gray(0.25), gloss=0.08, emission=(0.42,
                 0.32, 0.21),
                 emissivity=0.86, absorptivity=0.15, inertia=0.25, interior=0.36),
        Material("glass", srgb("0d1114"), grain=(0, 0, 0), gloss=0.12, emissivity=0.85, absorptivity=0.3,
                 inertia=0.15),
        Material("steel", srgb("8f9498"), grain=(0.05, 0.05, 0.04), gloss=0.10, emissivity=0.55,
                 absorptivity=0.5, inertia=0.3),
        Material("galvanised", srgb("7f858a"), grain=(0.06, 0.06, 0.05), gloss=0.05, emissivity=0.6,
                 absorptivity=0.5,
                 inertia=0.25),
        Material("black_metal", srgb("25272a"), grain=(0.05, 0.05, 0.03), gloss=0.04, emissivity=0.92,
                 absorptivity=0.9,
                 inertia=0.3),
        Material("tyre", gray(0.028), grain=(0.15, 0.1, 0), absorptivity=0.95, inertia=0.4),
        Material("rubber", gray(0.04), grain=(0.1, 0.1, 0), absorptivity=0.92, inertia=0.4),
        Material("rim", gray(0.45), grain=(0.05, 0.0, 0.0), gloss=0.25, emissivity=0.5, absorptivity=0.4,
                 inertia=0.4),
        Material("plastic", srgb("26282b"), grain=(0.05, 0.03, 0.02), gloss=0.03, absorptivity=0.85,
                 inertia=0.2),
        Material("headlamp", gray(0.7), grain=(0, 0, 0), gloss=0.15, emissivity=0.88, inertia=0.2),
        Material("headlamp_on", gray(0.8), grain=(0, 0, 0), emission=(9.0, 8.4, 7.2), emissivity=0.88,
                 inertia=0.2, heat=12,
                 switch="headlamp"),
        Material("taillamp", srgb("7a0c0c"), grain=(0, 0, 0), gloss=0.08, emissivity=0.9, inertia=0.2),
        Material("taillamp_on", srgb("a01010"), grain=(0, 0, 0), emission=(1.6, 0.06, 0.04), emissivity=0.9,
                 inertia=0.2,
                 heat=5),
        Material("lamp", gray(0.8), grain=(0, 0, 0), emission=(26.0, 19.0, 10.5), emissivity=0.9,
                 inertia=0.2, heat=22),
        Material("panel_light", gray(0.9), grain=(0, 0, 0), emission=(3.2, 3.2, 3.0), emissivity=0.9,
                 inertia=0.1, heat=6,
                 switch="indoor"),
        Material("skin", srgb("c99a7c"), grain=(0.03, 0.02, 0), emissivity=0.98, absorptivity=0.6,
                 inertia=0.3, body=0.84),
        Material("hair", srgb("2c2019"), grain=(0.25, 0.1, 0), emissivity=0.96, absorptivity=0.9,
                 inertia=0.1, body=0.42),
        Material("jacket", srgb("3b4a63"), grain=(0.06, 0.03, 0), absorptivity=0.75, inertia=0.1, body=0.34),
        Material("trousers", srgb("2b2d33"), grain=(0.06, 0.03, 0), absorptivity=0.8, inertia=0.1, body=0.44),
        Material("shoe", srgb("1d1a18"), grain=(0.05, 0.05, 0), absorptivity=0.9, inertia=0.2, body=0.16),
        Material("bag", srgb("4a3326"), grain=(0.10, 0.05, 0), absorptivity=0.8, inertia=0.2, body=0.08),
        Material("cardboard", srgb("a57f55"), "cardboard", (0.06, 0.06, 0.05), srgb("8c6a45"),
                 absorptivity=0.5, inertia=0.3),
        Material("wood", srgb("a8814f"), "planks", (0.12, 0.08, 0.08), srgb("7d5e38"), absorptivity=0.6,
                 inertia=0.4),
        Material("wall", srgb("d8d6cf"), grain=(0.02, 0.04, 0.06), second=srgb("bab8b0"), absorptivity=0.4,
                 inertia=0.8,
                 interior=0.3),
        Material("vinyl", srgb("8f9492"), "tiles", (0.06, 0.04, 0.08), srgb("7a7f7d"), gloss=0.035,
                 inertia=0.8, interior=0.3),
        Material("ceiling", srgb("dcdcd8"), "panel", (0.03, 0.02, 0.03), gray(0.45), inertia=0.4, interior=0.3),
        Material("screed", srgb("86857f"), grain=(0.08, 0.12, 0.18), second=srgb("6f6e69"), gloss=0.02,
                 inertia=0.95),
    )
}  # fmt: skip


@dataclass
class Palette:
    """The materials of one world, numbered; variants (a red car, a blue jacket) are added as they are met."""

    items: list[Material] = field(default_factory=list)
    _numbers: dict[Material, int] = field(default_factory=dict)

    def __call__(self, base: str, /, **changes: Any) -> int:
        """Number of the material `base`, with fields replaced."""
        material = replace(BASE[base], **changes) if changes else BASE[base]
        if material not in self._numbers:
            self._numbers[material] = len(self.items)
            self.items.append(material)
        return self._numbers[material]

    def table(self) -> MaterialTable:
        """Every property as an array over material numbers."""

        def column(key: str) -> NDArray[np.float32]:
            return np.array([getattr(m, key) for m in self.items], np.float32)

        return MaterialTable(
            color=column("color"),
            second=np.array([m.second or m.color for m in self.items], np.float32),
            pattern=np.array([PATTERNS.index(m.pattern) for m in self.items], np.int32),
            grain=column("grain"),
            gloss=column("gloss"),
            emission=column("emission"),
            translucency=column("translucency"),
            emissivity=column("emissivity"),
            absorptivity=column("absorptivity"),
            inertia=column("inertia"),
            heat=column("heat"),
            body=column("body"),
            interior=column("interior"),
            switch=np.array([SWITCHES.index(m.switch) for m in self.items], np.int32),
        )


@dataclass(frozen=True)
class MaterialTable:
    """Arrays over material numbers; see :class:`Material`."""

    color: NDArray[np.float32]
    second: NDArray[np.float32]
    pattern: NDArray[np.int32]
    grain: NDArray[np.float32]
    gloss: NDArray[np.float32]
    emission: NDArray[np.float32]
    translucency: NDArray[np.float32]
    emissivity: NDArray[np.float32]
    absorptivity: NDArray[np.float32]
    inertia: NDArray[np.float32]
    heat: NDArray[np.float32]
    body: NDArray[np.float32]
    interior: NDArray[np.float32]
    switch: NDArray[np.int32]
