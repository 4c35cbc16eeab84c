"""A box at a known place of the simulated world is in the published cloud at that place of the map."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
pytest.importorskip("open3d", reason="the simulator needs open3d")

from sensor_msgs.msg import CameraInfo, PointCloud2

from thermal_fusion_ros.geometry.pointcloud import INTENSITY, point_type
from thermal_fusion_ros.geometry.poses import FrameTree
from thermal_fusion_ros.messages import stamp_ns
from thermal_fusion_ros.simulation.actors import Track
from thermal_fusion_ros.simulation.recording import BASE, MAP
from thermal_fusion_ros.simulation.rig import base_pose
from thermal_fusion_ros.simulation.simulator import Simulator

from ..simulation.scenes import WALL_M, bare_world, small
from .bench import image
from .fakes import thermal_picture

LOW, HIGH = np.array([4.2, 0.3, 0.0]), np.array([5.0, 1.5, 1.1])  # corners of the box in the map, metres
GROUND_M = 0.06  # above it a point belongs to something
WITHIN = 0.05  # of the distance


def poses(simulator, seconds, now_ns):
    """What TF knows: the cameras on the robot, and its odometry, which says nothing at the moment of the picture."""
    rig, tree = simulator.rig, FrameTree()
    tree.add(BASE, rig.rgb.frame_id, now_ns, rig.base_from_rgb, static=True)
    for later in (-0.07, -0.02, 0.03, 0.08):
        moment_ns = now_ns + round(later * 1e9)
        tree.add(MAP, BASE, moment_ns, base_pose(simulator.world, seconds + later), static=False)
    return tree


@pytest.mark.parametrize("seconds", [0.5, 2.0])
def test_the_box_is_where_the_world_has_it(bench, seconds):
    config = small(width=320, height=240, quality="live")
    way = Track([[-0.5, 0.2], [3.0, 1.0]], 0.5, closed=False)  # neither straight at it nor along an axis
    world = replace(bare_world(objects=[("box", LOW, HIGH, "wall")]), path=way)
    simulator = Simulator(config, world=world)
    shot = simulator.rgb(seconds)
    truth, camera = shot.truth, shot.truth.camera
    assert any(camera.distortion)

    bench.node(points__rate_hz=0.0, points__stride=1)
    clouds = bench.listen(PointCloud2, "/points")
    info = bench.publisher(CameraInfo, "/rgb/camera_info")
    message = CameraInfo(
        height=camera.height, width=camera.width, k=camera.matrix.ravel().tolist(),
        distortion_model="plumb_bob", d=list(camera.distortion),
    )  # fmt: skip
    message.header.frame_id = camera.frame_id
    info.publish(message)
    bench.until(lambda: len(bench.pipeline.rigs) >= 2, "the camera known")
    bench.pipeline.depth = {"depth": truth.depth}

    cameras = bench.cameras()

    def step():
        cameras.stamp += cameras.period
        cameras.send(cameras.rgb, image(shot.frame.image, "rgb8", cameras.stamp, frame_id=camera.frame_id))
        thermal = thermal_picture(0, camera.height, camera.width)
        cameras.send(cameras.thermal, image(thermal, "mono8", cameras.stamp))
        cameras.wait_received()
        for _ in range(4):
            bench.executor.spin_once(timeout_sec=0.01)
        return clouds

    bench.until(step, "a cloud")
    cloud = np.frombuffer(clouds[-1].data, point_type(INTENSITY))
    assert clouds[-1].header.frame_id == camera.frame_id
    points = np.stack([cloud[axis] for axis in "xyz"], axis=-1).astype(np.float64)
    points = points[np.isfinite(points).all(axis=1)]
    taken_ns = stamp_ns(clouds[-1])
    seen_from = poses(simulator, seconds, taken_ns).lookup(MAP, clouds[-1].header.frame_id, taken_ns)
    in_map = points @ seen_from[:3, :3].T + seen_from[:3, 3]
    eye = seen_from[:3, 3]
    box = in_map[(in_map[:, 2] > GROUND_M) & (in_map[:, 0] < WALL_M - 0.5)]
    assert len(box) > 500
    tolerance = WITHIN * np.linalg.norm((LOW + HIGH) / 2 - eye)
    # Every point lies on the box ...
    outside = np.maximum(np.maximum(LOW - box, box - HIGH), 0)
    assert np.linalg.norm(outside, axis=1).max() < tolerance
    # ... on its near face, which is covered from edge to edge and up to its top.
    near = box[np.abs(box[:, 0] - LOW[0]) < tolerance]
    assert len(near) > 0.5 * len(box)
    assert np.median(near[:, 0]) == pytest.approx(LOW[0], abs=0.2 * tolerance)
    np.testing.assert_allclose(near[:, 1].min(), LOW[1], atol=tolerance)
    np.testing.assert_allclose(near[:, 1].max(), HIGH[1], atol=tolerance)
    np.testing.assert_allclose(near[:, 2].max(), HIGH[2], atol=tolerance)
