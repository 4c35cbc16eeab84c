"""How far two cameras' clocks are apart, from nothing but stamps and arrival times.

A frame's delay (arrival minus stamp) is its transport time minus the error of its stamp. Transport time has a floor
that the fastest frames reach, so a low percentile of the delays is a constant of the stream: its lower envelope
(the idea of Moon, Skelly and Towsley, "Estimation and removal of clock skew from network delay measurements",
INFOCOM 1999). The difference of two envelopes is the difference of the stamp errors, less the difference of the two
floors.

So it cannot see an error that delays stamp and arrival alike — a driver that stamps a frame when it arrives — and it
takes a transport that is slower by nature for a stamp error. That is why it is reported, and applied only on request.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable

ENVELOPE = 0.1  # quantile: low, yet not the one extreme frame
ENOUGH = 5  # frames of each stream
SETTLED_NS = 2_000_000  # a smaller change of the measurement is not worth a change of the correction


def envelope(delays: Iterable[tuple[int, int]], since: int) -> float | None:
    """Lower envelope, ns, of the `(arrival, delay)` that came after `since`; None with too few of them."""
    recent = sorted(delay for arrival, delay in delays if arrival >= since)
    if len(recent) < ENOUGH:
        return None
    position = ENVELOPE * (len(recent) - 1)
    below = int(position)
    above = min(below + 1, len(recent) - 1)
    return recent[below] + (position - below) * (recent[above] - recent[below])


def measured_offset(
    rgb: Iterable[tuple[int, int]], thermal: Iterable[tuple[int, int]]
) -> tuple[int, int] | None:
    """How much later (ns) thermal stamps are than RGB stamps of the same instant, and how sure that is (ns).

    Both arguments hold `(arrival, delay)` in ns. The second number is the larger of the two streams' usual excess
    over their envelope: arrival jitter. None with too few frames.
    """
    rgb, thermal = list(rgb), list(thermal)
    if not rgb or not thermal:
        return None
    since = max(rgb[0][0], thermal[0][0])  # same time span for both: a common drift then cancels
    low_rgb, low_thermal = envelope(rgb, since), envelope(thermal, since)
    if low_rgb is None or low_thermal is None:
        return None
    jitter = max(
        statistics.median(delay for arrival, delay in delays if arrival >= since) - low
        for delays, low in ((rgb, low_rgb), (thermal, low_thermal))
    )
    return round(low_rgb - low_thermal), round(jitter)
