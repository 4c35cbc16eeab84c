"""Pixel-domain visual information fidelity (VIFp).

Sheikh, Bovik: Image information and visual quality. IEEE Trans. Image Processing 15, 2006; the pixel-domain form
is the authors' own `vifp_mscale`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.evaluation.arrays import GreyImage

SCALES = 4
NOISE_VARIANCE = 2.0  # sigma_n^2, the noise of the visual system in the model
SMALLEST_SIDE = 41  # below it nothing is left of the fourth scale
_EPSILON = 1e-10


@dataclass(frozen=True)
class Level:
    """One scale of an image: the picture itself, its local mean and its local variance."""

    image: GreyImage
    mean: GreyImage
    variance: GreyImage


def levels_of(image: GreyImage) -> list[Level]:
    """The four scales of a grey image (H, W) whose sides are at least 41 px.

    Their Gaussian windows have 17, 9, 5 and 3 px.
    """
    flat = float(np.ptp(image)) == 0.0  # then what is left of the variances is rounding noise
    levels = []
    for scale in range(SCALES):
        window = _window(scale)
        if scale:
            image = np.ascontiguousarray(_blur(image, window)[::2, ::2])
        mean = _blur(image, window)
        variance = _blur(image * image, window) - mean * mean
        variance[variance < (math.inf if flat else _EPSILON)] = 0.0
        levels.append(Level(image, mean, variance))
    return levels


def fidelity(reference: list[Level], distorted: list[Level]) -> float:
    """Share of the reference's information that the distorted image keeps; 1 for equal images.

    Above 1 is possible for a picture of more contrast. A flat reference holds no information: by the field's
    convention the answer is then 1.
    """
    kept = available = 0.0
    for scale, (ref, dist) in enumerate(zip(reference, distorted, strict=True)):
        covariance = _blur(ref.image * dist.image, _window(scale)) - ref.mean * dist.mean
        # Where an image is flat, or the two run against each other, nothing is transmitted (gain 0).
        transmits = (ref.variance > 0.0) & (dist.variance > 0.0) & (covariance > 0.0)
        gain = np.where(transmits, covariance, 0.0)
        gain /= ref.variance + _EPSILON
        noise = dist.variance - gain * covariance
        np.maximum(noise, _EPSILON, out=noise)
        noise += NOISE_VARIANCE
        gain *= gain
        gain *= ref.variance
        gain /= noise
        gain += 1.0
        kept += float(np.log(gain, out=gain).sum())
        available += float(
            np.log(1.0 + ref.variance / NOISE_VARIANCE).sum()
        )  # log1p would take ten times as long
    return kept / available if available > 0.0 else 1.0


def _window(scale: int) -> NDArray[np.float64]:
    size = 2 ** (SCALES - scale) + 1
    offsets = np.arange(size) - (size - 1) / 2
    weights = np.exp(-(offsets**2) / (2.0 * (size / 5.0) ** 2))
    return weights / weights.sum()


def _blur(image: GreyImage, window: NDArray[np.float64]) -> GreyImage:
    """Separable Gaussian, only where the window lies wholly inside: (H, W) -> (H - n + 1, W - n + 1)."""
    margin = window.size // 2
    blurred: GreyImage = np.asarray(cv2.sepFilter2D(image, cv2.CV_64F, window, window), dtype=np.float64)
    return blurred[margin:-margin, margin:-margin]
