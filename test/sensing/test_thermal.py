from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from thermal_fusion_ros.config import ThermalConfig
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.frames import ThermalFrame, ThermalKind
from thermal_fusion_ros.sensing.thermal import ThermalProcessor

COUNTS, TLINEAR, AGC8 = ThermalKind.COUNTS, ThermalKind.TLINEAR, ThermalKind.AGC8


def process(processor, image, frame=0, kind=COUNTS):
    return processor(ThermalFrame(round(frame * 1e9 / 30), image, kind))


class TestKinds:
    def test_agc8_passes_untouched(self, scene, noisy):
        image = (noisy(scene, 0) >> 6).astype(np.uint8)
        view = process(ThermalProcessor(ThermalConfig()), image, kind=AGC8)
        assert view.display is image
        assert view.temperature_k is None
        assert view.invalid is None

    def test_agc8_gets_detail_on_request(self, scene, noisy):
        image = (noisy(scene, 0) >> 6).astype(np.uint8)
        view = process(ThermalProcessor(ThermalConfig(detail=1.0)), image, kind=AGC8)
        assert view.display is not image
        assert view.display.dtype == np.uint8
        assert not np.array_equal(view.display, image)

    def test_counts_fill_the_display_without_a_temperature(self, scene, noisy):
        view = process(ThermalProcessor(ThermalConfig()), noisy(scene, 0))
        assert view.display.dtype == np.uint8
        assert (view.display.min(), view.display.max()) == (0, 255)
        assert view.temperature_k is None
        assert view.display[70, 40] > 200  # a person
        assert view.display[20, 40] < 60  # the sky

    def test_eight_bit_counts_are_stretched(self, scene, noisy):
        image = np.clip(noisy(scene, 0) / 16.0 - 400, 0, 255).astype(np.uint8)
        assert np.ptp(image) < 100
        view = process(ThermalProcessor(ThermalConfig(kind="counts", min_span=1)), image, kind=AGC8)
        assert np.ptp(view.display) == 255

    @pytest.mark.parametrize("resolution", [0.01, 0.1])
    def test_tlinear_has_temperature(self, resolution):
        kelvin = np.linspace(270, 320, 64 * 48).reshape(48, 64)
        image = np.round(kelvin / resolution).astype(np.uint16)
        processor = ThermalProcessor(ThermalConfig(kind="tlinear", resolution_k=resolution))
        view = process(processor, image)
        assert view.temperature_k is not None
        assert view.temperature_k.dtype == np.float32
        np.testing.assert_allclose(view.temperature_k, kelvin, atol=resolution)
        assert np.corrcoef(view.display.ravel(), kelvin.ravel())[0, 1] > 0.98
        assert not processor.counters["implausible_temperature"]

    def test_celsius_floats(self):
        celsius = np.linspace(-5, 40, 64 * 48).reshape(48, 64).astype(np.float32)
        celsius[4, 5] = np.nan
        processor = ThermalProcessor(ThermalConfig(kind="tlinear", resolution_k=1.0, offset_k=273.15))
        view = process(processor, celsius)
        assert np.argwhere(np.isnan(view.temperature_k)).tolist() == [[4, 5]]
        assert np.argwhere(view.invalid).tolist() == [[4, 5]]
        np.testing.assert_allclose(view.temperature_k[0, 0], 268.15, atol=1e-3)
        assert abs(int(view.display[4, 5]) - int(view.display[4, 6])) < 12

    def test_wrong_resolution_is_noticed(self):
        processor = ThermalProcessor(ThermalConfig(kind="tlinear", resolution_k=0.1))
        process(processor, np.full((32, 32), 29315, np.uint16))
        assert processor.counters["implausible_temperature"] == 1

    @pytest.mark.parametrize("shape", [(0, 0), (5,), (4, 4, 3)])
    def test_bad_shapes(self, shape):
        with pytest.raises(InputError, match="H×W"):
            process(ThermalProcessor(ThermalConfig()), np.zeros(shape, np.uint16))

    def test_percentiles_must_be_in_order(self):
        with pytest.raises(InputError, match="low_percentile"):
            ThermalProcessor(ThermalConfig(low_percentile=40.0, high_percentile=30.0))


class TestDefects:
    def test_dead_rows_and_pixels_are_filled_for_the_eye_and_nan_for_the_number(self, scene, noisy):
        clean = (noisy(scene, 0) + 21000).astype(np.uint16)
        image = clean.copy()
        image[40] = 0
        image[60, 30] = 0
        processor = ThermalProcessor(ThermalConfig(kind="tlinear"))
        view = process(processor, image)
        wanted = process(ThermalProcessor(ThermalConfig(kind="tlinear")), clean)
        assert np.abs(view.display.astype(int) - wanted.display).max() < 25
        expected = np.zeros(image.shape, bool)
        expected[40] = expected[60, 30] = True
        np.testing.assert_array_equal(view.invalid, expected)
        np.testing.assert_array_equal(np.isnan(view.temperature_k), expected)
        assert processor.counters["dead_lines"] == processor.counters["invalid_pixels"] == 1

    def test_saturated_pixels_are_white_and_have_no_temperature(self, scene, noisy):
        image = (noisy(scene, 0) + 21000).astype(np.uint16)
        image[30:34, 30:34] = 65535
        view = process(ThermalProcessor(ThermalConfig(kind="tlinear")), image)
        assert (view.display[30:34, 30:34] == 255).all()
        assert np.isnan(view.temperature_k).sum() == 16

    def test_telemetry_garbage_in_counts(self, scene, noisy):
        """Dead lines do not pull the contrast down."""
        image = noisy(scene, 0)
        wanted = process(ThermalProcessor(ThermalConfig()), image).display.copy()
        image[-2:] = 0
        view = process(ThermalProcessor(ThermalConfig()), image)
        assert np.abs(view.display[:-4].astype(int) - wanted[:-4]).mean() < 2
        assert view.invalid[-2:].all()

    def test_a_clean_frame_has_no_mask(self, scene, noisy):
        assert process(ThermalProcessor(ThermalConfig()), noisy(scene, 0)).invalid is None

    def test_the_frame_is_never_written(self, scene, noisy):
        image = (noisy(scene, 0) + 21000).astype(np.uint16)
        image[40] = 0
        before = image.copy()
        image.flags.writeable = False
        for kind, config in ((COUNTS, ThermalConfig()), (TLINEAR, ThermalConfig(detail=2.0))):
            process(ThermalProcessor(config), image, kind=kind)
        np.testing.assert_array_equal(image, before)


