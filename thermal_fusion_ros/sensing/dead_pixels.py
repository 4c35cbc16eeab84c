"""Pixels, rows and columns of a detector that carry no picture: found, and filled for the display."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

EMPTY = (0, 65535)  # what lost lines are filled with
KERNELS = ((5, 5), (17, 17))  # successive reaches of the repair


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
    valid = (~invalid).astype(np.float32)
    values = image.astype(np.float32) * valid
    repaired = image.copy()
    todo = invalid.copy()
    rows, columns = invalid.all(axis=1), invalid.all(axis=0)
    kernels = [*([(1, 5)] if rows.any() else []), *([(5, 1)] if columns.any() else []), *KERNELS]
    for kernel in kernels:
        weight = cv2.boxFilter(valid, -1, kernel, normalize=False, borderType=cv2.BORDER_CONSTANT)
        total = cv2.boxFilter(values, -1, kernel, normalize=False, borderType=cv2.BORDER_CONSTANT)
        now = todo & (weight > 0.5)
        repaired[now] = total[now] / weight[now] + 0.5
        todo &= ~now
        if not todo.any():
            return repaired
    rest = image[::4, ::4][~invalid[::4, ::4]]
    repaired[todo] = np.median(rest) if rest.size else 0
    return repaired
