"""Steady where nothing moves, no trails where something does; metres only where they are sure."""

from __future__ import annotations

import numpy as np
import pytest

from thermal_fusion_ros.config import DepthConfig
from thermal_fusion_ros.geometry.depth_filter import DepthFilter, enlarged, metres, millimetres

H, W = 60, 80
ALL = DepthConfig(nearest_m=0.0, farthest_m=1e4, most_uncertain=10.0)


class Scene:
    """A textured wall at 10 m and, from column `left` on, a textured box at 4 m; depth with noise of its own."""

    def __init__(self):
        self.random = np.random.default_rng(0)
        self.wall, self.box = (self.random.integers(30, 220, (H, W, 3), dtype=np.uint8) for _ in range(2))
        self.sigma = np.full((H, W), 0.08, np.float32)

    def frame(self, left=None, noise=0.02, brightness=0):
        """Depth with noise, depth without, picture."""
        exact = np.full((H, W), 10.0, np.float32)
        picture = self.wall.copy()
        if left is not None:
            exact[20:40, left : left + 20] = 4.0
            picture[20:40, left : left + 20] = self.box[20:40, :20]
        noisy = exact * np.exp(self.random.normal(0, noise, (H, W))).astype(np.float32)
        return (
            noisy.astype(np.float32),
            exact,
            np.clip(picture.astype(int) + brightness, 0, 255).astype(np.uint8),
        )


@pytest.fixture
def scene():
    return Scene()


def error(depth, exact):
    return float(np.sqrt(np.mean(np.log(depth / exact) ** 2)))


def test_noise_of_a_still_scene_is_averaged_away(scene):
    steady = DepthFilter(DepthConfig(smoothing=0.8))
    for _ in range(20):
        noisy, exact, picture = scene.frame(left=30)
        made = steady(noisy, scene.sigma, picture)
    assert error(made, exact) < 0.6 * error(noisy, exact)
    assert 0.4 < steady.kept < 0.8


def test_brightness_of_the_whole_picture_does_not_count(scene):
    steady = DepthFilter(DepthConfig())
    for k in range(3):
        noisy, _, picture = scene.frame(noise=0.0, brightness=20 * (k % 2))
        steady(noisy, scene.sigma, picture)
    assert steady.kept > 0.4


def test_a_moving_object_leaves_no_trail_and_its_edges_do_not_lag(scene):
    steady = DepthFilter(DepthConfig(smoothing=0.95))
    for left in range(5, 50, 3):
        depth, exact, picture = scene.frame(left, noise=0.0)
        made = steady(depth, scene.sigma, picture)
        np.testing.assert_allclose(made, exact, rtol=1e-5)


def test_within_its_uncertainty_depth_still_moves_at_once_where_the_picture_changes(scene):
    steady = DepthFilter(DepthConfig(smoothing=0.95))
    depth, exact, picture = scene.frame(noise=0.0)
    unsure = np.full((H, W), 5.0, np.float32)
    steady(depth, unsure, picture)
    made = steady(exact * np.float32(1.03), unsure, scene.box)
    # By chance a few places look as before.
    assert np.quantile(np.abs(made / (exact * 1.03) - 1), 0.95) < 1e-4


def test_a_large_change_is_taken_over_at_once_even_of_the_same_looks(scene):
    steady = DepthFilter(DepthConfig(smoothing=0.95))
    depth, exact, picture = scene.frame(noise=0.0)
    steady(depth, np.full_like(scene.sigma, 5.0), picture)
    made = steady(exact * np.float32(1.2), np.full_like(scene.sigma, 5.0), picture)
    np.testing.assert_allclose(made, exact * 1.2, rtol=1e-5)


