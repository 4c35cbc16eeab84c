"""How much of the sources' edges a fused image keeps (Qabf) and how many it invents (N_abf)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from thermal_fusion_ros.evaluation.arrays import GreyImage


@dataclass(frozen=True)
class Edges:
    """Sobel edge strength (H, W) and orientation (H, W), folded to [-pi/2, pi/2]."""

    strength: GreyImage
    orientation: GreyImage


def edges_of(image: GreyImage) -> Edges:
    """Sobel edges for Qabf, with zeros outside the image.

    Pixels without a horizontal gradient have orientation pi/2.
    """
    horizontal, vertical = _sobel(image, cv2.BORDER_CONSTANT)
    # The published code convolves where OpenCV correlates. The sign matters next to +-pi/2, because every pixel
    # with no horizontal gradient has +pi/2.
    np.negative(horizontal, out=horizontal)
    orientation = np.full_like(image, np.pi / 2)
    sloped = horizontal != 0
    np.divide(vertical, horizontal, out=orientation, where=sloped)
    np.arctan(orientation, out=orientation, where=sloped)
    return Edges(np.sqrt(horizontal * horizontal + vertical * vertical), orientation)


def edge_preservation(visible: Edges, thermal: Edges, fused: Edges) -> float:
    """Qabf: preserved edge strength and orientation, weighted by the sources' strength: 0 to about 0.98.

    Per pixel and source Q = 0.9994 / (1 + exp(-15 (G - 0.5))) * 0.9879 / (1 + exp(-22 (A - 0.8))), with G the
    weaker strength over the stronger and A = 1 - |orientation difference| / (pi/2).

    Xydeas, Petrovic: Objective image fusion performance measure. Electronics Letters 36, 2000, in the field's
    common form: where both strengths are equal, G is that strength itself (not 1), and the difference of
    orientations is not taken modulo pi. Two flat sources have no edges to keep: the answer is then 0.
    """
    available = float(visible.strength.sum() + thermal.strength.sum())
    if available == 0.0:
        return 0.0
    kept = sum(float((_preserved(source, fused) * source.strength).sum()) for source in (visible, thermal))
    return kept / available


def _preserved(source: Edges, fused: Edges) -> GreyImage:
    weaker = np.minimum(source.strength, fused.strength)
    stronger = np.maximum(source.strength, fused.strength)
    # Dividing by 1 where the two are equal gives the strength itself there, and no 0/0 on flat ground.
    np.copyto(stronger, 1.0, where=source.strength == fused.strength)
    strength = np.divide(weaker, stronger, out=weaker)
    strength -= 0.5
    strength *= -15.0
    np.exp(strength, out=strength)
    strength += 1.0
    agreement = np.subtract(source.orientation, fused.orientation, out=stronger)
    np.abs(agreement, out=agreement)
    agreement *= -2.0 / np.pi
    agreement += 1.0 - 0.8
    agreement *= -22.0
    np.exp(agreement, out=agreement)
    agreement += 1.0
    strength *= agreement
    return np.divide(0.9994 * 0.9879, strength, out=strength)


def artefacts(visible: GreyImage, thermal: GreyImage, fused: GreyImage) -> float:
    """N_abf: share of edge information that neither source has, 0 (none) to 1; lower is better.

    Over pixels whose fused strength exceeds both sources', sum((1 - Q_A) w_A + (1 - Q_B) w_B) / sum(w_A + w_B),
    with w = strength^1.5 from strength 2 on and 0.001 below, Sobel / 8 with mirrored borders, and
    Q = sqrt(0.9999 / (1 + exp(-19 (G - 0.5))) * 0.9995 / (1 + exp(-22 (A - 0.5)))).

    Shreyamsha Kumar: Multifocus and multispectral image fusion based on pixel significance using discrete cosine
    harmonic wavelet transform. Signal, Image and Video Processing 7, 2013, with the constants of his code. A
    popular Python port has weight 0 instead of 0.001 on weak edges.
    """
    fused_edges = _folded_edges(fused)
    lost = total = 0.0
    sources = [_folded_edges(image) for image in (visible, thermal)]
    invented = fused_edges.strength > np.maximum(sources[0].strength, sources[1].strength)
    for source in sources:
        weight = np.where(source.strength >= 2.0, source.strength**1.5, 0.001)
        lost += float((weight * (1.0 - _petrovic_preserved(source, fused_edges)))[invented].sum())
        total += float(weight.sum())
    return lost / total


def _folded_edges(image: GreyImage) -> Edges:
    horizontal, vertical = _sobel(image, cv2.BORDER_REFLECT_101)
    return Edges(
        np.sqrt(horizontal * horizontal + vertical * vertical) / 8.0, np.arctan2(horizontal, vertical)
    )


def _petrovic_preserved(source: Edges, fused: Edges) -> GreyImage:
    stronger = np.maximum(source.strength, fused.strength)
    strength = np.minimum(source.strength, fused.strength) / np.where(stronger > 0.0, stronger, 1.0)
    angle = np.mod(source.orientation - fused.orientation, np.pi)  # 0 and pi are the same edge
    agreement = np.abs(angle - np.pi / 2) * (2.0 / np.pi)
    kept_strength = 0.9999 / (1.0 + np.exp(-19.0 * (strength - 0.5)))
    kept_orientation = 0.9995 / (1.0 + np.exp(-22.0 * (agreement - 0.5)))
    return np.sqrt(kept_strength * kept_orientation)


def _sobel(image: GreyImage, border: int) -> tuple[GreyImage, GreyImage]:
    """Horizontal and vertical derivative, each (H, W)."""
    horizontal = cv2.Sobel(image, cv2.CV_64F, 1, 0, borderType=border)
    vertical = cv2.Sobel(image, cv2.CV_64F, 0, 1, borderType=border)
    return np.asarray(horizontal, dtype=np.float64), np.asarray(vertical, dtype=np.float64)
