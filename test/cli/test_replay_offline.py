"""`thermal-fusion replay --offline`: results, accounting, and what it says about bad sources."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thermal_fusion_ros.bags import open_source
from thermal_fusion_ros.bags.pictures import read_visible
from thermal_fusion_ros.cli.main import main

Make = Callable[..., Path]


def replay(source: Path, *more: object) -> int:
    return main(["replay", str(source), "--offline", *map(str, more)])


def balanced(numbers: dict[str, Any]) -> bool:
    return numbers["pairs_in"] == numbers["published"] + sum(numbers["dropped"].values())


def test_pictures_bag_and_numbers(make_folders: Make, tmp_path: Path, pipeline: Any) -> None:
    folder = make_folders({str(i): (48, 64) for i in range(4)})
    results = {
        option: tmp_path / name
        for option, name in (("--save", "s"), ("--record", "r.mcap"), ("--json", "j.json"))
    }
    assert replay(folder, *(part for item in results.items() for part in item)) == 0
    numbers = json.loads(results["--json"].read_text())
    assert numbers["pairs_in"] == numbers["published"] == 4
    assert balanced(numbers)
    assert set(numbers["latency_ms"]) == {"median", "p99"}
    assert numbers["output_hz"] > 0
    saved = [read_visible(path) for path in sorted(results["--save"].iterdir())]
    assert len(saved) == 4
    assert not np.array_equal(saved[0], saved[1])
    visible = next(iter(open_source(folder))).image
    assert (saved[0].astype(int) - visible).min() >= 10  # the pipeline's doing
    assert results["--record"].stat().st_size > 4 * saved[0].nbytes


def test_loops(make_folders: Make, tmp_path: Path, pipeline: Any) -> None:
    assert replay(make_folders({"a": (48, 64), "b": (48, 64)}), "--loop", 3, "--json", tmp_path / "j") == 0
    numbers = json.loads((tmp_path / "j").read_text())
    assert (numbers["published"], numbers["frames_sent"]) == (6, {"rgb": 6, "thermal": 6})
    assert pipeline.made[0].resets == 3


def test_refused_pairs_are_counted(
    make_folders: Make, tmp_path: Path, pipeline: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay(make_folders({"a": (48, 64), "b": (8, 64), "c": (48, 64)}), "--json", tmp_path / "j") == 0
    numbers = json.loads((tmp_path / "j").read_text())
    assert (numbers["pairs_in"], numbers["published"], numbers["dropped"]) == (3, 2, {"refused": 1})
    captured = capsys.readouterr()
    assert "too small" in captured.err
    assert "dropped: refused" in captured.out


def test_nothing_to_fuse_is_a_failure(make_folders: Make, pipeline: Any) -> None:
    assert replay(make_folders({"a": (8, 64)})) == 2


def test_interruption_keeps_what_is_done(
    make_folders: Make, tmp_path: Path, pipeline: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = pipeline.process

    def interrupted(self: Any, pair: Any) -> Any:
        if len(self.sizes) == 2:
            raise KeyboardInterrupt
        return process(self, pair)

    monkeypatch.setattr(pipeline, "process", interrupted)
    folder = make_folders({str(i): (48, 64) for i in range(5)})
    assert (
        replay(folder, "--json", tmp_path / "j", "--record", tmp_path / "r.db3", "--save", tmp_path / "s")
        == 130
    )
    numbers = json.loads((tmp_path / "j").read_text())
    assert numbers["published"] == 2
    assert balanced(numbers)
    assert len(list((tmp_path / "s").iterdir())) == 2
    assert (tmp_path / "r.db3").read_bytes().startswith(b"SQLite format 3")


def test_a_json_that_cannot_be_written_is_refused_before_anything_is_fused(
    make_folders: Make, tmp_path: Path, pipeline: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_folders({"a": (48, 64)})
    for path, why in ((tmp_path, "is a folder"), (folder / "visible/a.png/j.json", "is not a folder")):
        assert replay(folder, "--json", path, "--save", tmp_path / "s") == 2
        error = capsys.readouterr().err
        assert f"--json {path}: " in error
        assert why in error
    assert not pipeline.made
    assert not (tmp_path / "s").exists()


def test_json_may_go_into_the_bag_folder_that_is_recorded(
    make_folders: Make, tmp_path: Path, pipeline: Any
) -> None:
    bag = tmp_path / "bag"
    assert replay(make_folders({"a": (48, 64)}), "--record", bag, "--json", bag / "j.json") == 0
    assert json.loads((bag / "j.json").read_text())["published"] == 1


def test_the_table_is_printed_even_where_its_file_cannot_be_written_at_the_end(
    make_folders: Make,
    tmp_path: Path,
    pipeline: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    process = pipeline.process

    def in_the_way(self: Any, pair: Any) -> Any:
        (tmp_path / "j").mkdir()
        return process(self, pair)

    monkeypatch.setattr(pipeline, "process", in_the_way)
    assert replay(make_folders({"a": (48, 64)}), "--json", tmp_path / "j") == 2
    captured = capsys.readouterr()
    assert "published" in captured.out
    assert "j: not written: Is a directory" in captured.err


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--rate", "0"], "above 0"),
        (["--rate", "nan"], "above 0"),
        (["--fps", "-1"], "above 0"),
        (["--loop", "0"], "at least 1"),
        (["--set", "nonsense"], "NAME=VALUE"),
    ],
)
def test_bad_arguments(
    make_folders: Make, arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay(make_folders({"a": (48, 64)}), *arguments) == 2
    assert why in capsys.readouterr().err


def test_bad_sources(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "cut.mcap").write_bytes(b"\x89MCAP0\r\n\x01")
    for source, why in (
        ("nowhere", "no such file"),
        ("empty", "is empty"),
        ("cut.mcap", "not a readable bag"),
    ):
        assert replay(tmp_path / source) == 2
        errors = capsys.readouterr().err.strip().splitlines()
        assert len(errors) == 1
        assert why in errors[0]


def test_without_ros_the_remedy_is_named(
    make_folders: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["replay", str(make_folders({"a": (48, 64)}))]) == 2
    assert "--offline" in capsys.readouterr().err
