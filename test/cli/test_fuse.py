"""`thermal-fusion fuse`."""

from __future__ import annotations

import io
import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thermal_fusion_ros.bags.pictures import read_thermal, read_visible, write_picture
from thermal_fusion_ros.cli.fuse import write_depth
from thermal_fusion_ros.cli.main import main
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.evaluation.folders import list_depths
from thermal_fusion_ros.frames import Perception

Make = Callable[..., Path]


def fuse(folder: Path, out: Path, *more: str) -> int:
    return main(
        [
            "fuse",
            "--visible",
            f"{folder}/visible",
            "--thermal",
            f"{folder}/infrared",
            "--out",
            str(out),
            *more,
        ]
    )


def test_every_pair_is_written_at_its_size(make_folders: Make, tmp_path: Path, pipeline: Any) -> None:
    folder = make_folders({"a": (48, 64), "b": (64, 48), "c": (50, 70)})
    assert fuse(folder, tmp_path / "out") == 0
    for name in "abc":
        visible, thermal = (
            read_visible(folder / f"visible/{name}.png"),
            read_thermal(folder / f"infrared/{name}.png"),
        )
        expected = np.clip(visible.astype(int) + int(thermal.mean() / 10), 0, 255)
        assert np.array_equal(read_visible(tmp_path / f"out/{name}.png"), expected)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "b.png", "c.png"]


def test_sizes_come_grouped(make_folders: Make, tmp_path: Path, pipeline: Any) -> None:
    fuse(make_folders({str(i): ((48, 64) if i % 2 else (96, 64)) for i in range(6)}), tmp_path / "out")
    assert pipeline.made[0].sizes == [(96, 64)] * 3 + [(48, 64)] * 3


def test_options_reach_the_pipeline(make_folders: Make, tmp_path: Path, pipeline: Any) -> None:
    folder = make_folders({"a": (48, 64)})
    params = tmp_path / "p.yaml"
    params.write_text("/**:\n  ros__parameters:\n    sync:\n      tolerance_s: 0.03\n")
    more = ["--prompt", "two cars", "--set", "engine.threads=2", "--params", str(params)]
    assert fuse(folder, tmp_path / "out", *more) == 0
    config = pipeline.made[0].config
    assert (config.fusion.prompt, config.engine.threads, config.sync.tolerance_s) == ("two cars", 2, 0.03)


def test_problems_are_named_and_the_rest_is_done(
    make_folders: Make, tmp_path: Path, pipeline: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_folders({"good": (48, 64), "broken": (48, 64), "tiny": (8, 8)})
    (folder / "infrared/broken.png").write_bytes(b"no picture")
    write_picture(folder / "visible/lonely.png", np.zeros((48, 64, 3), np.uint8))
    assert fuse(folder, tmp_path / "out") == 2
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.png"]
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if line.startswith("thermal-fusion: ")]
    assert len(lines) == 3
    for name in ("broken.png", "tiny", "lonely.png"):
        assert any(name in line for line in lines)
    assert "1 of 3 pairs fused" in captured.out


