"""Depth and clouds over real DDS: what is sent is right, what may not be is refused aloud, nothing is made in vain."""

from __future__ import annotations

import sys

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from rclpy.parameter import Parameter  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField  # noqa: E402

from thermal_fusion_ros.geometry.pointcloud import INTENSITY, TEMPERATURE, point_type  # noqa: E402
from thermal_fusion_ros.ros.rates import RateLimit  # noqa: E402

from .fakes import H, W, rgb_picture  # noqa: E402

OK, WARN, ERROR = b"\x00", b"\x01", b"\x02"
K = [60.0, 0.0, 31.5, 0.0, 61.0, 23.5, 0.0, 0.0, 1.0]
NO_SCALE = "no source of metric scale: set depth.camera_height_m"
ALL = {"points__stride": 1, "points__edge": 0.0, "points__rate_hz": 0.0}


def depth():
    made = np.random.default_rng(0).uniform(1, 30, (H, W)).astype(np.float32)
    made[:10] = np.nan
    return made


def camera_info(bench, **changes):
    topic = bench.publisher(CameraInfo, "/rgb/camera_info")
    message = CameraInfo(**({"height": H, "width": W, "k": K, "distortion_model": "plumb_bob"} | changes))
    message.header.frame_id = "cam"
    before = len(bench.pipeline.rigs)
    topic.publish(message)
    bench.until(lambda: len(bench.pipeline.rigs) > before, "the node to know the camera")


def stamp_of(message):
    return message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec


def cloud_of(message, channel):
    return np.frombuffer(message.data, point_type(channel)).reshape(message.height, message.width)


def test_depth_is_metres_with_stamp_frame_and_camera_info(bench):
    bench.node()
    images, infos = bench.listen(Image, "/depth/image_raw"), bench.listen(CameraInfo, "/depth/camera_info")
    camera_info(bench)
    bench.pipeline.depth = {
        "depth": depth(),
        "scale_state": {"log_scale": 0.5, "sources": {"ground": "used"}},
    }
    cameras = bench.cameras()
    cameras.stream_until(lambda: len(images) >= 2 and infos, "depth")
    one = images[-1]
    assert (one.encoding, one.height, one.width, one.step, one.is_bigendian) == ("32FC1", H, W, 4 * W, 0)
    assert sys.byteorder == "little"
    np.testing.assert_array_equal(np.frombuffer(one.data, np.float32).reshape(H, W), depth())
    assert one.header.frame_id == infos[-1].header.frame_id == "cam"
    assert stamp_of(infos[-1]) in {stamp_of(image) for image in images}
    assert list(infos[-1].k) == K
    assert (infos[-1].height, infos[-1].width) == (H, W)
    assert {"depth"} in bench.pipeline.wants
    bench.fresh_report()
    part = bench.part("depth")
    assert part.values["scale.log_scale"] == "0.500"
    assert part.values["scale.sources.ground"] == "used"
    assert part.values["subscribers.depth"] == "1"
    assert float(part.values["rate_hz.depth"]) > 0
    assert "refused.depth" not in part.values
    assert part.level == OK
    assert bench.settle()["published"] == len(images)
    bench.check_sums()


def test_millimetres_where_they_are_asked_for(bench):
    bench.node(depth__millimetres=True)
    images = bench.listen(Image, "/depth/image_raw")
    bench.pipeline.depth = {"depth": depth()}
    bench.cameras().stream_until(lambda: images, "depth")
    one = images[-1]
    assert (one.encoding, one.step) == ("16UC1", 2 * W)
    sent = np.frombuffer(one.data, np.uint16).reshape(H, W)
    assert (sent[:10] == 0).all()
    np.testing.assert_allclose(sent[10:], depth()[10:] * 1000, atol=0.51)


