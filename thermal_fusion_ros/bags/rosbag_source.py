"""A rosbag2 (mcap or sqlite3) as a source of frames, read without ROS."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rosbags.highlevel import AnyReader, AnyReaderError

from thermal_fusion_ros.bags.bag_file import CAMERA_INFO, COMPRESSED, IMAGE, BagFile, list_topics
from thermal_fusion_ros.bags.source import SECOND_NS, Arrival, Recording, thermal_kind
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.frames import RgbFrame, ThermalFrame
from thermal_fusion_ros.messages import image_from_message, rgb_from_message, thermal_from_message

if TYPE_CHECKING:
    from rosbags.interfaces import Connection

    from thermal_fusion_ros.geometry.poses import FrameTree

RGB_TOPIC, THERMAL_TOPIC = "rgb/image_raw", "thermal/image_raw"


class RosbagSource(Recording):
    """The colour and the thermal images of a bag.

    Topics: the named ones; else `rgb/image_raw` and `thermal/image_raw` under any namespace; else the only
    colour and the only mono image topic. A raw topic is preferred to its `/compressed` twin. Frames carry the
    stamp of their header, or the recorder's time where that is zero.
    """

    def __init__(
        self, path: Path, files: Sequence[Path], *, rgb_topic: str = "", thermal_topic: str = ""
    ) -> None:
        super().__init__(path.stem)
        self.path = path
        self._bag = BagFile(path, files)
        self.problems = self._bag.problems  # of the file and of its pictures in one list
        with self._bag.open() as reader:
            found = [c for c in reader.connections if c.msgtype in (IMAGE, COMPRESSED) and c.msgcount]
            images = {c.topic: c for c in found if not c.topic.endswith("/compressedDepth")}
            self._listing = list_topics(reader.connections)
            self.rgb_topic = self._resolve(images, rgb_topic, RGB_TOPIC)
            self.thermal_topic = self._resolve(images, thermal_topic, THERMAL_TOPIC)
            if not (self.rgb_topic and self.thermal_topic):
                self._detect(reader, images)
            if self.rgb_topic == self.thermal_topic:
                raise InputError(f"{path}: {self.rgb_topic} can't be both cameras'; {self._listing}")
            self._frame_count = sum(
                c.msgcount for c in found if c.topic in (self.rgb_topic, self.thermal_topic)
            )
            for name, topic in (("rgb", self.rgb_topic), ("thermal", self.thermal_topic)):
                info = self._first_camera_info(reader, topic)
                if info is not None:
                    self.camera_info[name] = info

    @property
    def frame_count(self) -> int | None:
        """Messages on both topics."""
        return self._frame_count

    def transforms(self, seconds: float = math.inf) -> FrameTree:
        """By /tf and /tf_static. Raises `InputError` when `seconds` count from an image and none can be decoded."""
        from thermal_fusion_ros.geometry.reconstruction_bag import PosedBag

        bag = PosedBag(self.path, self._bag.files)
        until_ns = None
        if math.isfinite(seconds):
            until_ns = next(self.arrivals()).time_ns + round(seconds * SECOND_NS)
        tree = bag.transforms(until_ns)
        for problem in bag.problems:
            self.report(problem)
        return tree

    def arrivals(self) -> Iterator[Arrival]:
        """In the order of recording. Raises `InputError` when not one image can be decoded."""
        undecodable: Counter[str] = Counter()
        time_ns = decoded = 0
        with self._bag.open() as reader:
            topics = (self.rgb_topic, self.thermal_topic)
            connections = [c for c in reader.connections if c.topic in topics]
            for connection, logged_ns, raw in self._bag.messages(reader, connections):
                try:
                    frame = self._frame(reader.deserialize(raw, connection.msgtype), connection, logged_ns)
                except (InputError, AnyReaderError) as error:
                    topic = connection.topic
                    undecodable[topic] += 1
                    self._bag.report_undecoded(topic, undecodable[topic], error, "image")
                    continue
                decoded += 1
                time_ns = max(time_ns, logged_ns)  # recovered files are in the order of writing
                yield Arrival(time_ns, frame)
        if not decoded:
            raise InputError(self.problems[0] if self.problems else f"{self.path}: no image in it")

    def _frame(self, message: Any, connection: Connection, logged_ns: int) -> RgbFrame | ThermalFrame:
        header = message.header
        stamp = header.stamp.sec * SECOND_NS + header.stamp.nanosec or logged_ns
        if connection.topic == self.rgb_topic:
            return RgbFrame(stamp, rgb_from_message(message), header.frame_id)
        image = thermal_from_message(message)
        return ThermalFrame(stamp, image, thermal_kind(image), header.frame_id)

    def _resolve(self, images: dict[str, Connection], wanted: str, default: str) -> str:
        if wanted:
            for topic in (wanted, f"/{wanted}"):
                if topic in images:
                    return topic
            raise InputError(f"{self.path}: no images on {wanted}; {self._listing}")
        for suffix in ("", "/compressed"):
            matching = [topic for topic in images if f"/{topic}".endswith(f"/{default}{suffix}")]
            if len(matching) == 1:
                return matching[0]
        return ""

    def _detect(self, reader: AnyReader, images: dict[str, Connection]) -> None:
        """Fill in the missing topics where the first image of each topic tells them apart."""
        colour: list[str] = []
        mono: list[str] = []
        for topic, connection in images.items():
            if topic.endswith("/compressed") and topic.removesuffix("/compressed") in images:
                continue
            first = next(self._bag.messages(reader, [connection]), None)
            if first is None:  # damaged
                continue
            try:
                image = image_from_message(reader.deserialize(first[2], connection.msgtype))
            except (InputError, AnyReaderError):
                continue
            if topic not in (self.rgb_topic, self.thermal_topic):
                (colour if image.ndim == 3 else mono).append(topic)
        if not self.rgb_topic:
            self.rgb_topic = self._only("colour", colour, "--rgb-topic")
        if not self.thermal_topic:
            self.thermal_topic = self._only("mono", mono, "--thermal-topic")

    def _only(self, what: str, topics: list[str], option: str) -> str:
        if len(topics) == 1:
            return topics[0]
        found = ", ".join(topics) or "none"
        raise InputError(
            f"{self.path}: {what} image topics: {found}; choose one with {option}; {self._listing}"
        )

    def _first_camera_info(self, reader: AnyReader, topic: str) -> Any | None:
        """The first CameraInfo beside an image topic (`a/image_raw` → `a/camera_info`) that can be decoded."""
        base = topic.removesuffix("/compressed").rpartition("/")[0]
        beside = [
            c for c in reader.connections if c.topic == f"{base}/camera_info" and c.msgtype == CAMERA_INFO
        ]
        infos = self._bag.decoded(reader, self._bag.messages(reader, beside))
        return next((info for _, _, info in infos), None)
