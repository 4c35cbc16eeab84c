"""ROS's own approximate-time policy behind the same interface, for who wants it (`sync.backend: message_filters`).

It takes the first partner inside the tolerance that it finds, not the nearest one (see `pairing` for ours).
"""

from __future__ import annotations

import importlib
from collections import Counter
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from thermal_fusion_ros.config import SyncConfig
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.sensing.pairing import NS, Pair, PairingReport, Stream
from thermal_fusion_ros.sensing.stream_state import StreamState

SHIFT_NS = 10 * NS  # keeps corrected times positive, as ROS time must be; only differences matter here


@dataclass(slots=True, eq=False)
class Envelope:
    """What the synchroniser sees of a frame: a message with a header."""

    header: SimpleNamespace
    item: Any
    stamp: int


class MessageFiltersPairer:
    """`message_filters.ApproximateTimeSynchronizer` with the offsets, age limits, resets and counters of `Pairer`.

    Frames it forgets are counted as `unpaired`. There is nothing for a timer to do: `expire` returns no pairs.
    Raises `InputError` where message_filters or rclpy is not installed.
    """

    def __init__(self, config: SyncConfig) -> None:
        try:
            self._library = importlib.import_module("message_filters")
            self._time_type = importlib.import_module("rclpy.time").Time
        except ImportError as error:
            raise InputError(
                f"sync.backend: message_filters cannot be used here ({error}); "
                "install ros-$ROS_DISTRO-message-filters or set sync.backend to nearest"
            ) from error
        self.counters: Counter[str] = Counter()
        self._frames_in: Counter[Stream] = Counter()
        self._jumps: Counter[Stream] = Counter()
        self._pairs = 0
        self._found: list[tuple[Envelope, Envelope]] = []
        self.config = config
        self._connect()

    def _connect(self) -> None:
        self._streams = {stream: StreamState() for stream in Stream}
        self._held: dict[Stream, list[Envelope]] = {stream: [] for stream in Stream}
        self._inputs = {stream: self._library.SimpleFilter() for stream in Stream}
        self._synchronizer = self._library.ApproximateTimeSynchronizer(
            list(self._inputs.values()), self.config.queue_size, self.config.tolerance_s
        )
        # Must not raise: the synchroniser would keep its lock.
        self._synchronizer.registerCallback(lambda rgb, thermal: self._found.append((rgb, thermal)))

    def update(self, config: SyncConfig) -> None:
        """Apply changed parameters; a new tolerance or queue size drops what waits, counted as `reset`."""
        renew = (config.queue_size, config.tolerance_s) != (self.config.queue_size, self.config.tolerance_s)
        self.config = config
        if renew:
            self.reset("parameters")

    def add(self, stream: Stream, stamp_ns: int, item: Any, now_ns: int) -> list[Pair]:
        """Take a frame with its stamp and time of arrival (ns); the pairs found by it."""
        self._frames_in[stream] += 1
        state = self._streams[stream]
        if state.newest is not None and stamp_ns < state.newest - self.config.jump_s * NS:
            self._jumps[stream] += 1
            self.reset("clock jump")
            state = self._streams[stream]
        offset_s = self.config.rgb_offset_s if stream is Stream.RGB else self.config.thermal_offset_s
        corrected = stamp_ns - round(offset_s * NS)
        fault = state.age_fault(
            now_ns - corrected, round(self.config.stale_s * NS), round(self.config.future_s * NS)
        )
        if stamp_ns in state.seen:
            fault = "duplicate"
        if fault:
            self._count(stream, fault, 1)
            return []
        state.seen.append(stamp_ns)
        state.newest = stamp_ns if state.newest is None else max(stamp_ns, state.newest)
        ros_stamp = self._time_type(nanoseconds=corrected + SHIFT_NS).to_msg()
        envelope = Envelope(SimpleNamespace(stamp=ros_stamp), item, stamp_ns)
        self._held[stream].append(envelope)
        self._inputs[stream].signalMessage(envelope)
        return self._collect()

    def expire(self, now_ns: int) -> list[Pair]:
        """Nothing: the policy knows no time but the stamps'."""
        del now_ns
        return []

    def flush(self, now_ns: int) -> list[Pair]:
        """End of a recording: the policy has found what it finds; the rest is dropped as `unpaired`."""
        del now_ns
        for stream, held in self._held.items():
            self._count(stream, "unpaired", len(held))
        self._connect()
        return []

    def reset(self, reason: str) -> None:
        """Drop what waits, counted as `reset`."""
        del reason
        for stream, held in self._held.items():
            self._count(stream, "reset", len(held))
        self._connect()

    def report(self) -> PairingReport:
        """Counts so far; this policy measures no offsets."""
        difference = self.config.thermal_offset_s - self.config.rgb_offset_s
        return PairingReport(
            frames_in={stream.value: self._frames_in[stream] for stream in Stream},
            used={stream.value: self._pairs for stream in Stream},
            buffered={stream.value: len(self._held[stream]) for stream in Stream},
            dropped=dict(self.counters),
            pairs=self._pairs,
            jumps={stream.value: self._jumps[stream] for stream in Stream},
            other_clock=tuple(stream.value for stream, state in self._streams.items() if state.own_clock),
            applied_offset_s=difference,
        )

    def _collect(self) -> list[Pair]:
        pairs = [Pair(rgb.item, thermal.item, rgb.stamp, thermal.stamp) for rgb, thermal in self._found]
        self._pairs += len(pairs)
        used = {id(envelope) for match in self._found for envelope in match}
        self._found.clear()
        for stream, queue in zip(Stream, self._synchronizer.queues, strict=True):
            still = {id(envelope) for envelope in queue.values()}
            kept = [envelope for envelope in self._held[stream] if id(envelope) in still]
            lost = sum(id(envelope) not in still | used for envelope in self._held[stream])
            self._count(stream, "unpaired", lost)
            self._held[stream] = kept
        return pairs

    def _count(self, stream: Stream, why: str, frames: int) -> None:
        if frames:
            self.counters[f"{stream.value}_{why}"] += frames
