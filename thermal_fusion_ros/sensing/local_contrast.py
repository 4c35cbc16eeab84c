"""Fine detail of a thermal frame, apart from its wide range: base and detail layers.

The base comes from a fast guided filter (He and Sun, "Fast Guided Filter", arXiv:1505.00996), which keeps edges, so
adding detail draws no halos. Scaling the detail by its own strength keeps texture visible however wide the range is.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

RADIUS = 8  # pixels of the half-size image
EDGE = 0.015  # share of the frame's range: smaller steps are detail
TYPICAL_LEVELS = 5.0  # display levels that typical detail gets at strength 1
LARGEST_LEVELS = 20.0  # per unit of strength: more is an edge, not detail
MEMORY = 0.1  # share of each frame in the smoothed strength of the detail


class LocalContrast:
    """Adds detail to a display image; remembers how strong detail usually is, so that its gain does not flicker."""

    def __init__(self) -> None:
        self._strength = 0.0

    def reset(self) -> None:
        """Start anew with the next frame."""
        self._strength = 0.0

    def add(
        self,
        image: NDArray[np.uint16] | NDArray[np.uint8],
        display: NDArray[np.uint8],
        strength: float,
        floor: float,
    ) -> NDArray[np.uint8]:
        """`display` (H×W) with the detail of `image` (same size) added, as a new array.

        `floor`: detail weaker than this many pixel values counts as noise and is not raised further.
        """
        pixels = image.astype(np.float32)
        low, high = np.percentile(pixels[::4, ::4], (1, 99))
        detail = pixels - _base(pixels, max(EDGE * (high - low), 2 * floor))
        typical = float(np.median(np.abs(detail[::4, ::4])))
        self._strength += (1.0 if not self._strength else MEMORY) * (typical - self._strength)
        detail *= strength * TYPICAL_LEVELS / max(self._strength, floor, 1e-6)
        limit = strength * LARGEST_LEVELS
        np.clip(detail, -limit, limit, out=detail)
        detail += display
        return cv2.convertScaleAbs(np.maximum(detail, 0, out=detail))  # type: ignore[return-value]


def _base(pixels: NDArray[np.float32], edge: float) -> NDArray[np.float32]:
    height, width = pixels.shape
    half: Any = cv2.resize(pixels, (max(1, width // 2), max(1, height // 2)), interpolation=cv2.INTER_AREA)
    centre = np.float32(half.mean())
    half -= centre  # keeps the squares small enough for float32
    mean = _blur(half)
    variance = np.maximum(_blur(half * half) - mean * mean, np.float32(0))
    slope = variance / (variance + np.float32(edge * edge + 1e-12))
    shift = _blur(mean * (1 - slope))
    base: NDArray[np.float32] = pixels - centre
    base *= cv2.resize(_blur(slope), (width, height), interpolation=cv2.INTER_LINEAR)
    base += cv2.resize(shift, (width, height), interpolation=cv2.INTER_LINEAR)
    base += centre
    return base


def _blur(half: Any) -> Any:
    return cv2.boxFilter(half, -1, (2 * RADIUS + 1, 2 * RADIUS + 1))
