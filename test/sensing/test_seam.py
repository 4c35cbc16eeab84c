import numpy as np

from thermal_fusion_ros.sensing.seam import evened

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


def test_a_view_that_covers_all_is_left_alone():
    thermal, luma, _ = pictures()
    valid = np.full_like(thermal, 255)
    valid[100:104, 200:204] = 0  # a small hole behind an edge
    image = evened(thermal, luma, valid)
    np.testing.assert_array_equal(image[:, :100], thermal[:, :100])
