"""Light, weather and air: what makes the same world easy or hard to see."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.simulation.materials import Color

TIMES = ("day", "dusk", "night")
MEDIA = ("clear", "fog", "smoke")
MOONLESS = 0.2  # of the light of a night sky with a moon


@dataclass(frozen=True)
class Condition:
    """Everything the renderer needs to know about light and air.

    Light is in units of the diffuse white radiance of noon sun ≈ π; extinction is per metre at the visible density 1;
    temperatures are kelvin. `extinction` acts on visible light, times `infrared_share` on 8–14 µm: smoke particles are
    far smaller than ten micrometres and hardly dim thermal, fog droplets are of that size and do.
    """

    name: str
    time: str
    medium: str
    glare: bool
    sun_elevation: float  # degrees
    sun_azimuth: float  # degrees from world x (ahead), towards y (left)
    sun: Color
    sky_zenith: Color
    sky_horizon: Color
    ambient: float  # how much of the sky reaches a surface facing up
    clouds: float  # 0 clear .. 1 overcast
    lamps: float  # street lamps, lit windows and head-lamps: 0 off .. 1 on
    extinction: float
    infrared_share: float
    patchiness: float  # 0 even, 1 plumes with clear air between
    scatter: Color  # albedo of the medium
    air_k: float
    interior_k: float
    sky_k: float  # apparent temperature overhead
    sun_heating_k: float  # excess of a black, light, sunlit surface
    stored_k: float  # excess a heavy surface still carries from earlier

    @property
    def sun_direction(self) -> np.ndarray:
        """Unit vector towards the sun (or the moon), world frame."""
        e, a = np.radians(self.sun_elevation), np.radians(self.sun_azimuth)
        return np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)], np.float32)


def _mixed(color: Color, gray: float, share: float) -> Color:
    r, g, b = (share * gray + (1 - share) * v for v in color)
    return (r, g, b)


def parse(name: str, seed: int = 0) -> Condition:
    """`day`, `dusk`, `night`, `fog`, `smoke`, `glare`, `unlit` or several joined with `+` (`night+smoke`).

    `unlit` is a night without a lamp anywhere, not even the robot's own, and without a moon.

    The seed varies sun, air and density a little, so that training does not learn one noon; 0 is the nominal case.
    """
    words = [w for w in name.replace(",", "+").split("+") if w]
    unknown = [w for w in words if w not in (*TIMES, *MEDIA, "glare", "unlit")]
    times = [w for w in words if w in TIMES]
    media = [w for w in words if w in MEDIA]
    if not words or unknown or len(times) > 1 or len(media) > 1:
        raise InputError(
            f"condition {name!r}: one of {', '.join(TIMES)}, one of {', '.join(MEDIA)}, glare and unlit, joined with +"
        )
    if "unlit" in words and (times != ["night"] or "glare" in words):
        raise InputError(f"condition {name!r}: unlit is a night without lamps; write night+unlit")
    time = times[0] if times else "day"
    medium = media[0] if media else "clear"
    rng = np.random.default_rng([seed, 77])
    vary = 0.0 if seed == 0 else 1.0

    def about(value: float, spread: float) -> float:
        return float(value * np.exp(vary * rng.normal(0.0, spread)))

    def shift(value: float, spread: float) -> float:
        return float(value + vary * rng.normal(0.0, spread))

    if time == "day":
        c = Condition(
            name, time, medium, "glare" in words, shift(42, 9), shift(-62, 40), (3.1, 2.85, 2.45),
            (0.17, 0.32, 0.66), (0.52, 0.63, 0.78), 1.0, about(0.35, 0.5), 0.0, 0.0, 0.0, 0.0, (0.95, 0.95, 0.95),
            shift(292, 5), 295.0, shift(255, 6), about(26, 0.25), about(7, 0.3),
        )  # fmt: skip
    elif time == "dusk":
        c = Condition(
            name, time, medium, "glare" in words, shift(4.0, 1.0), shift(35, 12), (0.62, 0.30, 0.12),
            (0.075, 0.10, 0.21), (0.55, 0.29, 0.17), 1.0, about(0.45, 0.4), 0.55, 0.0, 0.0, 0.0, (0.95, 0.95, 0.95),
            shift(288, 4), 295.0, shift(250, 6), about(3, 0.3), about(9, 0.3),
        )  # fmt: skip
    else:
        c = Condition(
            name, time, medium, "glare" in words, 38.0, shift(-120, 30), (0.010, 0.012, 0.018),
            (0.0022, 0.0032, 0.0065), (0.014, 0.0125, 0.0125), 1.0, about(0.3, 0.5), 1.0, 0.0, 0.0, 0.0,
            (0.95, 0.95, 0.95), shift(281, 4), 294.0, shift(240, 7), 0.0, about(5, 0.3),
        )  # fmt: skip
    if c.glare and time != "night":
        c = replace(
            c, sun_elevation=shift(11.0, 1.5), sun_azimuth=shift(2.0, 5), sun=(4.4, 3.5, 2.3), clouds=0.15,
            sky_horizon=(1.0, 0.82, 0.60),
        )  # fmt: skip
    if "unlit" in words:
        c = replace(
            c, lamps=0.0, sun=_mixed(c.sun, 0.0, 1 - MOONLESS),
            sky_zenith=_mixed(c.sky_zenith, 0.0, 1 - MOONLESS),
            sky_horizon=_mixed(c.sky_horizon, 0.0, 1 - MOONLESS),
        )  # fmt: skip
    if medium == "fog":
        gray_sky = float(np.mean(c.sky_horizon)) * 0.85
        c = replace(
            c, extinction=about(0.055, 0.35), infrared_share=0.35, patchiness=0.25, clouds=1.0,
            sun=_mixed(c.sun, 0.0, 0.9),
            sky_zenith=_mixed(c.sky_zenith, gray_sky, 0.75),
            sky_horizon=_mixed(c.sky_horizon, gray_sky, 0.7),
            sky_k=c.air_k - 4, sun_heating_k=c.sun_heating_k * 0.15, air_k=c.air_k - 3,
        )  # fmt: skip
    elif medium == "smoke":
        c = replace(
            c, extinction=about(0.26, 0.3), infrared_share=0.06, patchiness=0.85, scatter=(0.74, 0.72, 0.70)
        )
    return c
