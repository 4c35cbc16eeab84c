"""Depth as a picture to look at."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

INVALID = 0  # grey of pixels without depth


def coloured(depth: NDArray[np.float32], nearest: float = 0.0, farthest: float = 0.0) -> NDArray[np.uint8]:
    """RGB H×W×3 of `depth` H×W, logarithmic, near is red and far is blue, black where there is none.

    The colours span `nearest` to `farthest` (the unit of `depth`), or what is there where these are 0.
    """
    valid = np.isfinite(depth) & (depth > 0)
    picture = np.full((*depth.shape, 3), INVALID, np.uint8)
    if not valid.any():
        return picture
    low, high = np.percentile(np.log(depth[valid]), [1, 99])
    low, high = np.log(nearest) if nearest > 0 else low, np.log(farthest) if farthest > 0 else high
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.clip((np.log(depth) - low) / max(high - low, 1e-6), 0, 1)
    levels = (255 * (1 - np.nan_to_num(share))).astype(np.uint8)
    shown = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
    picture[valid] = shown[valid]
    return picture
