from __future__ import annotations

import numpy as np
import pytest

from thermal_fusion_ros.sensing.freeze import FreezeDetector


def verdicts(images, hz=9.0, freeze_s=0.25):
    detector = FreezeDetector()
    return [detector.see(image, round(k / hz * 1e9), freeze_s) for k, image in enumerate(images)]


@pytest.fixture
def film(scene, noisy):
    return [noisy(scene, k) for k in range(12)]


def test_a_calibration_is_seen_and_ends(film):
    frozen = verdicts([*film[:4], *[film[4]] * 8, *film[5:]])
    assert frozen == [False] * 7 + [True] * 5 + [False] * 7


@pytest.mark.parametrize("hz", [30.0, 60.0])
def test_a_driver_that_sends_every_frame_three_times_is_not_frozen(film, hz):
    assert not any(verdicts(np.repeat(film, 3, axis=0), hz))


def test_a_few_repeats_are_not_enough_however_long(film):
    assert not any(verdicts([film[0], film[1], film[1], film[1], film[2]], hz=1.0))


def test_the_minimum_time_counts(film):
    still = [film[0]] * 20
    assert verdicts(still, hz=30.0).index(True) == 8
    assert verdicts(still, hz=30.0, freeze_s=0.5).index(True) == 15


def test_zero_switches_it_off(film):
    assert not any(verdicts([film[0]] * 20, freeze_s=0.0))


def test_one_pixel_of_difference_is_no_freeze(film):
    images = [film[0].copy() for _ in range(10)]
    for k, image in enumerate(images):
        image[5, 5] += k
    assert not any(verdicts(images))


def test_floats_with_nan_can_freeze():
    image = np.full((8, 8), 300, np.float32)
    image[2, 2] = np.nan
    assert any(verdicts([image] * 10))


def test_other_size_or_type_and_time_going_back_begin_anew(film):
    detector = FreezeDetector()
    for k in range(5):
        assert detector.see(film[0], k * 10**9, 0.25) == (k >= 3)
    assert not detector.see(film[0][:50], 5 * 10**9, 0.25)
    for k in range(4):
        detector.see(film[0], (6 + k) * 10**9, 0.25)
    assert not detector.see(film[0], 0, 0.25)


def test_the_last_frame_is_copied(film):
    """Drivers reuse their buffers."""
    detector, buffer = FreezeDetector(), film[0].copy()
    for k in range(8):
        buffer[:] = film[k]
        assert not detector.see(buffer, k * 10**9, 0.25)
