"""How much of the sources' edges a fused image keeps (Qabf) and how many it invents (N_abf)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

GreyImage = NDArray[np.float64]


@dataclass(frozen=True)
class Edges:
    """Sobel edge strength (H, W) and orientation (H, W), folded to [-pi/2, pi/2]."""

    strength: GreyImage
    orientation: GreyImage


def edges_of(image: GreyImage) -> Edges:
    """Sobel edges with zeros outside the image; pixels without a horizontal gradient count as vertical (pi/2)."""
    # The sign of the horizontal gradient is the published code's (true convolution, not correlation): orientations
    # next to +-pi/2 depend on it, because pixels with no horizontal gradient all get +pi/2.
    horizontal = -cv2.Sobel(image, cv2.CV_64F, 1, 0, borderType=cv2.BORDER_CONSTANT)
    vertical = cv2.Sobel(image, cv2.CV_64F, 0, 1, borderType=cv2.BORDER_CONSTANT)
    orientation = np.full_like(image, np.pi / 2)
    np.divide(vertical, horizontal, out=orientation, where=horizontal != 0)
    np.arctan(orientation, out=orientation, where=horizontal != 0)
    return Edges(cv2.magnitude(horizontal, vertical), orientation)


def edge_preservation(visible: Edges, thermal: Edges, fused: Edges) -> float:
    """Qabf: preserved edge strength and orientation, weighted by the sources' strength: 0 to about 0.98.

    Xydeas, Petrovic: Objective image fusion performance measure. Electronics Letters 36, 2000, in the field's common
    form: where source and fused strength are equal, the relative strength is the strength itself (not 1).
    Two flat sources have no edges to keep: the answer is then 0.
    """
    available = float(visible.strength.sum() + thermal.strength.sum())
    if available == 0.0:
        return 0.0
    kept = sum(float((_preserved(source, fused) * source.strength).sum()) for source in (visible, thermal))
    return kept / available


def _preserved(source: Edges, fused: Edges) -> GreyImage:
    weaker = np.minimum(source.strength, fused.strength)
    stronger = np.maximum(source.strength, fused.strength)
    # Dividing by 1 where the two are equal gives the common definition's gF there, and no 0/0 on flat ground.
    np.copyto(stronger, 1.0, where=source.strength == fused.strength)
    relative_strength = np.divide(weaker, stronger, out=weaker)
    agreement = np.abs(source.orientation - fused.orientation)
    agreement *= -2.0 / np.pi
    agreement += 1.0
    # Strength: 0.9994 / (1 + exp(-15 (g - 0.5))); orientation: 0.9879 / (1 + exp(-22 (a - 0.8))).
    relative_strength -= 0.5
    relative_strength *= -15.0
    agreement -= 0.8
    agreement *= -22.0
    np.exp(relative_strength, out=relative_strength)
    np.exp(agreement, out=agreement)
    relative_strength += 1.0
    agreement += 1.0
    relative_strength *= agreement
    return np.divide(0.9994 * 0.9879, relative_strength, out=relative_strength)
