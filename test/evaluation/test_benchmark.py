"""The tables of the README and the model cards are made and put in their places."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmark import context, latency_table, markdown, metric_speed, straightforward_metrics, tables
from benchmark.context import Context
from benchmark.fusion_tables import by_source, fusion, people
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.evaluation.fusion_metrics import COMMON, score

NAMES = ("a1", "a2", "b1")


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    """Three pairs of two data sets, one peer with pictures, one network whose `fuse` averages."""
    random = np.random.default_rng(8)
    for folder in ("val/vi", "val/ir", "peers/them"):
        (tmp_path / folder).mkdir(parents=True)
        for name in NAMES:
            cv2.imwrite(
                str(tmp_path / folder / f"{name}.png"), random.integers(0, 256, (48, 64, 3)).astype(np.uint8)
            )
    entries = [{"split": "val", "name": name, "source": name[0].upper()} for name in NAMES]
    (tmp_path / "manifest.json").write_text(
        json.dumps([*entries, {"split": "train", "name": "t", "source": "A"}])
    )
    row = dict.fromkeys(COMMON, 1e6)
    (tmp_path / "peers.json").write_text(
        json.dumps({"methods": {"them": {"per_image": dict.fromkeys(NAMES, row)}}})
    )
    (tmp_path / "labels").mkdir()
    box = {"label": "person", "score": 1, "box": [10, 10, 25, 40]}
    (tmp_path / "labels/detections.json").write_text(json.dumps({f"val/{name}": [box] for name in NAMES}))
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "cross_attention.safetensors").touch()
    monkeypatch.setattr(context, "WEIGHTS", weights)

    def command(self: Context, *arguments: str) -> None:
        assert arguments[0] == "fuse"
        options = dict(zip(arguments[1::2], arguments[2::2], strict=True))
        assert options["--model"] == "cross_attention"
        out = Path(options["--out"])
        out.mkdir(parents=True)
        for path in Path(options["--visible"]).iterdir():
            pair = [cv2.imread(str(Path(options[role]) / path.name)) for role in ("--visible", "--thermal")]
            cv2.imwrite(str(out / path.name), cv2.addWeighted(pair[0], 0.5, pair[1], 0.5, 0))

    monkeypatch.setattr(Context, "command", command)
    return Context(tmp_path, tmp_path / "work", jobs=1)


def cells(table: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()
        if line.startswith("|")
    ]


def test_our_networks_are_ranked_among_the_peers(small: Context) -> None:
    header, _, ours, them = cells(fusion(small))
    assert header == ["method", *COMMON, "mean rank"]
    assert ours[0] == "**cross_attention**"
    assert all(cell.endswith("(2)") for cell in ours[1:-1])
    assert them[-1] == "1.00"


def test_a_network_is_split_by_data_set(small: Context) -> None:
    header, _, *rows = cells(by_source(small, "cross_attention"))
    assert header[:2] == ["cross_attention on", "pictures"]
    assert [row[:2] for row in rows] == [["A", "2"], ["B", "1"]]
    assert by_source(small) == by_source(small, "cross_attention")
    with pytest.raises(InputError, match="no network other"):
        by_source(small, "other")


def test_people_are_compared_in_sources_ours_and_peers_pictures(small: Context) -> None:
    _, _, *rows = cells(people(small))
    assert [row[0] for row in rows] == ["visible", "thermal", "**cross_attention**", "them"]
    assert rows[0][2:] == ["–", "–"]
    assert all(float(cell) >= 0 for row in rows[2:] for cell in row[1:])


def test_pictures_are_fused_once(small: Context) -> None:
    fusion(small)
    by_source(small, "cross_attention")  # a second `fuse` would fail: the folder is there


def test_latencies_become_a_table(small: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    def command(self: Context, *arguments: str) -> None:
        assert arguments[:2] == ("bench", "--json")
        times = {
            "engine_ms": {"median": 16.04, "p99": 20},
            "frame_ms": {"median": 21, "p99": 30},
            "gflop": 5.123,
        }
        Path(arguments[2]).write_text(json.dumps({"machine": {"cpu": "X"}, "backends": {"openvino": times}}))

    monkeypatch.setattr(Context, "command", command)
    made = latency_table.latency(small)
    assert cells(made)[2] == ["openvino", "16.0", "20.0", "21.0", "30.0", "5.12"]
    assert made.endswith("cpu X")


def test_documents_are_filled_where_they_ask_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = []

    def table(_context: Context, *arguments: str) -> str:
        made.append(arguments)
        return f"| {' '.join(arguments)} |"

    monkeypatch.setattr(tables, "TABLES", {"t": table, "u": table})
    text = (
        "start\n<!-- table t one -->\nold\n<!-- /table -->\nmiddle\n<!-- table u -->\n<!-- /table -->\nend\n"
    )
    first, second = tmp_path / "README.md", tmp_path / "card.md"
    first.write_text(text)
    second.write_text(text)
    unused = Context(tmp_path, tmp_path, 1)
    assert tables.update([first, second], unused, only=["t"], write=False) == 1
    assert first.read_text() == text
    assert tables.update([first, second], unused, only=["t"]) == 1
    expected = text.replace("old", "\n| one |\n")
    assert first.read_text() == second.read_text() == expected
    assert tables.update([first, second], unused) == 2
    assert first.read_text() == expected.replace("u -->\n", "u -->\n\n|  |\n\n")
    assert made == [("one",), ("one",), ("one",), ()]
    capsys.readouterr()
    again = first.read_text()
    tables.update([first], unused)
    assert first.read_text() == again
    assert "updated" not in capsys.readouterr().out


def test_every_table_that_a_document_asks_for_exists() -> None:
    for path in tables.documents():
        for call in markdown.calls(path.read_text(encoding="utf-8")):
            assert call[0] in tables.TABLES, path


def test_unknown_tables_and_missing_data_are_one_line_and_code_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tables.main(["nonsense"]) == 2
    assert "no table nonsense; there are fusion" in capsys.readouterr().err
    assert tables.main(["people", "--dry-run", "--data", str(tmp_path), "--work", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "val" in error


def test_the_speed_table_compares_the_same_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def run_and_count(work: object) -> float:
        result = work()
        return 0.2 if isinstance(result, float) or "benchmark" in work.func.__module__ else 0.1

    monkeypatch.setattr(metric_speed, "processor_seconds", run_and_count)
    monkeypatch.setattr(metric_speed, "HEIGHT", 60)  # what is asked here does not depend on the size
    monkeypatch.setattr(metric_speed, "WIDTH", 80)
    *rows, everything = cells(metric_speed.metric_speed())[2:]
    assert [row[0] for row in rows] == list(COMMON)
    assert all(row[1:] == ["200.0", "100.0", "2.0"] for row in [*rows, everything])
    pictures = metric_speed.pictures()
    assert score(*pictures) == pytest.approx(straightforward_metrics.score(*pictures), rel=1e-9)
