"""The mailbox, the ledger, rates and the log limiter. Needs no ROS."""

from __future__ import annotations

import logging
import threading

import pytest

from thermal_fusion_ros.newest_only import NewestOnly
from thermal_fusion_ros.ros import log_limiter
from thermal_fusion_ros.ros.ledger import Ledger
from thermal_fusion_ros.ros.log_limiter import LogLimiter, PythonLogBridge
from thermal_fusion_ros.ros.rates import LATENCIES, Latencies, RateMeter

from .fakes import PATIENCE_S, wait_until


@pytest.fixture
def held():
    """A worker that is busy with item 0, and the way to let it go."""
    gate, entered, done = threading.Event(), threading.Event(), []

    def work(item):
        entered.set()
        assert gate.wait(PATIENCE_S)
        done.append(item)

    worker = NewestOnly(work, name="test")
    worker.offer(0)
    assert entered.wait(PATIENCE_S)
    yield worker, gate, done
    gate.set()
    assert worker.stop(PATIENCE_S)


def test_newest_item_wins_and_the_replaced_one_is_given_back(held):
    worker, gate, done = held
    assert [worker.offer(item) for item in (1, 2, 3)] == [None, 1, 2]
    gate.set()
    wait_until(lambda: len(done) == 2, "two items")
    assert done == [0, 3]


def test_waiting_item_can_be_taken_back(held):
    worker, gate, done = held
    worker.offer(1)
    assert worker.take_back() == 1
    assert worker.take_back() is None
    gate.set()
    worker.offer(2)
    wait_until(lambda: len(done) == 2, "two items")
    assert done == [0, 2]


def test_tasks_come_before_the_next_item_in_their_order(held):
    worker, gate, done = held
    worker.offer("item")
    worker.call(lambda: done.append("first"))
    worker.call(lambda: done.append("second"))
    gate.set()
    wait_until(lambda: len(done) == 4, "everything")
    assert done == [0, "first", "second", "item"]


def test_stopping_ends_after_the_present_item(held):
    worker, gate, done = held
    worker.offer(1)
    assert not worker.stop(0.01)
    gate.set()
    assert worker.stop(PATIENCE_S)
    assert done == [0]


def test_ledger_balances():
    ledger = Ledger()
    for _ in range(5):
        ledger.enter()
    ledger.publish()
    ledger.drop("superseded")
    ledger.drop("superseded")
    balance = ledger.balance()
    assert (balance.pairs_in, balance.published, balance.dropped) == (5, 1, {"superseded": 2})
    assert balance.under_way == 2


def test_rate_of_a_steady_and_of_a_stopped_stream():
    meter = RateMeter()
    assert meter.rate(0.0) == 0
    for k in range(301):
        meter.tick(k / 30)
    assert meter.last == 10.0
    assert meter.rate(10.0) == pytest.approx(30, rel=0.01)
    assert meter.rate(12.0) < 22
    assert meter.rate(30.0) == 0
    assert meter.last == 10.0  # however long ago


def test_latencies_keep_the_recent_ones():
    latencies = Latencies()
    assert latencies.percentiles_ms(50) is None
    for _ in range(LATENCIES):
        latencies.add(5.0)
    for k in range(LATENCIES):
        latencies.add(k / LATENCIES)
    median, p99 = latencies.percentiles_ms(50, 99)
    assert median == pytest.approx(500, abs=2)
    assert p99 == pytest.approx(990, abs=2)


class Lines(list):
    def info(self, text):
        self.append(("I", text))

    def warning(self, text):
        self.append(("W", text))

    def error(self, text):
        self.append(("E", text))


def test_a_problem_is_logged_at_once_then_seldom_with_its_count(monkeypatch):
    now = 100.0
    monkeypatch.setattr(log_limiter.time, "monotonic", lambda: now)
    lines = Lines()
    limiter = LogLimiter(lines)
    for _ in range(4):
        limiter.warning("short", "too short")
    limiter.error("other", "other thing")
    assert lines == [("W", "too short"), ("E", "other thing")]
    now += log_limiter.QUIET_S
    limiter.warning("short", "too short")
    assert lines[2:] == [("W", "too short (3 more of this kind since)")]


def test_logging_of_the_core_reaches_the_nodes_log():
    lines = Lines()
    logger = logging.getLogger("test_bridge.part")
    bridge = PythonLogBridge(lines, "test_bridge")
    bridge.open()
    logger.info("building")
    logger.warning("thermal is %dx%d", 3, 4)
    logger.error("no")
    bridge.close()
    logger.error("not any more")
    assert lines == [("I", "building"), ("W", "thermal is 3x4"), ("E", "no")]
    assert not logger.isEnabledFor(logging.INFO)
