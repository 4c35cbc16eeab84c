"""Measured points from any driver: every layout is read, every frame is the right one or refused."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from rclpy.parameter import Parameter
from sensor_msgs.msg import Image, PointCloud2, PointField

from thermal_fusion_ros.messages import BadMessageError
from thermal_fusion_ros.ros.range_input import moved, points_from_message

POINTS = np.array([[1, 2, 3], [-4, 5, 6], [7, -8, 9], [0.5, 0.25, 20]], np.float32)


def message(points=POINTS, frame="cam", number="f4", order="<", rows=1, padding=0, reorder="xyz", extra=True):
    dtype = np.dtype(
        {
            "names": [*reorder, "ring"] if extra else list(reorder),
            "formats": [order + number] * 3 + [order + "u2"] * extra,
        }
    )
    cloud = np.zeros(len(points), dtype)
    for column, axis in enumerate("xyz"):
        cloud[axis] = points[:, column]
    columns = len(points) // rows
    lines = [cloud[n * columns : (n + 1) * columns].tobytes() + b"\x7f" * padding for n in range(rows)]
    datatype = {"f4": PointField.FLOAT32, "f8": PointField.FLOAT64, "i2": PointField.INT16}[number]
    made = PointCloud2(
        height=rows,
        width=columns,
        point_step=dtype.itemsize,
        row_step=dtype.itemsize * columns + padding,
        is_bigendian=order == ">",
        fields=[
            PointField(
                name=name, offset=dtype.fields[name][1], count=1,
                datatype=PointField.UINT16 if name == "ring" else datatype,
            )
            for name in dtype.names
        ],
    )  # fmt: skip
    made.data = b"".join(lines)
    made.header.frame_id = frame
    made.header.stamp.sec = 7
    return made


@pytest.mark.parametrize(
    "layout",
    [
        {},
        {"number": "f8"},
        {"order": ">"},
        {"rows": 2, "padding": 5},
        {"reorder": "zxy"},
        {"extra": False},
    ],
    ids=str,
)
def test_every_layout_is_read(layout):
    points = points_from_message(message(**layout))
    assert (points.dtype, points.flags.c_contiguous) == (np.float32, True)
    np.testing.assert_array_equal(points, POINTS)


def test_whole_numbers_row_step_zero_and_missing_points():
    whole = np.round(POINTS)
    np.testing.assert_array_equal(points_from_message(message(whole, number="i2")), whole)
    lazy = message()
    lazy.row_step = 0
    np.testing.assert_array_equal(points_from_message(lazy), POINTS)
    holes = POINTS.copy()
    holes[1, 2], holes[3, 0] = np.nan, np.inf
    np.testing.assert_array_equal(points_from_message(message(holes)), POINTS[[0, 2]])
    assert points_from_message(message(POINTS[:0])).shape == (0, 3)


def test_broken_clouds_are_refused_by_name():
    short, narrow, flat = message(), message(), message()
    short.data = short.data[:-1]
    narrow.point_step = 8
    flat.fields = flat.fields[:2]
    for bad, reason in ((short, "short_data"), (narrow, "step"), (flat, "fields")):
        with pytest.raises(BadMessageError) as caught:
            points_from_message(bad)
        assert caught.value.reason == reason


def test_points_are_moved_by_the_pose_of_their_frame():
    half = np.sqrt(0.5)
    pose = np.array([1.0, 0, 0]), np.array([0, 0, half, half])  # a quarter turn about z, one metre along x
    np.testing.assert_allclose(moved(np.array([[2, 0, 5]], np.float32), pose), [[1, 2, 5]], atol=1e-6)


class Bridge:
    """What the tests look at: the topic, and what arrives at the pipeline."""

    def __init__(self, bench, **parameters):
        self.bench = bench
        self.node = bench.node(**parameters)
        self.fused = bench.listen(Image, "/fused/image_raw")
        self.topic = bench.publisher(PointCloud2, "/range/points")
        self.cameras = bench.cameras()
        self.cameras.stream_until(lambda: self.fused, "the RGB frame to be known")

    def send_until(self, condition, what, **layout):
        def step():
            self.topic.publish(message(**layout))
            for _ in range(5):
                self.bench.executor.spin_once(timeout_sec=0.01)
            return condition()

        self.cameras.stream_until(step, what)


def test_points_in_the_frame_of_the_pictures_reach_the_pipeline(bench):
    bridge = Bridge(bench)
    bridge.send_until(lambda: bench.pipeline.range_points, "points")
    points, stamp = bench.pipeline.range_points[-1]
    np.testing.assert_array_equal(points, POINTS)
    assert stamp == 7_000_000_000
    bench.fresh_report()
    assert bench.part("depth").values["range.points"] == "4"


def test_points_of_another_frame_are_refused_without_tf_and_moved_with_it(bench):
    bridge = Bridge(bench)
    bridge.node._range._transforms = SimpleNamespace(available=False)
    bridge.send_until(
        lambda: "tf2_ros is not installed" in bench.part("depth").message, "it refused", frame="lidar"
    )
    assert bench.part("depth").level == b"\x01"
    assert "'lidar'" in bench.part("depth").message
    bridge.node._range._transforms = SimpleNamespace(available=True, pose=lambda parent, child: None)
    bridge.send_until(
        lambda: "no transform from 'lidar' to 'cam'" in bench.part("depth").message,
        "it refused",
        frame="lidar",
    )
    assert bench.pipeline.range_points == []
    bridge.node.set_parameters([Parameter("depth.range_points", value=False)])
    bridge.send_until(
        lambda: "refused.range" not in bench.part("depth").values, "it no longer asked for", frame="lidar"
    )
    bridge.node.set_parameters([Parameter("depth.range_points", value=True)])
    pose = np.array([0.0, 0.0, 10.0]), np.array([0.0, 0.0, 0.0, 1.0])
    bridge.node._range._transforms = SimpleNamespace(available=True, pose=lambda parent, child: pose)
    bridge.send_until(lambda: bench.pipeline.range_points, "points", frame="lidar")
    np.testing.assert_allclose(bench.pipeline.range_points[-1][0], POINTS + np.array([0, 0, 10]))
    bench.fresh_report()
    assert "refused.range" not in bench.part("depth").values


def test_points_that_nobody_needs_are_not_read(bench):
    bridge = Bridge(bench, depth__range_points=False)
    bridge.send_until(lambda: bridge.node._range.received >= 3, "points to come")
    assert bridge.node._range.used == 0
    assert bench.pipeline.range_points == []
