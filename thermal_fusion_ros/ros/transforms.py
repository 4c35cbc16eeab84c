"""Where the thermal camera sits, asked of TF. tf2_ros is optional: without it, parameters say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from thermal_fusion_ros.sensing.rig_assembly import Pose

if TYPE_CHECKING:
    from rclpy.node import Node


class TransformLookup:
    """Listens to TF where tf2_ros is installed; `available` says whether."""

    def __init__(self, node: Node) -> None:
        self._buffer: Any = None
        self._listener: Any = None
        try:
            import tf2_ros  # type: ignore[import-not-found, unused-ignore]
        except ImportError:
            return
        self._buffer = tf2_ros.Buffer(node=node)
        self._listener = tf2_ros.TransformListener(self._buffer, node, spin_thread=False)

    @property
    def available(self) -> bool:
        """Whether TF can be asked."""
        return self._buffer is not None

    def pose(self, parent: str, child: str) -> Pose | None:
        """The newest pose of frame `child` in frame `parent`: position, metres, and quaternion x y z w; None so far."""
        if self._buffer is None:
            return None
        import tf2_ros
        from rclpy.time import Time

        try:
            found = self._buffer.lookup_transform(parent, child, Time()).transform
        except tf2_ros.TransformException:
            return None
        at, turn = found.translation, found.rotation
        return np.array([at.x, at.y, at.z]), np.array([turn.x, turn.y, turn.z, turn.w])

    def close(self) -> None:
        """Stop listening."""
        if self._listener is not None:
            self._listener.unregister()
        self._listener = self._buffer = None
