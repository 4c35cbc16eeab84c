"""The field's fusion metrics, by name.

One fused picture:

>>> from thermal_fusion_ros.evaluation.fusion_metrics import score
>>> score(fused_grey, visible_grey, thermal_grey)  # doctest: +SKIP
{'EN': 7.1, 'SD': 45.4, ...}

Several fused pictures of one pair: make a :class:`SourcePair` once; what depends on the sources alone is then
computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.evaluation import edge_transfer, statistics, structural_similarity, visual_information

GreyImage = NDArray[np.float64]
COMMON = ("EN", "SD", "SF", "AG", "MI", "SCD", "VIF", "Qabf", "SSIM")
VARIANTS: tuple[str, ...] = ()


class Picture:
    """One grey image (H, W), float64 on the 0-255 scale, with what the metrics derive from it, each made once."""

    def __init__(self, image: ArrayLike, name: str) -> None:
        self.image = _checked(image, name)

    @cached_property
    def levels(self) -> NDArray[np.uint8]:
        return statistics.grey_levels(self.image)

    @cached_property
    def scales(self) -> list[visual_information.Level]:
        return visual_information.levels_of(self.image)

    @cached_property
    def edges(self) -> edge_transfer.Edges:
        return edge_transfer.edges_of(self.image)

    @cached_property
    def moments(self) -> structural_similarity.Moments:
        return structural_similarity.moments_of(self.image, structural_similarity.COMMON)


@dataclass(frozen=True)
class Triple:
    """A fused picture and the two it was made from, all of one size."""

    fused: Picture
    visible: Picture
    thermal: Picture

    @property
    def sources(self) -> tuple[Picture, Picture]:
        return self.visible, self.thermal


def _mutual_information(triple: Triple) -> float:
    return sum(
        statistics.mutual_information_nats(triple.fused.levels, source.levels) for source in triple.sources
    )


def _difference_correlations(triple: Triple) -> float:
    return statistics.sum_of_correlations_of_differences(
        triple.fused.image, triple.visible.image, triple.thermal.image
    )


def _visual_information(triple: Triple) -> float:
    return sum(visual_information.fidelity(source.scales, triple.fused.scales) for source in triple.sources)


def _edge_preservation(triple: Triple) -> float:
    return edge_transfer.edge_preservation(triple.visible.edges, triple.thermal.edges, triple.fused.edges)


def _structural_similarity(triple: Triple) -> float:
    window = structural_similarity.COMMON
    return sum(
        structural_similarity.similarity(source.moments, triple.fused.moments, window)
        for source in triple.sources
    )


@dataclass(frozen=True)
class Metric:
    """How a metric is computed and read."""

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
    "SSIM": Metric(
        _structural_similarity, "7x7 uniform SSIM with data range 2 against each source, summed, -2 to 2"
    ),
}


class SourcePair:
    """A visible and a thermal grey image (H, W) of one size, on the 0-255 scale, to score fused pictures against.

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

    Degenerate images get finite numbers: a flat fused image has EN, SD, SF, AG, MI, SCD 0; two flat sources give
    Qabf 0; a flat source adds 1 to VIF. Raises :class:`InputError` for unequal sizes, sides under 41 px, colour
    images, values outside 0-255, NaN, float images that are evidently on a 0-1 scale, and unknown metric names.
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
