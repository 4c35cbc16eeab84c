"""Depth and point clouds as topics. Metres are published only with a metric scale, clouds only of a known camera."""

from __future__ import annotations

import array
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField

from thermal_fusion_ros.config import DepthConfig, PointsConfig
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.frames import DEPTH, POINTS, Perception
from thermal_fusion_ros.geometry.depth_filter import millimetres
from thermal_fusion_ros.geometry.pointcloud import (
    INTENSITY,
    TEMPERATURE,
    Cloud,
    PointCloudBuilder,
    voxel_filtered,
)
from thermal_fusion_ros.ros.message_memory import ImageMemory, lend_memory
from thermal_fusion_ros.ros.outputs import header_of
from thermal_fusion_ros.ros.overridable import NEWEST, create_publisher
from thermal_fusion_ros.ros.rates import RateLimit, RateMeter
from thermal_fusion_ros.sensing.camera import CameraModel

if TYPE_CHECKING:
    from rclpy.node import Node


class DepthOutputs:
    """`depth/image_raw`, `depth/camera_info`, `depth/relative` and `points` of a node.

    `refused` says by topic why it was not published last time, `scale_state` what the pipeline tells of its scale,
    `rates` how often each topic is published. `points` may be replaced at any time; of `depth` only live parameters.
    """

    def __init__(self, node: Node, depth: DepthConfig, points: PointsConfig) -> None:
        self._node = node
        self.points = points
        self._depth = create_publisher(node, Image, "depth/image_raw", NEWEST)
        self._info = create_publisher(node, CameraInfo, "depth/camera_info", NEWEST)
        self._relative = create_publisher(node, Image, "depth/relative", NEWEST)
        self._points = create_publisher(node, PointCloud2, "points", NEWEST)
        self._millimetres = depth.millimetres
        self._depth_memory = ImageMemory("16UC1" if depth.millimetres else "32FC1")
        self._relative_memory = ImageMemory("32FC1")
        self._cloud = CloudMessage()
        self._limit = RateLimit()
        self._camera: CameraModel | str = "the RGB camera is not known yet"
        self.refused: dict[str, str] = {}
        self.scale_state: dict[str, Any] = {}
        self.rates = {name: RateMeter() for name in ("depth", "relative", "points")}

    @property
    def counts(self) -> dict[str, int]:
        """Subscriptions by topic."""
        topics = {"depth": self._depth, "relative": self._relative, "points": self._points}
        return {name: int(topic.get_subscription_count()) for name, topic in topics.items()}

    def set_camera(self, camera: CameraModel | str) -> None:
        """What the RGB pictures are taken with, or why that is not known."""
        self._camera = camera

    def wanted(self, stamp_ns: int) -> tuple[frozenset[str], str]:
        """What is to be made of the pair of this stamp; where that is nothing, why: a reason for the ledger."""
        counts, wanted, reason = self.counts, set(), "no_subscriber"
        if counts["depth"] or counts["relative"]:
            wanted.add(DEPTH)
        if counts["points"]:
            if isinstance(self._camera, str):
                self.refused = {**self.refused, "points": self._camera}
                reason = "output_refused"
            elif self._limit.due(stamp_ns, self.points.rate_hz):
                wanted.add(POINTS)
            else:
                reason = "rate_limited"
        return frozenset(wanted), reason

    def publish(self, perception: Perception, camera_info: Any | None) -> int:
        """Publish what somebody subscribes to and may have; the number of images and clouds.

        `camera_info`: the RGB camera's last CameraInfo; its header is overwritten.
        """
        counts = self.counts
        depth, relative = perception.depth, perception.relative_depth
        cloud_due = counts["points"] and self._limit.due(perception.stamp_ns, self.points.rate_hz)
        asked = counts["depth"] or counts["relative"] or cloud_due
        if relative is None and not perception.depth_refused and not asked:
            return 0  # nothing was measured, for others want pictures: what was said before still holds
        missing = perception.depth_refused or "the pipeline makes no depth"
        refused = {}
        made = 0
        if relative is None:
            refused["relative"] = missing
        elif counts["relative"]:
            made += self._send("relative", self._relative, self._relative_memory.fill(relative), perception)
        if depth is None:
            refused["depth"] = missing
        elif counts["depth"]:
            message = self._depth_memory.fill(millimetres(depth) if self._millimetres else depth)
            made += self._send("depth", self._depth, message, perception)
        if depth is not None and camera_info is not None and self._info.get_subscription_count():
            camera_info.header = header_of(perception)
            self._info.publish(camera_info)
        camera = self._camera
        reasons = [missing] if depth is None else []
        if isinstance(camera, str):
            reasons.append(camera)
        elif cloud_due:
            self._limit.take(perception.stamp_ns, self.points.rate_hz)
            if depth is not None:
                try:
                    cloud = self._cloud.fill(camera, self.points, perception, depth)
                    made += self._send("points", self._points, cloud, perception)
                except InputError as error:
                    reasons.append(str(error))
        elif "points" in self.refused and depth is not None:
            reasons.append(self.refused["points"])  # nothing was tried this time
        if reasons:
            refused["points"] = "; ".join(reasons)
        self.refused, self.scale_state = refused, dict(perception.scale_state)
        return made

    def close(self) -> None:
        """Take the topics away."""
        for publisher in (self._depth, self._info, self._relative, self._points):
            self._node.destroy_publisher(publisher)

    def _send(self, name: str, publisher: Any, message: Any, perception: Perception) -> int:
        message.header = header_of(perception)
        publisher.publish(message)
        self.rates[name].tick(time.monotonic())
        return 1


class CloudMessage:
    """A PointCloud2 made in its own memory; the builder behind it changes with camera, stride and channel."""

    def __init__(self) -> None:
        self._message = PointCloud2(is_bigendian=False)
        self._builder: PointCloudBuilder | None = None
        self._organised = True

    def fill(
        self, camera: CameraModel, config: PointsConfig, perception: Perception, depth: NDArray[np.float32]
    ) -> PointCloud2:
        """The message of `depth`, which is in metres and seen by `camera`, as the fused picture is.

        Raises :class:`InputError` when the sizes do not match, and when the voxel filter is not installed.
        """
        kelvin = perception.temperature_k
        channel = INTENSITY if kelvin is None else TEMPERATURE
        organised = config.voxel_m <= 0
        if not (
            self._builder is not None
            and self._builder.serves(camera, config, channel)
            and organised == self._organised
        ):
            self._builder, self._organised = PointCloudBuilder(camera, config, channel), organised
            if organised:
                self._builder.lay_over(lend_memory(self._message, self._builder.nbytes))
                self._describe(self._builder.cloud, dense=False)
        self._builder.config = config
        cloud = self._builder(depth, perception.fused, perception.thermal if kelvin is None else kelvin)
        if not organised:
            filtered = voxel_filtered(cloud, config.voxel_m)
            data = array.array("B")
            data.frombytes(filtered.tobytes())
            self._message.data = data
            self._describe(filtered, dense=True)
        return self._message

    def _describe(self, cloud: Cloud, *, dense: bool) -> None:
        message, step = self._message, cloud.dtype.itemsize
        message.height, message.width = cloud.shape
        message.point_step, message.row_step = step, step * cloud.shape[1]
        message.is_dense = dense
        message.fields = [
            PointField(name=name, offset=offset, datatype=PointField.FLOAT32, count=1)
            for name, (_, offset, *_) in (cloud.dtype.fields or {}).items()
        ]
