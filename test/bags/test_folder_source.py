"""Folder pairs as recordings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from thermal_fusion_ros.bags import open_source
from thermal_fusion_ros.bags.source import FIRST_STAMP_NS, Loaded
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.frames import RgbFrame, ThermalFrame, ThermalKind

Make = Callable[..., Path]


def test_pictures_become_pairs_with_stamps(make_pictures: Make) -> None:
    source = open_source(make_pictures(["b_10", "b_9"]), fps=10)
    frames = list(source)
    assert [type(frame) for frame in frames] == [RgbFrame, ThermalFrame] * 2
    assert [frame.stamp_ns - FIRST_STAMP_NS for frame in frames] == [0, 0, 100_000_000, 100_000_000]
    assert source.frame_count == 4
    assert source.problems == []
    assert [frame.stamp_ns for frame in source] == [
        frame.stamp_ns for frame in frames
    ]  # it can be played again


@pytest.mark.parametrize(("dtype", "kind"), [(np.uint8, ThermalKind.AGC8), (np.uint16, ThermalKind.COUNTS)])
def test_kind_of_thermal_pictures(make_pictures: Make, dtype: type, kind: ThermalKind) -> None:
    thermal = [
        frame for frame in open_source(make_pictures(["a"], dtype=dtype)) if isinstance(frame, ThermalFrame)
    ]
    assert thermal[0].kind is kind
    assert thermal[0].image.dtype == dtype


def test_unreadable_picture_leaves_out_its_pair_alone(make_pictures: Make) -> None:
    folder = make_pictures(["a", "b", "c"])
    (folder / "infrared" / "b.png").write_bytes(b"broken")
    source = open_source(folder, fps=10)
    stamps = [frame.stamp_ns - FIRST_STAMP_NS for frame in source]
    assert stamps == [0, 0, 200_000_000, 200_000_000]
    assert len(source.problems) == 1
    assert "b.png" in source.problems[0]
    list(source)
    assert len(source.problems) == 1  # said once, however often it is played


def test_a_name_that_is_there_twice_is_left_out_of_the_recording_and_reported(make_pictures: Make) -> None:
    folder = make_pictures(["a", "t16"])
    (folder / "visible" / "t16.bmp").write_bytes((folder / "visible" / "a.png").read_bytes())
    source = open_source(folder)
    assert len(list(source)) == source.frame_count == 2
    assert len(source.problems) == 1
    assert "visible has it twice: t16.bmp and t16.png" in source.problems[0]


def test_no_readable_pair(make_pictures: Make) -> None:
    folder = make_pictures(["a"])
    (folder / "visible" / "a.png").write_bytes(b"broken")
    with pytest.raises(InputError, match="no pair could be read"):
        list(open_source(folder))


def test_videos_by_their_own_frame_rates(tmp_path: Path, make_video: Make) -> None:
    make_video(tmp_path / "rgb" / "x.avi", 6, fps=30)
    make_video(tmp_path / "thermal" / "y.avi", 2, fps=10)
    frames = list(open_source(tmp_path))
    rgb = [frame for frame in frames if isinstance(frame, RgbFrame)]
    thermal = [frame for frame in frames if isinstance(frame, ThermalFrame)]
    assert [round((frame.stamp_ns - FIRST_STAMP_NS) / 1e6) for frame in thermal] == [0, 100]
    assert [round((frame.stamp_ns - FIRST_STAMP_NS) / 1e6) for frame in rgb] == [0, 33, 67, 100]
    assert [frame.stamp_ns for frame in frames] == sorted(frame.stamp_ns for frame in frames)
    assert thermal[1].image.shape == (48, 64)
    assert abs(int(thermal[1].image[0, 0]) - 10) <= 2
    assert abs(int(rgb[3].image[0, 0, 0]) - 30) <= 2


def test_counts_of_a_radiometric_video_are_kept(tmp_path: Path, make_video: Make) -> None:
    """Of 16 bits a conversion to colour keeps the upper 8, in which a scene's few hundred counts are one grey."""
    make_video(tmp_path / "visible" / "x.avi", 2)
    counts = np.random.default_rng(0).integers(7000, 7300, (2, 48, 64), np.uint16)
    (tmp_path / "infrared").mkdir()
    options = [cv2.VIDEOWRITER_PROP_DEPTH, cv2.CV_16U, cv2.VIDEOWRITER_PROP_IS_COLOR, 0]
    video, codec = str(tmp_path / "infrared" / "x.mkv"), cv2.VideoWriter.fourcc(*"FFV1")
    writer = cv2.VideoWriter(video, cv2.CAP_FFMPEG, codec, 30.0, (64, 48), options)
    for image in counts:
        writer.write(image)
    writer.release()
    thermal = [frame for frame in open_source(tmp_path) if isinstance(frame, ThermalFrame)]
    assert [frame.kind for frame in thermal] == [ThermalKind.COUNTS] * 2
    assert all(np.array_equal(frame.image, image) for frame, image in zip(thermal, counts, strict=True))


