"""What several sub-commands share."""

from __future__ import annotations

from pathlib import Path

import pytest

from thermal_fusion_ros.cli._options import check_writable
from thermal_fusion_ros.errors import InputError


def test_a_place_for_a_file_is_checked_without_making_anything(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text("old")
    for name in ("new.json", "new/folder/new.json", "old.json"):
        check_writable(tmp_path / name, "--json")
    check_writable(Path("new.json"), "--json")
    assert [path.name for path in tmp_path.iterdir()] == ["old.json"]
    assert (tmp_path / "old.json").read_text() == "old"


def test_a_folder_without_the_right_to_write_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, _: Path(path) != tmp_path)
    with pytest.raises(InputError, match=f"--json .*new.json: {tmp_path} can't be written"):
        check_writable(tmp_path / "new/new.json", "--json")
