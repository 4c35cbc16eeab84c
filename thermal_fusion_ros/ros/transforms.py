"""Where cameras sit and how they move, asked of TF. tf2_ros is optional: without it, parameters say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from thermal_fusion_ros.geometry.poses import Matrix, interpolated, pose_of_message
from thermal_fusion_ros.messages import stamp_ns as stamp_of
from thermal_fusion_ros.sensing.rig_assembly import Pose

if TYPE_CHECKING:
    from rclpy.node import Node

AHEAD_NS = 200_000_000  # by so much a picture may be newer than what TF knows ...
STEP_NS = 100_000_000  # ... and the movement over this time before goes on


class TransformLookup:
    """Listens to TF where tf2_ros is installed; `available` says whether."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._buffer: Any = None
        self._listener: Any = None
        self.clear()

    def clear(self) -> None:
        """Forget what was said: a recording that loops sends stamps that a full buffer would refuse as old."""
        self.close()
        try:
            import tf2_ros  # type: ignore[import-not-found, unused-ignore]
        except ImportError:
            return
        self._buffer = tf2_ros.Buffer()  # knows no node: it would leave a service in it for ever
        self._listener = tf2_ros.TransformListener(self._buffer, self._node, spin_thread=False)

    @property
    def available(self) -> bool:
        """Whether TF can be asked."""
        return self._buffer is not None

    def pose(self, parent: str, child: str) -> Pose | None:
        """The newest pose of frame `child` in frame `parent`; None while it is not known.

        Position, metres, and quaternion x y z w. Any thread may ask.
        """
        found = self._ask(parent, child, 0)
        if found is None:
            return None
        at, turn = found.transform.translation, found.transform.rotation
        return np.array([at.x, at.y, at.z]), np.array([turn.x, turn.y, turn.z, turn.w])

    def moving_pose(self, parent: str, child: str, stamp_ns: int) -> Matrix | None:
        """`parent_from_child` (4×4, metres) of what moves; None while it is not known. Any thread may ask.

        Odometry often comes later than the picture, or less often: up to :data:`AHEAD_NS` after it the last movement
        goes on as it was, for nobody waits.
        """
        known = self._ask(parent, child, stamp_ns)
        if known is not None:
            return pose_of_message(known.transform)
        last = self._ask(parent, child, 0)
        if last is None:
            return None
        ahead_ns, earlier_ns = stamp_ns - stamp_of(last), stamp_of(last) - STEP_NS
        if not 0 < ahead_ns <= AHEAD_NS or earlier_ns <= 0:  # simulated time has only begun
            return None
        before = self._ask(parent, child, earlier_ns)
        if before is None:
            return None
        way = pose_of_message(before.transform), pose_of_message(last.transform)
        return interpolated(*way, 1 + ahead_ns / STEP_NS)

    def _ask(self, parent: str, child: str, stamp_ns: int) -> Any:
        """A geometry_msgs/TransformStamped, None while it is not known."""
        buffer = self._buffer
        if buffer is None:
            return None
        import tf2_ros
        from rclpy.time import Time

        try:
            return buffer.lookup_transform(parent, child, Time(nanoseconds=stamp_ns))
        except tf2_ros.TransformException:
            return None

    def close(self) -> None:
        """Stop listening."""
        if self._listener is not None:
            self._listener.unregister()
        self._listener = self._buffer = None
