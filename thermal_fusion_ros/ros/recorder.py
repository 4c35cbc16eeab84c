"""The receiving side of a replay: what the fusion node publishes, measured, recorded and shown."""

from __future__ import annotations

import importlib
import queue
import struct
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rclpy.qos import QoSHistoryPolicy, QoSProfile, QoSReliabilityPolicy
from rosbags.typesys import Stores, get_typestore

from thermal_fusion_ros.bags.source import SECOND_NS
from thermal_fusion_ros.ros.messages import image_from_message

if TYPE_CHECKING:
    from rclpy.node import Node

    from thermal_fusion_ros.bags.sinks import Sink
    from thermal_fusion_ros.bags.writer import BagWriter

QOS = QoSProfile(history=QoSHistoryPolicy.KEEP_LAST, depth=30, reliability=QoSReliabilityPolicy.RELIABLE)
IMAGE = "sensor_msgs/msg/Image"
_STAMP = struct.Struct("<iI")  # a message that begins with a header begins with its stamp
_CDR_HEADER = 4  # bytes that say how the rest is encoded
_QUEUED = 64  # messages waiting to be written; a full queue slows the replay rather than the memory


class Recorder:
    """Takes serialised messages off the node's outputs; a thread writes them to `bag` and fused frames to `sinks`.

    `recorded_now` tells the time of the recording in ns; it is the log time in the bag.
    """

    def __init__(
        self,
        node: Node,
        *,
        sinks: Sequence[Sink] = (),
        bag: BagWriter | None = None,
        recorded_now: Callable[[], int],
    ) -> None:
        self._node = node
        self._sinks, self._bag = sinks, bag
        self._recorded_now = recorded_now
        self._typestore = get_typestore(Stores.ROS2_JAZZY)
        self.fused_topic: str = node.resolve_topic_name("fused/image_raw")
        self.fused: list[tuple[int, float]] = []  # stamp in ns, time of arrival in monotonic seconds
        self._error: Exception | None = None
        self._waiting: queue.Queue[tuple[str, str, bytes, int] | None] = queue.Queue(_QUEUED)
        self._thread = threading.Thread(target=self._write, name="recorder", daemon=True)
        self._thread.start()
        self._subscribed: set[str] = set()

    def subscribe_fused(self) -> None:
        """Take the fused images from now on."""
        self.subscribe(self.fused_topic, IMAGE)

    def subscribe(self, topic: str, kind: str) -> None:
        """Take every message of `topic` from now on; a second call for a topic does nothing."""
        if topic in self._subscribed:
            return
        self._subscribed.add(topic)

        def take(data: bytes) -> None:
            if topic == self.fused_topic:
                sec, nanosec = _STAMP.unpack_from(data, _CDR_HEADER)
                self.fused.append((sec * SECOND_NS + nanosec, time.monotonic()))
            if self._bag is not None or (self._sinks and topic == self.fused_topic):
                self._waiting.put((topic, kind, data, self._recorded_now()))

        self._node.create_subscription(message_class(kind), topic, take, QOS, raw=True)

    def check(self) -> None:
        """Raise what went wrong in writing."""
        if self._error is not None:
            raise self._error

    def finish(self) -> None:
        """Wait until everything taken so far is written."""
        self._waiting.put(None)
        self._thread.join()
        self.check()

    def _write(self) -> None:
        while (item := self._waiting.get()) is not None:
            if self._error is not None:
                continue  # go on emptying the queue, or the replay would stand still
            topic, kind, data, time_ns = item
            try:
                if self._bag is not None:
                    self._bag.write_serialized(topic, kind, data, time_ns)
                if self._sinks and topic == self.fused_topic:
                    message: Any = self._typestore.deserialize_cdr(data, kind)
                    stamp = message.header.stamp
                    image = image_from_message(message)
                    for sink in self._sinks:
                        sink.add(stamp.sec * SECOND_NS + stamp.nanosec, message.header.frame_id, image)
            except Exception as error:
                self._error = error


def message_class(kind: str) -> Any:
    """The Python class of a message type such as `sensor_msgs/msg/Image`."""
    package, _, name = kind.split("/")
    return getattr(importlib.import_module(f"{package}.msg"), name)
