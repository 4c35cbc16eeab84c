"""The publishing side of a replay: a recording's frames on the topics of two cameras."""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rclpy.qos import QoSHistoryPolicy, QoSProfile, QoSReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image

from thermal_fusion_ros.bags.source import SECOND_NS, Arrival, Source
from thermal_fusion_ros.bags.writer import encoding_of
from thermal_fusion_ros.frames import RgbFrame, ThermalFrame
from thermal_fusion_ros.ros.message_memory import ImageMemory

if TYPE_CHECKING:
    from rclpy.node import Node

# Reliable and deep enough for a second: a reader that asks for best effort still gets what it would have got.
QOS = QoSProfile(history=QoSHistoryPolicy.KEEP_LAST, depth=30, reliability=QoSReliabilityPolicy.RELIABLE)
_PREFETCHED = 16  # frames decoded ahead


class StreamPublisher:
    """One camera: `name`/image_raw, and `name`/camera_info where the recording has it."""

    def __init__(self, node: Node, name: str, camera_info: Any | None) -> None:
        self._images = node.create_publisher(Image, f"{name}/image_raw", QOS)
        self._infos = (
            None if camera_info is None else node.create_publisher(CameraInfo, f"{name}/camera_info", QOS)
        )
        self._info = None if camera_info is None else _camera_info(camera_info)
        self._memory = ImageMemory("")
        self.topic: str = self._images.topic_name

    @property
    def readers(self) -> int:
        """How many subscriptions have been matched."""
        return int(self._images.get_subscription_count())

    def publish(self, frame: RgbFrame | ThermalFrame) -> None:
        """Publish one frame under its recorded stamp."""
        message = self._memory.fill(frame.image)
        message.encoding = encoding_of(frame.image)
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(frame.stamp_ns, SECOND_NS)
        message.header.frame_id = frame.frame_id
        self._images.publish(message)
        if self._infos is not None and self._info is not None:
            self._info.header = message.header
            self._infos.publish(self._info)


class Player:
    """Both cameras, and the clock of the recording when `clock` is set."""

    def __init__(self, node: Node, source: Source, *, clock: bool) -> None:
        self.rgb, self.thermal = (
            StreamPublisher(node, name, source.camera_info.get(name)) for name in ("rgb", "thermal")
        )
        self.sent: Counter[str] = Counter()  # frames published, by stream
        self._clock = node.create_publisher(Clock, "/clock", 10) if clock else None

    def unmatched(self) -> list[str]:
        """Topics that nobody has subscribed to."""
        return [stream.topic for stream in (self.rgb, self.thermal) if not stream.readers]

    def publish(self, frame: RgbFrame | ThermalFrame) -> None:
        """Publish on the frame's own topic."""
        name, stream = ("rgb", self.rgb) if isinstance(frame, RgbFrame) else ("thermal", self.thermal)
        stream.publish(frame)
        self.sent[name] += 1

    def publish_clock(self, time_ns: int) -> None:
        """Tell the time of the recording."""
        if self._clock is not None:
            message = Clock()
            message.clock.sec, message.clock.nanosec = divmod(time_ns, SECOND_NS)
            self._clock.publish(message)


def prefetch(source: Source) -> Iterator[Arrival]:
    """The arrivals of `source`, decoded ahead in a thread so that they are there when they are due."""
    waiting: queue.Queue[Arrival | BaseException | None] = queue.Queue(_PREFETCHED)
    stopped = threading.Event()

    def offer(item: Arrival | BaseException | None) -> bool:
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def read() -> None:
        try:
            for arrival in source.arrivals():
                if not offer(arrival):
                    return
            offer(None)
        except BaseException as error:  # whatever it is belongs to the thread that plays
            offer(error)

    thread = threading.Thread(target=read, name="prefetch", daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join()


def _camera_info(recorded: Any) -> CameraInfo:
    """A CameraInfo with the calibration of any object that has its fields."""
    info = CameraInfo()
    for name in ("height", "width", "distortion_model", "binning_x", "binning_y"):
        setattr(info, name, getattr(recorded, name))
    for name in ("d", "k", "r", "p"):
        setattr(info, name, [float(value) for value in getattr(recorded, name)])
    for name in ("x_offset", "y_offset", "height", "width", "do_rectify"):
        setattr(info.roi, name, getattr(recorded.roi, name))
    return info
