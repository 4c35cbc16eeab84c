"""Sparse points of a lidar or radar, `range/points`: a source of metric scale once they are in the RGB frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import PointCloud2, PointField

from thermal_fusion_ros.messages import BadMessageError, stamp_ns
from thermal_fusion_ros.ros.log_limiter import LogLimiter
from thermal_fusion_ros.ros.overridable import SENSOR_DATA, create_subscription
from thermal_fusion_ros.ros.transforms import TransformLookup

if TYPE_CHECKING:
    from rclpy.node import Node

    from thermal_fusion_ros.sensing.rig_assembly import Pose

F32 = NDArray[np.float32]
TOPIC = "range/points"
NUMBERS = {
    PointField.INT8: "i1", PointField.UINT8: "u1", PointField.INT16: "i2", PointField.UINT16: "u2",
    PointField.INT32: "i4", PointField.UINT32: "u4", PointField.FLOAT32: "f4", PointField.FLOAT64: "f8",
}  # fmt: skip

Take = Callable[[F32, int], None]


class RangeInput:
    """Hands points (N×3 float32 metres, optical frame of the RGB camera) and their stamp (ns) to `take`.

    `wanted` says whether anybody needs them, `rgb_frame` the frame they have to be in ("" while it is not known).
    `refused` is why the last ones could not be used; `points` how many they were.
    """

    def __init__(
        self,
        node: Node,
        transforms: TransformLookup,
        *,
        take: Take,
        wanted: Callable[[], bool],
        rgb_frame: Callable[[], str | None],
        log: LogLimiter,
    ) -> None:
        self._node, self._transforms, self._log = node, transforms, log
        self._take, self._wanted, self._rgb_frame = take, wanted, rgb_frame
        self.topic: str = node.resolve_topic_name(TOPIC)
        self.received = self.used = self.points = 0
        self.refused = ""
        self._subscription = create_subscription(node, PointCloud2, TOPIC, self._on_points, SENSOR_DATA)

    def close(self) -> None:
        """Unsubscribe."""
        self._node.destroy_subscription(self._subscription)

    def _on_points(self, message: PointCloud2) -> None:
        self.received += 1
        self.refused = ""
        if not self._wanted():
            return
        try:
            points = self._in_rgb_frame(message)
        except BadMessageError as error:
            self.refused = str(error)
            self._log.warning(f"{self.topic} {error.reason}", f"{self.topic} refused: {error}")
            return
        self.used += 1
        self.points = len(points)
        self._take(points, stamp_ns(message))

    def _in_rgb_frame(self, message: PointCloud2) -> F32:
        there, here = message.header.frame_id, self._rgb_frame()
        if here is None:
            raise BadMessageError(
                "frame", "no RGB image has come yet, so the frame to bring points into is not known"
            )
        if there == here:
            return points_from_message(message)
        if not self._transforms.available:
            raise BadMessageError(
                "frame",
                f"points are in frame {there!r}, RGB images in {here!r}, and tf2_ros is not installed: install it, or "
                f"publish points in {here!r}",
            )
        pose = self._transforms.pose(here, there) if here and there else None
        if pose is None:
            raise BadMessageError("frame", f"no transform from {there!r} to {here!r} on TF")
        return moved(points_from_message(message), pose)


def points_from_message(message: Any) -> F32:
    """N×3 float32, the finite points of a PointCloud2 with numeric fields x, y and z, however it is laid out.

    Raises :class:`BadMessageError`.
    """
    fields = {field.name: field for field in message.fields}
    missing = [axis for axis in "xyz" if axis not in fields or fields[axis].datatype not in NUMBERS]
    if missing:
        raise BadMessageError(
            "fields", f"no numeric field {', '.join(missing)} among {', '.join(fields) or 'none'}"
        )
    order = ">" if message.is_bigendian else "<"
    step, width, height = int(message.point_step), int(message.width), int(message.height)
    row = int(message.row_step) or step * width  # some drivers leave it 0
    ends = [fields[axis].offset + np.dtype(NUMBERS[fields[axis].datatype]).itemsize for axis in "xyz"]
    if step < max(ends) or row < step * width:
        raise BadMessageError(
            "step", f"point_step {step} or row_step {row} is too small for its fields and {width} points"
        )
    if len(message.data) < (row * (height - 1) + step * width if width and height else 0):
        raise BadMessageError(
            "short_data", f"{len(message.data)} bytes of data for {width}x{height} points of {step} bytes"
        )
    points = np.empty((height, width, 3), np.float32)
    for column, axis in enumerate("xyz" if points.size else ""):
        field = fields[axis]
        points[..., column] = np.ndarray(
            (height, width),
            order + NUMBERS[field.datatype],
            memoryview(message.data),
            field.offset,
            (row, step),
        )
    found = points.reshape(-1, 3)
    return found[np.isfinite(found).all(axis=1)]


def moved(points: F32, pose: Pose) -> F32:
    """`points` (N×3) of a frame, in the frame that it has this pose in (position, quaternion x y z w)."""
    from scipy.spatial.transform import Rotation

    position, quaternion = pose
    turn = Rotation.from_quat(quaternion).as_matrix().astype(np.float32)
    return points @ turn.T + np.asarray(position, np.float32)
