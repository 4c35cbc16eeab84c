"""The pairs of a recording."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from thermal_fusion_ros.bags.source import Arrival
from thermal_fusion_ros.frames import RgbFrame
from thermal_fusion_ros.sensing.pairing import Pair, PairerLike, Stream


def paired(arrivals: Iterable[Arrival], pairer: PairerLike) -> Iterator[Pair]:
    """What `pairer` makes of frames that come as they were recorded."""
    time_ns = 0
    for time_ns, frame in arrivals:
        stream = Stream.RGB if isinstance(frame, RgbFrame) else Stream.THERMAL
        yield from pairer.add(stream, frame.stamp_ns, frame, time_ns)
    yield from pairer.flush(time_ns)
