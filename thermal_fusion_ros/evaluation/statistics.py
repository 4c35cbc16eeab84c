"""Metrics of one grey image, or of its plain statistics against the sources: EN, SD, SF, AG, MI, SCD.

Every image is a float64 array (H, W) on the 0-255 scale.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.evaluation.arrays import GreyImage, GreyLevels

_LEVELS = 256


def grey_levels(image: GreyImage) -> GreyLevels:
    """Round a float image (H, W) on the 0-255 scale to the 256 levels that histograms are made of."""
    return np.rint(image).astype(np.uint8)


def entropy_bits(levels: GreyLevels) -> float:
    """Shannon entropy of the 256-bin histogram, in bits: 0 (flat) to 8.

    Roberts, van Aardt, Ahmed: Assessment of image fusion procedures using entropy, image quality, and
    multispectral classification. J. Applied Remote Sensing 2, 2008.
    """
    return _entropy(np.bincount(levels.ravel(), minlength=_LEVELS)) / math.log(2.0)


def mutual_information_nats(first: GreyLevels, second: GreyLevels) -> float:
    """Mutual information of two images from their 256x256 joint histogram, in nats.

    Qu, Zhang, Yan: Information measure for performance of image fusion. Electronics Letters 38, 2002.
    """
    return _information(first, second)[0]


def normalised_mutual_information(first: GreyLevels, second: GreyLevels) -> float:
    """2 I(X, Y) / (H(X) + H(Y)): 0 (independent) to 1 (each tells the other). Two flat images: 0."""
    shared, entropies = _information(first, second)
    return 2.0 * shared / entropies if entropies > 0.0 else 0.0


def _information(first: GreyLevels, second: GreyLevels) -> tuple[float, float]:
    """Mutual information, and the sum of the two entropies, in nats."""
    joint = np.bincount(first.ravel().astype(np.intp) * _LEVELS + second.ravel(), minlength=_LEVELS * _LEVELS)
    table = joint.reshape(_LEVELS, _LEVELS)
    entropies = _entropy(table.sum(axis=1)) + _entropy(table.sum(axis=0))
    return max(entropies - _entropy(joint), 0.0), entropies  # rounding may leave -1e-16 for a flat image


def _entropy(counts: NDArray[np.intp]) -> float:
    filled = counts[counts > 0]
    total = float(filled.sum())
    return math.log(total) - float((filled * np.log(filled)).sum()) / total


def standard_deviation(image: GreyImage) -> float:
    """Population standard deviation of the grey values: 0 (flat) to 127.5."""
    return float(image.std())


def spatial_frequency(image: GreyImage) -> float:
    """Root of the mean squared horizontal plus mean squared vertical difference of neighbours, 0-255 scale.

    Eskicioglu, Fisher: Image quality measures and their performance. IEEE Trans. Communications 43, 1995.
    """
    rows, columns = np.diff(image, axis=1), np.diff(image, axis=0)
    return math.sqrt(float(np.square(rows, out=rows).mean()) + float(np.square(columns, out=columns).mean()))


def average_gradient(image: GreyImage) -> float:
    """Mean of sqrt((gx^2 + gy^2) / 2), with central differences inside and one-sided ones at the border.

    Cui, Feng, Xu, Li, Chen: Detail preserved fusion of visible and infrared images using regional saliency
    extraction and multi-scale image decomposition. Optics Communications 341, 2015.
    """
    vertical, horizontal = np.gradient(image)
    squares = vertical * vertical
    squares += horizontal * horizontal
    return float(np.sqrt(squares).mean()) / math.sqrt(2.0)


def correlation(first: GreyImage, second: GreyImage) -> float:
    """Pearson correlation of two arrays of one shape; 0 when either is flat (no correlation can be told)."""
    # Sums of products, not BLAS products: those start threads that burn processor time on so little work.
    first, second = first - first.mean(), second - second.mean()
    scale = math.sqrt(float((first * first).sum()) * float((second * second).sum()))
    # Below this the deviations are rounding noise of a flat array on the 0-255 scale, not signal.
    if scale < 1e-12 * first.size:
        return 0.0
    return float((first * second).sum()) / scale


def sum_of_correlations_of_differences(visible: GreyImage, thermal: GreyImage, fused: GreyImage) -> float:
    """r(visible, fused - thermal) + r(thermal, fused - visible): -2 to 2.

    Aslantas, Bendes: A new image quality metric for image fusion: the sum of the correlations of differences.
    AEU - Int. J. Electronics and Communications 69, 2015.
    """
    return correlation(visible, fused - thermal) + correlation(thermal, fused - visible)
