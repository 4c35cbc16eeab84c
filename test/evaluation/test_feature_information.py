"""FMI beside its definition, one window at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from thermal_fusion_ros.evaluation.feature_information import feature_mutual_information


def by_the_book(first: np.ndarray, second: np.ndarray) -> float:
    rows, columns = first.shape
    values = [
        one_window(first[y : y + 3, x : x + 3], second[y : y + 3, x : x + 3])
        for y in range(rows - 2)
        for x in range(columns - 2)
    ]
    return sum(values) / len(values)


def one_window(a: np.ndarray, f: np.ndarray) -> float:
    if (a == f).all():
        return 1.0
    p, q = distribution(a), distribution(f)
    P, Q = np.cumsum(p), np.cumsum(q)
    dp, dq = p - p.mean(), q - q.mean()
    c = float((dp * dq).sum())
    if c != 0:
        c /= math.sqrt((dp * dp).sum() * (dq * dq).sum())
    place = np.arange(1, 10)
    sd_p = math.sqrt(max((place**2 * p).sum() - (place * p).sum() ** 2, 0))
    sd_q = math.sqrt(max((place**2 * q).sum() - (place * q).sum() ** 2, 0))

    def bound(i: int, j: int) -> float:
        if i < 0 or j < 0:
            return 0.0
        return min(Q[i], P[j]) if c >= 0 else max(Q[i] + P[j] - 1, 0.0)

    covariance = sum(bound(i, j) - Q[i] * P[j] for i in range(9) for j in range(9))
    weight = c * sd_p * sd_q / covariance if c != 0 and sd_p > 0 and sd_q > 0 else 0.0
    joint_entropy = 0.0
    for i in range(9):
        for j in range(9):
            extreme = bound(i, j) - bound(i - 1, j) - bound(i, j - 1) + bound(i - 1, j - 1)
            joint = weight * extreme + (1 - weight) * q[i] * p[j]
            if joint != 0:
                joint_entropy -= joint * math.log2(abs(joint))
    marginal = sum(-x * math.log2(x) for d in (p, q) for x in d if x > 0)
    return 2 * (marginal - joint_entropy) / marginal if marginal else 0.0


def distribution(window: np.ndarray) -> np.ndarray:
    values = window.T.ravel()  # column by column
    values = np.ones(9) if np.ptp(values) == 0 else (values - values.min()) / np.ptp(values)
    return values / values.sum()


def test_it_is_the_published_definition() -> None:
    random = np.random.default_rng(1)
    visible, thermal = random.integers(0, 256, (2, 12, 15)).astype(float)
    fused = np.rint(0.5 * visible + 0.5 * thermal)
    thermal[:4, :6] = 90  # flat windows
    fused[8:, 9:] = visible[8:, 9:]  # equal windows
    expected = (by_the_book(visible, fused) + by_the_book(thermal, fused)) / 2
    assert feature_mutual_information(visible, thermal, fused) == pytest.approx(expected, rel=1e-9)


def test_equal_images_share_everything() -> None:
    image = np.random.default_rng(2).integers(0, 256, (20, 30)).astype(float)
    assert feature_mutual_information(image, image, image) == 1.0


def test_batches_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(3).integers(0, 256, (3, 20, 30)).astype(float)
    whole = feature_mutual_information(*images)
    monkeypatch.setattr("thermal_fusion_ros.evaluation.feature_information._WINDOWS_AT_ONCE", 7)
    assert feature_mutual_information(*images) == pytest.approx(whole, rel=1e-12)
