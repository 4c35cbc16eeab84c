"""How far a fused colour picture drifts from the visible camera's colours."""

from __future__ import annotations

import cv2
import numpy as np

from thermal_fusion_ros.evaluation.arrays import GreyImage, Mask, Picture8

# Where the visible picture is darker its chroma is mostly sensor noise and compression; where it is brighter,
# clipping has already taken the colour away.
DARKEST_LIT, BRIGHTEST_LIT = 30.0, 95.0  # CIELAB L*
_SMALLEST_SHARE = 0.01  # of the picture; fewer pixels are no basis for a mean


def chroma_shift(fused: Picture8, visible: Picture8) -> float | None:
    """Mean CIELAB distance of chroma, sqrt((a1 - a2)^2 + (b1 - b2)^2), where the visible picture is well lit.

    Both pictures are 8-bit sRGB of one size, (H, W, 3) in BGR order or (H, W) grey (then a = b = 0). Lightness
    is left out because changing it is what fusion is for. 0 is no shift, about 2 is just noticeable. None when
    less than 1 % of the visible picture is well lit (30 <= L* <= 95), e.g. at night.

    CIE 15:2004 (CIELAB, Delta E*ab 1976).
    """
    reference = _lab(visible)
    lit = well_lit(reference)
    if np.count_nonzero(lit) < _SMALLEST_SHARE * lit.size:
        return None
    difference = (_lab(fused)[..., 1:] - reference[..., 1:])[lit]
    return float(np.sqrt((difference * difference).sum(axis=1)).mean())


def well_lit(lab: GreyImage) -> Mask:
    """Pixels (H, W) of a CIELAB picture (H, W, 3) that are neither dark nor blown out."""
    lightness = lab[..., 0]
    return (lightness >= DARKEST_LIT) & (lightness <= BRIGHTEST_LIT)


def _lab(picture: Picture8) -> GreyImage:
    colour = picture if picture.ndim == 3 else cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)
    # On floats OpenCV gives L* in 0-100 and true a*, b*; on bytes they would be quantised and shifted.
    lab = cv2.cvtColor(colour.astype(np.float32) / 255.0, cv2.COLOR_BGR2LAB)
    return lab.astype(np.float64)
