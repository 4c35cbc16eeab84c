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
REACH = 0.14  # of the width: how far from the end brightness begins to change
FULLY = 255  # of a mask of what the thermal camera sees


def evened(thermal: Bytes, luma: Bytes, valid: Bytes) -> Bytes:
    """`thermal` H×W where `valid` (H×W) is 255, `luma` where it is 0; near the end of `valid` as bright as that."""
    height, width = thermal.shape
    cells = (max(1, width // CELL_PX), max(1, height // CELL_PX))
    covered = _cells(valid, cells) / FULLY
    # Means over what is covered alone: beyond the end a warped picture holds nothing.
    share = np.maximum(covered, 1e-3)
    inside = valid.astype(np.float32) / FULLY
    difference = _cells((luma.astype(np.float32) - thermal) * inside, cells) / share
    difference = cv2.GaussianBlur(difference * share, (0, 0), 1.0) / np.maximum(
        cv2.GaussianBlur(share, (0, 0), 1.0), 1e-3
    )
    full = np.pad((covered > 0.99).astype(np.uint8), 1, constant_values=1)  # the picture's own edge is no end
    distance = cv2.distanceTransform(full, cv2.DIST_L2, 3)[1:-1, 1:-1] * (width / cells[0])
    near = np.clip(1 - distance / (REACH * width), 0, 1)
    near = near * near * (3 - 2 * near)
    shift = cv2.resize((difference * near).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    bright = np.clip(thermal + shift, 0, 255)
    return np.asarray(luma + (bright - luma) * inside + 0.5, np.float32).clip(0, 255).astype(np.uint8)


def _cells(image: NDArray[np.generic], cells: tuple[int, int]) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(image.astype(np.float32), cells, interpolation=cv2.INTER_AREA), np.float32)
