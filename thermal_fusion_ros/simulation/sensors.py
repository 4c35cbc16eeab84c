"""What the two cameras make of the light that arrives: exposure, blur, noise, quantisation."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.simulation import heat
from thermal_fusion_ros.simulation.conditions import Condition
from thermal_fusion_ros.simulation.mesh import F32

EXPOSURE_S = {"day": 0.003, "dusk": 0.012, "night": 0.025}
TIME_CONSTANT_S = 0.008  # a microbolometer pixel's
_TAPS = 4  # of motion blur


@cache
def _noise_bank() -> F32:
    rng = np.random.default_rng(99)
    return rng.standard_normal((1536, 1536), dtype=np.float32)


def _noise(rng: np.random.Generator, height: int, width: int) -> F32:
    """White noise cut from a fixed bank at a random place: a frame costs no random numbers."""
    bank = _noise_bank()
    if height > bank.shape[0] or width > bank.shape[1]:
        return rng.standard_normal((height, width), dtype=np.float32)
    return _cut(bank, rng, height, width)


def _cut(bank: F32, rng: np.random.Generator, height: int, width: int) -> F32:
    """A part of a bank of noise, mirrored or not."""
    y, x = rng.integers(0, bank.shape[0] - height + 1), rng.integers(0, bank.shape[1] - width + 1)
    part = bank[y : y + height, x : x + width]
    return part[:: int(rng.choice([-1, 1])), :: int(rng.choice([-1, 1]))]


def smear(picture: F32, flow: F32, seconds: float) -> F32:
    """Motion blur: average along `flow` (h×w×2 pixels per second, any grid) over `seconds`."""
    move = flow * np.float32(seconds)
    longest = float(np.percentile(np.abs(move), 99)) if move.size else 0.0
    if longest < 0.7:
        return picture
    height, width = picture.shape[:2]
    move = np.clip(cv2.resize(cv2.blur(move, (3, 3)), (width, height)), -24, 24)
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    out = np.zeros_like(picture)
    for k in range(_TAPS):
        a = np.float32((k + 0.5) / _TAPS - 0.5)
        out += cv2.remap(
            picture,
            x + a * move[..., 0],
            y + a * move[..., 1],
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
    return out / _TAPS


@cache
def _vignette(height: int, width: int, strength: float) -> F32:
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return (1 / (1 + strength * (x * x + y * y)) ** 2).astype(np.float32)


def expose(radiance: F32, c: Condition) -> float:
    """Gain that an automatic exposure chooses: the picture's log-mean to a middle tone, within the camera's range."""
    small = cv2.resize(radiance, (64, 48), interpolation=cv2.INTER_AREA)
    luminance = small @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    weight = _vignette(48, 64, 0.4)
    mean = float(np.exp((np.log(luminance + 1e-4) * weight).sum() / weight.sum()))
    high = float(np.percentile(luminance, 90))
    key = {"day": 0.21, "dusk": 0.17, "night": 0.085}[c.time]
    gain = min(key / mean, 1.25 / max(high, 1e-4) if c.time == "day" else 2.0 / max(high, 1e-4))
    return float(np.clip(gain, 0.15, 14.0))


def develop(radiance: F32, c: Condition, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Linear radiance H×W×3 to an sRGB picture: bloom, exposure, noise, film curve."""
    height, width = radiance.shape[:2]
    gain = expose(radiance, c)
    x = radiance * np.float32(gain)
    np.minimum(x, 500.0 if c.glare else 60.0, out=x)
    x = _bloom(x, c)
    x *= _vignette(height, width, 0.06)[..., None]
    read, shot = 0.0009 * gain**0.5, 0.00045 * gain
    sigma = np.minimum(x, 1.5)
    sigma *= np.float32(shot)
    sigma += np.float32((read * gain**0.5) ** 2)
    np.maximum(sigma, 0, out=sigma)
    np.sqrt(sigma, out=sigma)
    sigma *= _color_noise(rng, height, width)
    x += sigma
    # The film curve is a table over the square root, which spends its entries where the eye looks.
    np.maximum(x, 0, out=x)
    np.sqrt(x, out=x)
    x *= np.float32(_CURVE_SIZE / np.sqrt(_CURVE_END))
    return np.take(_film(), np.minimum(x, _CURVE_SIZE - 1).astype(np.int32))


_CURVE_SIZE, _CURVE_END = 4096, 12.0


