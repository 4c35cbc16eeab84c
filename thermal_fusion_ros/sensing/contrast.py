"""Contrast control: 16-bit thermal pixels to an 8-bit display image that does not flicker.

The target curve of a frame runs from a low to a high percentile, partly straight, partly histogram equalisation with
a plateau (Vickers, "Plateau equalization algorithm for real-time display of high-quality infrared imagery", Optical
Engineering 35(7), 1996). What is shown goes through a curve that follows the target with a time constant. So the
brightness of a given pixel value moves by at most 255 * dt / time constant per frame, whatever enters the picture.
Where much of a frame would fall outside the curve's range, the scene has changed and the curve follows at once. Where
all pixel values moved alike, the camera has recalibrated (FFC) and the curve moves with them.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

LEVELS = 1 << 16
SAMPLES = 20_000  # pixels that stand for the frame
KNOTS = 256  # of the equalised curve
PLATEAU = 3.0  # most of the pixels that count in one place, relative to an even spread
RELEASE_FROM, RELEASE_TO = (
    0.10,
    0.35,
)  # share of clipped pixels where following begins to hasten, and is immediate
QUANTILES = np.linspace(0.1, 0.9, 9)  # that tell a shift of all pixel values from a change of scene
LEAST_SHIFT = 0.02  # of the curve's range
LEAST_AGREEMENT = 0.25  # largest deviation of a quantile's shift, relative to the shift
LONGEST_STEP_S = 1.0  # between two frames, for the time constant


class ContrastControl:
    """One camera's curve and its memory.

    `released` counts frames on which a scene change hastened the curve, `shifted` those on which it moved with a shift
    of all pixel values.
    """

    def __init__(self) -> None:
        self._curve: NDArray[np.float32] | None = None
        self._target = np.empty(LEVELS, np.float32)
        self._table = np.empty(LEVELS, np.uint8)
        self._stamp_ns = 0
        self._quantiles: NDArray[np.int64] | None = None
        self.released = 0
        self.shifted = 0

    def reset(self) -> None:
        """Start anew with the next frame."""
        self._curve = None

    def follow(
        self,
        image: NDArray[np.uint16],
        stamp_ns: int,
        *,
        low_percentile: float,
        high_percentile: float,
        min_span: int,
        equalise: float,
        smoothing_s: float,
    ) -> None:
        """Take a frame (H×W) into account. `smoothing_s` seconds, percentiles in percent, `min_span` pixel values."""
        step = max(1, math.isqrt(image.size // SAMPLES))
        sample = np.sort(image[::step, ::step], axis=None)
        self._make_target(sample, low_percentile / 100, high_percentile / 100, min_span, equalise)
        quantiles = sample[(QUANTILES * (sample.size - 1)).astype(np.int64)].astype(np.int64)
        elapsed = (stamp_ns - self._stamp_ns) * 1e-9
        self._stamp_ns = stamp_ns
        if self._curve is None or smoothing_s <= 0 or elapsed < 0:
            self._curve = self._target.copy()
        else:
            self._move_with(quantiles)
            share = 1 - math.exp(-min(elapsed, LONGEST_STEP_S) / smoothing_s)
            hurry = (self._clipped(sample) - RELEASE_FROM) / (RELEASE_TO - RELEASE_FROM)
            if hurry > share:
                self.released += 1
                share = min(1.0, hurry)
            self._target -= self._curve
            self._target *= np.float32(share)
            self._curve += self._target
        self._quantiles = quantiles
        np.add(self._curve, np.float32(0.5), out=self._target)
        np.copyto(self._table, self._target, casting="unsafe")

    def show(self, image: NDArray[np.uint16], out: NDArray[np.uint8]) -> None:
        """`image` (H×W) through the curve into `out`."""
        np.take(self._table, image, out=out, mode="clip")

    def _make_target(
        self, sample: NDArray[np.uint16], low_share: float, high_share: float, min_span: int, equalise: float
    ) -> None:
        """Fill the target curve from the sorted pixel values of `sample`."""
        low = int(sample[round(low_share * (sample.size - 1))])
        high = int(sample[round(high_share * (sample.size - 1))])
        missing = min_span - (high - low)
        if missing > 0:
            low = min(max(0, low - missing // 2), LEVELS - 1 - min_span)
            high = low + min_span
        knots = np.unique(np.linspace(low, high, KNOTS + 1).astype(np.int64))
        widths = np.diff(knots)
        rise = widths / (high - low)
        if equalise > 0:
            held = np.diff(np.searchsorted(sample, knots)) / sample.size
            held = np.minimum(held, PLATEAU * rise)
            held /= max(held.sum(), 1e-9)
            held = np.minimum(held, widths / min_span)  # nowhere steeper than the straight line may be
            held += (1 - held.sum()) * rise
            rise = (1 - equalise) * rise + equalise * held
        self._target[:low] = 0
        self._target[high:] = 255
        self._target[low:high] = np.cumsum(np.repeat(255 * rise / widths, widths))

    def _move_with(self, quantiles: NDArray[np.int64]) -> None:
        """Move the curve if the quantiles of the frame are those of the last one, all shifted alike."""
        assert self._curve is not None
        assert self._quantiles is not None
        moves = quantiles - self._quantiles
        shift = int(np.median(moves))
        black, white = np.searchsorted(self._curve, (0.5, 254.5))
        if abs(shift) <= LEAST_SHIFT * (white - black):
            return
        if np.abs(moves - shift).max() > LEAST_AGREEMENT * abs(shift):
            return
        self.shifted += 1
        self._curve = np.roll(self._curve, shift)
        if shift > 0:
            self._curve[:shift] = 0
        else:
            self._curve[shift:] = 255

    def _clipped(self, sample: NDArray[np.uint16]) -> float:
        """Share of the sorted pixel values that the present curve shows pure black or pure white."""
        assert self._curve is not None
        black, white = np.searchsorted(self._curve, (0.5, 254.5))
        first, last = np.searchsorted(sample, (black, white))
        return 1.0 - float(last - first) / sample.size
