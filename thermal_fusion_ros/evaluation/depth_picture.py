"""Depth as a picture to look at, and the legend that belongs to it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

INVALID = 96  # grey of pixels without depth: none of the colours is grey
NEAREST_M, FARTHEST_M = 1.0, 40.0  # ends of the colours where pictures are to be compared
LEGEND_PX = 20  # height
_MARKS_M = (0.5, 1, 2, 5, 10, 20, 40, 80)
_FONT, _FONT_SIZE = cv2.FONT_HERSHEY_SIMPLEX, 0.4


def coloured(depth: NDArray[np.float32], nearest: float = 0.0, farthest: float = 0.0) -> NDArray[np.uint8]:
    """RGB H×W×3 of `depth` H×W, logarithmic, near is red and far is blue, grey where there is none.

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
    picture[valid] = _colours(np.nan_to_num(share))[valid]
    return picture


def legend(width: int, nearest: float = 0.0, farthest: float = 0.0) -> NDArray[np.uint8]:
    """RGB LEGEND_PX×`width`×3: the colours of :func:`coloured` from `nearest` to `farthest` metres; relative if 0."""
    strip = _colours(np.linspace(0, 1, width, dtype=np.float32)[None].repeat(LEGEND_PX, 0))
    if nearest <= 0 or farthest <= 0:
        for word, share in (("near", 0.0), ("no unit", 0.5), ("far", 1.0)):
            _write(strip, word, round(share * (width - 1)), share)
        return strip
    for mark in _MARKS_M:
        if nearest <= mark <= farthest:
            share = np.log(mark / nearest) / np.log(farthest / nearest)
            _write(
                strip,
                f"{mark:g} m" if mark * 2 > farthest else f"{mark:g}",
                round(share * (width - 1)),
                share,
            )
    return strip


def _colours(share: NDArray[np.float32]) -> NDArray[np.uint8]:
    """0 is nearest, 1 farthest."""
    levels = (255 * (1 - share)).astype(np.uint8)
    return np.asarray(
        cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB), np.uint8
    )


def _write(strip: NDArray[np.uint8], text: str, x: int, share_left: float = 0.0) -> None:
    """Black on bright colours, white on dark ones; `share_left` of the text lies left of `x`."""
    (width, height), _ = cv2.getTextSize(text, _FONT, _FONT_SIZE, 1)
    left = round(x - share_left * width)
    ink = 0 if strip[0, max(left, 0) : left + width].mean() > 100 else 255
    origin = (left, (LEGEND_PX + height) // 2)
    cv2.putText(strip, text, origin, _FONT, _FONT_SIZE, (ink,) * 3, 1, cv2.LINE_AA)
