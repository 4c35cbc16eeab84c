"""How light it is and what hangs in the air, measured from both spectra.

Both cameras look at the same things, so what thermal shows and visible does not is the air's (or the dark's) doing:
smoke takes contrast from visible light alone, fog takes some from thermal too, and both lift the darkest parts of a
picture (He et al., "Single image haze removal using dark channel prior", CVPR 2009). Eighteen such measures go into
two multinomial logistic regressions, fitted by ``python -m benchmark.captions --fit`` on the simulator and on real
pictures taken in clear air.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.errors import InputError

Floats = NDArray[np.float32]

LIGHT = ("day", "dusk", "night")
AIR = ("clear", "fog", "smoke")
MODEL = Path(__file__).with_name("visibility.json")
WIDTH, HEIGHT, BLOCK = 160, 120, 10  # measures are taken at this size, contrast in blocks of this edge

MEASURES = (
    "luma_05", "luma_25", "luma_50", "luma_75", "luma_95", "black", "top", "saturation", "red_blue", "green",
    "dark_channel", "contrast_10", "contrast_25", "contrast_50", "contrast_75", "contrast_where_thermal_has",
    "lost_where_thermal_has", "agreement",
)  # fmt: skip


@dataclass(frozen=True)
class Visibility:
    """Probabilities of :data:`LIGHT` and :data:`AIR` (each sums to 1) and the mean `luma` (0..1) of the picture."""

    light: tuple[float, ...]
    air: tuple[float, ...]
    luma: float


def look(rgb: NDArray[np.uint8], thermal: NDArray[np.uint8]) -> Visibility:
    """Light and air of one registered pair: `rgb` H×W×3, `thermal` H×W, the display image (white hot)."""
    x = measure(rgb, thermal)
    fitted = model()
    # Pictures unlike all that it was fitted on must not drive a linear model to certainty.
    inside = np.clip(x, fitted.low, fitted.high)
    light, air = (_softmax(inside @ weight + bias) for weight, bias in (fitted.light, fitted.air))
    return Visibility(light, air, luma=round(float(x[2]), 4))


def measure(rgb: NDArray[np.uint8], thermal: NDArray[np.uint8]) -> Floats:
    """The :data:`MEASURES` of one pair."""
    if rgb.ndim != 3 or rgb.shape[2] != 3 or thermal.shape != rgb.shape[:2]:
        raise InputError(
            f"caption: need H×W×3 and H×W pictures of one size, got {rgb.shape} and {thermal.shape}"
        )
    color = _small(rgb)
    # Ranks instead of values: every camera has a contrast curve of its own.
    heat = cv2.equalizeHist(cv2.GaussianBlur(np.rint(_small(thermal) * 255).astype(np.uint8), (3, 3), 0))
    luma = (color @ np.array([0.299, 0.587, 0.114], np.float32)).astype(np.float32)
    high, low = color.max(2), color.min(2)
    blocks = _blocks(luma)
    contrast = np.log(blocks.std(1) / (blocks.mean(1) + 0.05) + 0.005)
    structure = _blocks(heat.astype(np.float32) / np.float32(255)).std(1)
    thermal_has = structure >= np.percentile(structure, 60)
    mean = color.mean((0, 1))
    dark = cv2.erode(low, np.ones((9, 9), np.uint8))
    return np.array(
        [
            *np.percentile(luma, (5, 25, 50, 75, 95)),
            (luma < 0.06).mean(),
            luma[: HEIGHT // 3].mean(),
            ((high - low) / (high + 0.05)).mean(),
            mean[0] - mean[2],
            mean[1] - (mean[0] + mean[2]) / 2,
            np.median(dark) / (np.percentile(luma, 95) + 0.05),
            *np.percentile(contrast, (10, 25, 50, 75)),
            np.median(contrast[thermal_has]),
            (contrast[thermal_has] < np.log(0.06)).mean(),
            _correlation(contrast, np.log(structure + 0.01)),
        ],
        np.float32,
    )


def _small(image: NDArray[np.uint8]) -> Floats:
    small = cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) / np.float32(255)


def _blocks(image: Floats) -> Floats:
    rows, columns = HEIGHT // BLOCK, WIDTH // BLOCK
    return (
        image.reshape(rows, BLOCK, columns, BLOCK)
        .transpose(0, 2, 1, 3)
        .reshape(rows * columns, BLOCK * BLOCK)
    )


def _correlation(a: Floats, b: Floats) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / (np.sqrt((a * a).sum() * (b * b).sum()) + 1e-6))


def _softmax(z: Floats) -> tuple[float, ...]:
    e = np.exp(z - z.max())
    return tuple(float(p) for p in e / e.sum())


@dataclass(frozen=True)
class Fitted:
    """What ``visibility.json`` holds: the usual range of every measure; weight (measures×classes) and bias."""

    low: Floats
    high: Floats
    light: tuple[Floats, Floats]
    air: tuple[Floats, Floats]


@cache
def model() -> Fitted:
    """The fitted table."""
    table = json.loads(MODEL.read_text(encoding="utf-8"))
    assert table["measures"] == list(MEASURES), f"{MODEL} belongs to other code"

    def array(values: list[float]) -> Floats:
        return np.array(values, np.float32)

    light, air = ((array(table[n]["weight"]), array(table[n]["bias"])) for n in ("light", "air"))
    return Fitted(array(table["low"]), array(table["high"]), light, air)