@pytest.mark.parametrize(("rgb", "thermal", "kept"), [(5, 5, 5), (7, 5, 5), (5, 6, 5)])
def test_videos_of_different_lengths(
    tmp_path: Path, make_video: Make, rgb: int, thermal: int, kept: int
) -> None:
    make_video(tmp_path / "visible" / "x.avi", rgb)
    make_video(tmp_path / "infrared" / "x.avi", thermal)
    source = open_source(tmp_path)
    assert len(list(source)) == 2 * kept
    assert len(source.problems) == (rgb != thermal)
    if rgb != thermal:
        assert f"{'infrared' if rgb > thermal else 'visible'}/x.avi: ends at" in source.problems[0]


def test_one_of_several_videos_is_chosen(tmp_path: Path, make_video: Make) -> None:
    for clip, frames in (("one", 1), ("two", 2)):
        for sub in ("visible", "infrared"):
            make_video(tmp_path / sub / f"{clip}.avi", frames)
    with pytest.raises(InputError, match="--clip: one, two"):
        open_source(tmp_path)
    with pytest.raises(InputError, match="one, two"):
        open_source(tmp_path, clip="three")
    source = open_source(tmp_path, clip="two")
    assert source.name == "two"
    assert len(list(source)) == 4


@pytest.mark.parametrize("others", [[], ["other"]], ids=["alone", "chosen"])
@pytest.mark.parametrize("twice", ["visible", "infrared"])
def test_a_video_that_a_folder_has_twice_is_refused_by_name(
    tmp_path: Path, make_video: Make, twice: str, others: list[str]
) -> None:
    for clip in ("drive", *others):
        for sub in ("visible", "infrared"):
            make_video(tmp_path / sub / f"{clip}.avi", 1)
    make_video(tmp_path / twice / "drive.mkv", 2)
    with pytest.raises(InputError, match=rf"{twice}: has the video drive twice: drive\.avi and drive\.mkv"):
        open_source(tmp_path, clip="drive" if others else "")
    if others:
        assert len(list(open_source(tmp_path, clip="other"))) == 2


def test_broken_video(tmp_path: Path, make_video: Make) -> None:
    make_video(tmp_path / "visible" / "x.avi", 2)
    (tmp_path / "infrared").mkdir()
    (tmp_path / "infrared" / "x.avi").write_bytes(b"no video at all")
    with pytest.raises(InputError, match=r"infrared/x\.avi: not a readable video"):
        open_source(tmp_path)


def test_video_without_partner(tmp_path: Path, make_video: Make) -> None:
    make_video(tmp_path / "visible" / "x.avi", 2)
    (tmp_path / "infrared").mkdir()
    with pytest.raises(InputError, match="infrared: no video in it"):
        open_source(tmp_path)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "is empty"),
        (lambda path: path.write_text("x"), "not a recording"),
        (lambda path: [(path / sub).mkdir(parents=True) for sub in ("vi", "ir")], "no pictures in it"),
        (lambda path: (path / "visible").mkdir(parents=True), "not a recording"),
    ],
)
def test_what_is_no_source(tmp_path: Path, make: Callable[[Path], object], why: str) -> None:
    make(tmp_path / "source")
    with pytest.raises(InputError, match=why):
        open_source(tmp_path / "source")


def test_loaded_source_gives_the_same_frames(make_pictures: Make) -> None:
    source = open_source(make_pictures(["a", "b"]))
    loaded = Loaded(source)
    assert loaded.frame_count == 4
    for one, other in zip(source, loaded, strict=True):
        assert np.array_equal(one.image, other.image)


def test_recorded_clips(shared_data: Path) -> None:
    source = open_source(shared_data / "video", clip="0111_1716")
    frames = [frame for _, frame in zip(range(20), source, strict=False)]
    assert source.frame_count == 302
    assert {frame.image.shape for frame in frames} == {(480, 640, 3), (480, 640)}
