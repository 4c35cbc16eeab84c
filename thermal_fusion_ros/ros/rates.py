"""Rates and latencies over the recent past, in bounded memory. Times are monotonic seconds."""

from __future__ import annotations

import time
from collections import deque

import numpy as np

RATE_WINDOW_S = 5.0
LATENCIES = 1000  # most recent ones the percentiles are of


class RateMeter:
    """How often something happened in the last five seconds."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=2048)
        self.last: float | None = None  # when it happened, however long ago

    def tick(self, now: float) -> None:
        """It has just happened."""
        self._times.append(now)
        self.last = now

    def rate(self, now: float) -> float:
        """Times per second; 0 for fewer than two."""
        while self._times and self._times[0] < now - RATE_WINDOW_S:
            self._times.popleft()
        if len(self._times) < 2:
            return 0.0
        span = self._times[-1] - self._times[0]
        period = span / (len(self._times) - 1)
        overdue = max(0.0, now - self._times[-1] - 2 * period)  # a stream that has stopped gets slower
        return (len(self._times) - 1) / max(span + overdue, 1e-6)

    def rate_now(self) -> float:
        """:meth:`rate` at this moment."""
        return self.rate(time.monotonic())


class RateLimit:
    """Lets through at most so many a second, by their stamps, and as many as that on average.

    What comes at 30 Hz leaves at 10 Hz and not at 7.5, whatever the jitter: the times at which something is due lie on
    a grid of their own.
    """

    def __init__(self) -> None:
        self._next_ns: float = 0.0
        self._last_ns: int | None = None

    def due(self, stamp_ns: int, rate_hz: float) -> bool:
        """Whether something of this stamp may pass; `rate_hz` 0 lets everything."""
        if rate_hz <= 0 or self._last_ns is None or stamp_ns < self._last_ns:  # a recording has looped
            return True
        return stamp_ns >= min(self._next_ns, self._last_ns + 1e9 / rate_hz)  # a new rate counts at once

    def take(self, stamp_ns: int, rate_hz: float) -> None:
        """It has passed."""
        period_ns = 1e9 / rate_hz if rate_hz > 0 else 0.0
        on_grid = self._last_ns is not None and 0 <= stamp_ns - self._next_ns < period_ns
        self._next_ns = (self._next_ns if on_grid else stamp_ns) + period_ns
        self._last_ns = stamp_ns


class Latencies:
    """The recent durations of one thing."""

    def __init__(self) -> None:
        self._values: deque[float] = deque(maxlen=LATENCIES)

    def add(self, seconds: float) -> None:
        """Remember one."""
        self._values.append(seconds)

    def percentiles_ms(self, *shares: float) -> list[float] | None:
        """Percentiles in milliseconds, None of nothing."""
        if not self._values:
            return None
        return [float(value) * 1e3 for value in np.percentile(list(self._values), shares)]
