"""Depth errors on numbers that can be worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.evaluation.depth_metrics import METRICS, align, score_depth

TRUTH = np.array([[1.0, 2.0], [4.0, 8.0]])


def test_errors_of_four_pixels_by_hand() -> None:
    predicted = np.array([[1.0, 3.0], [4.0, 4.0]])  # errors 0, +1 of 2, 0, -4 of 8
    values = score_depth(predicted, TRUTH)
    d1, d2 = math.log(1.5), math.log(0.5)
    assert values == pytest.approx(
        {
            "AbsRel": (1 / 2 + 4 / 8) / 4,
            "SqRel": (1 / 2 + 16 / 8) / 4,
            "RMSE": math.sqrt((1 + 16) / 4),
            "RMSE_log": math.sqrt((d1**2 + d2**2) / 4),
            "SILog": math.sqrt((d1**2 + d2**2) / 4 - ((d1 + d2) / 4) ** 2),
            "delta1": 2 / 4,  # 1.5 and 2 are both over 1.25
            "delta2": 3 / 4,  # 1.5 < 1.5625
            "delta3": 3 / 4,  # 2 > 1.953
            "coverage": 1.0,
        }
    )
    assert tuple(values) == METRICS


def test_the_truth_has_no_error() -> None:
    values = score_depth(TRUTH, TRUTH)
    assert values == {name: 1.0 if name.startswith(("delta", "cov")) else 0.0 for name in METRICS}


def test_delta_is_strict_and_symmetric() -> None:
    assert score_depth(TRUTH * 1.25, TRUTH)["delta1"] == score_depth(TRUTH / 1.25, TRUTH)["delta1"] == 0.0
    assert score_depth(TRUTH * 1.2499, TRUTH)["delta1"] == score_depth(TRUTH / 1.2499, TRUTH)["delta1"] == 1.0


@pytest.mark.parametrize(
    ("alignment", "predicted"),
    [
        ("scale", TRUTH * 7),
        ("scale_shift", TRUTH * 3 + 5),
        ("scale_shift", 20 - TRUTH),  # also a mirrored one: least squares may find a negative scale
        ("inverse_scale_shift", 1 / (0.2 / TRUTH + 0.1)),
    ],
)
def test_alignment_undoes_what_it_is_meant_to_undo(alignment: str, predicted: np.ndarray) -> None:
    assert score_depth(predicted, TRUTH)["AbsRel"] > 0.1
    assert score_depth(predicted, TRUTH, alignment=alignment)["AbsRel"] == pytest.approx(0.0, abs=1e-12)
    assert align(predicted, TRUTH, alignment=alignment) == pytest.approx(TRUTH)


def test_alignment_does_not_undo_more_than_that() -> None:
    assert score_depth(TRUTH * 3 + 5, TRUTH, alignment="scale")["AbsRel"] > 0.1
    assert score_depth(1 / (0.2 / TRUTH + 0.1), TRUTH, alignment="scale_shift")["AbsRel"] > 0.01


def test_one_wild_pixel_does_not_change_the_scale() -> None:
    predicted = np.array([[2.0, 4.0, 8.0, 1.0]])
    truth = np.array([[1.0, 2.0, 4.0, 900.0]])  # ratios 1/2, 1/2, 1/2, 900
    assert align(predicted, truth, alignment="scale")[0, :3] == pytest.approx(truth[0, :3], rel=1e-12)


def test_least_squares_against_numpy() -> None:
    random = np.random.default_rng(1)
    truth = random.uniform(1, 10, (20, 30))
    predicted = truth * 0.3 + random.normal(2, 0.3, truth.shape)
    scale, shift = np.polyfit(predicted.ravel(), truth.ravel(), 1)
    expected = np.sqrt(((predicted * scale + shift - truth) ** 2).mean())
    assert score_depth(predicted, truth, alignment="scale_shift")["RMSE"] == pytest.approx(expected)


def test_a_constant_prediction_aligns_to_the_mean() -> None:
    assert align(np.full((2, 2), 5.0), TRUTH, alignment="scale_shift") == pytest.approx(np.full((2, 2), 3.75))


def test_aligned_depth_is_never_behind_the_camera() -> None:
    truth = np.array([[1.0, 1.0, 10.0]])
    predicted = np.array([[-8.0, 5.0, 9.0]])
    aligned = align(predicted, truth, np.array([[False, True, True]]))
    assert aligned[0, 0] == 1e-3
    assert np.isfinite(list(score_depth(predicted, truth, alignment="scale_shift").values())).all()


@pytest.mark.parametrize("invalid", [np.nan, np.inf, 0.0, -1.0])
def test_invalid_truth_is_never_counted(invalid: float) -> None:
    truth, predicted = np.append(TRUTH, [[invalid, 5]], axis=0), np.append(TRUTH, [[123.0, 5]], axis=0)
    assert score_depth(predicted, truth) == score_depth(TRUTH, TRUTH)


def test_a_mask_chooses_pixels() -> None:
    predicted = TRUTH + np.array([[0, 1], [0, 0]])
    assert score_depth(predicted, TRUTH, np.array([[True, False], [True, True]]))["RMSE"] == 0.0
    assert score_depth(predicted, TRUTH, np.array([[False, True], [False, False]]))["RMSE"] == 1.0


@pytest.mark.parametrize("missing", [np.nan, np.inf, 0.0, -2.0])
def test_a_missing_prediction_is_refused_unless_told_to_leave_it_out(missing: float) -> None:
    predicted = TRUTH.copy()
    predicted[1, 1] = missing
    with pytest.raises(InputError, match="1 of 4 valid pixels"):
        score_depth(predicted, TRUTH)
    values = score_depth(predicted, TRUTH, missing="exclude")
    assert (values["coverage"], values["RMSE"]) == (0.75, 0.0)


@pytest.mark.parametrize(
    ("predicted", "truth", "mask", "words"),
    [
        (TRUTH, np.full((2, 2), np.nan), None, "no valid pixel"),
        (TRUTH, TRUTH, np.zeros((2, 2), bool), "no valid pixel"),
        (np.full((2, 2), np.nan), TRUTH, None, "4 of 4"),
        (TRUTH[:1], TRUTH, None, "shape"),
        (TRUTH, TRUTH, np.ones((1, 2), bool), "mask has shape"),
        (TRUTH, TRUTH, np.ones((2, 2)), "booleans"),
        (TRUTH.astype(str), TRUTH, None, "not a number"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    predicted: np.ndarray, truth: np.ndarray, mask: np.ndarray | None, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        score_depth(predicted, truth, mask)


def test_nothing_predicted_is_refused_even_when_missing_pixels_are_left_out() -> None:
    with pytest.raises(InputError, match="no valid pixel has"):
        score_depth(np.full((2, 2), np.nan), TRUTH, missing="exclude")


def test_an_unknown_alignment_is_refused() -> None:
    with pytest.raises(InputError, match="affine"):
        score_depth(TRUTH, TRUTH, alignment="affine")


def test_a_prediction_of_0_has_no_inverse() -> None:
    predicted = TRUTH - 1  # one of them 0
    with pytest.raises(InputError, match="1 of 4 valid pixels"):
        score_depth(predicted, TRUTH, alignment="inverse_scale_shift")
    left = score_depth(predicted, TRUTH, alignment="inverse_scale_shift", missing="exclude")
    assert np.isfinite(list(left.values())).all()
    assert score_depth(predicted, TRUTH, alignment="scale_shift")["RMSE"] == pytest.approx(0)
