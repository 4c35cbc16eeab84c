"""What a reconstruction reads of a rosbag2 besides colour and thermal: depth, calibration, poses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rosbags.highlevel import AnyReader

from thermal_fusion_ros.bags.bag_file import CAMERA_INFO, COMPRESSED, IMAGE, BagFile, Message, list_topics
from thermal_fusion_ros.bags.source import SECOND_NS
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.geometry.poses import FrameTree, Track, pose_of_message
from thermal_fusion_ros.messages import BadMessageError, image_from_message
from thermal_fusion_ros.sensing.camera import CameraModel

if TYPE_CHECKING:
    from rosbags.interfaces import Connection

TF, ODOMETRY = "tf2_msgs/msg/TFMessage", "nav_msgs/msg/Odometry"
TRANSPORTS = ("", "/compressedDepth", "/compressed")
MILLIMETRE = 0.001
_COMPRESSED_DEPTH_HEADER = 12  # bytes before the PNG: a format number and two parameters


@dataclass(frozen=True)
class Picture:
    """An image message, not decoded yet."""

    topic: str
    stamp_ns: int
    frame_id: str
    message: Any


class PosedBag(BagFile):
    """A bag whose topics are asked for by name or by the end of their name."""

    def __init__(self, path: Path, files: Sequence[Path]) -> None:
        super().__init__(path, files)
        with self.open() as reader:
            self._listing = list_topics(reader.connections)
            self.topics = {c.topic: c.msgtype for c in reader.connections if c.msgcount}
            self.counts = {c.topic: c.msgcount for c in reader.connections}
            self._infos: dict[str, Any] = {}
            for connection in reader.connections:
                if connection.msgtype == CAMERA_INFO and connection.msgcount:
                    first = next(self.decoded(reader, self.messages(reader, [connection])), None)
                    if first is not None:
                        self._infos[connection.topic] = first[2]

    def listing(self) -> str:
        """The topics, for an error message."""
        return self._listing

    def image_topic(self, wanted: str, endings: Sequence[str], option: str) -> str:
        """The named image topic, else the only one with the first ending that any has; empty for none.

        Of several transports of one topic the first of :data:`TRANSPORTS`. Raises :class:`InputError` for a name that
        is not in the bag and for endings that several topics have.
        """
        images = [topic for topic, kind in self.topics.items() if kind in (IMAGE, COMPRESSED)]
        if wanted:
            for transport in TRANSPORTS:
                for topic in (wanted + transport, f"/{wanted}{transport}"):
                    if topic in images:
                        return topic
            raise InputError(f"{self.path}: no images on {wanted} ({option}); {self.listing()}")
        for ending in endings:
            for transport in TRANSPORTS:
                found = [topic for topic in images if f"/{topic}".endswith(f"/{ending}{transport}")]
                if len(found) > 1:
                    raise InputError(f"{self.path}: {', '.join(found)}: choose one with {option}")
                if found:
                    return found[0]
        return ""

    def camera(self, picture: Picture, size: tuple[int, int]) -> CameraModel | None:
        """The camera of an image topic whose images have this (width, height); None when nothing describes it.

        Its own `camera_info` beside it, else that of a camera of the same frame and size. A rectified image
        (`image_rect…`) has no distortion, and the matrix P.
        """
        base = _without_transport(picture.topic).rpartition("/")[0]
        beside = [self._infos[topic] for topic in (f"{base}/camera_info",) if topic in self._infos]
        others = [info for info in self._infos.values() if info.header.frame_id == picture.frame_id]
        for info in beside + others:
            model = CameraModel.from_camera_info(info, f"{picture.topic}'s camera_info")
            if model.size == size:
                rectified = _without_transport(picture.topic).rpartition("/")[2].startswith("image_rect")
                return model.rectified() if rectified else model
        return None

    def transforms(self, until_ns: int | None = None) -> FrameTree:
        """Everything that /tf and /tf_static say, under any namespace; /tf only as recorded before `until_ns`."""
        tree = FrameTree()
        for topic, message, logged_ns in self._of_type(TF, until_ns=until_ns):
            static = _is_static(topic)
            for one in message.transforms:
                try:
                    pose = pose_of_message(one.transform)
                except ValueError:
                    self.report(f"{self.path}: {topic}: a transform of {one.child_frame_id!r} is no pose")
                    continue
                stamp = _stamp(one.header, logged_ns)
                tree.add(one.header.frame_id, one.child_frame_id, stamp, pose, static=static)
        for parent, child in tree.ignored:
            self.report(
                f"{self.path}: TF gives {child!r} a second parent, {parent!r}: not used, "
                f"{tree.tracks[child].parent!r} came first"
            )
        return tree

    def odometry_topics(self) -> list[str]:
        """Topics of nav_msgs/Odometry."""
        return [topic for topic, kind in self.topics.items() if kind == ODOMETRY]

    def odometry(self, topic: str) -> tuple[str, Track]:
        """(moving frame, its poses) of an odometry topic. Raises :class:`InputError` when there is none."""
        known = self.odometry_topics()
        name = next((t for t in (topic, f"/{topic}") if t in known), "")
        if not name:
            raise InputError(f"{self.path}: no nav_msgs/Odometry on {topic}; {self.listing()}")
        child, track = "", None
        for _, message, logged_ns in self._of_type(ODOMETRY, name):
            if track is None:
                child = message.child_frame_id
                track = Track(message.header.frame_id.lstrip("/"), static=False)
            try:
                track.add(_stamp(message.header, logged_ns), pose_of_message(message.pose.pose))
            except ValueError:
                self.report(f"{self.path}: {name}: a message holds no pose")
        if track is None or not len(track):
            raise InputError(f"{self.path}: {name} holds no pose; {self.listing()}")
        if not child:
            raise InputError(
                f"{self.path}: {name} has no child_frame_id: nobody knows what it is the pose of"
            )
        return child, track

    def pictures(self, topics: Sequence[str]) -> Iterator[Picture]:
        """The images of these topics in the order of recording."""
        with self.open() as reader:
            connections = [c for c in reader.connections if c.topic in topics]
            for connection, logged_ns, message in self.decoded(reader, self.messages(reader, connections)):
                stamp = _stamp(message.header, logged_ns)
                yield Picture(connection.topic, stamp, message.header.frame_id, message)

    def _of_type(
        self, kind: str, topic: str = "", until_ns: int | None = None
    ) -> Iterator[tuple[str, Any, int]]:
        with self.open() as reader:
            connections = [c for c in reader.connections if c.msgtype == kind and topic in ("", c.topic)]
            messages = self._until(reader, connections, until_ns)
            for connection, logged_ns, message in self.decoded(reader, messages):
                yield connection.topic, message, logged_ns

    def _until(
        self, reader: AnyReader, connections: Sequence[Connection], until_ns: int | None
    ) -> Iterator[Message]:
        """Everything up to a moment, and what is static after it, too: few messages, which an index finds."""
        yield from self.messages(reader, connections, stop_ns=until_ns)
        if until_ns is not None:
            static = [connection for connection in connections if _is_static(connection.topic)]
            yield from self.messages(reader, static, start_ns=until_ns)


def depth_from_message(message: Any) -> NDArray[np.float32]:
    """H×W float32 metres, NaN where invalid (REP-118), of an `Image` (32FC1, 16UC1) or a compressed one.

    Lossless PNG of 16 bits, plain or as compressed_depth_image_transport writes it. Raises :class:`BadMessageError`.
    """
    if "compressedDepth" in getattr(message, "format", ""):
        return _transported(message)
    image = image_from_message(message)
    if image.ndim != 2 or image.dtype == np.uint8:
        what = getattr(message, "encoding", "") or getattr(message, "format", "")
        raise BadMessageError("encoding", f"depth images are 32FC1 metres or 16UC1 millimetres, not {what!r}")
    return _metres(image)


def _metres(image: NDArray[Any]) -> NDArray[np.float32]:
    depth = image * np.float32(MILLIMETRE) if image.dtype == np.uint16 else image.astype(np.float32)
    return np.where(np.isfinite(depth) & (depth > 0), depth, np.float32(np.nan))


def _transported(message: Any) -> NDArray[np.float32]:
    data = np.asarray(message.data, np.uint8)
    if len(data) <= _COMPRESSED_DEPTH_HEADER:
        raise BadMessageError("empty", "a compressed depth image without data")
    try:
        image = cv2.imdecode(data[_COMPRESSED_DEPTH_HEADER:], cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise BadMessageError("undecodable", f"{message.format!r}: {error.err}") from error
    if image is None or image.dtype != np.uint16 or image.ndim != 2:
        raise BadMessageError("undecodable", f"{message.format!r} data is no 16-bit PNG")
    if not message.format.startswith("32FC1"):
        return _metres(image)
    # Floats are stored as quantised inverse depth: stored = a / depth + b.
    a, b = data[4:_COMPRESSED_DEPTH_HEADER].view("<f4").astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _metres(np.where(image > 0, a / (image - b), np.nan))


def _is_static(topic: str) -> bool:
    return topic.endswith("tf_static")


def _without_transport(topic: str) -> str:
    for transport in TRANSPORTS[1:]:
        topic = topic.removesuffix(transport)
    return topic


def _stamp(header: Any, logged_ns: int) -> int:
    return int(header.stamp.sec) * SECOND_NS + int(header.stamp.nanosec) or logged_ns
