"""Pixels, rows and columns of a detector that carry no picture: found, and filled for the display."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

EMPTY = (0, 65535)  # what lost lines are filled with
MOST_DEEP = (
    0.02  # share of the image in the depth of large losses that is still bridged; of more, nothing is known
)

# Where a pixel is repaired from: (row offsets, column offsets).
ROW = (np.array([-2, -1, 1, 2]), np.zeros(4, int))
COLUMN = (ROW[1], ROW[0])
NEAR = (np.repeat(np.arange(-2, 3), 5), np.tile(np.arange(-2, 3), 5))
FAR = (4 * NEAR[0], 4 * NEAR[1])


def dead_lines(low: NDArray[np.uint16], high: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """Which lines are dead, from each line's smallest and largest pixel.

    A dead line has one value all along. So has a line of clear sky in a noise-free picture; it is dead only if that
    value is 0 or full scale, or the lines beside it have more than one.
    """
    constant = low == high
    if not constant.any() or constant.all():
        return np.zeros(low.shape, bool)
    beside = np.ones(low.size + 2, bool)
    beside[1:-1] = ~constant
    return constant & (np.isin(low, EMPTY) | (beside[:-2] & beside[2:]))


def find_dead_lines(image: NDArray[np.uint16]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Dead rows (H) and dead columns (W) of a 16-bit image that is not constant all over."""
    rows = dead_lines(image.min(axis=1), image.max(axis=1))
    body = image[~rows] if rows.any() else image
    columns = dead_lines(body.min(axis=0), body.max(axis=0))
    return rows, columns


def dead_zeros(image: NDArray[np.uint16]) -> NDArray[np.bool_] | None:
    """Pixels at 0 while the scene is far above: farther than the scene is wide. None if there are none."""
    if cv2.countNonZero(image) == image.size:
        return None
    sample = image[::4, ::4]
    scene = sample[sample > 0]
    if not scene.size:
        return None
    low, high = np.percentile(scene, (0.5, 99.5))
    return image == 0 if low > high - low else None


def repair(image: NDArray[np.uint16], invalid: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """A copy of `image` (H×W) with `invalid` pixels replaced by the mean of the valid ones around them.

    Single lines are bridged across their short side. Where no valid pixel is near, the image's median is put in:
    nothing is known there, and a smear would look like an object.
    """
    repaired = image.copy()
    deep = cv2.erode(invalid.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    across = [ROW] * bool(invalid.all(axis=1).any()) + [COLUMN] * bool(invalid.all(axis=0).any())
    _fill(repaired, image, invalid, invalid & ~deep, (*across, NEAR))
    if deep.any():
        rest = image[::4, ::4][~invalid[::4, ::4]]
        repaired[deep] = np.median(rest) if rest.size else 0
        if np.count_nonzero(deep) <= MOST_DEEP * image.size:
            _fill(repaired, image, invalid, deep, (FAR,))
    return repaired


def _fill(
    repaired: NDArray[np.uint16],
    image: NDArray[np.uint16],
    invalid: NDArray[np.bool_],
    wanted: NDArray[np.bool_],
    reaches: Iterable[tuple[NDArray[np.int_], NDArray[np.int_]]],
) -> None:
    """Set the `wanted` pixels of `repaired` to the mean of the valid pixels of `image` at the first reach with any."""
    y, x = np.nonzero(wanted)
    for offsets in reaches:
        if not y.size:
            return
        rows = np.clip(y[:, None] + offsets[0], 0, image.shape[0] - 1)
        columns = np.clip(x[:, None] + offsets[1], 0, image.shape[1] - 1)
        valid = ~invalid[rows, columns]
        count = valid.sum(axis=1)
        total = (image[rows, columns] * valid).sum(axis=1, dtype=np.int64)
        found = count > 0
        repaired[y[found], x[found]] = (total[found] + count[found] // 2) // count[found]
        y, x = y[~found], x[~found]
