from __future__ import annotations

import random

import pytest

from thermal_fusion_ros.config import SyncConfig
from thermal_fusion_ros.sensing.clock_offset import envelope, measured_offset

MS = 1_000_000


def delays(
    hz: float,
    floor_ms: float,
    offset_ms: float,
    *,
    seconds: float = 5.0,
    mean_ms: float = 5.0,
    drift: float = 0.0,
):
    """`(arrival, delay)` of a stream: transport floor plus exponential queueing, minus the stamp's error."""
    rnd = random.Random(1)
    result = []
    for k in range(int(seconds * hz)):
        arrival = k / hz * 1e3
        delay = floor_ms + rnd.expovariate(1 / mean_ms) - offset_ms + drift * arrival
        result.append((round(arrival * MS), round(delay * MS)))
    return result


@pytest.mark.parametrize("offset", [-80.0, 0.0, 35.0, 80.0])
def test_offset_between_clocks_is_found_under_queueing(offset):
    found, jitter = measured_offset(delays(30, 4, 0), delays(9, 4, offset))
    assert found / MS == pytest.approx(offset, abs=1.5)
    assert 1 < jitter / MS < 6


def test_outliers_do_not_move_it():
    rgb = delays(30, 4, 0)
    rgb[20] = (rgb[20][0], -500 * MS)
    rgb[40:55] = [(arrival, 900 * MS) for arrival, _ in rgb[40:55]]
    found, _ = measured_offset(rgb, delays(9, 4, 40))
    assert found / MS == pytest.approx(40, abs=1.5)


def test_a_common_drift_cancels():
    """A recording played at another rate: arrivals run away from stamps, for both streams alike."""
    rgb, thermal = (delays(hz, 4, offset, drift=0.5, mean_ms=0.1) for hz, offset in ((30, 0), (9, 40)))
    found, _ = measured_offset(rgb, thermal)
    assert found / MS == pytest.approx(40, abs=12)


def test_slower_transport_is_taken_for_an_offset():
    """The documented limit: stamps and arrivals cannot tell the two apart."""
    found, _ = measured_offset(delays(30, 4, 0), delays(9, 64, 0))
    assert found / MS == pytest.approx(-60, abs=1.5)


def test_stamping_on_arrival_is_not_seen(simulate, camera):
    """The other limit: a thermal frame stamped 70 ms late because it arrived 70 ms late."""
    outcome = simulate(SyncConfig(), camera(30.0), camera(9.0, offset=70.0, latency=75.0))
    assert outcome.report.measured_offset_s == pytest.approx(0, abs=1e-3)


def test_it_is_reported_but_not_applied_by_default(simulate, camera):
    outcome = simulate(SyncConfig(), camera(30.0), camera(9.0, offset=50.0))
    assert outcome.report.measured_offset_s == pytest.approx(0.05, abs=1e-3)
    assert outcome.report.applied_offset_s == 0


def test_too_few_frames_say_nothing():
    assert measured_offset(delays(30, 4, 0), delays(9, 4, 0)[:4]) is None
    assert measured_offset([], delays(9, 4, 0)) is None
    assert envelope([(0, 5)] * 4, 0) is None


def test_envelope_looks_only_at_the_window():
    old, new = [(k, -100) for k in range(10)], [(100 + k, 7) for k in range(10)]
    assert envelope(old + new, 100) == 7
