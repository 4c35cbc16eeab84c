"""The receiving side of a replay: what the fusion node publishes, measured, recorded and shown."""

from __future__ import annotations

import importlib
import queue
import struct
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from rclpy.qos import QoSHistoryPolicy, QoSProfile, QoSReliabilityPolicy
from rosbags.typesys import Stores, get_typestore

from thermal_fusion_ros.bags.sinks import DepthSink
from thermal_fusion_ros.bags.source import SECOND_NS
from thermal_fusion_ros.messages import rgb_from_message, stamp_ns

if TYPE_CHECKING:
    from rclpy.node import Node

    from thermal_fusion_ros.bags.sinks import Sink
    from thermal_fusion_ros.bags.writer import BagWriter

QOS = QoSProfile(history=QoSHistoryPolicy.KEEP_LAST, depth=30, reliability=QoSReliabilityPolicy.RELIABLE)
IMAGE = "sensor_msgs/msg/Image"
_STAMP = struct.Struct("<iI")  # a message that begins with a header begins with its stamp
_CDR_HEADER = 4  # bytes that say how the rest is encoded
_QUEUED = 64  # images waiting for the sinks; a full queue slows the replay rather than the memory


class Recorder:
    """Takes serialised messages off the node's outputs into `bag`; a thread decodes fused frames for `sinks`.

    `recorded_now` tells the time of the recording in ns; it is the log time in the bag. `published_at`: when the RGB
    frame with a stamp was published (monotonic seconds), from which `latencies_ms` are.
    """

    def __init__(
        self,
        node: Node,
        *,
        sinks: Sequence[Sink] = (),
        bag: BagWriter | None = None,
        recorded_now: Callable[[], int],
        published_at: Mapping[int, float],
    ) -> None:
        self._node = node
        self._sinks, self._bag = sinks, bag
        self._recorded_now = recorded_now
        self._typestore = get_typestore(Stores.ROS2_JAZZY)
        self.fused_topic: str = node.resolve_topic_name("fused/image_raw")
        self._published_at = published_at
        self.arrivals: list[float] = []  # of fused frames, monotonic seconds
        self.latencies_ms: list[float] = []
        self._error: Exception | None = None
        self.depth_topic: str = node.resolve_topic_name("depth/image_raw")
        self._waiting: queue.Queue[tuple[str, bytes] | None] = queue.Queue(_QUEUED)
        self._thread = threading.Thread(target=self._show, name="recorder", daemon=True)
        self._thread.start()
        self._subscribed: set[str] = set()

    def subscribe_fused(self) -> None:
        """Take the fused images from now on, and depth where a sink wants it."""
        self.subscribe(self.fused_topic, IMAGE)
        if any(isinstance(sink, DepthSink) for sink in self._sinks):
            self.subscribe(self.depth_topic, IMAGE)

    def subscribe(self, topic: str, kind: str) -> None:
        """Take every message of `topic` from now on; a second call for a topic does nothing."""
        if topic in self._subscribed:
            return
        self._subscribed.add(topic)

        def take(data: bytes) -> None:
            if topic == self.fused_topic:
                self._measure(data)
            if topic in (self.fused_topic, self.depth_topic) and self._sinks:
                self._waiting.put((topic, data))
            if self._bag is not None:  # in this thread: SQLite stays with the one that opened it
                self._bag.write_serialized(topic, kind, data, self._recorded_now())

        self._node.create_subscription(message_class(kind), topic, take, QOS, raw=True)

    def _measure(self, data: bytes) -> None:
        now = time.monotonic()
        self.arrivals.append(now)
        sec, nanosec = _STAMP.unpack_from(data, _CDR_HEADER)
        published = self._published_at.get(sec * SECOND_NS + nanosec)
        if published is not None:
            self.latencies_ms.append((now - published) * 1e3)

    def check(self) -> None:
        """Raise what went wrong in a sink."""
        if self._error is not None:
            raise self._error

    def finish(self) -> None:
        """Wait until the sinks have got everything taken so far."""
        self._waiting.put(None)
        self._thread.join()
        self.check()

    def _show(self) -> None:
        while (item := self._waiting.get()) is not None:
            if self._error is not None:
                continue  # go on emptying the queue, or the replay would stand still
            topic, data = item
            try:
                message: Any = self._typestore.deserialize_cdr(data, IMAGE)
                if topic == self.fused_topic:
                    self._hand_over_fused(message)
                elif message.encoding == "32FC1":
                    self._hand_over_depth(message)
            except Exception as error:
                self._error = error

    def _hand_over_fused(self, message: Any) -> None:
        image = rgb_from_message(message)
        for sink in self._sinks:
            sink.add(stamp_ns(message), message.header.frame_id, image)

    def _hand_over_depth(self, message: Any) -> None:
        depth = np.frombuffer(message.data, np.float32).reshape(message.height, message.width)
        for sink in self._sinks:
            if isinstance(sink, DepthSink):
                sink.add_depth(stamp_ns(message), depth)


def message_class(kind: str) -> Any:
    """The Python class of a message type such as `sensor_msgs/msg/Image`."""
    package, _, name = kind.split("/")
    return getattr(importlib.import_module(f"{package}.msg"), name)
