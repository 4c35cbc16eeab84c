"""Which files belong together."""

from __future__ import annotations

from pathlib import Path

import pytest

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.evaluation.folders import list_depths, match


def tree(root: Path, **files: str) -> dict[str, Path]:
    for role, names in files.items():
        (root / role).mkdir()
        for name in names.split():
            (root / role / name).write_bytes(b"")
    return {role: root / role for role in files}


def test_pictures_match_by_name_whatever_their_type(tmp_path: Path) -> None:
    found = match(
        tree(tmp_path, visible="a.jpg b.PNG", thermal="a.png b.tif", fused="a.png b.png notes.txt .c.png")
    )
    assert list(found.complete) == ["a", "b"]
    assert found.complete["a"]["visible"].name == "a.jpg"
    assert found.skipped == []


def test_a_missing_partner_is_named_with_its_folder(tmp_path: Path) -> None:
    found = match(tree(tmp_path, visible="a.png b.png", thermal="a.png c.png", fused="a.png b.png d.png"))
    assert list(found.complete) == ["a"]
    why = {item.name: item.why for item in found.skipped}
    assert set(why) == {"b", "c", "d"}
    assert "thermal" in why["b"]
    assert str(tmp_path / "thermal") in why["b"]
    assert "visible" in why["c"]
    assert "fused" in why["c"]
    assert "fused" not in why["d"].split("(")[0]


def test_two_files_of_one_name_are_not_guessed_between(tmp_path: Path) -> None:
    found = match(tree(tmp_path, visible="a.png a.jpg", thermal="a.png", fused="a.png"))
    assert found.complete == {}
    assert "visible has it twice: a.jpg and a.png" in found.skipped[0].why


def test_depth_pictures_beside_fused_ones_are_no_mistake(tmp_path: Path) -> None:
    found = match(tree(tmp_path, visible="a.png", thermal="a.png", fused="a.png a_depth.png b_depth.png"))
    assert list(found.complete) == ["a"]
    assert [item.name for item in found.skipped] == ["b_depth"]


def test_a_name_that_ends_in_depth_is_a_name_like_any_other(tmp_path: Path) -> None:
    found = match(
        tree(tmp_path, visible="a.png a_depth.png", thermal="a.png a_depth.png", fused="a.png a_depth.png")
    )
    assert list(found.complete) == ["a", "a_depth"]


def test_a_folder_that_is_missing_or_empty_is_refused(tmp_path: Path) -> None:
    folders = tree(tmp_path, visible="a.png", thermal="readme.txt")
    with pytest.raises(InputError, match=r"thermal: no pictures in .*\.png"):
        match(folders)
    with pytest.raises(InputError, match="fused: no folder"):
        match({"visible": tmp_path / "visible", "fused": tmp_path / "fused"})


def test_depth_arrays_are_metres_only_where_that_is_said(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}_depth.npy").touch()
    assert list_depths(tmp_path)["a"] == (tmp_path / "a_depth.npy", False)
    (tmp_path / "depth.json").write_text('{"metres": {"a": true, "b": false}}')
    assert {name: metric for name, (_, metric) in list_depths(tmp_path).items()} == {"a": True, "b": False}
