"""The field's fusion metrics, by name.

One fused picture:

>>> from thermal_fusion_ros.evaluation.fusion_metrics import score
>>> score(fused_grey, visible_grey, thermal_grey)  # doctest: +SKIP
{'EN': 7.1, 'SD': 45.4, ...}

Several fused pictures of one pair: make a :class:`SourcePair` once; what depends on the sources alone is then
computed once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.evaluation import (
    edge_transfer,
    feature_information,
    statistics,
    structural_similarity,
    visual_information,
)
from thermal_fusion_ros.evaluation.arrays import GreyImage, GreyLevels

COMMON = ("EN", "SD", "SF", "AG", "MI", "SCD", "VIF", "Qabf", "SSIM")
VARIANTS = ("MI_bits", "NMI", "SSIM_255", "N_abf", "FMI_pixel")


class Picture:
    """One grey image (H, W), float64 on the 0-255 scale, and what metrics derive from it, each made once."""

    def __init__(self, image: ArrayLike, name: str) -> None:
        self.image = _checked(image, name)

    @cached_property
    def levels(self) -> GreyLevels:
        """The image rounded to 256 levels."""
        return statistics.grey_levels(self.image)

    @cached_property
    def scales(self) -> list[visual_information.Level]:
        """Pyramid for VIF."""
        return visual_information.levels_of(self.image)

    @cached_property
    def edges(self) -> edge_transfer.Edges:
        """Sobel edges for Qabf."""
        return edge_transfer.edges_of(self.image)

    @cached_property
    def moments(self) -> structural_similarity.Moments:
        """Local moments for SSIM."""
        return structural_similarity.moments_of(self.image, structural_similarity.COMMON)

    @cached_property
    def gaussian_moments(self) -> structural_similarity.Moments:
        """Local moments for SSIM_255."""
        return structural_similarity.moments_of(self.image, structural_similarity.GAUSSIAN)


@dataclass(frozen=True)
class Triple:
    """A fused picture and the two it was made from, all of one size."""

    fused: Picture
    visible: Picture
    thermal: Picture

    @property
    def sources(self) -> tuple[Picture, Picture]:
        """Visible, thermal."""
        return self.visible, self.thermal

    @property
    def images(self) -> tuple[GreyImage, GreyImage, GreyImage]:
        """Visible, thermal, fused."""
        return self.visible.image, self.thermal.image, self.fused.image


def _mutual_information(triple: Triple) -> float:
    fused = triple.fused.levels
    return sum(statistics.mutual_information_nats(source.levels, fused) for source in triple.sources)


def _normalised_information(triple: Triple) -> float:
    fused = triple.fused.levels
    return sum(statistics.normalised_mutual_information(source.levels, fused) for source in triple.sources)


def _difference_correlations(triple: Triple) -> float:
    return statistics.sum_of_correlations_of_differences(*triple.images)


def _visual_information(triple: Triple) -> float:
    return sum(visual_information.fidelity(source.scales, triple.fused.scales) for source in triple.sources)


def _edge_preservation(triple: Triple) -> float:
    return edge_transfer.edge_preservation(triple.visible.edges, triple.thermal.edges, triple.fused.edges)


def _similarity_sum(triple: Triple) -> float:
    window, fused = structural_similarity.COMMON, triple.fused.moments
    return sum(structural_similarity.similarity(source.moments, fused, window) for source in triple.sources)


def _similarity_mean(triple: Triple) -> float:
    window, fused = structural_similarity.GAUSSIAN, triple.fused.gaussian_moments
    values = [
        structural_similarity.similarity(source.gaussian_moments, fused, window) for source in triple.sources
    ]
    return sum(values) / 2.0


@dataclass(frozen=True)
class Metric:
    """How a metric is computed and read; formula and source are with the function that computes it."""

    compute: Callable[[Triple], float]
    meaning: str
    higher_is_better: bool = True


METRICS: dict[str, Metric] = {
    "EN": Metric(
        lambda t: statistics.entropy_bits(t.fused.levels), "entropy of the grey histogram, bits, 0-8"
    ),
    "SD": Metric(lambda t: statistics.standard_deviation(t.fused.image), "standard deviation, 0-255 scale"),
    "SF": Metric(lambda t: statistics.spatial_frequency(t.fused.image), "spatial frequency, 0-255 scale"),
    "AG": Metric(lambda t: statistics.average_gradient(t.fused.image), "average gradient, 0-255 scale"),
    "MI": Metric(_mutual_information, "mutual information with each source, nats, summed"),
    "SCD": Metric(_difference_correlations, "sum of the correlations of differences, -2 to 2"),
    "VIF": Metric(_visual_information, "pixel-domain visual information fidelity to each source, summed"),
    "Qabf": Metric(_edge_preservation, "edge strength and orientation kept from the sources, 0-1"),
    "SSIM": Metric(_similarity_sum, "7x7 uniform SSIM, data range 2, with each source, summed, -2 to 2"),
    "MI_bits": Metric(lambda t: _mutual_information(t) / math.log(2.0), "MI in bits"),
    "NMI": Metric(_normalised_information, "2 I / (H1 + H2) with each source, summed, 0-2"),
    "SSIM_255": Metric(
        _similarity_mean, "11x11 Gaussian SSIM, data range 255, mean of both sources, -1 to 1"
    ),
    "N_abf": Metric(
        lambda t: edge_transfer.artefacts(*t.images),
        "edges that neither source has, 0-1",
        higher_is_better=False,
    ),
    "FMI_pixel": Metric(
        lambda t: feature_information.feature_mutual_information(*t.images),
        "feature mutual information of raw 3x3 windows, mean of both sources; slow",
    ),
}


class SourcePair:
    """A visible and a thermal grey image (H, W) of one size, 0-255, to score fused pictures against.

    Raises :class:`InputError` for anything that is not such a pair.
    """

    def __init__(self, visible: ArrayLike, thermal: ArrayLike) -> None:
        self.visible = Picture(visible, "visible")
        self.thermal = Picture(thermal, "thermal")
        _same_size(self.visible, self.thermal, "visible", "thermal")

    def score(self, fused: ArrayLike, metrics: Iterable[str] = COMMON) -> dict[str, float]:
        """Metrics of one fused grey image (H, W) on the 0-255 scale, in the order asked for."""
        wanted = tuple(metrics)
        unknown = [name for name in wanted if name not in METRICS]
        if unknown:
            raise InputError(f"unknown metric {', '.join(unknown)}; there are {', '.join(METRICS)}")
        picture = Picture(fused, "fused")
        _same_size(picture, self.visible, "fused", "visible")
        triple = Triple(picture, self.visible, self.thermal)
        return {name: METRICS[name].compute(triple) for name in wanted}


def score(
    fused: ArrayLike, visible: ArrayLike, thermal: ArrayLike, metrics: Iterable[str] = COMMON
) -> dict[str, float]:
    """Metrics of one fused picture: three grey images (H, W) of one size, uint8 or float on the 0-255 scale.

    Degenerate images get finite numbers: a flat fused image has EN, SD, SF, AG, MI 0 (SCD then compares the
    sources with their negatives); a correlation with a flat array counts as 0; two flat sources give Qabf 0; a
    flat source adds 1 to VIF. Raises :class:`InputError` for unequal sizes, sides under 41 px, colour images,
    values outside 0-255, NaN, float images that are evidently on a 0-1 scale, and unknown metric names.
    """
    return SourcePair(visible, thermal).score(fused, metrics)


def _checked(image: ArrayLike, name: str) -> GreyImage:
    array = np.asarray(image)
    if array.ndim != 2:
        raise InputError(f"{name}: shape {array.shape} is not a grey image (H, W); convert it to grey first")
    if min(array.shape) < visual_information.SMALLEST_SIDE:
        raise InputError(
            f"{name}: {array.shape[1]}x{array.shape[0]} px is too small; both sides need "
            f"{visual_information.SMALLEST_SIDE} px or more"
        )
    if array.dtype == np.bool_ or not np.issubdtype(array.dtype, np.number) or np.iscomplexobj(array):
        raise InputError(
            f"{name}: values of type {array.dtype} are not grey values; use uint8 or float, 0-255"
        )
    values = np.ascontiguousarray(array, dtype=np.float64)
    low, high = float(values.min()), float(values.max())
    if not (low >= 0.0 and high <= 255.0):  # also true for NaN
        raise InputError(
            f"{name}: values {low:g} to {high:g} are outside 0-255 (NaN and infinity are not allowed)"
        )
    if 0.0 < high <= 1.0 and np.any(values % 1.0):
        raise InputError(f"{name}: values {low:g} to {high:g} look like a 0-1 scale; multiply by 255")
    return values


def _same_size(first: Picture, second: Picture, first_name: str, second_name: str) -> None:
    if first.image.shape != second.image.shape:
        (h1, w1), (h2, w2) = first.image.shape, second.image.shape
        raise InputError(
            f"{first_name} is {w1}x{h1} px but {second_name} is {w2}x{h2} px; they must be of one size"
        )
