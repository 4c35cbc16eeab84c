"""`thermal-fusion demo --offline`: the report folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from thermal_fusion_ros.bags.pictures import read_visible
from thermal_fusion_ros.cli.main import main


def test_report(tmp_path: Path, pipeline: Any, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "report"
    assert main(["demo", "--offline", "--seconds", "0.2", "--out", str(out)]) == 0
    assert capsys.readouterr().out.strip().splitlines()[-1] == str(out)
    numbers = json.loads((out / "numbers.json").read_text())
    assert numbers["pairs_in"] == numbers["published"] == 2
    sheet = read_visible(out / "contact_sheet.png")
    assert sheet.shape[1] > 3 * 400
    assert sheet.std() > 20  # there is something to see
    text = (out / "report.md").read_text()
    assert "| published | 2 |" in text
    assert "contact_sheet.png" in text
    assert len(list(out.glob("fused_*.png"))) == 2


def test_a_report_that_cannot_be_written_is_refused_before_anything_is_rendered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("thermal_fusion_ros.simulation.demo_source", lambda *_, **__: pytest.fail("rendered"))
    (tmp_path / "file").touch()
    assert main(["demo", "--offline", "--out", str(tmp_path / "file" / "report")]) == 2
    assert "file is not a folder; choose another" in capsys.readouterr().err


def test_too_short_a_clip(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--offline", "--seconds", "0"]) == 2
    assert "--seconds" in capsys.readouterr().err


def test_without_ros_the_remedy_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["demo"]) == 2
    assert "--offline" in capsys.readouterr().err
