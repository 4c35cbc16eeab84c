"""Feature mutual information of raw pixels in a sliding 3x3 window (FMI_pixel).

Haghighat, Aghagolzadeh, Seyedarabi: A non-reference image fusion metric based on mutual information of image
features. Computers and Electrical Engineering 37, 2011; Haghighat, Razian: Fast-FMI, AICT 2014.
"""

from __future__ import annotations

import numpy as np

from thermal_fusion_ros.evaluation.arrays import GreyImage

_SIDE = 3
_CELLS = _SIDE * _SIDE
_WINDOWS_AT_ONCE = 4096  # keeps the 9x9 joint tables of one batch in the processor's cache


def feature_mutual_information(visible: GreyImage, thermal: GreyImage, fused: GreyImage) -> float:
    """Mean over all 3x3 windows of the mean of both sources' normalised information with the fused: 0 to about 1.

    The nine grey values of a window, stretched to 0-1 and divided by their sum (ones if the window is flat), are
    taken, column by column, as a distribution over nine places. The joint distribution of two windows is mixed
    from independence and Frechet's upper (positive correlation) or lower bound so that it has the windows' Pearson
    correlation; the result is 2 I / (H1 + H2), or 1 for equal windows. It takes seconds per picture.
    """
    places = _windows(fused)
    return float(np.mean([_information(_windows(source), places) for source in (visible, thermal)]))


def _windows(image: GreyImage) -> GreyImage:
    """Every window's nine values, column by column: (9, windows)."""
    views = np.lib.stride_tricks.sliding_window_view(image, (_SIDE, _SIDE))
    return views.transpose(3, 2, 0, 1).reshape(_CELLS, -1)


def _information(first: GreyImage, second: GreyImage) -> float:
    total = 0.0
    for start in range(0, first.shape[1], _WINDOWS_AT_ONCE):
        part = slice(start, start + _WINDOWS_AT_ONCE)
        total += float(_batch(first[:, part], second[:, part]).sum())
    return total / first.shape[1]


def _batch(first: GreyImage, second: GreyImage) -> GreyImage:
    """Normalised mutual information (windows,) of two batches of windows (9, windows)."""
    equal = (first == second).all(axis=0)
    p, q = _distribution(first), _distribution(second)
    cdf_p, cdf_q = np.cumsum(p, axis=0), np.cumsum(q, axis=0)
    correlation = _correlation(p, q)

    independent = q[:, None] * p[None]
    cdf_independent = cdf_q[:, None] * cdf_p[None]
    upper = np.minimum(cdf_q[:, None], cdf_p[None])
    lower = np.maximum(cdf_q[:, None] + cdf_p[None] - 1.0, 0.0)
    bound = np.where(correlation >= 0.0, upper, lower)
    covariance = (bound - cdf_independent).sum(axis=(0, 1))
    spread = _spread(p) * _spread(q)
    mixed = (correlation != 0.0) & (spread > 0.0) & (covariance != 0.0)
    weight = np.zeros_like(correlation)
    np.divide(correlation * spread, covariance, out=weight, where=mixed)

    extreme = np.diff(np.diff(bound, axis=0, prepend=0.0), axis=1, prepend=0.0)
    joint = independent + weight * (extreme - independent)
    entropies = _entropy(p) + _entropy(q)
    information = entropies - _entropy(joint.reshape(_CELLS * _CELLS, -1))
    normalised = np.zeros_like(information)
    np.divide(2.0 * information, entropies, out=normalised, where=entropies > 0.0)
    normalised[equal] = 1.0
    return normalised


def _distribution(windows: GreyImage) -> GreyImage:
    low = windows.min(axis=0)
    extent = windows.max(axis=0) - low
    flat = extent == 0.0
    stretched = np.where(flat, 1.0, (windows - low) / np.where(flat, 1.0, extent))
    return stretched / stretched.sum(axis=0)


def _correlation(p: GreyImage, q: GreyImage) -> GreyImage:
    p, q = p - p.mean(axis=0), q - q.mean(axis=0)
    shared = (p * q).sum(axis=0)
    scale = np.sqrt((p * p).sum(axis=0) * (q * q).sum(axis=0))
    correlation = np.zeros_like(shared)
    np.divide(shared, scale, out=correlation, where=scale > 1e-30)
    return correlation


def _spread(p: GreyImage) -> GreyImage:
    """Standard deviation (windows,) of the place, 1 to 9, under a distribution (9, windows)."""
    places = np.arange(1.0, _CELLS + 1.0)
    return np.sqrt(np.maximum(places**2 @ p - (places @ p) ** 2, 0.0))


def _entropy(p: GreyImage) -> GreyImage:
    # A weight above 1 makes some joint entries negative; the published code then takes log2 |p|.
    size = np.abs(p)
    return -(p * np.log2(np.where(size > 0.0, size, 1.0))).sum(axis=0)
