"""Reading storage files by themselves: what is whole of a file that was cut, and compressed messages."""

from __future__ import annotations

import os
import struct
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from rosbags.rosbag2 import Reader, ReaderError
from rosbags.rosbag2.reader import McapReader, Sqlite3Reader, zstd

if TYPE_CHECKING:
    from rosbags.interfaces import Connection
    from rosbags.interfaces.typing import RPath

_MAGIC = b"\x89MCAP0\r\n"
_DATA_END, _FOOTER = 0x0F, 0x02  # opcodes; see https://mcap.dev/spec
_RECORD = struct.Struct("<BQ")
_ZSTD = b"\x28\xb5\x2f\xfd"  # begins compressed data; CDR begins with 0


class RecoveringMcapReader(McapReader):
    """An `McapReader` that falls back to the complete records of a file without an index.

    `truncated` says that this happened.
    """

    truncated = False

    def _open(self) -> None:
        try:
            super()._open()
            return
        except (ReaderError, OSError, struct.error, TypeError) as error:  # depending on where it is cut
            self.data_start = len(_MAGIC)
            self.data_end = _end_of_complete_records(self.path)
            if self.data_end <= self.data_start:
                raise ReaderError(
                    str(error) if isinstance(error, ReaderError) else "no record in it"
                ) from error
        self.truncated = True
        self.schemas.clear()
        self.channels.clear()
        self.chunks.clear()
        self.connections.clear()
        self.meta_scan()
        statistics = self.statistics
        assert statistics is not None
        if not statistics.message_count:
            raise ReaderError("no complete message in it")
        self.connections = [
            connection._replace(msgcount=statistics.channel_message_counts.get(connection.id, 0))
            for connection in self.connections
        ]
        self.metadata = self.metadata._replace(
            duration=statistics.end_time - statistics.start_time + 1,
            start_time=statistics.start_time,
            end_time=statistics.end_time + 1,
            message_count=statistics.message_count,
        )

    def messages(
        self, connections: Collection[Connection], start: int | None = None, stop: int | None = None
    ) -> Any:
        """As `McapReader.messages`; without an index, in the order of the file."""
        read = self.messages_scan if self.truncated else super().messages
        return _decompressed(read(connections, start, stop))


class WholeSqlite3Reader(Sqlite3Reader):
    """A `Sqlite3Reader` of any path, and of what a recorder that was killed left in the log beside the database.

    Its messages may be compressed.
    """

    def __init__(self, path: Path) -> None:
        log = Path(f"{path}-wal")
        # rosbags reads `file:PATH?immutable=1`, and what is immutable has no log: the first value counts.
        first = "?immutable=0&" if log.exists() and log.stat().st_size else ""
        super().__init__(Path(f"{quote(str(path))}{first}"))

    def messages(
        self, connections: Collection[Connection], start: int | None = None, stop: int | None = None
    ) -> Any:
        """As `Sqlite3Reader.messages`."""
        return _decompressed(super().messages(connections, start, stop))


class RecoveringReader(Reader):
    """A rosbag2 `Reader` of one storage file that recovers cut MCAP files and decompresses messages."""

    STORAGE_PLUGINS = {  # noqa: RUF012
        **Reader.STORAGE_PLUGINS,
        ".mcap": RecoveringMcapReader,
        ".db3": WholeSqlite3Reader,
    }

    @property
    def truncated(self) -> bool:
        """Whether only a part of the file could be read."""
        return getattr(self.storage, "truncated", False)


def _decompressed(
    messages: Iterable[tuple[Connection, int, bytes]],
) -> Iterator[tuple[Connection, int, bytes]]:
    """The messages of a `ros2 bag record --compression-mode message` as they were before it.

    Only metadata.yaml tells of that, and a file on its own has none: the messages are looked at.
    """
    for connection, time_ns, data in messages:
        yield connection, time_ns, zstd.decompress(data) if data.startswith(_ZSTD) else data


def _end_of_complete_records(path: RPath) -> int:
    """Offset behind the last whole record of the data section; 0 for a file that is whole or not MCAP."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(size - len(_MAGIC), 0))
        whole = size > len(_MAGIC) and file.read() == _MAGIC
        file.seek(0)
        if whole or file.read(len(_MAGIC)) != _MAGIC:
            return 0
        position = file.tell()
        while len(header := file.read(_RECORD.size)) == _RECORD.size:
            opcode, length = _RECORD.unpack(header)
            if opcode in (_DATA_END, _FOOTER) or position + _RECORD.size + length > size:
                break
            position = file.seek(length, os.SEEK_CUR)
    return position
