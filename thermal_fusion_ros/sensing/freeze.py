"""A thermal camera that calibrates itself (FFC, NUC) closes its shutter and repeats a frame for up to seconds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

REPEATS = 3  # exact ones; a detector's noise makes a single one all but impossible, a video codec does not


class FreezeDetector:
    """Tells frozen frames from exact repeats. Keeps a copy of one frame."""

    def __init__(self) -> None:
        self._last: NDArray[np.generic] | None = None
        self._since_ns = 0
        self._repeats = 0

    def reset(self) -> None:
        """Forget the last frame."""
        self._last = None

    @property
    def repeats(self) -> int:
        """How many frames before the latest were equal to it."""
        return self._repeats

    def see(self, image: NDArray[np.generic], stamp_ns: int, freeze_s: float) -> bool:
        """Whether `image` (H×W) is one of at least `REPEATS` repeats that began `freeze_s` seconds ago or earlier.

        `freeze_s` 0 switches it off.
        """
        if image.dtype == np.float32:
            image = image.view(np.uint32)  # the same NaN counts as a repeat
        last = self._last
        if last is not None and last.shape == image.shape and last.dtype == image.dtype:
            if stamp_ns >= self._since_ns and np.array_equal(last, image):
                self._repeats += 1
                return (
                    freeze_s > 0 and self._repeats >= REPEATS and stamp_ns - self._since_ns >= freeze_s * 1e9
                )
            np.copyto(last, image)
        else:
            self._last = image.copy()
        self._since_ns = stamp_ns
        self._repeats = 0
        return False
