import cv2
import numpy as np
import pytest

from thermal_fusion_ros.sensing.seam import CELL_PX, NARROW, REACH, evened

HEIGHT, WIDTH = 240, 320


def pictures():
    """Bright thermal with fine stripes, dark visible, a thermal view that ends 40 px before the picture does."""
    thermal = np.full((HEIGHT, WIDTH), 190, np.uint8)
    thermal[:, ::4] = 210
    luma = np.full((HEIGHT, WIDTH), 60, np.uint8)
    valid = np.zeros((HEIGHT, WIDTH), np.uint8)
    valid[40:-40, 40:-40] = 255
    return thermal, luma, valid


def test_no_step_of_brightness_at_the_end_of_the_thermal_view():
    thermal, luma, valid = pictures()
    image = evened(thermal, luma, valid).astype(float)
    profile = image[110:130].mean(0)
    profile = np.convolve(profile, np.ones(4) / 4, "valid")  # without the stripes
    before = np.convolve(np.where(valid[120] > 0, thermal[120], luma[120]), np.ones(4) / 4, "valid")
    assert np.abs(np.diff(before)).max() > 30
    assert np.abs(np.diff(profile)).max() < 8


def test_inside_it_is_thermal_and_outside_visible():
    thermal, luma, valid = pictures()
    image = evened(thermal, luma, valid)
    np.testing.assert_array_equal(image[valid == 0], luma[valid == 0])
    assert np.abs(image[110:130, 150:170].astype(int) - thermal[110:130, 150:170]).max() <= 2


def test_detail_stays_where_brightness_changes():
    thermal, luma, valid = pictures()
    image = evened(thermal, luma, valid).astype(int)
    row = image[120, 44:64]
    assert row[0::4].mean() - row[2::4].mean() > 12


@pytest.mark.parametrize("hole", [np.s_[100:104, 200:204], np.s_[60:240, 150:170]], ids=["small", "strip"])
def test_a_hole_behind_an_edge_dims_nothing_around_it(hole):
    """A person is dark in the visible picture and bright in thermal; beside her the thermal camera sees nothing."""
    thermal, luma, _ = pictures()
    valid = np.full_like(thermal, 255)
    valid[hole] = 0
    image = evened(thermal, luma, valid)
    np.testing.assert_array_equal(image[valid > 0], thermal[valid > 0])
    np.testing.assert_array_equal(image[valid == 0], luma[valid == 0])


def in_floats(thermal, luma, valid):
    """The same, written as it is thought: every number of every pixel with its fraction."""
    height, width = thermal.shape
    cells = (width // CELL_PX, height // CELL_PX)
    inside = valid / np.float32(255)
    covered = cv2.resize(inside, cells, interpolation=cv2.INTER_AREA)
    share = np.maximum(covered, 1e-3)
    difference = cv2.resize((luma - thermal.astype(np.float32)) * inside, cells, interpolation=cv2.INTER_AREA)
    difference = cv2.GaussianBlur(difference, (0, 0), 1.0) / np.maximum(
        cv2.GaussianBlur(share, (0, 0), 1.0), 1e-3
    )
    rim = NARROW - 1
    missing = np.pad((covered <= 0.99).astype(np.uint8), rim, constant_values=1)
    wide = cv2.morphologyEx(missing, cv2.MORPH_OPEN, np.ones((NARROW, NARROW), np.uint8))
    distance = cv2.distanceTransform(1 - wide[rim:-rim, rim:-rim], cv2.DIST_L2, 3)
    near = np.clip(1 - distance / (REACH * cells[0]), 0, 1)
    shift = cv2.resize(
        difference * near * near * (3 - 2 * near), (width, height), interpolation=cv2.INTER_CUBIC
    )
    bright = np.clip(thermal + shift, 0, 255)
    return luma + (bright - luma) * inside


@pytest.mark.parametrize("soft", [False, True])
def test_bytes_are_as_good_as_numbers_with_fractions(soft):
    random = np.random.default_rng(0)
    luma, thermal = (
        cv2.resize(
            random.integers(0, 255, (12, 16), np.uint8), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC
        )
        for _ in range(2)
    )
    valid = pictures()[2]
    valid[100:120, 200:204] = 0
    if soft:
        valid = cv2.blur(valid, (9, 9))
    thermal[valid == 0] = 0
    error = np.abs(evened(thermal, luma, valid) - in_floats(thermal, luma, valid))
    assert error.max() < 2.5
    assert error.mean() < 0.6  # half a grey level is what rounding costs
