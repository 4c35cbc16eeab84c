"""What a visible and a thermal picture have in common: the directions of edges, without their sign or strength.

An edge between warm and cold may be bright-dark or dark-bright in RGB, so the gradient direction is taken modulo
180° by doubling its angle (as orientation correlation does: Fitch et al., BMVC 2002), averaged over a small
neighbourhood and compressed so that one lamp does not outweigh a street.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.complex64]

GRADIENT_SIGMA_PX = 0.7
SMOOTHING_PX = 1.0
COMPRESSION = 0.5  # of the mean strength: weaker edges count in proportion, stronger ones saturate
BORDER_PX = 3  # gradients this close to the edge of the valid area are not trusted
STRAIGHT_PX = 1.5  # border profiles closer to a line than this are cuts, not skylines
STRAIGHT_SHARE = 0.9


def orientation_field(image: NDArray, valid: NDArray[np.uint8] | None = None) -> Field:
    """H×W complex field of doubled edge angles, modulus in [0, 1); zero where `valid` (H×W, 0/255) is zero."""
    smooth = cv2.GaussianBlur(image.astype(np.float32), (0, 0), GRADIENT_SIGMA_PX)
    x, y = (cv2.Sobel(smooth, cv2.CV_32F, *order, ksize=3) for order in ((1, 0), (0, 1)))
    strength = cv2.magnitude(x, y) + 1e-6
    doubled = np.stack([(x * x - y * y) / strength, 2 * x * y / strength], axis=-1)
    inside = None
    if valid is not None:
        kernel = np.ones((2 * BORDER_PX + 1,) * 2, np.uint8)
        inside = cv2.erode(valid, kernel, borderType=cv2.BORDER_REPLICATE) > 0
        doubled[~inside] = 0
    doubled = cv2.GaussianBlur(doubled, (0, 0), SMOOTHING_PX)
    modulus = cv2.magnitude(doubled[..., 0], doubled[..., 1])
    typical = float(modulus.sum() / max(1, modulus.size if inside is None else inside.sum()))
    compressed = (doubled / (modulus + COMPRESSION * typical + 1e-6)[..., None]).astype(
        np.float32, copy=False
    )
    if inside is not None:
        compressed[~inside] = 0
    return compressed.view(np.complex64)[..., 0]


def cut_edges(image: NDArray) -> NDArray[np.uint8]:
    """H×W mask, 0 in empty wedges that an earlier warp left along the sides of `image`, else 255.

    A wedge is a run of equal values from the side inwards whose inner edge is a straight line. The sky of a thermal
    picture may be as uniform, but its skyline is not straight.
    """
    valid = np.full(image.shape, 255, np.uint8)
    for turns in range(4):
        turned, mask = np.rot90(image, turns), np.rot90(valid, turns)
        equal = np.cumprod(turned == turned[:1], axis=0).sum(axis=0)  # length of the run from the top
        depth = _straight_profile(equal, turned.shape[0])
        if depth is not None:
            mask[np.arange(turned.shape[0])[:, None] < depth[None]] = 0
    return valid


def _straight_profile(runs: NDArray, height: int) -> NDArray | None:
    columns = np.arange(len(runs), dtype=float)
    wedge = (runs > 1) & (runs < height // 3)  # one equal pixel is every picture's first; wedges are shallow
    if wedge.sum() < 0.15 * len(runs):
        return None
    slope, offset = np.polyfit(columns[wedge], runs[wedge], 1)
    for _ in range(3):  # without the columns where another side's wedge meets this one
        near = wedge & (np.abs(slope * columns + offset - runs) < 3 * STRAIGHT_PX)
        if near.sum() < 0.1 * len(runs):
            return None
        slope, offset = np.polyfit(columns[near], runs[near], 1)
    line = slope * columns + offset
    expected = line > 2
    fits = np.abs(line - runs)[expected] < STRAIGHT_PX
    if not expected.any() or fits.mean() < STRAIGHT_SHARE:
        return None
    return np.where(line > 0, np.ceil(line) + 1, 0)
