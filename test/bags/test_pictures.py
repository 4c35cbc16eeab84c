"""Picture files: decoding, matching, and a clear word about what can't be used."""

from __future__ import annotations

import resource
from pathlib import Path

import cv2
import numpy as np
import pytest

from thermal_fusion_ros.bags.pictures import (
    list_pictures,
    match_pictures,
    natural_key,
    picture_size,
    read_thermal,
    read_visible,
    write_picture,
)
from thermal_fusion_ros.errors import InputError

RED = np.zeros((20, 30, 3), np.uint8)
RED[..., 0] = 200


def test_colour_survives_a_round_trip_in_rgb_order(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", RED)
    assert np.array_equal(read_visible(tmp_path / "a.png"), RED)
    assert cv2.imread(str(tmp_path / "a.png"))[0, 0].tolist() == [0, 0, 200]  # the file itself is right too


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_thermal_keeps_its_depth(tmp_path: Path, dtype: type) -> None:
    image = (np.arange(600).reshape(20, 30) * (np.iinfo(dtype).max // 600)).astype(dtype)
    write_picture(tmp_path / "a.png", image)
    assert np.array_equal(read_thermal(tmp_path / "a.png"), image)
    assert read_thermal(tmp_path / "a.png").dtype == dtype


def test_grey_visible_and_coloured_thermal_are_converted(tmp_path: Path) -> None:
    grey = np.full((20, 30), 77, np.uint8)
    write_picture(tmp_path / "grey.png", grey)
    assert np.array_equal(read_visible(tmp_path / "grey.png"), np.dstack([grey] * 3))
    write_picture(tmp_path / "colour.png", np.dstack([grey] * 3))
    assert np.array_equal(read_thermal(tmp_path / "colour.png"), grey)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_cut_file_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    noisy = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    write_picture(path, noisy)
    read_visible(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"a\.(png|jpg).*cut short"):
        read_visible(path)


@pytest.mark.parametrize(("content", "why"), [(b"", "empty"), (b"not a picture", "not a picture")])
def test_what_is_no_picture_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(InputError, match=why):
        read_thermal(tmp_path / "a.png")


def test_float_thermal_is_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.tiff"), np.ones((20, 30), np.float32))
    with pytest.raises(InputError, match="float32 pixels"):
        read_thermal(tmp_path / "a.tiff")


def test_matching_names_the_lonely(tmp_path: Path) -> None:
    visible, thermal = tmp_path / "vi", tmp_path / "ir"
    visible.mkdir(), thermal.mkdir()
    for path in (
        visible / "2.jpg",
        visible / "10.png",
        visible / "only_vi.png",
        thermal / "2.png",
        thermal / "10.png",
    ):
        write_picture(path, RED)
    write_picture(thermal / "only_ir.png", RED)
    pairs, lonely = match_pictures(visible, thermal)
    assert [pair.name for pair in pairs] == ["2", "10"]
    assert len(lonely) == 2
    assert "only_vi" in lonely[0]
    assert "only_ir" in lonely[1]


@pytest.mark.parametrize("side", ["vi", "ir"])
def test_a_name_that_one_folder_has_twice_is_left_out_and_named_once(tmp_path: Path, side: str) -> None:
    for folder in ("vi", "ir"):
        write_picture_in(tmp_path / folder, "a.png")
        write_picture(tmp_path / folder / "t16.png", RED)
    write_picture(tmp_path / side / "t16.bmp", RED)
    pairs, lonely = match_pictures(tmp_path / "vi", tmp_path / "ir")
    assert [pair.name for pair in pairs] == ["a"]
    assert lonely == [f"t16: {tmp_path / side} has it twice: t16.bmp and t16.png; keep one"]


def test_nothing_is_left_where_every_name_of_both_is_there_twice(tmp_path: Path) -> None:
    for folder in ("vi", "ir"):
        write_picture_in(tmp_path / folder, "t16.png")
        write_picture(tmp_path / folder / f"only_{folder}.png", RED)
    write_picture(tmp_path / "ir" / "t16.bmp", RED)
    with pytest.raises(InputError, match=r"every name twice.*for example t16"):
        match_pictures(tmp_path / "vi", tmp_path / "ir")


def test_nothing_that_matches(tmp_path: Path) -> None:
    write_picture_in(tmp_path / "vi", "a.png")
    write_picture_in(tmp_path / "ir", "b.png")
    with pytest.raises(InputError, match="same name in both"):
        match_pictures(tmp_path / "vi", tmp_path / "ir")


def test_empty_and_missing_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no pictures in it"):
        list_pictures(tmp_path)
    with pytest.raises(InputError, match="not a folder"):
        list_pictures(tmp_path / "nowhere")


def test_unwritable_place(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not written"):
        write_picture(tmp_path / "nowhere" / "a.png", RED)


@pytest.mark.parametrize("before", [None, b"what was there"])
def test_a_full_disk_is_named_and_leaves_no_half_picture(tmp_path: Path, before: bytes | None) -> None:
    path = tmp_path / "a.bmp"
    if before is not None:
        path.write_bytes(before)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # a file that grows beyond it can't be written on
    try:
        with pytest.raises(InputError, match=r"a\.bmp: not written: File too large"):
            write_picture(path, RED)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [file.read_bytes() for file in tmp_path.iterdir()] == ([] if before is None else [before])


def test_natural_order() -> None:
    assert sorted(["f10", "f9", "e11", "f9b"], key=natural_key) == ["e11", "f9", "f9b", "f10"]


def test_picture_size(tmp_path: Path) -> None:
    for suffix in (".png", ".jpg"):
        write_picture(tmp_path / f"a{suffix}", np.zeros((97, 64, 3), np.uint8))
        assert picture_size(tmp_path / f"a{suffix}") == (97, 64)
    assert picture_size(tmp_path / "nowhere.png") == (0, 0)


def write_picture_in(folder: Path, name: str) -> None:
    folder.mkdir()
    write_picture(folder / name, RED)
