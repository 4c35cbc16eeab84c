"""`thermal-fusion convert`: what comes out is a source with the same frames."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from thermal_fusion_ros.bags import open_source
from thermal_fusion_ros.bags.pictures import write_picture
from thermal_fusion_ros.cli.main import main

Make = Callable[..., Path]


@pytest.mark.parametrize("name", ["out.mcap", "out.db3", "out"])
@pytest.mark.parametrize("compressed", [False, True])
def test_same_frames(make_folders: Make, tmp_path: Path, name: str, compressed: bool) -> None:
    folder, out = make_folders({str(i): (48, 64) for i in range(3)}), tmp_path / name
    if compressed:  # noise would not survive JPEG
        for i in range(3):
            write_picture(folder / "visible" / f"{i}.png", gradients(10 * i))
    assert main(["convert", str(folder), "--out", str(out), *["--compressed"] * compressed]) == 0
    frames, copies = list(open_source(folder)), list(open_source(out))
    assert [frame.stamp_ns for frame in frames] == [frame.stamp_ns for frame in copies]
    for frame, copy in zip(frames, copies, strict=True):
        assert frame.image.shape == copy.image.shape
        if compressed and frame.image.ndim == 3:
            assert np.abs(frame.image.astype(int) - copy.image).max() < 10
        else:
            assert np.array_equal(frame.image, copy.image)


def gradients(least: int) -> np.ndarray:
    """Smooth RGB whose channels differ much from each other."""
    y, x = np.mgrid[:48, :64]
    return (least + np.stack([3 * x, 2 * y, 3 * x[:, ::-1]], axis=-1)).astype(np.uint8)


def test_problems_are_named(make_folders: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_folders({"a": (48, 64), "b": (48, 64)})
    (folder / "visible/a.png").write_bytes(b"")
    assert main(["convert", str(folder), "--out", str(tmp_path / "out.mcap")]) == 0
    captured = capsys.readouterr()
    assert "a.png: the file is empty" in captured.err
    assert "2 frames written" in captured.out


def test_existing_output(make_folders: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out.mcap").write_text("precious")
    assert main(["convert", str(make_folders({"a": (48, 64)})), "--out", str(tmp_path / "out.mcap")]) == 2
    assert "exists already" in capsys.readouterr().err
    assert (tmp_path / "out.mcap").read_text() == "precious"
