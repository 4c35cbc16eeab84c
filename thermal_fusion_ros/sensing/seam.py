"""Where the thermal view ends, without a seam.

Beyond the end the visible picture is shown alone. Thermal grey levels have nothing to do with visible ones, so the end
would show as a step of brightness. Towards it thermal therefore takes on the brightness of the visible picture and
keeps its own detail, as the overlap of two pictures is evened out in a panorama (Brown & Lowe, IJCV 2007).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

CELL_PX = 16  # brightness is that of cells of this edge
NARROW = 5  # cells; what is less wide and inside the picture is a hole
REACH = 0.14  # of the width: how far from the end brightness begins to change
FULLY = 255  # of a mask of what the thermal camera sees


def evened(thermal: Bytes, luma: Bytes, valid: Bytes) -> Bytes:
    """`thermal` H×W where `valid` (H×W) is 255, `luma` where it is 0; near the end of `valid` as bright as that.

    What has the size of a picture stays bytes where it can: numbers with fractions took twice the time or more.
    """
    height, width = thermal.shape
    cells = (max(1, width // CELL_PX), max(1, height // CELL_PX))
    covered = _cells(valid, cells) / np.float32(FULLY)
    # Means over what is covered alone: beyond the end a warped picture holds nothing.
    share = np.maximum(covered, 1e-3)
    inside = _weighted(luma, valid)
    difference = _cells(inside, cells) - _cells(_weighted(thermal, valid), cells)
    spread = np.maximum(cv2.GaussianBlur(share, (0, 0), 1.0), 1e-3)
    difference = np.asarray(cv2.GaussianBlur(difference, (0, 0), 1.0) / spread, np.float32)
    distance = cv2.distanceTransform(1 - _end(covered), cv2.DIST_L2, 3)  # cells; huge where there is no end
    near = np.clip(1 - distance / (REACH * cells[0]), 0, 1)
    shift = (difference * (near * near * (3 - 2 * near))).astype(np.float32)
    # What is smooth at a quarter of the size is smooth: the rest may be the cheap kind of enlarging.
    quarter = (max(1, width // 4), max(1, height // 4))
    coarse = cv2.resize(shift, quarter, interpolation=cv2.INTER_CUBIC)
    bright = np.asarray(cv2.add(thermal, cv2.resize(coarse, (width, height)), dtype=cv2.CV_8U), np.uint8)
    return np.asarray(cv2.add(_weighted(bright, valid), cv2.subtract(luma, inside)), np.uint8)


def _end(covered: NDArray[np.float32]) -> Bytes:
    """1 where the view has ended, of cells: what is not covered, as far as it is wide or at the picture's edge.

    A hole in between, where something hides a place from the thermal camera alone, is no end: whoever stands there
    must not become as dark as the visible picture.
    """
    rim = NARROW - 1  # beyond the picture there is nothing: what touches its edge is wide enough
    missing = np.pad((covered <= 0.99).astype(np.uint8), rim, constant_values=1)
    wide = cv2.morphologyEx(missing, cv2.MORPH_OPEN, np.ones((NARROW, NARROW), np.uint8))
    return np.ascontiguousarray(wide[rim:-rim, rim:-rim], np.uint8)


def _weighted(image: Bytes, valid: Bytes) -> Bytes:
    return np.asarray(cv2.multiply(image, valid, scale=1 / FULLY), np.uint8)


def _cells(image: Bytes, cells: tuple[int, int]) -> NDArray[np.float32]:
    """Means of cells; over pictures of half the size, because halving is much faster than any other ratio."""
    height, width = (edge // 2 for edge in image.shape)
    half = cv2.resize(image[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(half.astype(np.float32), cells, interpolation=cv2.INTER_AREA), np.float32)