@pytest.mark.parametrize("forget", ["reset", "size", "off"])
def test_the_past_is_forgotten(scene, forget):
    steady = DepthFilter(DepthConfig(smoothing=0.9))
    depth, _, picture = scene.frame(noise=0.0)
    steady(depth, scene.sigma, picture)
    nearer = depth * np.float32(1.01)
    if forget == "reset":
        steady.reset()
    elif forget == "off":
        steady.config = DepthConfig(smoothing=0.0)
    else:
        nearer = nearer[:30]
    made = steady(nearer, scene.sigma[: len(nearer)], picture[: len(nearer)])
    np.testing.assert_allclose(made, nearer, rtol=1e-6)
    assert steady.kept == 0


def test_invalid_pixels_stay_where_they_are(scene):
    steady = DepthFilter(DepthConfig(smoothing=0.9))
    depth, _, picture = scene.frame(noise=0.0)
    hole = depth.copy()
    hole[10:20] = np.nan
    np.testing.assert_array_equal(np.isnan(steady(hole, scene.sigma, picture)), np.isnan(hole))
    assert np.isfinite(steady(depth, scene.sigma, picture)).all()
    np.testing.assert_array_equal(np.isnan(steady(hole, scene.sigma, picture)), np.isnan(hole))


def test_the_picture_may_be_larger_than_depth(scene):
    steady = DepthFilter(DepthConfig())
    depth, _, picture = scene.frame(noise=0.0)
    large = np.repeat(np.repeat(picture, 2, axis=0), 2, axis=1)
    for _ in range(2):
        made = steady(depth, scene.sigma, large)
    assert made.shape == (H, W)
    assert steady.kept == pytest.approx(0.5)


def test_metres_are_scaled_depth_at_the_size_of_the_picture():
    depth = np.random.default_rng(0).uniform(1, 5, (H, W)).astype(np.float32)
    made = metres(depth, np.zeros_like(depth), 2.0, H, W, ALL)
    np.testing.assert_allclose(made, depth * 2, rtol=1e-6)
    ramp = np.tile(np.arange(W, dtype=np.float32) + 1, (H, 1))
    twice = metres(ramp, np.zeros_like(ramp), 1.0, 2 * H, 2 * W, ALL)
    assert (twice.shape, twice.dtype) == ((2 * H, 2 * W), np.float32)
    np.testing.assert_allclose(twice[:, 2:-2].reshape(2 * H, -1, 2).mean(axis=2)[0], ramp[0, 1:-1], rtol=1e-5)
    np.testing.assert_allclose(
        np.diff(twice[0, 2:-2]), 0.5, rtol=1e-4
    )  # pixel areas, not corners, correspond


def test_a_padded_picture_keeps_depth_in_its_place():
    ramp = np.tile(np.arange(W, dtype=np.float32), (H, 1))
    whole, odd = enlarged(ramp, 2 * H, 2 * W), enlarged(ramp, 2 * H - 1, 2 * W - 1)
    np.testing.assert_array_equal(odd, whole[:-1, :-1])
    assert enlarged(ramp, 100, 93).shape == (100, 93)
    same = enlarged(ramp, H, W)
    same[:] = 0
    assert ramp.any()


def test_invalid_uncertain_near_and_far_are_nan_and_spoil_nothing_beside_them():
    depth = np.full((H, W), 6.0, np.float32)
    sigma = np.zeros_like(depth)
    depth[:10], depth[10:20], depth[20:30] = 0.1, 90.0, np.nan
    sigma[30:40] = 0.5
    depth[30:40] = 50.0
    made = metres(depth, sigma, 1.0, 2 * H, 2 * W, DepthConfig())
    assert np.isnan(made[:80]).all()
    np.testing.assert_allclose(made[80:], 6.0, rtol=1e-6)  # nothing halfway to what is left out


def test_millimetres_mark_invalid_with_zero_and_saturate():
    depth = np.array([[1.2344, np.nan, 65.535, 70.0, np.inf, 0.0, -1.0, 0.0002]], np.float32)
    made = millimetres(depth)
    assert made.dtype == np.uint16
    np.testing.assert_array_equal(made, [[1234, 0, 65535, 65535, 0, 0, 0, 1]])