@cache
def _film() -> NDArray[np.uint8]:
    """Byte (sRGB) by square root of exposure: Narkowicz's fit of the ACES film curve, then gamma."""
    x = 0.86 * ((np.arange(_CURVE_SIZE) + 0.5) / _CURVE_SIZE) ** 2 * _CURVE_END
    y = np.clip((x * (2.51 * x + 0.03)) / (x * (2.43 * x + 0.59) + 0.14), 0, 1)
    y = np.where(y <= 0.0031308, 12.92 * y, 1.055 * y ** (1 / 2.4) - 0.055)
    return (y * 255 + 0.5).astype(np.uint8)


@cache
def _color_bank() -> F32:
    rng = np.random.default_rng(98)
    bank = rng.standard_normal((640, 800, 3), dtype=np.float32)
    return bank * np.array([1.15, 0.85, 1.3], np.float32)  # red and blue photosites are fewer


def _color_noise(rng: np.random.Generator, height: int, width: int) -> F32:
    bank = _color_bank()
    if height > bank.shape[0] or width > bank.shape[1]:
        channels = [_noise(rng, height, width) * np.float32(f) for f in (1.15, 0.85, 1.3)]
        return np.stack(channels, -1)
    return _cut(bank, rng, height, width)


def _bloom(x: F32, c: Condition) -> F32:
    """Light scattered in lens and air round bright things."""
    height, width = x.shape[:2]
    quarter = (max(width // 4, 1), max(height // 4, 1))
    bright = np.minimum(
        np.maximum(cv2.resize(x, quarter, interpolation=cv2.INTER_AREA) - 0.9, 0), 250.0 if c.glare else 12.0
    )
    if float(bright.max()) < 0.05:
        return x
    thick = {"clear": 1.0, "smoke": 1.3, "fog": 1.6}[c.medium] * (2.2 if c.glare else 1.0)
    scale = quarter[0] / 160
    halo = 0.055 * cv2.GaussianBlur(bright, (0, 0), 1.6 * scale)
    halo += 0.045 * thick * cv2.GaussianBlur(bright, (0, 0), 5.0 * scale)
    sixteenth = cv2.resize(
        bright, (max(quarter[0] // 4, 1), max(quarter[1] // 4, 1)), interpolation=cv2.INTER_AREA
    )
    wide = cv2.GaussianBlur(sixteenth, (0, 0), 4.5 * scale)
    out = x + cv2.resize(halo, (width, height), interpolation=cv2.INTER_LINEAR)
    out += (0.07 * thick) * cv2.resize(wide, (width, height), interpolation=cv2.INTER_CUBIC)
    if c.glare:
        out += 0.10 * bright.mean(axis=(0, 1)) + 0.02
    return out


class ThermalSensor:
    """An uncooled microbolometer: lens blur, NETD, fixed pattern that creeps between shutter events, 16-bit counts."""

    def __init__(
        self,
        height: int,
        width: int,
        seed: int = 0,
        netd_k: float = 0.05,
        blur_px: float = 0.75,
        pattern: float = 1.0,
    ):
        rng = np.random.default_rng([seed, 555])
        self.netd = netd_k * 55.0  # counts
        self.blur = blur_px
        column = rng.normal(0, 1.3, width)
        row = rng.normal(0, 0.5, height)
        pixel = rng.normal(0, 0.9, (height, width))
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        dome = 7.0 * (x * x + y * y - 0.6) + 3.0 * x * rng.normal() + 3.0 * y * rng.normal()
        self.pattern = (pattern * (column[None] + row[:, None] + pixel)).astype(np.float32)
        self.dome = (pattern * dome).astype(np.float32)

    def read(self, signal: F32, since_shutter_s: float, rng: np.random.Generator) -> NDArray[np.uint16]:
        """Counts (uint16) of arriving radiance; the pattern grows with the time since the last shutter event."""
        creep = np.float32(0.35 + min(since_shutter_s, 120.0) / 60.0)
        out = cv2.GaussianBlur(signal, (0, 0), self.blur) if self.blur > 0 else signal.copy()
        height, width = signal.shape
        out = out + self.pattern * creep + self.dome * (creep - 0.35)
        out += _noise(rng, height, width) * np.float32(self.netd)
        return np.clip(np.rint(out + np.float32(heat.PLANCK_O)), 0, 65535).astype(np.uint16)


def white_hot(counts: NDArray[np.integer]) -> NDArray[np.uint8]:
    """A plain 8-bit rendering of counts for contact sheets: linear between two percentiles."""
    a, b = np.percentile(counts, [1.0, 99.5])
    return np.clip((counts - a) / max(b - a, 8.0) * 255, 0, 255).astype(np.uint8)
