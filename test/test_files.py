"""Files are written whole or not at all, and what went wrong is said with the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.files import add_line, write_json, write_whole


@pytest.mark.parametrize("before", [None, b"what was there"])
def test_a_full_disk_is_named_with_the_remedy_and_what_was_there_stays(tmp_path, full_disk, before):
    path = tmp_path / "a.bin"
    if before is not None:
        path.write_bytes(before)
    with full_disk(1000), pytest.raises(InputError) as caught:
        write_whole(path, bytes(5000))
    assert (
        str(caught.value)
        == f"{path}: not written: File too large; make room on that disk, or write elsewhere"
    )
    assert [file.read_bytes() for file in tmp_path.iterdir()] == ([] if before is None else [before])


@pytest.mark.parametrize("target", ["plain", "/dev/full"])
def test_a_line_for_which_there_is_no_room_is_not_begun(tmp_path, full_disk, target):
    path, plain = tmp_path / "log", tmp_path / "plain"
    plain.write_text("one\n")
    path.symlink_to(target)
    with full_disk(10), pytest.raises(InputError, match=f"{path}: not written: .*; make room on that disk"):
        add_line(path, "no room for that")
    assert plain.read_text() == "one\n"


def test_a_place_where_nothing_can_be_written_is_named(tmp_path: Path) -> None:
    for path, why in (
        (tmp_path / "nowhere" / "a.bin", "No such file or directory"),
        (tmp_path, "Is a directory"),
    ):
        with pytest.raises(InputError, match=f"{path}: not written: {why}; write elsewhere$"):
            write_whole(path, b"1")
    assert not list(tmp_path.iterdir())


def test_a_file_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    for data in (b"old", b"new"):
        write_whole(path, memoryview(data))
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("a.bin", b"new")]


def test_what_is_no_plain_file_is_written_through(tmp_path: Path) -> None:
    link, target = tmp_path / "link", tmp_path / "target"
    link.symlink_to(target)
    write_whole(link, b"1")
    assert link.is_symlink()
    assert target.read_bytes() == b"1"
    write_whole(Path("/dev/null"), b"1")
    assert Path("/dev/null").is_char_device()


def test_json_has_no_nan_and_nothing_is_written_of_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "numbers.json", {"gflop": float("nan")})
    assert not list(tmp_path.iterdir())
