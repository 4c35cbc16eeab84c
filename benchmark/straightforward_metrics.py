"""The fusion metrics written the obvious way: one 2-D convolution per local mean, nothing shared, nothing fused.

It is the measuring stick for the fast code: the tests want the same numbers, `benchmark.metric_speed` the ratio of
times. Images are float64 arrays (H, W) on the 0-255 scale.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter
from scipy.signal import convolve2d

Image = NDArray[np.float64]


def entropy(fused: Image) -> float:
    """EN, bits."""
    share = np.bincount(np.rint(fused).astype(int).ravel(), minlength=256) / fused.size
    share = share[share > 0]
    return float(-(share * np.log2(share)).sum())


def spatial_frequency(fused: Image) -> float:
    """SF."""
    rows = (fused[:, 1:] - fused[:, :-1]) ** 2
    columns = (fused[1:] - fused[:-1]) ** 2
    return float(np.sqrt(rows.mean() + columns.mean()))


def average_gradient(fused: Image) -> float:
    """AG."""
    vertical, horizontal = np.gradient(fused)
    return float(np.sqrt((vertical**2 + horizontal**2) / 2).mean())


def mutual_information(first: Image, second: Image) -> float:
    """Of two images, nats."""
    counts, _, _ = np.histogram2d(first.ravel(), second.ravel(), bins=256, range=[[-0.5, 255.5]] * 2)
    joint = counts / counts.sum()
    independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    some = joint > 0
    return float((joint[some] * np.log(joint[some] / independent[some])).sum())


def correlation(first: Image, second: Image) -> float:
    """Pearson's."""
    first, second = first - first.mean(), second - second.mean()
    return float((first * second).sum() / np.sqrt((first**2).sum() * (second**2).sum()))


def visual_information(reference: Image, distorted: Image) -> float:
    """VIFp of two images."""
    noise, epsilon = 2.0, 1e-10
    kept = available = 0.0
    for scale in range(1, 5):
        size = 2 ** (5 - scale) + 1
        y, x = np.mgrid[:size, :size] - (size - 1) / 2
        window = np.exp(-(x**2 + y**2) / (2 * (size / 5) ** 2))
        window /= window.sum()
        if scale > 1:
            reference = convolve2d(reference, window, mode="valid")[::2, ::2]
            distorted = convolve2d(distorted, window, mode="valid")[::2, ::2]
        mean1, mean2 = (convolve2d(image, window, mode="valid") for image in (reference, distorted))
        variance1 = np.maximum(convolve2d(reference**2, window, mode="valid") - mean1**2, 0)
        variance2 = np.maximum(convolve2d(distorted**2, window, mode="valid") - mean2**2, 0)
        covariance = convolve2d(reference * distorted, window, mode="valid") - mean1 * mean2
        gain = covariance / (variance1 + epsilon)
        rest = variance2 - gain * covariance
        flat1, flat2 = variance1 < epsilon, variance2 < epsilon
        gain[flat1 | flat2] = 0
        rest[flat1] = variance2[flat1]
        rest[flat2] = 0
        variance1[flat1] = 0
        rest[gain < 0] = variance2[gain < 0]
        gain[gain < 0] = 0
        rest = np.maximum(rest, epsilon)
        kept += np.log10(1 + gain**2 * variance1 / (rest + noise)).sum()
        available += np.log10(1 + variance1 / noise).sum()
    return float(kept / available)


def edge_preservation(visible: Image, thermal: Image, fused: Image) -> float:
    """Qabf."""
    across = np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    down = np.array([[1.0, 2, 1], [0, 0, 0], [-1, -2, -1]])

    def edges(image: Image) -> tuple[Image, Image]:
        x, y = convolve2d(image, across, mode="same"), convolve2d(image, down, mode="same")
        angle = np.full(image.shape, np.pi / 2)
        angle[x != 0] = np.arctan(y[x != 0] / x[x != 0])
        return np.sqrt(x**2 + y**2), angle

    def preserved(source: tuple[Image, Image], result: tuple[Image, Image]) -> Image:
        (g1, a1), (g2, a2) = source, result
        with np.errstate(divide="ignore", invalid="ignore"):
            strength = np.where(g1 > g2, g2 / g1, np.where(g1 == g2, g2, g1 / g2))
        orientation = 1 - np.abs(a1 - a2) / (np.pi / 2)
        return (
            0.9994 / (1 + np.exp(-15 * (strength - 0.5))) * 0.9879 / (1 + np.exp(-22 * (orientation - 0.8)))
        )

    a, b, f = edges(visible), edges(thermal), edges(fused)
    return float((preserved(a, f) * a[0] + preserved(b, f) * b[0]).sum() / (a[0] + b[0]).sum())


def structural_similarity(first: Image, second: Image) -> float:
    """7x7 uniform SSIM, sample variances, data range 2."""
    c1, c2, sample = (0.01 * 2) ** 2, (0.03 * 2) ** 2, 49 / 48
    mean1, mean2 = uniform_filter(first, 7), uniform_filter(second, 7)
    variance1 = sample * (uniform_filter(first * first, 7) - mean1 * mean1)
    variance2 = sample * (uniform_filter(second * second, 7) - mean2 * mean2)
    covariance = sample * (uniform_filter(first * second, 7) - mean1 * mean2)
    similar = (2 * mean1 * mean2 + c1) * (2 * covariance + c2)
    similar /= (mean1**2 + mean2**2 + c1) * (variance1 + variance2 + c2)
    return float(similar[3:-3, 3:-3].mean())


def _summed(measure: Callable[[Image, Image], float]) -> Callable[[Image, Image, Image], float]:
    return lambda fused, visible, thermal: measure(visible, fused) + measure(thermal, fused)


METRICS: dict[str, Callable[[Image, Image, Image], float]] = {
    "EN": lambda fused, visible, thermal: entropy(fused),
    "SD": lambda fused, visible, thermal: float(fused.std()),
    "SF": lambda fused, visible, thermal: spatial_frequency(fused),
    "AG": lambda fused, visible, thermal: average_gradient(fused),
    "MI": _summed(mutual_information),
    "SCD": lambda fused, visible, thermal: (
        correlation(visible, fused - thermal) + correlation(thermal, fused - visible)
    ),
    "VIF": _summed(visual_information),
    "Qabf": lambda fused, visible, thermal: edge_preservation(visible, thermal, fused),
    "SSIM": _summed(structural_similarity),
}


def score(fused: Image, visible: Image, thermal: Image) -> dict[str, float]:
    """The nine common metrics."""
    return {name: measure(fused, visible, thermal) for name, measure in METRICS.items()}