class TestFreeze:
    def test_frames_are_flagged_and_counted(self, scene, noisy):
        processor = ThermalProcessor(ThermalConfig())
        film = [noisy(scene, min(k, 5)) for k in range(30)]
        views = [process(processor, image, k).frozen for k, image in enumerate(film)]
        assert views == [False] * 13 + [True] * 17
        assert processor.counters["frozen"] == 17
        assert not process(processor, noisy(scene, 99), 30).frozen

    def test_agc8_too(self):
        image = np.random.default_rng(0).integers(0, 255, (40, 40)).astype(np.uint8)
        processor = ThermalProcessor(ThermalConfig())
        assert [process(processor, image, 6 * k, AGC8).frozen for k in range(5)] == [False] * 3 + [True] * 2

    def test_a_repeat_looks_the_same(self, scene, noisy):
        processor = ThermalProcessor(ThermalConfig())
        process(processor, noisy(scene, 0), 0)
        first = process(processor, noisy(scene + 300, 1), 1).display.copy()
        np.testing.assert_array_equal(process(processor, noisy(scene + 300, 1), 2).display, first)


class TestMemory:
    def test_buffers_are_reused(self, scene, noisy):
        processor = ThermalProcessor(ThermalConfig(kind="tlinear"))
        first = process(processor, noisy(scene + 21000, 0) + 1, 0)
        second = process(processor, noisy(scene + 21000, 1) + 1, 1)
        assert second.display is first.display
        assert second.temperature_k is first.temperature_k

    def test_size_may_change(self, scene, noisy):
        processor = ThermalProcessor(ThermalConfig())
        assert process(processor, noisy(scene, 0), 0).display.shape == (120, 160)
        assert process(processor, noisy(scene, 1)[:60, :90], 1).display.shape == (60, 90)
        assert processor.counters["size_change"] == 1

    def test_reset_forgets_the_contrast(self, scene, noisy):
        processor = ThermalProcessor(ThermalConfig())
        process(processor, noisy(scene, 0), 0)
        warm = noisy(1.1 * scene - 700, 1)
        followed = process(processor, warm, 1).display.copy()
        processor.reset()
        fresh = process(processor, warm, 1).display.copy()
        np.testing.assert_array_equal(fresh, process(ThermalProcessor(ThermalConfig()), warm).display)
        assert not np.array_equal(followed, fresh)

    def test_update_keeps_the_contrast(self, scene, noisy):
        processor, other = (ThermalProcessor(ThermalConfig()) for _ in range(2))
        for each in (processor, other):
            process(each, noisy(scene, 0), 0)
        processor.update(dataclasses.replace(processor.config, freeze_s=0.0))
        warm = noisy(1.1 * scene - 700, 1)
        np.testing.assert_array_equal(process(processor, warm, 1).display, process(other, warm, 1).display)


def test_real_16_bit_frames_show_both_the_hot_board_and_the_dark_room(shared_data):
    for path in sorted((shared_data / "calibration" / "thermal").glob("*.png")):
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        plain, equal = (
            process(ThermalProcessor(ThermalConfig(equalise=share)), image).display for share in (0.0, 0.5)
        )
        room = image < np.median(image)
        assert equal[room].std() > plain[room].std()
        assert (equal == 255).mean() < 0.02
        assert (equal == 0).mean() < 0.05


class TestEmpty:
    """A frame in which nothing is to be seen: a closed shutter, a covered lens."""

    @pytest.mark.parametrize(("kind", "flat"), [(COUNTS, 7300), (TLINEAR, 29_000), (AGC8, 128), (AGC8, 0)])
    def test_noise_alone_is_nothing(self, kind, flat):
        noise = np.random.default_rng(0).normal(0, 4 if kind is not AGC8 else 1, (480, 640))
        image = np.clip(np.round(flat + noise), 0, 65535)
        processor = ThermalProcessor(ThermalConfig(kind=kind.value))
        view = process(processor, image.astype(np.uint8 if kind is AGC8 else np.uint16), kind=kind)
        assert view.empty
        assert processor.counters["empty"] == 1

    def test_one_who_is_far_away_before_an_even_sky_is_something(self):
        image = np.full((480, 640), 28_000, np.uint16)  # 280 K
        image[240:252, 320:324] += 800  # 8 K warmer
        assert not process(ThermalProcessor(ThermalConfig(kind="tlinear")), image, kind=TLINEAR).empty

    def test_a_closed_shutter_is_nothing_however_often_it_is_repeated(self):
        processor = ThermalProcessor(ThermalConfig())
        image = np.full((48, 64), 7300, np.uint16)
        assert all(process(processor, image, n).empty for n in range(3))
        assert processor.counters["empty"] == 3
