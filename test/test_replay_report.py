"""The table and the numbers a replay ends with."""

from __future__ import annotations

from collections import Counter

from thermal_fusion_ros.replay_report import ReplayReport, engine_notes


def test_gap_is_named() -> None:
    report = ReplayReport("clip", "dds", pairs_in=10, published=6, dropped=Counter(superseded=3))
    report.balance()
    assert report.dropped == {"superseded": 3, "unaccounted": 1}
    report.balance()
    assert report.dropped["unaccounted"] == 1  # nothing is named twice


def test_more_out_than_in_is_corrected() -> None:
    report = ReplayReport("clip", "dds", pairs_in=2, published=3)
    report.balance()
    assert (report.pairs_in, dict(report.dropped)) == (3, {})


def test_json_has_the_promised_keys() -> None:
    report = ReplayReport("clip", "dds", pairs_in=3, published=3, latencies_ms=[1.0, 2.0, 30.0], seconds=1.0)
    numbers = report.to_json()
    assert {"pairs_in", "published", "dropped", "latency_ms", "output_hz"} <= set(numbers)
    assert numbers["latency_ms"] == {"median": 2.0, "p99": 29.44}
    assert numbers["output_hz"] == 2.0


def test_nothing_published() -> None:
    report = ReplayReport("clip", "offline")
    assert report.to_json()["latency_ms"] == {"median": None, "p99": None}
    assert report.to_json()["output_hz"] == 0
    assert "latency" not in report.table()


def test_table_shows_sent_and_received() -> None:
    report = ReplayReport("clip", "dds", sent={"rgb": 5, "thermal": 4}, received={"rgb": 5, "thermal": 3})
    assert "4 sent, 3 received" in report.table()


def test_a_backend_that_did_not_work_is_named() -> None:
    assert engine_notes(["openvino: no such instruction"]) == [
        "engine openvino: no such instruction: the next one ran"
    ]
    assert engine_notes([]) == []
