"""Clouds: every point where its pixel says, nothing where there is nothing, colours as RViz reads them."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from thermal_fusion_ros.config import PointsConfig
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.geometry.pointcloud import (
    INTENSITY,
    TEMPERATURE,
    PointCloudBuilder,
    point_type,
    voxel_filtered,
)
from thermal_fusion_ros.sensing.camera import CameraModel

H, W = 24, 32
K = [[40.0, 0.0, 15.5], [0.0, 42.0, 11.5], [0.0, 0.0, 1.0]]
PLAIN = CameraModel(W, H, K)
ALL = PointsConfig(stride=1, edge=0.0)


def wall(distance=5.0):
    return np.full((H, W), distance, np.float32)


def picture():
    y, x = np.mgrid[:H, :W]
    return np.stack([x * 7, y * 9, np.full_like(x, 200)], axis=-1).astype(np.uint8)


def xyz(cloud):
    return np.stack([cloud[axis] for axis in "xyz"], axis=-1)


@pytest.mark.parametrize(
    "camera",
    [
        PLAIN,
        CameraModel(W, H, K, [-0.2, 0.05, 0.001, -0.002, 0.0]),
        CameraModel(W, H, K, [0.05, -0.01, 0.003, 0.0], "equidistant"),
    ],
    ids=["pinhole", "distorted", "fisheye"],
)
@pytest.mark.parametrize("stride", [1, 3])
def test_points_project_back_onto_their_own_pixels_at_their_own_depth(camera, stride):
    depth = np.random.default_rng(1).uniform(1, 30, (H, W)).astype(np.float32)
    cloud = PointCloudBuilder(camera, PointsConfig(stride=stride, edge=0.0))(depth, picture(), None)
    assert cloud.shape == (len(range(0, H, stride)), len(range(0, W, stride)))
    v, u = np.mgrid[0:H:stride, 0:W:stride]
    pixels = camera.project(xyz(cloud).reshape(-1, 3)).reshape(*cloud.shape, 2)
    np.testing.assert_allclose(pixels, np.stack([u, v], axis=-1), atol=1e-3)
    np.testing.assert_array_equal(cloud["z"], depth[::stride, ::stride])


def test_axes_are_those_of_an_optical_frame():
    cloud = PointCloudBuilder(PLAIN, ALL)(wall(), picture(), None)
    assert cloud["x"][0, 0] < 0 < cloud["x"][0, -1]  # right
    assert cloud["y"][0, 0] < 0 < cloud["y"][-1, 0]  # down
    assert (cloud["z"] == 5).all()  # forward


def test_invalid_depth_is_a_point_of_nan_in_its_place():
    depth = wall()
    depth[3, 4], depth[5, 6], depth[7, 8], depth[9, 10] = np.nan, 0.0, -1.0, np.inf
    for edge in (0.0, 0.5):
        points = xyz(PointCloudBuilder(PLAIN, PointsConfig(stride=1, edge=edge))(depth, picture(), None))
        empty = np.isnan(points).all(axis=-1)
        assert {tuple(at) for at in np.argwhere(empty)} == {(3, 4), (5, 6), (7, 8), (9, 10)}
        assert np.isfinite(points[~empty]).all()


def test_range_limits_are_of_depth_and_inclusive():
    depth = np.tile(np.linspace(1, 32, W, dtype=np.float32), (H, 1))
    config = PointsConfig(stride=1, edge=0.0, nearest_m=5.0, farthest_m=20.0)
    z = PointCloudBuilder(PLAIN, config)(depth, picture(), None)["z"]
    np.testing.assert_array_equal(np.isfinite(z), (depth >= 5) & (depth <= 20))


def test_limits_may_change_without_a_new_builder():
    builder = PointCloudBuilder(PLAIN, ALL)
    builder.config = PointsConfig(stride=1, edge=0.0, farthest_m=4.0)
    assert np.isnan(builder(wall(), picture(), None)["z"]).all()
    assert builder.serves(PLAIN, builder.config, INTENSITY)
    assert not builder.serves(PLAIN, PointsConfig(stride=2), INTENSITY)
    assert not builder.serves(PLAIN, builder.config, TEMPERATURE)


def test_colour_is_packed_as_rviz_unpacks_it():
    cloud = PointCloudBuilder(PLAIN, ALL)(wall(), picture(), None)
    for row, column in ((0, 0), (5, 20), (H - 1, W - 1)):
        (packed,) = struct.unpack("<I", struct.pack("<f", cloud["rgb"][row, column]))
        red, green, blue = packed >> 16 & 255, packed >> 8 & 255, packed & 255
        assert (red, green, blue) == tuple(picture()[row, column])
        assert packed >> 24 == 0


def test_temperature_goes_with_its_pixel_and_absence_is_nan():
    kelvin = np.random.default_rng(2).uniform(270, 310, (H, W)).astype(np.float32)
    builder = PointCloudBuilder(PLAIN, PointsConfig(stride=2, edge=0.0), TEMPERATURE)
    np.testing.assert_array_equal(builder(wall(), picture(), kelvin)[TEMPERATURE], kelvin[::2, ::2])
    assert np.isnan(builder(wall(), picture(), None)[TEMPERATURE]).all()
    grey = np.arange(H * W, dtype=np.uint8).reshape(H, W)
    cloud = PointCloudBuilder(PLAIN, ALL, INTENSITY)(wall(), picture(), grey)
    np.testing.assert_array_equal(cloud[INTENSITY], grey)


def test_what_hangs_between_an_object_and_what_is_behind_it_is_left_out():
    depth = wall(20.0)
    depth[6:18, 10:20] = 4.0
    depth[6:18, 9], depth[6:18, 20] = 9.0, 14.0  # as a network or an interpolation blurs it
    z = PointCloudBuilder(PLAIN, PointsConfig(stride=1, edge=0.05))(depth, picture(), None)["z"]
    assert not np.isin(z, (9.0, 14.0)).any()
    assert (z[6:18, 10:20] == 4.0).all()  # the object itself stays whole
    assert (z[:, 23:] == 20.0).all()
    kept = PointCloudBuilder(PLAIN, ALL)(depth, picture(), None)["z"]
    np.testing.assert_array_equal(kept, depth)


def test_a_pole_one_pixel_wide_stays():
    depth = wall(20.0)
    depth[:, 12] = 3.0
    z = PointCloudBuilder(PLAIN, PointsConfig(stride=1, edge=0.05))(depth, picture(), None)["z"]
    assert (z[:, 12] == 3.0).all()


def test_edges_of_what_is_too_near_to_be_shown_leave_no_flying_pixels():
    depth = wall(20.0)
    depth[20:], depth[19] = 0.1, 2.0  # the robot's own bumper
    z = PointCloudBuilder(PLAIN, PointsConfig(stride=1, edge=0.05))(depth, picture(), None)["z"]
    assert set(z[np.isfinite(z)]) == {20.0}


def test_clouds_lie_in_the_memory_they_are_given_and_overwrite_it():
    builder = PointCloudBuilder(PLAIN, ALL, TEMPERATURE)
    memory = bytearray(builder.nbytes)
    builder.lay_over(memory)
    first = builder(wall(5), picture(), None)
    again = builder(wall(6), picture(), None)
    assert again is first
    seen = np.frombuffer(memory, point_type(TEMPERATURE)).reshape(H, W)
    assert (seen["z"] == 6).all()
    assert len(memory) == H * W * 20


def test_other_sizes_are_refused_by_name():
    builder = PointCloudBuilder(PLAIN, ALL)
    with pytest.raises(InputError, match="depth is 64x48, the camera 32x24"):
        builder(np.ones((48, 64), np.float32), picture(), None)
    with pytest.raises(InputError, match="picture"):
        builder(wall(), np.zeros((4, 4, 3), np.uint8), None)


def test_voxels_hold_the_mean_of_their_points():
    pytest.importorskip("open3d")
    depth = np.full((H, W), np.nan, np.float32)
    depth[4, 4:6], depth[20, 30] = 2.0, 9.0
    rgb = np.zeros((H, W, 3), np.uint8)
    rgb[4, 4], rgb[4, 5], rgb[20, 30] = (10, 20, 30), (30, 40, 50), (250, 251, 252)
    kelvin = np.full((H, W), 300, np.float32)
    kelvin[4, 4] = 290
    cloud = PointCloudBuilder(PLAIN, ALL, TEMPERATURE)(depth, rgb, kelvin)
    filtered = voxel_filtered(cloud, 0.5)
    assert filtered.dtype == cloud.dtype
    assert filtered.shape == (1, 2)
    near, far = np.sort(filtered[0], order="z")
    np.testing.assert_allclose(near["x"], cloud["x"][4, 4:6].mean(), rtol=1e-6)
    assert near[TEMPERATURE] == 295
    assert near["rgb"].view(np.uint32) == 20 << 16 | 30 << 8 | 40
    assert (far["z"], far["rgb"].view(np.uint32)) == (9.0, 250 << 16 | 251 << 8 | 252)
    nothing = PointCloudBuilder(PLAIN, ALL)(depth * np.nan, rgb, None)
    assert voxel_filtered(nothing, 0.5).shape == (1, 0)
