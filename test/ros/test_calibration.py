"""The node and its calibration: waits, refuses by name, and never sends wrong geometry on."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import TransformStamped
from rclpy.parameter import Parameter
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CameraInfo, Image

from thermal_fusion_ros.geometry.mounting import down_of_tilt
from thermal_fusion_ros.geometry.poses import matrix_from
from thermal_fusion_ros.ros.transforms import TransformLookup
from thermal_fusion_ros.sensing.camera import CalibrationError
from thermal_fusion_ros.simulation.mesh import rotation_y
from thermal_fusion_ros.simulation.rig import BODY_FROM_OPTICAL

from .fakes import H, W

K = [500.0, 0.0, 32.0, 0.0, 500.0, 24.0, 0.0, 0.0, 1.0]
POSE = "0.1 0 0 0 0 0 1"


def info(frame: str, **changes) -> CameraInfo:
    message = CameraInfo(
        **({"height": H, "width": W, "k": K, "distortion_model": "plumb_bob", "d": [0.0] * 5} | changes)
    )
    message.header.frame_id = frame
    return message


def test_rig_reaches_the_pipeline_once_both_cameras_have_spoken(bench):
    bench.node(registration__thermal_in_rgb=POSE)
    for camera in ("rgb", "thermal"):
        assert bench.pipeline.rigs == [] or bench.pipeline.rigs[-1][0] is None
        topic = bench.publisher(CameraInfo, f"/{camera}/camera_info")
        topic.publish(info(camera))
        topic.publish(info(camera))  # repeats are nothing new
        bench.until(
            lambda c=camera: len(bench.pipeline.rigs) >= 2 + (c == "thermal"),
            f"the pipeline to hear of {camera}",
        )
    rig, problem = bench.pipeline.rigs[-1]
    assert problem is None
    assert rig.baseline_m == pytest.approx(0.1)
    assert len(bench.pipeline.rigs) == 3


@pytest.mark.parametrize("matrix", ["", "1 0 0 0 1 0 0 0 1"])
def test_that_thermal_is_taken_as_registered_is_said_where_nobody_has_said_so(bench, matrix):
    bench.node(registration__matrix=matrix)
    bench.fresh_report()
    report = bench.part("rig")
    assert report.level == DiagnosticStatus.OK
    assert ("taken as registered: nothing has come on rgb/camera_info" in report.message) is not bool(matrix)


def test_a_transform_that_never_comes_is_named(bench):
    bench.node(registration__level="plane")
    for camera in ("rgb", "thermal"):
        bench.publisher(CameraInfo, f"/{camera}/camera_info").publish(info(camera))
    bench.until(
        lambda: bench.reports and bench.reports[-1]["rig"].values.get("problem") == "waiting_transform",
        "the reason",
    )
    assert "static_transform_publisher" in bench.reports[-1]["rig"].message


def test_pairs_that_calibration_forbids_are_counted_under_the_reason(bench):
    bench.node(registration__level="plane")
    bench.pipeline.fault = CalibrationError("not_finite", "thermal/camera_info: distortion holds NaN")
    fused = bench.listen(Image, "/fused/image_raw")
    cameras = bench.cameras()
    cameras.pair()
    bench.until(
        lambda: bench.reports and bench.part("pairs").values.get("dropped.calibration_not_finite") == "1",
        "the drop in the diagnostics",
    )
    assert not fused


@pytest.mark.parametrize(
    "wrong",
    [{"d": [float("nan")] * 5}, {"k": [0.0, *K[1:]]}, {"height": 2 * H, "width": 2 * W}],
    ids=["NaN", "zero focal length", "other size"],
)
def test_wrong_camera_info_is_not_sent_on(bench, wrong):
    bench.node()
    fused, infos = bench.listen(Image, "/fused/image_raw"), bench.listen(CameraInfo, "/fused/camera_info")
    cameras = bench.cameras()
    topic = bench.publisher(CameraInfo, "/rgb/camera_info")
    topic.publish(info("rgb", **wrong))
    bench.until(lambda: len(bench.pipeline.rigs) >= 2, "the pipeline to hear of it")
    cameras.pair()
    bench.until(lambda: fused, "an image")
    assert not infos
    topic.publish(info("rgb"))
    bench.until(lambda: len(bench.pipeline.rigs) >= 3, "the pipeline to hear of the correction")
    cameras.pair()
    bench.until(lambda: infos, "camera_info after the correction")


def install_tf2(monkeypatch, lookup_transform):
    """An imitation of tf2_ros, whose buffers know what `lookup_transform(target, source, stamp_ns)` says."""

    class TransformException(Exception):
        pass

    class Buffer:
        def __init__(self, cache_time=None, node=None):
            assert node is None, "it would make a service in it that nobody destroys"

        def lookup_transform(self, target, source, time):
            found = lookup_transform(target, source, time.nanoseconds)
            if found is None:
                raise TransformException
            return found

    class TransformListener:
        def __init__(self, buffer, node, spin_thread):
            assert not spin_thread

        def unregister(self):
            pass

    names = (Buffer, TransformListener, TransformException)
    monkeypatch.setitem(sys.modules, "tf2_ros", SimpleNamespace(**{one.__name__: one for one in names}))


def transform(stamp_ns, x, y, z, yaw_deg=0.0):
    message = TransformStamped()
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
    at, turn = message.transform.translation, message.transform.rotation
    at.x, at.y, at.z = x, y, z
    turn.x, turn.y, turn.z, turn.w = Rotation.from_euler("z", yaw_deg, degrees=True).as_quat().tolist()
    return message


def test_transforms_come_from_tf2_where_it_is_installed(monkeypatch):
    known = {("rgb", "thermal", 0): transform(0, 0.1, 0.2, 0.3)}
    install_tf2(monkeypatch, lambda *asked: known.get(asked))
    lookup = TransformLookup(object())
    assert lookup.available
    position, quaternion = lookup.pose("rgb", "thermal")
    np.testing.assert_allclose(position, (0.1, 0.2, 0.3))
    np.testing.assert_allclose(quaternion, (0, 0, 0, 1))
    assert lookup.pose("rgb", "elsewhere") is None
    before = lookup._buffer
    lookup.clear()
    assert lookup.available
    assert lookup._buffer is not before  # a full one would refuse the stamps of a loop as old
    monkeypatch.setitem(sys.modules, "tf2_ros", None)
    assert not TransformLookup(object()).available


@pytest.mark.parametrize(
    ("later_ms", "known"), [(-50, True), (0, True), (30, True), (200, True), (250, False)]
)
def test_a_picture_newer_than_odometry_is_where_the_robot_was_going(monkeypatch, later_ms, known):
    """It drives 1 m/s and turns 10°/s; TF knows it from one second before `newest` on."""
    newest = 5_000_000_000

    def lookup_transform(target, source, stamp_ns):
        moment = stamp_ns or newest
        if (target, source) != ("odom", "rgb") or not newest - 1_000_000_000 <= moment <= newest:
            return None
        return transform(moment, moment * 1e-9, 0.0, 0.0, moment * 1e-8)

    install_tf2(monkeypatch, lookup_transform)
    lookup, moment = TransformLookup(object()), newest + later_ms * 1_000_000
    pose = lookup.moving_pose("odom", "rgb", moment)
    if not known:
        assert pose is None
        return
    np.testing.assert_allclose(pose[:3, 3], (moment * 1e-9, 0, 0), atol=1e-6)
    turned = Rotation.from_matrix(pose[:3, :3]).as_euler("xyz", degrees=True)
    np.testing.assert_allclose(turned, (0, 0, moment * 1e-8), atol=1e-6)
    assert lookup.moving_pose("odom", "thermal", moment) is None
    assert lookup.moving_pose("odom", "rgb", newest - 2_000_000_000) is None  # before TF began


def test_a_picture_of_the_first_moment_of_simulated_time_has_no_pose(monkeypatch):
    install_tf2(
        monkeypatch, lambda target, source, ns: transform(50_000_000, 0, 0, 0) if ns <= 50_000_000 else None
    )
    assert TransformLookup(object()).moving_pose("odom", "rgb", 80_000_000) is None


def test_how_the_camera_is_mounted_comes_from_tf(bench):
    node = bench.node()
    base_from_camera = Rotation.from_matrix(rotation_y(np.radians(5.0)) @ BODY_FROM_OPTICAL)
    asked = []

    def pose(parent, child):
        asked.append((parent, child))
        return np.array([0.3, 0.0, 1.2]), base_from_camera.as_quat()

    node._transforms = SimpleNamespace(available=True, pose=pose, close=lambda: None)
    cameras = bench.cameras()
    cameras.pair()
    bench.until(lambda: bench.pipeline.downs, "the pipeline to hear of it")
    np.testing.assert_allclose(bench.pipeline.downs[-1], down_of_tilt(0, 5), atol=1e-6)
    assert asked[-1][0] == "base_link"
    asked.clear()
    bench.until(lambda: len(asked) > 2, "TF to be asked again")
    assert len(bench.pipeline.downs) == 1  # nothing has changed


def test_a_tilt_that_is_none_is_refused(bench):
    node = bench.node()
    (result,) = node.set_parameters([Parameter("depth.camera_tilt", value="steep")])
    assert not result.successful
    assert "ROLL PITCH" in result.reason


def test_where_odometry_had_the_camera_when_a_picture_was_taken_goes_with_the_pair(bench):
    node = bench.node(depth__odometry_frame="odom")
    assert any("without tf2_ros" in line for line in bench.log)  # which is not here
    asked = []

    def moving_pose(parent, child, stamp_ns):
        asked.append((parent, child, stamp_ns))
        return matrix_from((1.0, 2.0, 3.0), (0.0, 0.0, 0.0, 1.0))

    node._transforms = SimpleNamespace(
        available=True, moving_pose=moving_pose, pose=lambda *_: None, close=lambda: None
    )
    fused = bench.listen(Image, "/fused/image_raw")
    why = "not used: TF does not say where the camera was in 'odom'"
    bench.pipeline.depth = {"relative_depth": np.ones((H, W), np.float32), "scale_state": {"motion": why}}
    bench.cameras().stream_until(lambda: fused, "a fused picture")
    pair = bench.pipeline.processed[0]
    np.testing.assert_array_equal(pair.world_from_camera[:3, 3], (1, 2, 3))
    assert ("odom", pair.rgb.frame_id, pair.rgb.stamp_ns) in asked
    bench.fresh_report()
    assert f"depth.odometry_frame {why}" in bench.part("depth").message
