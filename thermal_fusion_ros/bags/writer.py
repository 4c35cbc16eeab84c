"""Writing a rosbag2 without ROS: one `.mcap` or `.db3` file, or a bag folder with its metadata."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import sqlite3
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

import cv2
import numpy as np
from rosbags.rosbag2 import CompressionMode, StoragePlugin, Writer
from rosbags.rosbag2.writer import Sqlite3Writer
from rosbags.typesys import Stores, get_typestore

from thermal_fusion_ros.bags.bag_file import COMPRESSED, IMAGE
from thermal_fusion_ros.bags.mcap_recovery import RecoveringReader
from thermal_fusion_ros.bags.source import SECOND_NS
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.frames import RgbFrame

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rosbags.interfaces import Connection

    from thermal_fusion_ros.bags.source import Arrival, Source

STORAGES = {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}
_MONO = {"uint8": "mono8", "uint16": "mono16", "float32": "32FC1"}
_STORAGE_OF_SUFFIX = {".mcap": "mcap", ".db3": "sqlite3"}
_METADATA_VERSION: Literal[9] = 9  # rosbag2 of Jazzy
_DISK_ERRORS = (OSError, sqlite3.Error)  # the disk is full, or gone


class _AnywhereSqlite3Writer(Sqlite3Writer):
    """A `Sqlite3Writer` of any path: rosbags makes a URI of it as it is, in which `#` and `?` end the path."""

    def __init__(self, path: Path, compression: CompressionMode) -> None:
        super().__init__(Path(quote(str(path))), compression)
        self.path = path / f"{path.name}.db3"


class _AnywhereWriter(Writer):
    STORAGE_PLUGINS = {**Writer.STORAGE_PLUGINS, StoragePlugin.SQLITE3: _AnywhereSqlite3Writer}  # noqa: RUF012


class BagWriter:
    """A rosbag2 being written; use it in a `with` statement, which closes it whatever happens.

    `path`: `FILE.mcap` or `FILE.db3` gives that one file, anything else a bag folder with `storage` inside.
    The same calls give the same bytes. Raises `InputError` when `path` exists or can't be written.
    """

    def __init__(self, path: Path, storage: str = "mcap") -> None:
        self.path = path
        self.typestore = get_typestore(Stores.ROS2_JAZZY)
        suffix = path.suffix
        self._is_file = suffix in _STORAGE_OF_SUFFIX
        # The writer knows folders only: a single file is taken out of one that has its name.
        self._folder = path.with_name(f".{path.name}.part") / path.stem if self._is_file else path
        plugin = STORAGES[_STORAGE_OF_SUFFIX.get(suffix, storage)]
        self._connections: dict[str, Connection] = {}
        self._has_image = False
        self._failed: Exception | None = None  # of a message
        if path.exists():
            raise InputError(f"{path}: exists already; remove it or choose another name")
        try:
            if self._is_file and self._folder.parent.exists():
                shutil.rmtree(self._folder.parent)  # left by a writer that was killed
            self._writer = _AnywhereWriter(self._folder, version=_METADATA_VERSION, storage_plugin=plugin)
            self._writer.open()
        except OSError as error:
            raise InputError(f"{path}: not writable: {error.strerror}") from error

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if error is not None and not self._has_image:  # nothing came of it: leave nothing behind
            shutil.rmtree(self.path) if self.path.is_dir() else self.path.unlink()

    def close(self) -> None:
        """Write index and metadata and, for a single file, put it where it belongs.

        Raises `InputError` when that fails, or a message was not written; what can be read of the bag is kept.
        """
        try:
            if self._failed is not None:  # an index behind half a message would hide the damage
                raise self._failed
            self._writer.close()
            if self._is_file:
                self._move_file()
        except _DISK_ERRORS as error:
            if not self._rescue():
                raise InputError(f"{self.path}: not written: {error}") from error
            raise InputError(
                f"{self.path}: not written to its end: {error}; its first part is kept"
            ) from error

    def _storage_file(self) -> Path:
        return next(file for file in self._folder.iterdir() if file.suffix in _STORAGE_OF_SUFFIX)

    def _move_file(self) -> None:
        self._storage_file().replace(self.path)
        shutil.rmtree(self._folder.parent)

    def _rescue(self) -> bool:
        """Keep what a reader finds a message in, after a failure, and say whether there is any."""
        with contextlib.suppress(*_DISK_ERRORS):
            self._writer.abort()
        try:
            with RecoveringReader(self._storage_file()) as reader:
                readable = reader.message_count > 0
        except Exception:  # the readers have no common error
            readable = False
        if readable and self._is_file:
            self._move_file()
        elif not readable:
            shutil.rmtree(self._folder.parent if self._is_file else self._folder, ignore_errors=True)
        return readable

    def type(self, name: str) -> Any:
        """Message class by name (`sensor_msgs/msg/Image`), to be built with all its fields."""
        return self.typestore.types[name]

    def write(self, topic: str, message: Any, time_ns: int) -> None:
        """Write a message of a class given by :meth:`type` as recorded at `time_ns`."""
        kind = message.__msgtype__
        self.write_serialized(topic, kind, self.typestore.serialize_cdr(message, kind), time_ns)

    def write_serialized(self, topic: str, kind: str, data: bytes | memoryview, time_ns: int) -> None:
        """Write an already serialised (CDR) message of type `kind`."""
        try:
            connection = self._connections.get(topic)
            if connection is None:
                connection = self._writer.add_connection(topic, kind, typestore=self.typestore)
                self._connections[topic] = connection
            self._writer.write(connection, time_ns, data)
            self._has_image |= kind in (IMAGE, COMPRESSED)
        except _DISK_ERRORS as error:
            self._failed = error
            raise InputError(f"{self.path}: not written: {error}") from error

    def write_image(
        self,
        topic: str,
        image: NDArray[Any],
        *,
        stamp_ns: int,
        frame_id: str,
        time_ns: int | None = None,
        compressed: bool = False,
    ) -> None:
        """Write an H×W×3 RGB or H×W mono (8 or 16 bit) image.

        `compressed` writes `topic`/compressed: JPEG for colour, lossless PNG for mono (a measurement).
        """
        header = self.header(stamp_ns, frame_id)
        time_ns = stamp_ns if time_ns is None else time_ns
        if compressed:
            kind, data = _compress(image)
            message = self.type("sensor_msgs/msg/CompressedImage")(header=header, format=kind, data=data)
            self.write(f"{topic}/compressed", message, time_ns)
            return
        height, width = image.shape[:2]
        flat = np.ascontiguousarray(image).view(np.uint8).reshape(-1)
        message = self.type("sensor_msgs/msg/Image")(
            header=header,
            height=height,
            width=width,
            encoding=encoding_of(image),
            is_bigendian=0,
            step=flat.size // height,
            data=flat,
        )
        self.write(topic, message, time_ns)

    def header(self, stamp_ns: int, frame_id: str) -> Any:
        """A std_msgs/Header."""
        time = self.type("builtin_interfaces/msg/Time")
        sec, nanosec = divmod(stamp_ns, SECOND_NS)
        return self.type("std_msgs/msg/Header")(stamp=time(sec=sec, nanosec=nanosec), frame_id=frame_id)


def encoding_of(image: NDArray[Any]) -> str:
    """The sensor_msgs encoding of an RGB (uint8) or mono (uint8, uint16, float32) array."""
    return "rgb8" if image.ndim == 3 else _MONO[image.dtype.name]


def _compress(image: NDArray[Any]) -> tuple[str, NDArray[np.uint8]]:
    """Format text as image_transport writes it, and the bytes."""
    if image.ndim == 3:
        stored = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        return "rgb8; jpeg compressed bgr8", cv2.imencode(".jpg", stored, [cv2.IMWRITE_JPEG_QUALITY, 95])[
            1
        ].ravel()
    if image.dtype == np.float32:
        raise InputError("float32 images can't be compressed; leave --compressed out")
    encoded = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].ravel()
    return f"{encoding_of(image)}; png compressed ", encoded


def write_frame(writer: BagWriter, source: Source, arrival: Arrival, *, compressed: bool = False) -> None:
    """Write a frame of `source` under the package's own topic names, with its camera_info where known."""
    stream = "rgb" if isinstance(arrival.frame, RgbFrame) else "thermal"
    frame = arrival.frame
    writer.write_image(
        f"/{stream}/image_raw",
        frame.image,
        stamp_ns=frame.stamp_ns,
        frame_id=frame.frame_id,
        time_ns=arrival.time_ns,
        compressed=compressed,
    )
    info = source.camera_info.get(stream)
    if info is not None:
        header = writer.header(frame.stamp_ns, frame.frame_id)
        writer.write(f"/{stream}/camera_info", dataclasses.replace(info, header=header), arrival.time_ns)
