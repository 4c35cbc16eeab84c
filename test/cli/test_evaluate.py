"""`thermal-fusion evaluate` as a person uses it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from thermal_fusion_ros.cli import _scoring
from thermal_fusion_ros.cli.main import main
from thermal_fusion_ros.evaluation.fusion_metrics import COMMON


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with visible/, thermal/, ours/ and other/, three 64x48 pictures each."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(6)
    for role in ("visible", "thermal", "ours", "other"):
        Path(role).mkdir()
        for name in "abc":
            image = cv2.GaussianBlur(random.integers(0, 256, (48, 64)).astype(np.uint8), (0, 0), 1)
            cv2.imwrite(f"{role}/{name}.png", image)
    return tmp_path


def evaluate(*arguments: str) -> int:
    sources = [] if "--visible" in arguments else ["--visible", "visible", "--thermal", "thermal"]
    return main(["evaluate", *sources, "--quiet", "--jobs", "1", *arguments])


def test_table_and_file(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate("--fused", "ours", "--json", "new/folder/scores.json") == 0
    content = json.loads(Path("new/folder/scores.json").read_text())
    assert tuple(content["mean"]) == COMMON
    assert list(content["per_image"]) == ["a", "b", "c"]
    assert content["skipped"] == []
    header, row = capsys.readouterr().out.splitlines()[:2]
    assert header.split() == ["method", *COMMON]
    assert row.split()[0] == "ours"
    assert float(row.split()[1]) == pytest.approx(content["mean"]["EN"], abs=5e-4)


def test_what_is_wrong_is_named_line_by_line_and_the_rest_is_scored_and_saved(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("ours/a.png").write_bytes(b"no picture")
    Path("thermal/b.png").unlink()
    assert evaluate("--fused", "ours", "--json", "scores.json") == 2
    output = capsys.readouterr()
    lines = output.err.splitlines()
    assert len(lines) == 2
    assert "skipped a: ours/a.png: not a picture" in lines[0]
    assert "skipped b: no picture of this name in thermal" in lines[1]
    assert "mean over 1 picture" in output.out
    content = json.loads(Path("scores.json").read_text())
    assert list(content["per_image"]) == ["c"]
    assert [set(item) for item in content["skipped"]] == [{"name", "why"}] * 2


def test_nothing_left_to_score_is_said_and_saved(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "abc":
        Path(f"ours/{name}.png").write_bytes(b"")
    assert evaluate("--fused", "ours", "--json", "scores.json") == 2
    assert "no picture could be scored" in capsys.readouterr().err
    assert json.loads(Path("scores.json").read_text())["mean"] == {}


def test_ranks_among_peers_over_the_pictures_that_all_have(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    best = dict.fromkeys(COMMON, 1e3)
    worst = dict.fromkeys(COMMON, -1e3)
    peers = {
        "best": {"per_image": {"a": best, "b": best}},
        "worst": {"per_image": {"a": worst, "b": worst, "c": worst}},
    }
    Path("peers.json").write_text(json.dumps({"methods": peers}))
    assert evaluate("--fused", "ours", "--peers", "peers.json") == 0
    output = capsys.readouterr().out
    rows = {line.split()[0]: line for line in output.splitlines() if line}
    assert rows["best"].count("(1)") == rows["ours"].count("(2)") == rows["worst"].count("(3)") == len(COMMON)
    assert "mean over 2 pictures" in output


def test_what_the_peers_file_lacks_is_scored_from_the_peers_pictures(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    per_image = {name: {"EN": 123.0} for name in "abc"}
    Path("peers.json").write_text(json.dumps({"methods": {"other": {"per_image": per_image}}}))
    assert (
        evaluate("--fused", "ours", "--metrics", "EN,SF", "--peers", "peers.json", "--peer-pictures", ".")
        == 0
    )
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("other"))
    assert "123.00 (1)" in row  # what is published stays
    assert evaluate("--fused", "other", "--metrics", "SF") == 0
    frequency = capsys.readouterr().out.splitlines()[1].split()[1]
    assert row.split()[3] == frequency


def test_several_methods_in_one_table(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--fused", "ours", "--fused", "second=other", "--json", "scores.json", "--markdown"]
    assert evaluate(*arguments, "--metrics", "EN,N_abf") == 0
    assert [line.split("|")[1].strip() for line in capsys.readouterr().out.splitlines()[2:4]] == [
        "ours",
        "second",
    ]
    content = json.loads(Path("scores.json").read_text())
    assert list(content["methods"]) == ["ours", "second"]
    assert set(content["methods"]["second"]) >= {"mean", "per_image", "skipped"}


def test_labels_add_the_contrast_of_people(work: Path) -> None:
    labels = {"val/a": [{"label": "person", "score": 0.9, "box": [10, 10, 25, 40]}]}
    Path("labels.json").write_text(json.dumps(labels))
    assert evaluate("--fused", "ours", "--metrics", "EN", "--labels", "labels.json", "--json", "s.json") == 0
    assert list(json.loads(Path("s.json").read_text())["mean"]) == [
        "EN",
        "SCR_visible",
        "SCR_thermal",
        "SCR_fused",
    ]


def test_all_metrics_without_labels_are_all_that_need_none(work: Path) -> None:
    assert evaluate("--fused", "ours", "--metrics", "all", "--json", "s.json") == 0
    mean = json.loads(Path("s.json").read_text())["mean"]
    assert {"EN", "FMI_pixel", "dE_chroma"} <= set(mean)
    assert not [name for name in mean if name.startswith("SCR")]


def test_a_json_that_cannot_be_written_is_refused_before_anything_is_scored(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_scoring, "score_methods", lambda *_: pytest.fail("scored"))
    assert evaluate("--fused", "ours", "--json", "ours") == 2
    assert "--json ours" in capsys.readouterr().err


def test_the_table_is_printed_even_where_its_file_cannot_be_written_at_the_end(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    score = _scoring.score_methods

    def in_the_way(*given: Any) -> Any:
        Path("scores.json").mkdir()
        return score(*given)

    monkeypatch.setattr(_scoring, "score_methods", in_the_way)
    assert evaluate("--fused", "ours", "--metrics", "EN", "--json", "scores.json") == 2
    captured = capsys.readouterr()
    assert "mean over 3 pictures" in captured.out
    assert "scores.json: not written: Is a directory" in captured.err


def test_scores_are_saved_even_where_there_is_no_table(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--peers", "peers.json", "--peer-pictures", "nowhere", "--json", "s.json"]
    Path("peers.json").write_text(json.dumps({"methods": {"them": {"per_image": {"a": {"SD": 1.0}}}}}))
    assert evaluate("--fused", "ours", "--metrics", "EN", *more) == 2
    assert "no folder nowhere" in capsys.readouterr().err
    assert list(json.loads(Path("s.json").read_text())["per_image"]) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--fused", "missing"], "fused: no folder missing"),
        (["--visible", "none", "--thermal", "thermal", "--fused", "ours"], "visible: no folder none"),
        (["--fused", "ours", "--metrics", "PSNR"], "unknown metric PSNR"),
        (["--fused", "ours", "--metrics", "targets"], "--labels FILE"),
        (["--fused", "ours", "--jobs", "0"], "--jobs 0"),
        (["--fused", "ours", "--fused", "./ours"], "ours is taken"),
        (["--fused", "ours", "--peers", "none.json"], "none.json: No such file"),
        (
            ["--fused", "ours", "--json", "visible/a.png/x.json"],
            "visible/a.png is not a folder; choose another",
        ),
        (["--fused", "ours", "--json", "visible"], "--json visible: is a folder; name a file"),
    ],
)
def test_bad_arguments_are_one_line_and_code_two(
    work: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert evaluate(*arguments) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
