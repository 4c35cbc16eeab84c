"""Two cameras on a virtual clock, and thermal pictures made of numbers."""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from thermal_fusion_ros.config import SyncConfig
from thermal_fusion_ros.sensing.pairing import Pair, PairerLike, PairingReport, Stream, make_pairer

MS = 1_000_000
S = 1_000_000_000


@dataclass
class Camera:
    """A camera's habits. Times in milliseconds."""

    hz: float
    phase: float = 0.0
    offset: float = 0.0  # how late it stamps
    jitter: float = 0.0  # of the stamps, standard deviation
    drops: float = 0.0  # share of frames
    latency: float = 5.0
    latency_jitter: float = 0.0  # mean of an exponential distribution
    swaps: float = 0.0  # share of frames that arrive after their successor

    def frames(self, seconds: float, rnd: random.Random) -> list[tuple[int, int, int]]:
        """`(arrival, stamp, true time)` in nanoseconds, in order of arrival."""
        result = []
        for k in range(int(seconds * self.hz)):
            true = S + round((k / self.hz + self.phase / 1e3) * S)
            stamp = true + round((self.offset + rnd.gauss(0, self.jitter)) * MS)
            late = rnd.expovariate(1 / self.latency_jitter) if self.latency_jitter else 0.0
            if rnd.random() >= self.drops:
                result.append((true + round((self.latency + late) * MS), stamp, true))
        arrivals = sorted(arrival for arrival, _, _ in result)  # each camera's transport keeps the order
        result = [(arrival, stamp, true) for arrival, (_, stamp, true) in zip(arrivals, result, strict=True)]
        k = 0
        while k + 1 < len(result):
            if rnd.random() < self.swaps:
                first, second = result[k], result[k + 1]
                result[k : k + 2] = [(first[0], *second[1:]), (second[0], *first[1:])]
                k += 1
            k += 1
        return result


@dataclass
class Outcome:
    """What a pairer made of two cameras' frames; items are the frames' true times."""

    pairs: list[Pair]
    report: PairingReport
    rgb: list[int]
    thermal: list[int]
    pairs_per_loop: list[int] = field(default_factory=list)

    def nearest_share(self, slack_ms: float = 0.0) -> float:
        """Share of thermal frames whose partner is, by true time, the nearest RGB frame (or `slack_ms` farther)."""
        partner = {pair.thermal: pair.rgb for pair in self.pairs}
        return sum(
            abs(partner[t] - t) <= self._best(t) + slack_ms * MS for t in self.thermal if t in partner
        ) / len(self.thermal)

    def _best(self, time: int) -> int:
        k = bisect(self.rgb, time)
        return min(abs(time - rgb) for rgb in self.rgb[max(0, k - 1) : k + 1])


def check_accounts(report: PairingReport) -> None:
    """frames_in = used + buffered + sum of the counters, per stream."""
    for stream in ("rgb", "thermal"):
        dropped = sum(count for why, count in report.dropped.items() if why.startswith(f"{stream}_"))
        assert report.frames_in[stream] == report.used[stream] + report.buffered[stream] + dropped, report


def play(
    config: SyncConfig,
    rgb: Camera,
    thermal: Camera,
    seconds: float = 20.0,
    *,
    loops: int = 1,
    seed: int = 0,
    timer_ms: float | None = 20.0,
    pairer: PairerLike | None = None,
) -> Outcome:
    """Feed both cameras' frames by arrival, `loops` times with the same stamps, with a timer for `expire`."""
    rnd = random.Random(seed)
    pairer = pairer or make_pairer(config)
    frames = {Stream.RGB: rgb.frames(seconds, rnd), Stream.THERMAL: thermal.frames(seconds, rnd)}
    events: list[tuple[int, Stream | None, int, int]] = [
        (arrival, stream, stamp, true) for stream in Stream for arrival, stamp, true in frames[stream]
    ]
    if timer_ms:
        start, end = min(events)[0], max(events)[0]
        events += [(t, None, 0, 0) for t in range(start, end, round(timer_ms * MS))]
    events.sort(key=lambda event: event[0])
    pairs: list[Pair] = []
    per_loop = []
    for loop in range(loops):
        before = len(pairs)
        shift = loop * round(seconds * S)
        for arrival, stream, stamp, true in events:
            pairs += (
                pairer.expire(arrival + shift)
                if stream is None
                else pairer.add(stream, stamp, true, arrival + shift)
            )
        per_loop.append(len(pairs) - before)
    final = pairer.flush(events[-1][0] + (loops - 1) * round(seconds * S))
    pairs += final
    per_loop[-1] += len(final)
    check_accounts(pairer.report())
    true_times = {stream: sorted(true for _, _, true in frames[stream]) for stream in Stream}
    return Outcome(pairs, pairer.report(), true_times[Stream.RGB], true_times[Stream.THERMAL], per_loop)


@pytest.fixture
def simulate() -> Callable[..., Outcome]:
    """`play`, for tests."""
    return play


@pytest.fixture
def camera() -> type[Camera]:
    return Camera


@pytest.fixture
def accounts() -> Callable[[PairingReport], None]:
    """Fails unless every frame is accounted for."""
    return check_accounts


Scene = NDArray[np.float64]


@pytest.fixture
def scene() -> Scene:
    """A thermal scene in 14-bit counts, 120×160: warm ground, cold sky, two people, no noise."""
    rows, columns = np.mgrid[:120, :160]
    field = (
        8000
        + 250 * np.tanh((rows - 50) / 12)
        + 40 * np.sin(columns / 9)
        + 30 * np.sin(rows / 5 + columns / 13)
    )
    for row, column in ((70, 40), (65, 110)):
        field[row - 15 : row + 15, column - 4 : column + 4] += 400
    return field


@pytest.fixture
def noisy() -> Callable[[Scene | Iterable[Scene], int], NDArray[np.uint16]]:
    """A scene as a camera gives it: noise of 4 counts, 14 bits; the second argument is the seed."""

    def make(scene: Scene, seed: int) -> NDArray[np.uint16]:
        noise = np.random.default_rng(seed).normal(0, 4, np.shape(scene))
        return np.clip(scene + noise, 0, 16383).astype(np.uint16)

    return make
