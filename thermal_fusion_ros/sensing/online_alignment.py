"""The alignment of an uncalibrated rig over time: found once, then confirmed and corrected a little at a time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.sensing.alignment import FINE_LEVELS, Alignment, Floats, Search, align, stretch

Gray = NDArray[np.uint8]

GAIN = 0.25  # share of a correction that is applied: noise of single pairs averages out
TRACKING_LEVELS = FINE_LEVELS[:1]
KNOCKED_PX = 4.0  # of a picture 640 wide: corrections larger than this mean that a camera was moved
KNOCKED_TIMES = 3  # in a row before that is believed
FORGETTING = 0.8  # per refused pair: how fast an old confidence fades


@dataclass(frozen=True)
class OnlineState:
    """What the aligner believes: `matrix` 3×3 from RGB to thermal pixels, with its `confidence` in [0, 1].

    `drift_px` is how far (RMS over the picture, RGB pixels) it has moved since it was found.
    """

    matrix: Floats
    confidence: float
    found: bool
    drift_px: float


class OnlineAligner:
    """Estimates one transform from many pairs.

    `counters`: "found", "confirmed", "refused" (structure too weak or contradictory), "drift_limited", "knocked"
    (estimate dropped because several pairs in a row said something else).
    """

    def __init__(
        self,
        *,
        model: str = "similarity",
        search: Search | None = None,
        least_confidence: float = 0.5,
        most_drift_px: float = 10.0,
    ):
        self.model, self.search = model, search or Search()
        self.least_confidence, self.most_drift_px = least_confidence, most_drift_px
        self.counters: Counter[str] = Counter()
        self._anchor: Floats | None = None
        self._matrix: Floats | None = None
        self._confidence = 0.0
        self._knocks = 0
        self._drift_px = 0.0

    def reset(self) -> None:
        """Forget the estimate; counters stay."""
        self._anchor = self._matrix = None
        self._confidence, self._knocks, self._drift_px = 0.0, 0, 0.0

    def state(self, rgb_shape: tuple[int, ...], thermal_shape: tuple[int, ...]) -> OnlineState:
        """The present belief; the whole pictures laid on each other while nothing is known."""
        matrix = self._matrix
        if matrix is None:
            return OnlineState(stretch(thermal_shape, rgb_shape), self._confidence, False, 0.0)
        return OnlineState(matrix, self._confidence, True, self._drift_px)

    def observe(self, rgb: Gray, thermal: Gray, initial: Floats | None = None) -> Alignment:
        """Learn from one pair (H×W and H'×W' uint8 grey); returns what this pair alone says."""
        if self._matrix is None:
            seen = align(rgb, thermal, initial, model=self.model, search=self.search)
            self._confidence = seen.confidence
            if seen.confidence >= self.least_confidence:
                self._matrix = self._anchor = seen.matrix
                self.counters["found"] += 1
            else:
                self.counters["refused"] += 1
            return seen
        seen = align(rgb, thermal, self._matrix, model=self.model, search=None, levels=TRACKING_LEVELS)
        self._follow(seen, (rgb.shape[1], rgb.shape[0]))
        return seen

    def _follow(self, seen: Alignment, size: tuple[int, int]) -> None:
        assert self._matrix is not None
        assert self._anchor is not None
        if seen.confidence < self.least_confidence:
            self.counters["refused"] += 1
            self._confidence *= FORGETTING
            return
        if distance_px(seen.matrix, self._matrix, size) > KNOCKED_PX * max(size) / 640:
            self._knocks += 1
            self.counters["refused"] += 1
            self._confidence *= FORGETTING
            if self._knocks >= KNOCKED_TIMES:
                self.counters["knocked"] += 1
                self.reset()
            return
        self._knocks = 0
        moved = self._matrix + GAIN * (seen.matrix - self._matrix)
        drift = distance_px(moved, self._anchor, size)
        if drift > self.most_drift_px:
            self.counters["drift_limited"] += 1
            self._confidence *= FORGETTING
            return
        self._matrix, self._drift_px = moved, drift
        self._confidence += GAIN * (seen.confidence - self._confidence)
        self.counters["confirmed"] += 1


def distance_px(matrix: Floats, other: Floats, size: tuple[int, int]) -> float:
    """RMS distance of the places where two matrices send the pixels of a (width, height) picture."""
    steps = (np.linspace(0, edge - 1, 5) for edge in size)
    grid = np.stack([*(axis.ravel() for axis in np.meshgrid(*steps)), np.ones(25)], axis=0)
    one, two = (np.asarray(m) @ grid for m in (matrix, other))
    difference = one[:2] / one[2] - two[:2] / two[2]
    return float(np.sqrt((difference**2).sum(axis=0).mean()))
