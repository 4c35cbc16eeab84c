"""The node's diagnostics read back into numbers."""

from __future__ import annotations

from collections import Counter

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from thermal_fusion_ros.ros.ledger import pace
from thermal_fusion_ros.ros.node_counts import NodeCounts, counts_of

PARTS = {
    "pairs": {
        "pairs_in": "9",
        "published": "4",
        "dropped.superseded": "3",
        "dropped.error": "1",
        "under_way": "1",
    },
    "rgb": {"received": "12", "waiting": "1", "unused.unpaired": "2", "rate_hz": "29.9"},
    "thermal": {"received": "10", "waiting": "0", "unused.unpaired": "1"},
}


def test_counts_of_diagnostics() -> None:
    counts = counts_of(PARTS)
    assert (counts.pairs_in, counts.published, counts.waiting, counts.under_way) == (9, 4, 1, 1)
    assert counts.dropped == {"superseded": 3, "error": 1}
    assert counts.unused == {"rgb_unpaired": 2, "thermal_unpaired": 1}
    assert counts.received == {"rgb": 12, "thermal": 10}


def test_difference_leaves_out_what_was_before() -> None:
    before = NodeCounts(
        5, 3, Counter(superseded=2), Counter(rgb_unpaired=2), Counter(rgb=7, thermal=6), waiting=8
    )
    between = counts_of(PARTS) - before
    assert (between.pairs_in, between.published, between.under_way, between.waiting) == (4, 1, 1, 1)
    assert between.dropped == {"superseded": 1, "error": 1}
    assert between.unused == {"thermal_unpaired": 1}
    assert between.received == {"rgb": 5, "thermal": 4}


def test_silence_is_nothing() -> None:
    assert counts_of({}) == NodeCounts(received=Counter(rgb=0, thermal=0))


def test_an_engine_that_does_not_keep_up_is_told_with_the_remedy() -> None:
    assert "fusion.model: small" in pace(2, {"superseded": 3})
    assert not pace(3, {"superseded": 3, "error": 9})
    assert not pace(0, {})
