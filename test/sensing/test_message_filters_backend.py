from __future__ import annotations

import importlib.util
import sys
import threading
from types import ModuleType, SimpleNamespace

import pytest

from thermal_fusion_ros.config import SyncConfig
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.sensing.pairing import Stream, make_pairer

MS = 1_000_000
CONFIG = SyncConfig(backend="message_filters", queue_size=10)


@pytest.fixture(params=["stand-in", "installed"])
def message_filters(request, monkeypatch):
    """The library, and a stand-in with the same interface where it is not installed."""
    if request.param == "installed":
        if importlib.util.find_spec("message_filters") is None:
            pytest.skip("message_filters is not installed")
        return
    for name, module in stand_in().items():
        monkeypatch.setitem(sys.modules, name, module)


def stand_in() -> dict[str, ModuleType]:
    """The parts of message_filters and rclpy.time in use, with the original's queues and first-match policy."""

    class Time:
        def __init__(self, nanoseconds):
            assert nanoseconds >= 0, "ROS time is never negative"
            self.nanoseconds = nanoseconds

        def to_msg(self):
            return SimpleNamespace(sec=self.nanoseconds // 10**9, nanosec=self.nanoseconds % 10**9)

    class SimpleFilter:
        def __init__(self):
            self.callbacks = {}

        def registerCallback(self, callback, *args):
            self.callbacks[len(self.callbacks)] = (callback, args)

        def signalMessage(self, *messages):
            for callback, args in self.callbacks.values():
                callback(*messages, *args)

    class ApproximateTimeSynchronizer(SimpleFilter):
        def __init__(self, filters, queue_size, slop):
            super().__init__()
            self.queues = [{} for _ in filters]
            self.queue_size, self.slop, self.lock = queue_size, slop * 1e9, threading.Lock()
            for index, source in enumerate(filters):
                source.registerCallback(self.add, index)

        def add(self, message, index):
            with self.lock:
                stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
                mine, other = self.queues[index], self.queues[1 - index]
                mine[stamp] = message
                while len(mine) > self.queue_size:
                    del mine[min(mine)]
                for match in sorted(other, key=lambda s: abs(s - stamp)):
                    if stamp in mine and abs(match - stamp) < self.slop:
                        found = {index: mine.pop(stamp), 1 - index: other.pop(match)}
                        self.signalMessage(found[0], found[1])
                        break

    filters, time = ModuleType("message_filters"), ModuleType("rclpy.time")
    filters.SimpleFilter = SimpleFilter
    filters.ApproximateTimeSynchronizer = ApproximateTimeSynchronizer
    time.Time = Time
    return {"message_filters": filters, "rclpy.time": time}


def test_refused_with_the_remedy_where_it_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "message_filters", None)
    with pytest.raises(InputError, match=r"(?s)message_filters.*install.*sync\.backend to nearest"):
        make_pairer(CONFIG)


@pytest.mark.usefixtures("message_filters")
class TestPolicy:
    def test_pairs_and_accounts_over_loops(self, simulate, camera):
        outcome = simulate(CONFIG, camera(30.0), camera(9.0, phase=4.0), seconds=4.0, loops=3)
        assert len(outcome.pairs) > 0.9 * 3 * 36
        assert all(abs(pair.rgb_stamp_ns - pair.thermal_stamp_ns) < 50 * MS for pair in outcome.pairs)
        assert outcome.report.jumps["rgb"] == 2

    def test_offsets_are_applied(self):
        import dataclasses

        pairer = make_pairer(dataclasses.replace(CONFIG, thermal_offset_s=0.2))
        assert not pairer.add(Stream.RGB, 0, "rgb", 0)
        assert [pair.thermal for pair in pairer.add(Stream.THERMAL, 210 * MS, "thermal", 20 * MS)] == [
            "thermal"
        ]

    def test_forgotten_frames_are_counted(self, accounts):
        pairer = make_pairer(CONFIG)
        for k in range(25):
            pairer.add(Stream.RGB, k * 33 * MS, k, k * 33 * MS)
        assert pairer.counters == {"rgb_unpaired": 15}
        assert pairer.add(Stream.RGB, 24 * 33 * MS, 24, 24 * 33 * MS) == []
        assert pairer.counters["rgb_duplicate"] == 1
        pairer.reset("test")
        assert pairer.counters["rgb_reset"] == 10
        accounts(pairer.report())
        assert pairer.expire(0) == pairer.flush(0) == []

    def test_a_new_tolerance_renews_it(self, accounts):
        import dataclasses

        pairer = make_pairer(CONFIG)
        pairer.add(Stream.RGB, 0, "rgb", 0)
        pairer.update(dataclasses.replace(CONFIG, tolerance_s=0.1))
        assert pairer.counters == {"rgb_reset": 1}
        pairer.add(Stream.RGB, 1000 * MS, "rgb", 1000 * MS)
        assert len(pairer.add(Stream.THERMAL, 1080 * MS, "thermal", 1080 * MS)) == 1
        accounts(pairer.report())
