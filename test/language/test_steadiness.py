import numpy as np
import pytest

from thermal_fusion_ros.language.steadiness import spoken, sticky_bin, sticky_number


def test_bins_are_held_within_their_margin():
    assert [sticky_bin(v, (0.0, 10.0), None, 1.0) for v in (-1, 5, 11)] == [0, 1, 2]
    assert sticky_bin(-0.9, (0.0, 10.0), 1, 1.0) == 1
    assert sticky_bin(-1.1, (0.0, 10.0), 1, 1.0) == 0
    assert sticky_bin(10.9, (0.0, 10.0), 1, 1.0) == 1
    assert sticky_bin(25.0, (0.0, 10.0), 0, 1.0) == 2


@pytest.mark.parametrize("coarseness", [0.1, 0.2])
def test_numbers_stay_true_along_a_random_walk(coarseness):
    random = np.random.default_rng(0)
    stated, changes, value = None, 0, 8.0
    for _ in range(2000):
        value = float(np.clip(value * np.exp(random.normal(0, 0.05)), 1.5, 100))
        new = sticky_number(value, stated, coarseness)
        changes += new != stated
        stated = new
        assert abs(stated - value) <= 0.9 * coarseness * value + 1e-9
    assert changes < 1200


def test_numbers_are_said_shortly():
    assert [spoken(sticky_number(v, None, 0.1)) for v in (0.42, 2.29, 6.26, 14.6, 51.0)] == [
        "0.4", "2.2", "6.5", "15", "50",
    ]  # fmt: skip
