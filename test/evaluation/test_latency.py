"""Latency files become bars."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.evaluation.latency import read_latency


def saved(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_a_bench_file_has_two_bars_per_backend_on_one_scale(tmp_path: Path) -> None:
    backends = {
        "openvino": {
            "engine_ms": {"median": 10, "p99": 20},
            "frame_ms": {"median": 25, "p99": 50},
            "gflop": 5,
        },
        "torch": {"engine_ms": {"median": 40, "p99": 50}},
    }
    group = read_latency(
        saved(tmp_path / "bench.json", {"machine": {"cpu": "X", "cores": 2}, "backends": backends})
    )
    assert group.title == "bench, X"
    assert [bar.label for bar in group.bars] == ["openvino, engine", "openvino, frame", "torch, engine"]
    assert [bar.median_percent for bar in group.bars] == pytest.approx([19.2, 48.0, 76.8])
    assert [bar.tail_percent for bar in group.bars] == pytest.approx([19.2, 48.0, 19.2])
    assert group.frame_at_30_hz == pytest.approx(64.0)


def test_a_replay_file_has_one_bar(tmp_path: Path) -> None:
    content = {
        "pairs_in": 9,
        "published": 9,
        "dropped": {},
        "latency_ms": {"median": 12.0, "p99": None},
        "output_hz": 30,
    }
    group = read_latency(saved(tmp_path / "replay.json", content))
    assert [(bar.median, bar.p99, bar.tail_percent) for bar in group.bars] == [(12.0, None, 0.0)]
    assert group.frame_at_30_hz is None  # 33 ms is outside the plot


@pytest.mark.parametrize(
    "content", [[], "x", {}, {"backends": {"a": {}}}, {"latency_ms": {"p99": 3}}, {"backends": 3}]
)
def test_another_kind_of_file_is_refused(tmp_path: Path, content: object) -> None:
    with pytest.raises(InputError, match=r"b\.json"):
        read_latency(saved(tmp_path / "b.json", content))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_latency(tmp_path / "none.json")