def test_without_a_scale_depth_is_relative_only_and_metres_are_refused_with_the_reason(bench):
    bench.node()
    relative, images, clouds = (
        bench.listen(kind, topic)
        for kind, topic in ((Image, "/depth/relative"), (Image, "/depth/image_raw"), (PointCloud2, "/points"))
    )
    camera_info(bench)
    small = np.full((H // 2, W // 2), 0.7, np.float32)
    bench.pipeline.depth = {"relative_depth": small, "depth_refused": NO_SCALE}
    bench.cameras().stream_until(lambda: len(relative) >= 2, "relative depth")
    assert (relative[-1].encoding, relative[-1].height, relative[-1].width) == ("32FC1", H // 2, W // 2)
    np.testing.assert_array_equal(np.frombuffer(relative[-1].data, np.float32), small.ravel())
    bench.fresh_report()
    assert not images
    assert not clouds
    part = bench.part("depth")
    assert f"depth/image_raw refused: {NO_SCALE}" in part.message
    assert f"points refused: {NO_SCALE}" in part.message
    assert part.level == WARN
    bench.check_sums()


def test_pairs_that_are_wanted_only_for_what_is_refused_are_counted(bench):
    bench.node()
    bench.listen(Image, "/depth/image_raw")
    bench.pipeline.depth = {"depth_refused": NO_SCALE}
    cameras = bench.cameras()
    cameras.stream_until(
        lambda: int(bench.part("pairs").values.get("dropped.output_refused", 0)) >= 2, "pairs refused"
    )
    assert bench.settle()["published"] == 0
    bench.check_sums()


def test_points_are_organised_coloured_and_in_the_place_of_their_pixels(bench):
    bench.node(**ALL)
    clouds = bench.listen(PointCloud2, "/points")
    camera_info(bench)
    kelvin = np.random.default_rng(1).uniform(280, 310, (H, W)).astype(np.float32)
    bench.pipeline.depth = {"depth": depth(), "temperature_k": kelvin}
    bench.cameras().stream_until(lambda: len(clouds) >= 2, "clouds")
    one = clouds[-1]
    assert (one.height, one.width, one.point_step, one.row_step) == (H, W, 20, 20 * W)
    assert (one.is_bigendian, one.is_dense) == (False, False)
    assert len(one.data) == 20 * W * H
    assert [(f.name, f.offset, f.datatype, f.count) for f in one.fields] == [
        (name, 4 * n, PointField.FLOAT32, 1) for n, name in enumerate(("x", "y", "z", "rgb", TEMPERATURE))
    ]
    assert one.header.frame_id == "cam"
    cloud = cloud_of(one, TEMPERATURE)
    np.testing.assert_array_equal(cloud["z"], depth())
    assert np.isnan(cloud["x"][:10]).all()
    v, u = np.mgrid[:H, :W]
    np.testing.assert_allclose(cloud["x"][10:] / cloud["z"][10:] * K[0] + K[2], u[10:], atol=1e-3)
    np.testing.assert_allclose(cloud["y"][10:] / cloud["z"][10:] * K[4] + K[5], v[10:], atol=1e-3)
    np.testing.assert_array_equal(cloud[TEMPERATURE], kelvin)
    fused = 255 - rgb_picture(1).astype(np.uint32)
    packed = cloud["rgb"].view(np.uint32)
    np.testing.assert_array_equal(packed, fused[..., 0] << 16 | fused[..., 1] << 8 | fused[..., 2])


def test_stride_channel_and_voxels_may_change_in_mid_stream(bench):
    pytest.importorskip("open3d")
    node = bench.node(**ALL)
    clouds = bench.listen(PointCloud2, "/points")
    camera_info(bench)
    bench.pipeline.depth = {"depth": depth()}
    cameras = bench.cameras()
    cameras.stream_until(lambda: clouds, "a cloud")
    assert clouds[-1].fields[-1].name == INTENSITY
    assert (cloud_of(clouds[-1], INTENSITY)[INTENSITY] == 0).all()  # the thermal picture of the fake pipeline
    node.set_parameters([Parameter("points.stride", value=2)])
    cameras.stream_until(lambda: clouds[-1].width == W // 2, "every second pixel")
    np.testing.assert_array_equal(cloud_of(clouds[-1], INTENSITY)["z"], depth()[::2, ::2])
    node.set_parameters([Parameter("points.voxel_m", value=2.0)])
    cameras.stream_until(lambda: clouds[-1].height == 1, "voxels")
    assert clouds[-1].is_dense
    assert 0 < clouds[-1].width < H * W // 4
    assert len(clouds[-1].data) == clouds[-1].row_step == 20 * clouds[-1].width
    assert np.isfinite(cloud_of(clouds[-1], INTENSITY)["z"]).all()
    node.set_parameters([Parameter("points.voxel_m", value=0.0)])
    cameras.stream_until(lambda: clouds[-1].height == H // 2, "an organised cloud again")
    np.testing.assert_array_equal(cloud_of(clouds[-1], INTENSITY)["z"], depth()[::2, ::2])


@pytest.mark.parametrize(
    ("info", "words"),
    [
        (None, "nothing has come on rgb/camera_info"),
        ({"k": [0.0] * 9}, "not calibrated"),
        ({"height": 2 * H, "width": 2 * W}, f"depth is {W}x{H}, the camera {2 * W}x{2 * H}"),
    ],
    ids=["none", "uncalibrated", "other size"],
)
def test_points_of_an_unknown_camera_are_refused_with_the_reason(bench, info, words):
    bench.node()
    clouds, fused = bench.listen(PointCloud2, "/points"), bench.listen(Image, "/fused/image_raw")
    if info is not None:
        camera_info(bench, **info)
    bench.pipeline.depth = {"depth": depth()}
    bench.cameras().stream_until(lambda: len(fused) >= 2, "fused images all the same")
    bench.fresh_report()
    assert f"points refused: {words}" in bench.part("depth").message.replace("point cloud: ", "").replace(
        "rgb/camera_info: K is all zeros: this camera says that it is ", ""
    )
    assert bench.part("depth").level == WARN
    assert not clouds


def test_without_a_subscriber_neither_depth_nor_points_are_asked_for(bench):
    bench.node(**ALL)
    fused = bench.listen(Image, "/fused/image_raw")
    camera_info(bench)
    bench.pipeline.depth = {"depth": depth()}
    cameras = bench.cameras()
    cameras.stream_until(lambda: len(fused) >= 2, "fused images")
    assert not any(wanted & {"depth", "points", "objects"} for wanted in bench.pipeline.wants)
    depth_outputs = bench.nodes[0]._outputs.depth
    assert depth_outputs._cloud._builder is None
    clouds = bench.listen(PointCloud2, "/points")
    cameras.stream_until(lambda: clouds, "a cloud")
    assert bench.pipeline.wants[-1] - {"caption"} == {"fused", "points"}


def test_points_keep_to_their_rate_and_pairs_in_between_cost_nothing(bench):
    bench.node(points__rate_hz=10.0)
    clouds = bench.listen(PointCloud2, "/points")
    camera_info(bench)
    bench.pipeline.depth = {"depth": depth()}
    cameras = bench.cameras()
    cameras.stream_until(lambda: len(clouds) >= 5, "clouds")
    bench.settle()
    stamps = np.array([stamp_of(cloud) for cloud in clouds]) - stamp_of(clouds[0])
    # Frames come every 33 ms of stamp: every third, and one more now and then.
    assert (np.diff(stamps) > 60e6).all()
    assert stamps[-1] >= (len(stamps) - 1) * 90e6
    assert len(bench.pipeline.processed) == len(clouds)
    assert int(bench.part("pairs").values["dropped.rate_limited"]) >= 5
    bench.check_sums()


def test_depth_can_be_switched_off(bench):
    node = bench.node(depth__enabled=False)
    topics = {publisher.topic_name for publisher in node.publishers}
    assert "/fused/image_raw" in topics
    assert not topics & {"/points", "/depth/image_raw", "/depth/relative", "/depth/camera_info"}
    bench.fresh_report()
    assert "depth.enabled is false" in bench.part("depth").message


def test_a_rate_limit_holds_its_rate_with_jitter_after_a_pause_and_after_a_loop():
    random = np.random.default_rng(0)
    limit = RateLimit()

    def passed(stamps):
        count = 0
        for stamp in stamps:
            if limit.due(int(stamp), 10.0):
                limit.take(int(stamp), 10.0)
                count += 1
        return count

    frames = np.arange(900) * 1e9 / 30 + random.uniform(-3e6, 3e6, 900) + 1e9
    assert 298 <= passed(frames) <= 301
    assert passed([frames[-1] + 60e9, frames[-1] + 60.05e9]) == 1
    assert 99 <= passed(frames[:300]) <= 101
    assert all(limit.due(stamp, 0.0) for stamp in range(3))


def test_a_new_rate_counts_at_once():
    limit = RateLimit()
    limit.take(0, 0.01)
    assert not limit.due(200_000_000, 0.01)
    assert limit.due(200_000_000, 10.0)


def test_what_was_said_of_depth_holds_while_only_pictures_are_wanted(bench):
    bench.node(points__rate_hz=0.5)
    fused, clouds = bench.listen(Image, "/fused/image_raw"), bench.listen(PointCloud2, "/points")
    camera_info(bench)
    measured = {"depth": depth(), "relative_depth": depth(), "scale_state": {"mounting": "known"}}
    bench.pipeline.depth = measured
    cameras = bench.cameras()
    cameras.stream_until(lambda: clouds, "a cloud")
    bench.pipeline.depth = {}  # as the real one, between two clouds
    count = len(fused)
    cameras.stream_until(lambda: len(fused) > count + 2, "pictures alone")
    bench.fresh_report()
    part = bench.part("depth")
    assert "the pipeline makes no depth" not in part.message
    assert part.values["scale.mounting"] == "known"
