"""Ordinal agreement on pairs that can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.evaluation.ordinal_depth import (
    OrdinalPairs,
    relation_of,
    sample_pairs,
    weighted_disagreement,
)

DEPTH = np.array([[1.0, 2.0, 2.02]])


def pairs(
    first: list[int], second: list[int], relation: list[int], weight: list[float] | None = None
) -> OrdinalPairs:
    def points(columns: list[int]) -> np.ndarray:
        return np.array([[0, column] for column in columns], dtype=np.intp).reshape(-1, 2)

    weights = np.ones(len(relation)) if weight is None else np.array(weight)
    return OrdinalPairs(points(first), points(second), np.array(relation, dtype=np.int8), weights)


def test_disagreement_is_the_weighted_share_of_wrong_relations() -> None:
    asked = pairs([0, 1, 1], [1, 0, 2], [-1, -1, 0], [1, 3, 4])  # right, wrong, right
    assert weighted_disagreement(DEPTH, asked) == pytest.approx(3 / 8)
    assert weighted_disagreement(DEPTH * 100, asked) == pytest.approx(3 / 8)


def test_equal_is_a_band_around_one() -> None:
    assert weighted_disagreement(DEPTH, pairs([2], [1], [1])) == 1.0  # 1 % apart counts as equal
    assert weighted_disagreement(DEPTH, pairs([2], [1], [1]), equal_within=0.0) == 0.0
    assert relation_of(np.array([1.02, 1.04, 1.0]), np.array([1.0, 1.0, 1.04])).tolist() == [0, 1, -1]


def test_a_point_without_depth_cannot_agree() -> None:
    assert weighted_disagreement(np.array([[np.nan, 2.0, -1.0]]), pairs([0, 1], [1, 2], [-1, 1])) == 1.0


def test_sampled_pairs_are_valid_repeatable_and_right_about_the_truth() -> None:
    truth = np.random.default_rng(1).uniform(1, 9, (20, 30))
    truth[:, :10] = np.nan
    sampled = sample_pairs(truth, 500, seed=3)
    assert (sampled.first[:, 1] >= 10).all()
    assert (sampled.second[:, 1] >= 10).all()
    assert not (sampled.first == sampled.second).all(axis=1).any()
    assert set(sampled.relation) == {-1, 0, 1}
    assert weighted_disagreement(truth, sampled) == 0.0
    assert weighted_disagreement(10 - truth, sampled) > 0.9
    again = sample_pairs(truth, 500, seed=3)
    assert (again.first == sampled.first).all()
    assert (again.second == sampled.second).all()
    assert (sample_pairs(truth, 500, seed=4).first != sampled.first).any()


def test_a_mask_limits_the_points() -> None:
    mask = np.zeros((5, 5), bool)
    mask[2, 1:3] = True
    assert set(sample_pairs(np.ones((5, 5)), 10, 0, mask=mask).first[:, 0]) == {2}


def test_bad_pairs_are_refused() -> None:
    with pytest.raises(InputError, match="N > 0"):
        pairs([], [], [])
    with pytest.raises(InputError, match=r"\+1"):
        pairs([0], [1], [2])
    with pytest.raises(InputError, match="not all zero"):
        pairs([0], [1], [1], [0.0])
    with pytest.raises(InputError, match="outside"):
        weighted_disagreement(DEPTH, pairs([0], [3], [1]))
    with pytest.raises(InputError, match="too few"):
        sample_pairs(np.array([[1.0, np.nan]]), 3, 0)
