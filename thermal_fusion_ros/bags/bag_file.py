"""The files of one rosbag2 (mcap or sqlite3), opened and read as far as they are whole, without ROS."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.typesys import Stores, get_typestore

from thermal_fusion_ros.bags.mcap_recovery import RecoveringReader
from thermal_fusion_ros.bags.source import Problems, missing_files
from thermal_fusion_ros.errors import InputError

if TYPE_CHECKING:
    from rosbags.interfaces import Connection

Message = tuple["Connection", int, bytes]  # with its time of recording, ns

IMAGE, COMPRESSED, CAMERA_INFO = (
    f"sensor_msgs/msg/{name}" for name in ("Image", "CompressedImage", "CameraInfo")
)


class BagFile(Problems):
    """A bag that can be read any number of times; damage is among its problems."""

    def __init__(self, path: Path, files: Sequence[Path]) -> None:
        """`path` is what it is called, `files` its storage in order of writing."""
        super().__init__()
        self.path, self.files = path, files
        for file in missing_files(path):
            self.report(
                f"{file}: not there, though metadata.yaml names it; the rest of the recording is used"
            )
        self._undecoded: dict[str, tuple[int, str]] = {}  # by topic: the most of one pass, and what was told

    @contextmanager
    def open(self) -> Iterator[AnyReader]:
        """The bag's reader, closed at the end. `InputError` when the bag can't be opened."""
        try:
            reader = _open(self.files)
        except Exception as error:  # the readers have no common error, and broken files provoke all kinds
            self.files = self._readable(error)
            reader = _open(self.files)
        for file in reader.readers:
            if getattr(file, "truncated", False):
                self.report(f"{file.path}: cut short (the recorder did not close it); its first part is used")
        try:
            yield reader
        finally:
            reader.close()

    def _readable(self, error: Exception) -> list[Path]:
        """The files of a split bag that can be opened: a recorder that was killed may leave its last one empty."""
        found = []
        for file in self.files:
            try:
                with RecoveringReader(file):
                    found.append(file)
            except Exception as reason:  # see open
                if len(self.files) > 1:
                    self.report(f"{file}: not readable, left out: {reason}")
        if found in ([], self.files):
            raise InputError(f"{self.path}: not a readable bag: {error}") from error
        return found

    def messages(
        self,
        reader: AnyReader,
        connections: Sequence[Connection],
        start_ns: int | None = None,
        stop_ns: int | None = None,
    ) -> Iterator[Message]:
        """The messages of `connections` (none: no message) up to the first damage, which is reported.

        `start_ns`, `stop_ns`: those recorded from the one on and before the other.
        """
        if not connections:  # rosbags takes that for all
            return
        try:
            yield from reader.messages(connections, start_ns, stop_ns)
        except Exception as error:  # see open
            self.report(f"{self.path}: damaged, the rest is left out: {error}")

    def decoded(
        self, reader: AnyReader, messages: Iterable[Message]
    ) -> Iterator[tuple[Connection, int, Any]]:
        """Messages with their content; those that can't be decoded are left out and counted."""
        undecodable: Counter[str] = Counter()
        for connection, logged_ns, raw in messages:
            try:
                content: Any = reader.deserialize(raw, connection.msgtype)
            except AnyReaderError as error:
                undecodable[connection.topic] += 1
                self.report_undecoded(connection.topic, undecodable[connection.topic], error)
                continue
            yield connection, logged_ns, content

    def report_undecoded(self, topic: str, count: int, error: Exception, what: str = "message") -> None:
        """Note that this pass could not decode `count` of a topic so far: one line, with the first reason.

        Told at once, for who reads the bag may stop; a line is replaced by that of a pass that got farther.
        """
        most, told = self._undecoded.get(topic, (0, ""))
        if count <= most:
            return
        first = told.partition("; first: ")[2] or str(error)
        line = f"{self.path}: {topic}: {count} {what}{'s' * (count > 1)} not decoded; first: {first}"
        self._undecoded[topic] = count, line
        if told in self.problems:
            self.problems[self.problems.index(told)] = line
        else:
            self.report(line)


def _open(files: Sequence[Path]) -> AnyReader:
    """An open reader of `files`."""
    default = get_typestore(Stores.ROS2_JAZZY)  # for bags older than the definitions inside bags
    reader = AnyReader(files, default_typestore=default)
    reader.readers = [RecoveringReader(file) for file in files]
    reader.open()
    return reader


def list_topics(connections: Sequence[Connection]) -> str:
    """The topics of a bag, for an error message."""
    topics = ", ".join(f"{c.topic} ({c.msgtype.rpartition('/')[2]}, {c.msgcount})" for c in connections)
    return f"the bag has {topics}" if topics else "the bag is empty"
