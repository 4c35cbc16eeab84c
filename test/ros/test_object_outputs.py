"""Objects as markers over real DDS."""

from __future__ import annotations

import dataclasses

import pytest

rclpy = pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from visualization_msgs.msg import Marker, MarkerArray  # noqa: E402

from thermal_fusion_ros.geometry.scale import MetricScale  # noqa: E402
from thermal_fusion_ros.language.scene import SeenObject  # noqa: E402

OK, WARN = b"\x00", b"\x01"
PERSON = SeenObject(
    "person", (20, 10, 30, 40), 0.9, depth=5.0, metric=True, bearing_deg=12.0, view=(-0.3, -0.2, -0.1, 0.2)
)
CAR = SeenObject("car", (40, 20, 60, 40), 0.9, metric=True)  # nothing is known of its distance
SCALE = MetricScale(1.3, 0.05, consistent=True, reason="")


def test_markers_stand_where_the_objects_are(bench):
    bench.node()
    heard = bench.listen(MarkerArray, "/objects")
    bench.pipeline.depth = {"scale": SCALE, "objects": (PERSON, CAR)}
    cameras = bench.cameras()
    cameras.stream_until(lambda: len(heard) >= 2, "markers")
    first, box, text = heard[-1].markers
    assert first.action == Marker.DELETEALL
    assert all("objects" in wanted for wanted in bench.pipeline.wants[-2:])
    assert (box.type, text.type) == (Marker.CUBE, Marker.TEXT_VIEW_FACING)
    assert box.header.frame_id == text.header.frame_id == "cam"
    place = box.pose.position
    assert (place.x, place.y) == pytest.approx((-1.0, 0.0))
    assert place.z - box.scale.z / 2 == pytest.approx(5.0)
    assert (box.scale.x, box.scale.y) == pytest.approx((1.0, 2.0))
    assert box.lifetime.nanosec > 0
    assert text.text == "person 5.1 m, 12° left"
    assert text.pose.position.y < place.y - box.scale.y / 2
    bench.fresh_report()
    part = bench.part("objects")
    assert (part.level, part.values["seen"], part.values["subscribers"]) == (OK, "2", "1")
    assert bench.settle()["published"] == len(heard)
    bench.check_sums()


def test_a_street_without_objects_clears_the_last_ones(bench):
    bench.node()
    heard = bench.listen(MarkerArray, "/objects")
    bench.pipeline.depth = {"scale": SCALE, "objects": ()}
    bench.cameras().stream_until(lambda: heard, "markers")
    assert [marker.action for marker in heard[-1].markers] == [Marker.DELETEALL]


def test_without_metres_there_are_no_markers_and_the_reason_is_told(bench):
    bench.node()
    heard = bench.listen(MarkerArray, "/objects")
    relative = dataclasses.replace(PERSON, metric=False)
    bench.pipeline.depth = {"objects": (relative,), "depth_refused": "set depth.camera_height_m"}
    cameras = bench.cameras()
    cameras.stream_until(lambda: bench.part("objects").values.get("refused"), "the reason")
    assert not heard
    assert bench.part("objects").values["refused"] == "set depth.camera_height_m"
    assert bench.part("objects").level == WARN
    assert bench.settle()["dropped.output_refused"] > 0
    bench.check_sums()


def test_objects_can_be_switched_off(bench):
    bench.node(objects__enabled=False)
    bench.fresh_report()
    assert "nothing is looked for" in bench.part("objects").message
