"""Ordinal depth: which of two points is farther, and how often a depth image says otherwise (WHDR).

Chen, Fu, Yang, Deng: Single-image depth perception in the wild. NIPS 2016; the equality band is Xian et al.,
Monocular relative depth perception with web stereo data supervision, CVPR 2018.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thermal_fusion_ros.errors import InputError

EQUAL_WITHIN = 0.03  # relative difference of depth below which two points count as equally far


@dataclass(frozen=True)
class OrdinalPairs:
    """N pairs of points of an image and how they relate.

    `first`, `second`: (N, 2) integer row, column. `relation`: (N,) +1 where the first is farther, -1 nearer, 0
    equally far. `weight`: (N,) confidence, not negative.
    """

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    relation: NDArray[np.int8]
    weight: NDArray[np.float64]

    def __post_init__(self) -> None:
        count = len(self.relation)
        shapes = {(self.first.shape, self.second.shape, self.weight.shape)}
        if shapes != {((count, 2), (count, 2), (count,))} or count == 0:
            raise InputError(
                "ordinal pairs: give N > 0 pairs as first (N, 2), second (N, 2), relation (N,), weight (N,)"
            )
        if not np.isin(self.relation, (-1, 0, 1)).all():
            raise InputError("ordinal pairs: relations are +1 (first is farther), -1 or 0")
        if not (np.isfinite(self.weight).all() and (self.weight >= 0).all() and self.weight.sum() > 0):
            raise InputError("ordinal pairs: weights must be finite, not negative, and not all zero")


def weighted_disagreement(
    predicted: ArrayLike, pairs: OrdinalPairs, equal_within: float = EQUAL_WITHIN
) -> float:
    """WHDR: weighted share of the pairs whose relation in the predicted depth (H, W) is not the given one, 0-1.

    Depth only has to be right up to a factor. A point without a finite, positive prediction can't agree: its pairs
    count as wrong. Raises :class:`InputError` for points outside the image.
    """
    depth = np.asarray(predicted, dtype=np.float64)
    if depth.ndim != 2:
        raise InputError(f"predicted depth: shape {depth.shape} is not (H, W)")
    values = []
    for points in (pairs.first, pairs.second):
        if (points < 0).any() or (points >= depth.shape).any():
            raise InputError(
                f"ordinal pairs: a point is outside the depth image of {depth.shape[1]}x{depth.shape[0]} px"
            )
        values.append(depth[points[:, 0], points[:, 1]])
    usable = np.isfinite(values[0]) & np.isfinite(values[1]) & (values[0] > 0) & (values[1] > 0)
    agree = np.zeros(len(pairs.relation), dtype=np.bool_)
    agree[usable] = relation_of(values[0][usable], values[1][usable], equal_within) == pairs.relation[usable]
    return float(pairs.weight[~agree].sum() / pairs.weight.sum())


def relation_of(
    first: NDArray[np.float64], second: NDArray[np.float64], equal_within: float = EQUAL_WITHIN
) -> NDArray[np.int8]:
    """+1 where first / second > 1 + equal_within, -1 where second / first is, else 0; positive depths (N,)."""
    farther, nearer = first > second * (1.0 + equal_within), second > first * (1.0 + equal_within)
    return farther.astype(np.int8) - nearer.astype(np.int8)


def sample_pairs(
    truth: ArrayLike, count: int, seed: int, equal_within: float = EQUAL_WITHIN, mask: ArrayLike | None = None
) -> OrdinalPairs:
    """`count` random pairs of valid pixels (finite, positive, inside `mask`) of a true depth (H, W), weight 1 each.

    The same seed gives the same pairs. Raises :class:`InputError` when there are fewer than two valid pixels.
    """
    depth = np.asarray(truth, dtype=np.float64)
    valid = np.isfinite(depth) & (depth > 0)
    if mask is not None:
        valid &= np.asarray(mask, dtype=np.bool_)
    points = np.argwhere(valid)
    if len(points) < 2:
        raise InputError(f"true depth: {len(points)} valid pixels are too few for pairs")
    random = np.random.default_rng(seed)
    a = random.integers(0, len(points), count)
    b = (a + random.integers(1, len(points), count)) % len(points)  # never the same point twice
    first, second = points[a], points[b]
    relation = relation_of(depth[tuple(first.T)], depth[tuple(second.T)], equal_within)
    return OrdinalPairs(first, second, relation, np.ones(count))