@pytest.mark.parametrize("missing", ["visible", "infrared"])
def test_missing_folder(
    make_folders: Make, tmp_path: Path, missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_folders({"a": (48, 64)})
    (folder / missing).rename(folder / "elsewhere")
    assert fuse(folder, tmp_path / "out") == 2
    assert f"{missing}: not a folder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("out", "option"), [("visible", "--visible"), ("infrared", "--thermal")])
@pytest.mark.parametrize("linked", [False, True])
def test_originals_are_not_overwritten(
    make_folders: Make,
    tmp_path: Path,
    pipeline: Any,
    out: str,
    option: str,
    linked: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = make_folders({"a": (48, 64)})
    before = {path: path.read_bytes() for path in folder.glob("*/*")}
    place = folder / "visible" / ".." / out
    if linked:
        (tmp_path / "link").symlink_to(folder / out)
        place = tmp_path / "link"
    assert fuse(folder, place) == 2
    assert f"--out {place}: is the folder of {option}; choose another" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in folder.glob("*/*")} == before


def test_a_name_that_is_there_twice_is_not_fused_but_named(
    make_folders: Make, tmp_path: Path, pipeline: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_folders({"a": (48, 64), "t16": (48, 64)})
    write_picture(folder / "infrared/t16.bmp", np.zeros((48, 64), np.uint8))
    assert fuse(folder, tmp_path / "out") == 2
    assert "t16.bmp and t16.png" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]


def test_unknown_parameter(make_folders: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fuse(make_folders({"a": (48, 64)}), tmp_path / "out", "--set", "engine.treads=2") == 2
    assert "did you mean engine.threads" in capsys.readouterr().err


def test_real_network_on_a_picture(make_folders: Make, tmp_path: Path) -> None:
    folder = make_folders({"a": (50, 70)})
    assert fuse(folder, tmp_path / "out", "--set", "engine.backend=torch") == 0
    assert read_visible(tmp_path / "out/a.png").shape == (50, 70, 3)


def test_depth_is_relative_without_a_source_and_metres_with_one(
    make_folders: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_folders({"a": (64, 96)})
    assert fuse(folder, tmp_path / "relative", "--depth") == 0
    assert "depth of 1: relative" in capsys.readouterr().out
    relative = np.load(tmp_path / "relative/a_depth.npy")
    assert relative.dtype == np.float32
    assert relative.shape == (64, 96)
    assert np.isfinite(relative).all()
    assert read_visible(tmp_path / "relative/a_depth.png").shape == (64, 96, 3)
    assert list_depths(tmp_path / "relative")["a"][1] is False

    # Noise is like nothing the network has seen: take whatever it says.
    all_of_it = ["depth.most_uncertain=10", "depth.nearest_m=0", "depth.farthest_m=10000"]
    more = [word for setting in all_of_it for word in ("--set", setting)]
    assert fuse(folder, tmp_path / "metres", "--depth", "--camera-height", "1.4", *more) == 0
    said = capsys.readouterr()
    assert "depth of 1: metres" in said.out
    assert "lens unknown" in said.err
    metres = np.load(tmp_path / "metres/a_depth.npy")
    assert list_depths(tmp_path / "metres")["a"][1] is True
    ratio = metres / relative
    assert np.nanmax(ratio) == pytest.approx(np.nanmin(ratio), rel=0.05)  # the same depth, in metres


def test_no_depth_without_asking(make_folders: Make, tmp_path: Path) -> None:
    folder = make_folders({"a": (64, 96)})
    assert fuse(folder, tmp_path / "out") == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]


def test_depth_and_objects_come_where_set_asks_for_them(make_folders: Make, tmp_path: Path) -> None:
    folder = make_folders({"a": (64, 96)})
    more = ["--set", "depth.enabled=true", "--set", "objects.enabled=true"]
    assert fuse(folder, tmp_path / "out", *more) == 0
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert files == ["a.png", "a_depth.npy", "a_depth.png", "depth.json", "objects.json"]


@pytest.mark.parametrize(
    ("said", "more", "depth", "objects"),
    [
        ("depth: {enabled: true}", [], True, False),
        ("objects: {enabled: true}", [], True, True),  # depth says how far they are
        ("objects: {enabled: true}", ["--set", "objects.enabled=false"], False, False),
        ("depth: {enabled: false}", ["--depth"], True, False),
        ("depth: {camera_height_m: 1.4}", [], False, False),
    ],
)
def test_a_parameter_file_turns_on_what_it_names_and_the_command_line_goes_before_it(
    make_folders: Make,
    tmp_path: Path,
    pipeline: Any,
    said: str,
    more: list[str],
    depth: bool,
    objects: bool,
) -> None:
    params = tmp_path / "p.yaml"
    params.write_text(f"/**:\n  ros__parameters:\n    {said}\n")
    assert fuse(make_folders({"a": (48, 64)}), tmp_path / "out", "--params", str(params), *more) == 0
    config = pipeline.made[0].config
    assert (config.depth.enabled, config.objects.enabled) == (depth, objects)
    assert (tmp_path / "out/objects.json").exists() == objects


def test_a_camera_height_that_would_change_nothing_is_refused(
    make_folders: Make, tmp_path: Path, pipeline: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_folders({"a": (48, 64)})
    assert fuse(folder, tmp_path / "out", "--camera-height", "1.4") == 2
    assert "--camera-height 1.4: says how far things are; add --depth or --objects" in capsys.readouterr().err
    assert not pipeline.made
    for wanted in (["--depth"], ["--objects"], ["--set", "depth.enabled=true"]):
        assert fuse(folder, tmp_path / "out", "--camera-height", "1.4", *wanted) == 0
        assert pipeline.made[-1].config.depth.camera_height_m == 1.4


def test_depth_on_a_full_disk_is_named_and_leaves_no_half_file(tmp_path: Path) -> None:
    depth = np.ones((48, 64), np.float32)
    perception = Perception(0, "", np.zeros((48, 64, 3), np.uint8), np.zeros((48, 64), np.uint8), depth=depth)
    perception.relative_depth = depth
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # a file that grows beyond it can't be written on
    try:
        with pytest.raises(InputError, match=r"a_depth\.npy: not written: File too large"):
            write_depth(perception, tmp_path, "a")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())


def test_objects_are_told_with_a_caption(make_folders: Make, tmp_path: Path, pipeline: Any) -> None:
    folder = make_folders({"a": (48, 64)})
    assert fuse(folder, tmp_path / "out", "--objects") == 0
    config = pipeline.made[0].config
    assert config.objects.enabled
    assert config.depth.horizontal_fov_deg > 0
    told = json.loads((tmp_path / "out/objects.json").read_text())["a"]
    assert set(told) == {"caption", "objects"}
    assert not list((tmp_path / "out").glob("*.npy"))
    fuse(folder, tmp_path / "plain")
    assert not pipeline.made[-1].config.objects.enabled


def test_what_was_found_is_kept_where_the_summary_cannot_be_written(
    make_folders: Make, tmp_path: Path, pipeline: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folders({"a": (48, 64)})
    with Path("/dev/full").open("wb", buffering=0) as full:
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(full, write_through=True))
        assert fuse(folder, tmp_path / "out", "--objects") == 2
    assert list(json.loads((tmp_path / "out/objects.json").read_text())) == ["a"]


def test_few_pictures_too_go_where_it_is_asked_for(
    make_folders: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setattr("thermal_fusion_ros.engine.openvino_backend.GPU", "none like this")
    assert fuse(make_folders({"a": (48, 64)}), tmp_path / "out", "--set", "engine.device=intel_gpu") == 2
    assert "OpenVINO sees no Intel GPU" in capsys.readouterr().err
