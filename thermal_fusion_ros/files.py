"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
from pathlib import Path

from thermal_fusion_ros.errors import InputError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_whole(path: Path, data: bytes | memoryview) -> None:
    """Write all of a file or, where the disk is full, none of it: what was there before stays as it is.

    What is no plain file (a link, `/dev/stdout`) is written through. Raises `InputError` when that fails.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            path.write_bytes(data)
            return
        try:
            partial.write_bytes(data)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        remedy = "make room on that disk, or write elsewhere" if error.errno in _FULL else "write elsewhere"
        raise InputError(f"{path}: not written: {error.strerror or error}; {remedy}") from error
