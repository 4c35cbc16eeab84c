"""Where cameras sit and how they move, asked of TF. tf2_ros is optional: without it, parameters say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from thermal_fusion_ros.sensing.rig_assembly import Pose

if TYPE_CHECKING:
    from rclpy.node import Node


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
        self._buffer = tf2_ros.Buffer(node=self._node)
        self._listener = tf2_ros.TransformListener(self._buffer, self._node, spin_thread=False)

    @property
    def available(self) -> bool:
        """Whether TF can be asked."""
        return self._buffer is not None

    def pose(self, parent: str, child: str, stamp_ns: int = 0) -> Pose | None:
        """Pose of frame `child` in frame `parent` at a moment (0: the newest); None while it is not known.

        Position, metres, and quaternion x y z w. Any thread may ask.
        """
        buffer = self._buffer
        if buffer is None:
            return None
        import tf2_ros
        from rclpy.time import Time

        try:
            found = buffer.lookup_transform(parent, child, Time(nanoseconds=stamp_ns)).transform
        except tf2_ros.TransformException:
            return None
        at, turn = found.translation, found.rotation
        return np.array([at.x, at.y, at.z]), np.array([turn.x, turn.y, turn.z, turn.w])

    def close(self) -> None:
        """Stop listening."""
        if self._listener is not None:
            self._listener.unregister()
        self._listener = self._buffer = None
