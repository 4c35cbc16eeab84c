"""Files that are written whole or not at all, and what is said where they can't be."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from thermal_fusion_ros.errors import InputError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_whole(path: Path, data: bytes | memoryview) -> None:
    """Write all of a file or, where the disk is full, none of it: what was there before stays as it is.

    What is no plain file (a link, `/dev/stdout`) is written through. Raises `InputError` when that fails.
    """
    partial = path.with_name(f"{path.name}.partial")
    with writing(path):
        if path.is_symlink() or (path.exists() and not path.is_file()):
            path.write_bytes(data)
            return
        try:
            partial.write_bytes(data)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write what programs read, and its folder where that is missing; what is not known is None, for JSON has no NaN.

    Raises `InputError` when that fails.
    """
    make_folder(path.parent)
    write_whole(path, f"{json.dumps(value, indent=2, allow_nan=False)}\n".encode())


def add_line(path: Path, line: str) -> None:
    """Add a line to a file that is there or, where the disk is full, nothing. Raises `InputError` when that fails."""
    with writing(path):
        end = path.stat().st_size
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(f"{line}\n")
        except OSError:
            with suppress(OSError):  # of what is no plain file
                os.truncate(path, end)  # to half a line the next one would be added
            raise


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """An `OSError` within becomes an `InputError` that names `path` and the remedy."""
    try:
        yield
    except OSError as error:
        remedy = "make room on that disk, or write elsewhere" if error.errno in _FULL else "write elsewhere"
        raise InputError(f"{path}: not written: {error.strerror or error}; {remedy}") from error


def make_folder(folder: Path) -> None:
    """Make an output folder and its parents. Raises `InputError` when that is not possible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: not a folder that can be written: {error.strerror}") from error
