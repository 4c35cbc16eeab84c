"""Structural similarity with either of the two windows that fusion papers use.

Wang, Bovik, Sheikh, Simoncelli: Image quality assessment: from error visibility to structural similarity.
IEEE Trans. Image Processing 13, 2004.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from thermal_fusion_ros.evaluation.arrays import GreyImage


@dataclass(frozen=True)
class Window:
    """Local window, correction of the variances, and the dynamic range L of C1 = (0.01 L)^2, C2 = (0.03 L)^2."""

    size: int
    sigma: float | None  # None: uniform
    variance_factor: float
    data_range: float

    def average(self, image: GreyImage) -> GreyImage:
        """Local mean, only where the window lies wholly inside the image."""
        shape = (self.size, self.size)
        if self.sigma is None:
            smooth = cv2.boxFilter(image, cv2.CV_64F, shape)
        else:
            kernel = cv2.getGaussianKernel(self.size, self.sigma, cv2.CV_64F)
            smooth = cv2.sepFilter2D(image, cv2.CV_64F, kernel, kernel)
        margin = self.size // 2
        return np.asarray(smooth, dtype=np.float64)[margin:-margin, margin:-margin]


# The common definition: scikit-image's default window on float images, whose assumed data range is 2 although
# these are on the 0-255 scale. C1 and C2 then hardly count; it is what the published tables hold.
COMMON = Window(size=7, sigma=None, variance_factor=49 / 48, data_range=2.0)
# The original paper's: 11x11 Gaussian of sigma 1.5, population variances, data range 255.
GAUSSIAN = Window(size=11, sigma=1.5, variance_factor=1.0, data_range=255.0)


@dataclass(frozen=True)
class Moments:
    """An image with its local mean and variance under one window."""

    image: GreyImage
    mean: GreyImage
    variance: GreyImage


def moments_of(image: GreyImage, window: Window) -> Moments:
    """Local moments of a grey image (H, W) whose sides are at least the window's."""
    mean = window.average(image)
    variance = (window.average(image * image) - mean * mean) * window.variance_factor
    return Moments(image, mean, variance)


def similarity(first: Moments, second: Moments, window: Window) -> float:
    """Mean SSIM of two images, -1 to 1; 1 when equal."""
    c1, c2 = (0.01 * window.data_range) ** 2, (0.03 * window.data_range) ** 2
    covariance = window.average(first.image * second.image)
    product = first.mean * second.mean
    covariance -= product
    covariance *= 2.0 * window.variance_factor
    covariance += c2
    product *= 2.0
    product += c1
    product *= covariance
    product /= first.mean * first.mean + second.mean * second.mean + c1
    product /= first.variance + second.variance + c2
    return float(product.mean())
