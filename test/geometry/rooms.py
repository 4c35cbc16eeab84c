"""A room whose every depth picture is known in closed form, and recordings of a camera that drives through it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from thermal_fusion_ros.bags.writer import BagWriter
from thermal_fusion_ros.geometry.reconstruction_tracking import BODY_FROM_OPTICAL
from thermal_fusion_ros.sensing.camera import CameraModel

LOW, HIGH = np.array([0.0, -2.0, 0.0]), np.array([6.0, 2.0, 2.5])
CAMERA = CameraModel(
    96, 72, np.array([[80.0, 0, 46.5], [0, 80.0, 36.0], [0, 0, 1]]), np.array([-0.1, 0.02, 0, 0, 0])
)
FRAMES = 6
WARM_K, COLD_K = 310.0, 290.0  # the left wall, and everything else


def base_pose(index: int) -> np.ndarray:
    """map_from_base."""
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("z", 2.0 * index, degrees=True).as_matrix()
    pose[:3, 3] = 1.0 + 0.15 * index, -0.3, 0.0
    return pose


BASE_FROM_CAMERA = np.eye(4)
BASE_FROM_CAMERA[:3, 3] = 0.2, 0.0, 1.2
BASE_FROM_CAMERA = BASE_FROM_CAMERA @ BODY_FROM_OPTICAL


def stamp_of(index: int) -> int:
    return 5_000_000_000 + index * 100_000_000


def look(pose: np.ndarray, camera: CameraModel = CAMERA) -> tuple[np.ndarray, np.ndarray]:
    """(depth H×W, points H×W×3 in the map) of a camera at a pose inside the room."""
    rays = camera.unproject(camera.pixel_grid()) @ pose[:3, :3].T
    rays[rays == 0] = 1e-12
    ways = np.where(rays > 0, (HIGH - pose[:3, 3]) / rays, (LOW - pose[:3, 3]) / rays)
    depth = ways.min(axis=1)  # rays have z = 1 in the camera's frame
    shape = (camera.height, camera.width)
    return depth.reshape(shape).astype(np.float32), (pose[:3, 3] + depth[:, None] * rays).reshape(*shape, 3)


def colour_at(points: np.ndarray) -> np.ndarray:
    """Red grows along x, green along y, blue along z, with a checker for what follows structure."""
    share = (points - LOW) / (HIGH - LOW)
    checker = (np.floor(points * 2.5 + 0.5).sum(axis=-1, keepdims=True) % 2) * 50
    return np.clip(100 * share + 50 + checker, 0, 255).astype(np.uint8)


def kelvin_at(points: np.ndarray) -> np.ndarray:
    return np.where(points[..., 1] > HIGH[1] - 0.01, WARM_K, COLD_K).astype(np.float32)


def off_surface(vertices: np.ndarray) -> np.ndarray:
    """How far each vertex is from the nearest wall, floor or ceiling."""
    return np.minimum(np.abs(vertices - LOW), np.abs(vertices - HIGH)).min(axis=1)


class Recorder:
    """Writes a bag part by part."""

    def __init__(self, writer: BagWriter) -> None:
        self.writer, self.type = writer, writer.type

    def pose(self, kind: str, matrix: np.ndarray) -> Any:
        x, y, z = (float(v) for v in matrix[:3, 3])
        a, b, c, w = (float(v) for v in Rotation.from_matrix(matrix[:3, :3]).as_quat())
        turn = self.type("geometry_msgs/msg/Quaternion")(x=a, y=b, z=c, w=w)
        if kind == "Transform":
            at = self.type("geometry_msgs/msg/Vector3")(x=x, y=y, z=z)
            return self.type("geometry_msgs/msg/Transform")(translation=at, rotation=turn)
        at = self.type("geometry_msgs/msg/Point")(x=x, y=y, z=z)
        return self.type("geometry_msgs/msg/Pose")(position=at, orientation=turn)

    def tf(self, parent: str, child: str, matrix: np.ndarray, stamp: int, topic: str = "/tf") -> None:
        one = self.type("geometry_msgs/msg/TransformStamped")(
            header=self.writer.header(stamp, parent),
            child_frame_id=child,
            transform=self.pose("Transform", matrix),
        )
        self.writer.write(topic, self.type("tf2_msgs/msg/TFMessage")(transforms=[one]), stamp)

    def odometry(
        self, matrix: np.ndarray, stamp: int, topic: str = "/odom", child: str = "base_link"
    ) -> None:
        zero = self.type("geometry_msgs/msg/Vector3")(x=0.0, y=0.0, z=0.0)
        twist = self.type("geometry_msgs/msg/Twist")(linear=zero, angular=zero)
        none = np.zeros(36)
        message = self.type("nav_msgs/msg/Odometry")(
            header=self.writer.header(stamp, "odom"),
            child_frame_id=child,
            pose=self.type("geometry_msgs/msg/PoseWithCovariance")(
                pose=self.pose("Pose", matrix), covariance=none
            ),
            twist=self.type("geometry_msgs/msg/TwistWithCovariance")(twist=twist, covariance=none),
        )
        self.writer.write(topic, message, stamp)

    def image(self, topic: str, image: np.ndarray, stamp: int, frame: str = "camera") -> None:
        self.writer.write_image(topic, image, stamp_ns=stamp, frame_id=frame)

    def compressed_depth(self, topic: str, depth: np.ndarray, stamp: int, frame: str = "camera") -> None:
        """As compressed_depth_image_transport stores 32FC1: quantised inverse depth."""
        a, b = np.float32(100 * 101.0), np.float32(1 - 100 * 101.0 / 10.0)
        stored = np.where(np.isfinite(depth), a / depth + b, 0).astype(np.uint16)
        head = np.zeros(1, "<i4").tobytes() + np.array([a, b], "<f4").tobytes()
        data = np.frombuffer(head + cv2.imencode(".png", stored)[1].tobytes(), np.uint8)
        message = self.type("sensor_msgs/msg/CompressedImage")(
            header=self.writer.header(stamp, frame), format="32FC1; compressedDepth png", data=data
        )
        self.writer.write(f"{topic}/compressedDepth", message, stamp)

    def info(self, topic: str, stamp: int, frame: str = "camera", camera: CameraModel = CAMERA) -> None:
        message = self.type("sensor_msgs/msg/CameraInfo")(
            header=self.writer.header(stamp, frame),
            height=camera.height,
            width=camera.width,
            distortion_model="plumb_bob",
            d=np.asarray(camera.d),
            k=camera.k.ravel(),
            r=np.eye(3).ravel(),
            p=np.asarray(camera.p).ravel(),
            binning_x=0,
            binning_y=0,
            roi=self.type("sensor_msgs/msg/RegionOfInterest")(
                x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
            ),
        )
        self.writer.write(topic, message, stamp)


def record(
    path: Path,
    *,
    frames: int = FRAMES,
    poses: str = "tf",
    static: bool = True,
    info: bool = True,
    depth: Callable[[Recorder, np.ndarray, int], None] | None = None,
    more: Callable[[Recorder, int, np.ndarray, np.ndarray], None] | None = None,
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Path:
    """A drive through the room: `depth` writes a depth picture (32FC1 on /depth/image_raw by default), `more` what
    else belongs to a frame (index, true camera pose, points). `origin` is the room's place in the map.
    """
    with BagWriter(path) as writer:
        out = Recorder(writer)
        if static:
            out.tf("base_link", "camera", BASE_FROM_CAMERA, stamp_of(0), "/tf_static")
        for index in range(frames):
            stamp, base = stamp_of(index), base_pose(index)
            pose = base @ BASE_FROM_CAMERA
            picture, points = look(pose)
            moved = base.copy()
            moved[:3, 3] += origin
            if poses == "tf":
                out.tf("map", "base_link", moved, stamp)
            elif poses == "odometry":
                out.odometry(moved, stamp)
            if info:
                out.info("/depth/camera_info", stamp)
            if depth is None:
                out.image("/depth/image_raw", picture, stamp)
            else:
                depth(out, picture, stamp)
            if more is not None:
                more(out, index, pose, points)
    return path
