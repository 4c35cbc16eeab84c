from __future__ import annotations

import numpy as np

from thermal_fusion_ros.sensing.local_contrast import LocalContrast


def grating(amplitude: float) -> np.ndarray:
    """Fine stripes on a hot plate beside cold ground, 100×160."""
    field = np.full((100, 160), 2000.0)
    field[:, 80:] = 50000.0
    return field + amplitude * np.sin(np.arange(160) * 1.2)


def test_fine_detail_of_a_wide_scene_becomes_visible():
    image = grating(150).astype(np.uint16)
    display = np.where(image > 30000, 250, 10).astype(np.uint8)
    out = LocalContrast().add(image, display, 1.0, 2.0)
    assert out.dtype == np.uint8
    assert out[20:80, 20:60].std() > 3
    assert out[20:80, 100:140].std() > 1.5
    np.testing.assert_array_equal(np.unique(display), [10, 250])  # the input is left alone


def test_no_halo_along_a_strong_edge():
    """Unsharp masking would overshoot by a share of the 48000 counts, many pixels wide."""
    image = grating(150).astype(np.uint16)
    display = np.where(image > 30000, 200, 60).astype(np.uint8)
    out = LocalContrast().add(image, display, 1.0, 2.0).astype(int)
    change = np.abs(out - display)
    beside = np.r_[70:79, 81:90]
    assert change[:, beside].max() <= change[:, 20:60].max() + 3
    assert change.max() <= 20


def test_noise_below_the_floor_is_not_raised():
    image = np.random.default_rng(0).normal(8000, 2, (100, 100)).astype(np.uint16)
    flat = np.full(image.shape, 128, np.uint8)
    raised = LocalContrast().add(image, flat, 1.0, 1.0).std()
    assert LocalContrast().add(image, flat, 1.0, 40.0).std() < 0.2 * raised


def test_its_gain_follows_slowly():
    local, flat = LocalContrast(), np.full((100, 160), 128, np.uint8)
    before = local.add(grating(100).astype(np.uint16), flat, 1.0, 2.0)[:, 20:60].std()
    after = local.add(grating(200).astype(np.uint16), flat, 1.0, 2.0)[:, 20:60].std()
    assert after > 1.5 * before  # twice the detail is shown as nearly twice as strong, on the first frame
    for _ in range(60):
        settled = local.add(grating(200).astype(np.uint16), flat, 1.0, 2.0)[:, 20:60].std()
    assert abs(settled - before) < 0.2 * before
