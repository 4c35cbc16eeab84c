from __future__ import annotations

import numpy as np
import pytest

from thermal_fusion_ros.sensing.contrast import ContrastControl

SETTINGS = {
    "low_percentile": 0.5,
    "high_percentile": 99.5,
    "min_span": 100,
    "equalise": 0.5,
    "smoothing_s": 1.0,
}
HZ = 30
BACKGROUND = (slice(75, 115), slice(60, 100))


def shown(control, image, frame, **settings):
    out = np.empty(image.shape, np.uint8)
    control.follow(image, round(frame * 1e9 / HZ), **{**SETTINGS, **settings})
    control.show(image, out)
    return out


def steps(frames, **settings):
    """Change of the background's mean display level from each frame to the next."""
    control = ContrastControl()
    levels = [
        shown(control, image, k, **settings)[BACKGROUND].astype(float).mean()
        for k, image in enumerate(frames)
    ]
    return np.abs(np.diff(levels))


def with_hot_object(scene, k, size=24):
    """An oven door of +3000 counts slides in over the upper half."""
    scene = scene.copy()
    scene[10 : 10 + size, max(0, 4 * k - 2 * size) : 4 * k] = 11000
    return scene


class TestFlicker:
    def test_noise_alone(self, scene, noisy):
        frames = [noisy(scene, k) for k in range(60)]
        smooth, rough = steps(frames), steps(frames, smoothing_s=0.0)
        assert smooth.max() < 0.5
        assert np.sqrt((smooth**2).mean()) < 0.6 * np.sqrt((rough**2).mean())

    def test_a_hot_object_enters(self, scene, noisy):
        frames = [noisy(with_hot_object(scene, k), k) for k in range(40)]
        assert steps(frames, smoothing_s=0.0).max() > 10  # what it would be
        assert steps(frames).max() < 2.0

    def test_the_object_is_white_at_once_and_the_background_follows_in_time(self, scene, noisy):
        control = ContrastControl()
        before = shown(control, noisy(scene, 0), 0)
        hot = with_hot_object(scene, 12)
        first = shown(control, noisy(hot, 1), 1)
        assert first[15:30, 5:40].min() == 255
        for k in range(2, 150):
            last = shown(control, noisy(hot, k), k)
        settled = shown(ContrastControl(), noisy(hot, 150), 0)
        assert abs(float(last[BACKGROUND].mean()) - settled[BACKGROUND].mean()) < 2
        assert float(before[BACKGROUND].mean()) - last[BACKGROUND].mean() > 20

    def test_recalibration_of_the_camera_moves_all_counts(self, scene, noisy):
        frames = [noisy(scene + (150 if k >= 20 else 0), k) for k in range(40)]
        assert steps(frames).max() < 2.0

    def test_time_constant(self, scene):
        """A pixel value's brightness goes 63 % of its way in one time constant, at any frame rate."""
        old, new = scene.astype(np.uint16), with_hot_object(scene, 8).astype(np.uint16)
        start = float(shown(ContrastControl(), old, 0)[BACKGROUND].mean())
        goal = float(shown(ContrastControl(), new, 0)[BACKGROUND].mean())
        for stride in (1, 3):
            control = ContrastControl()
            shown(control, old, 0)
            for k in range(stride, HZ + 1, stride):
                level = shown(control, new, k)[BACKGROUND].mean()
            assert (start - level) / (start - goal) == pytest.approx(0.63, abs=0.04)


class TestSceneChange:
    def test_it_is_followed_at_once(self, scene, noisy):
        control = ContrastControl()
        for k in range(20):
            shown(control, noisy(scene, k), k)
        assert control.released == 0
        other = 4000 + 3 * (scene[:, ::-1] - 8000)
        first = shown(control, noisy(other, 20), 20)
        assert control.released == 1
        alone = shown(ContrastControl(), noisy(other, 20), 0)
        assert np.abs(first.astype(int) - alone).mean() < 3

    def test_a_hot_object_is_none(self, scene, noisy):
        control = ContrastControl()
        for k in range(40):
            shown(control, noisy(with_hot_object(scene, k), k), k)
        assert control.released == 0

    def test_time_going_back_starts_anew(self, scene, noisy):
        control = ContrastControl()
        shown(control, noisy(scene, 0), 100)
        hot = noisy(with_hot_object(scene, 12), 1)
        again = shown(control, hot, 0)
        np.testing.assert_array_equal(again, shown(ContrastControl(), hot, 0))


class TestCurve:
    @pytest.mark.parametrize("equalise", [0.0, 0.5, 1.0])
    def test_it_is_monotonic_and_spans_the_display(self, scene, noisy, equalise):
        image = noisy(scene, 0)
        out = shown(ContrastControl(), image, 0, equalise=equalise)
        order = np.argsort(image, axis=None, kind="stable")
        assert (np.diff(out.ravel()[order].astype(int)) >= 0).all()
        assert out.min() == 0
        assert out.max() == 255

    def test_without_equalisation_it_is_a_straight_line(self):
        image = np.linspace(1000, 3000, 100 * 100).reshape(100, 100).astype(np.uint16)
        out = shown(ContrastControl(), image, 0, equalise=0.0, low_percentile=0.0, high_percentile=100.0)
        expected = (image.astype(float) - 1000) / 2000 * 255
        assert np.abs(out - expected).max() < 1.0

    def test_equalisation_gives_the_crowded_range_more_of_the_display(self, scene, noisy):
        image = noisy(with_hot_object(scene, 12), 0)
        plain, equal = (shown(ContrastControl(), image, 0, equalise=share) for share in (0.0, 1.0))
        assert np.ptp(equal[BACKGROUND]) > 1.5 * np.ptp(plain[BACKGROUND])

    def test_a_flat_scene_stays_flat(self):
        """Noise of 2 counts is not stretched to black and white."""
        image = np.random.default_rng(0).normal(8000, 2, (100, 100)).astype(np.uint16)
        out = shown(ContrastControl(), image, 0)
        assert out.std() < 20
        assert 90 < out.mean() < 165

    @pytest.mark.parametrize("value", [0, 8000, 65535])
    def test_a_constant_image_is_no_trouble(self, value):
        out = shown(ContrastControl(), np.full((32, 32), value, np.uint16), 0)
        assert np.ptp(out) == 0

    def test_full_range(self):
        image = np.random.default_rng(0).integers(0, 65536, (200, 200)).astype(np.uint16)
        out = shown(ContrastControl(), image, 0, low_percentile=0.0, high_percentile=100.0, min_span=65535)
        assert np.abs(out - image / 257).max() < 3
