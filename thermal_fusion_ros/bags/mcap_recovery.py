"""Reading the part of an MCAP file that was written before the recorder died."""

from __future__ import annotations

import os
import struct
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from rosbags.rosbag2 import Reader, ReaderError
from rosbags.rosbag2.reader import McapReader

if TYPE_CHECKING:
    from rosbags.interfaces import Connection
    from rosbags.interfaces.typing import RPath

_MAGIC = b"\x89MCAP0\r\n"
_DATA_END, _FOOTER = 0x0F, 0x02  # opcodes; see https://mcap.dev/spec
_RECORD = struct.Struct("<BQ")


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
        return read(connections, start, stop)


class RecoveringReader(Reader):
    """A rosbag2 `Reader` of one storage file that recovers cut MCAP files."""

    STORAGE_PLUGINS = {**Reader.STORAGE_PLUGINS, ".mcap": RecoveringMcapReader}  # noqa: RUF012

    @property
    def truncated(self) -> bool:
        """Whether only a part of the file could be read."""
        return getattr(self.storage, "truncated", False)


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
