"""`thermal-fusion report` as a person uses it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from thermal_fusion_ros.cli import _scoring
from thermal_fusion_ros.cli.main import main


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with visible/, thermal/, ours/ and peers/them/, two 64x48 pictures each, and peers.json."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(7)
    for role in ("visible", "thermal", "ours", "peers/them", "peers/unknown"):
        Path(role).mkdir(parents=True)
        for name in "ab":
            cv2.imwrite(f"{role}/{name}.png", random.integers(0, 256, (48, 64)).astype(np.uint8))
    scores = {name: {"EN": 5.0, "SD": 40.0} for name in "ab"}
    Path("peers.json").write_text(
        json.dumps({"methods": {"them": {"per_image": scores}, "no pictures": {"per_image": scores}}})
    )
    return tmp_path


def report(*arguments: str) -> int:
    sources = ["--visible", "visible", "--thermal", "thermal", "--quiet", "--jobs", "1", "--metrics", "EN,SD"]
    return main(["report", *sources, *arguments])


def test_a_page_with_everything(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("bench.json").write_text(json.dumps({"backends": {"torch": {"engine_ms": {"median": 5, "p99": 6}}}}))
    arguments = [
        "--fused",
        "ours",
        "--peers",
        "peers.json",
        "--peer-pictures",
        "peers",
        "--bench",
        "bench.json",
    ]
    assert report(*arguments, "--title", "A title", "--out", "new/report.html") == 0
    html = Path("new/report.html").read_text()
    assert "new/report.html: " in capsys.readouterr().out
    assert "<h1>A title</h1>" in html
    assert html.count("<figure>") == 2 * 4  # visible, thermal, ours, them
    assert html.count('class="bar"') == 1
    assert "no pictures" in html
    assert "unknown" not in html


def test_skipped_pictures_are_on_the_page_and_in_the_exit_code(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("ours/a.png").write_bytes(b"")
    assert report("--fused", "ours", "--out", "report.html") == 2
    assert "skipped a: ours/a.png: the file is empty" in capsys.readouterr().err
    html = Path("report.html").read_text()
    assert "ours: a: ours/a.png: the file is empty" in html
    assert html.count("<figure>") == 3


def test_depth_beside_fused_pictures(work: Path) -> None:
    for name in "ab":
        np.save(f"ours/{name}_depth.npy", np.full((48, 64), 2.0, np.float32))
    Path("ours/depth.json").write_text(json.dumps({"metres": {"a": True, "b": False}}))
    assert report("--fused", "ours", "--out", "report.html") == 0
    html = Path("report.html").read_text()
    assert html.count("<figcaption>ours, depth</figcaption>") == 2


def test_prompts_side_by_side(work: Path) -> None:
    Path("labels.json").write_text(
        json.dumps({"val/b": [{"label": "person", "score": 0.9, "box": [20, 15, 40, 35]}]})
    )
    more = ["--prompts", "person, car", "--prompt-pictures", "1", "--labels", "labels.json"]
    assert report("--fused", "ours", *more, "--out", "report.html") == 0
    html = Path("report.html").read_text()
    prompts = html[html.index('<section id="prompts">') : html.index('<section id="scores">')]
    assert "<h3>b</h3>" in prompts  # the one with people
    assert "<h3>a</h3>" not in prompts
    captions = re.findall("<figcaption>(.*)</figcaption>", prompts)
    assert captions[0] == "no prompt"
    assert re.fullmatch(r"“person”: people [+-]\d+%", captions[1])
    assert captions[2].startswith("“car”")


def test_a_page_that_cannot_be_written_is_refused_before_anything_is_scored(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_scoring, "score_methods", lambda *_: pytest.fail("scored"))
    assert report("--fused", "ours", "--out", "visible/a.png/x.html") == 2
    assert "visible/a.png is not a folder; choose another" in capsys.readouterr().err


def test_a_name_that_is_there_twice_is_skipped_with_prompts_too(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("thermal/b.bmp").write_bytes(Path("thermal/a.png").read_bytes())
    assert report("--fused", "ours", "--prompts", "person", "--out", "report.html") == 2
    assert "thermal has it twice: b.bmp and b.png" in capsys.readouterr().err
    assert "<h3>a</h3>" in Path("report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--prompts", "flurb"], "flurb"),
        (["--prompt-pictures", "0"], "--prompt-pictures 0"),
        (["--bench", "peers.json"], "peers.json"),
        (["--peers", "peers.json", "--peer-pictures", "nowhere"], "no folder nowhere"),
        (["--width", "3"], "--width 3"),
        (["--out", "visible/a.png/x.html"], "--out visible/a.png/x.html"),
        (["--out", "visible"], "--out visible: is a folder; name a file"),
    ],
)
def test_bad_arguments_are_one_line_and_code_two(
    work: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert report("--fused", "ours", "--out", "report.html", *arguments) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
