import numpy as np
import pytest

from thermal_fusion_ros.evaluation.detection import Picture, curve, judge

A, B, FAR = (0, 0, 40, 80), (100, 0, 140, 80), (300, 300, 340, 380)


def picture(found, boxes, count=None):
    """`found`: (box, score); `boxes` all count unless said otherwise."""
    return Picture(
        np.array([box for box, _ in found], float).reshape(-1, 4),
        np.array([score for _, score in found], float),
        np.array(boxes, float).reshape(-1, 4),
        np.array([True] * len(boxes) if count is None else count, bool),
    )


def test_a_box_is_found_once():
    """The better one of two that fit the same box is right, the other wrong."""
    outcome, asked = judge(picture([(A, 0.5), ((2, 0, 42, 80), 0.9)], [A, B]))
    assert outcome.tolist() == [-1, 1]
    assert asked == 2


def test_half_a_box_is_not_found():
    outcome, _ = judge(picture([((0, 0, 40, 39), 0.9), ((0, 0, 40, 41), 0.8)], [A]))
    assert outcome.tolist() == [-1, 1]


def test_what_does_not_count_is_neither_right_nor_wrong():
    found = [(A, 0.9), ((110, 10, 130, 40), 0.8), (FAR, 0.7)]
    outcome, asked = judge(picture(found, [A, B], [True, False]))
    assert outcome.tolist() == [1, 0, -1]
    assert asked == 1


def test_tiny_boxes_count_neither_way():
    tiny = (200, 200, 210, 215)
    outcome, asked = judge(picture([((250, 250, 255, 260), 0.9), (A, 0.8)], [tiny, A]))
    assert outcome.tolist() == [0, 1]
    assert asked == 1


def test_curve_by_hand():
    """Right, wrong, right; one more is never found: precision 1, 1/2, 2/3 at recall 1/3, 1/3, 2/3."""
    pictures = [picture([(A, 0.9), (FAR, 0.8)], [A]), picture([(B, 0.7)], [B, A])]
    result = curve(pictures)
    np.testing.assert_allclose(result.precision, [1, 1 / 2, 2 / 3])
    np.testing.assert_allclose(result.recall, [1 / 3, 1 / 3, 2 / 3])
    assert result.average_precision == pytest.approx(1 / 3 + 1 / 3 * 2 / 3)
    assert result.at_precision(0.8) == (pytest.approx(0.9), pytest.approx(1 / 3))
    assert result.at_precision(0.6) == (pytest.approx(0.7), pytest.approx(2 / 3))
    assert result.at_threshold(0.75) == (pytest.approx(0.5), pytest.approx(1 / 3))
    assert result.at_threshold(0.95) == (1.0, 0.0)


def test_a_threshold_cannot_tell_equal_scores_apart():
    result = curve([picture([(A, 0.5), (FAR, 0.5)], [A])])
    assert result.precision.tolist() == [0.5]


def test_nothing_found_nothing_there():
    assert np.isnan(curve([picture([], [])]).average_precision)
    assert curve([picture([], [A])]).average_precision == 0
    assert curve([picture([], [A])]).at_precision(0.8) is None
    assert curve([picture([(A, 0.9)], [])]).precision.tolist() == [0.0]
