"""RGB and thermal frames that were taken at the same time become pairs.

Cameras run at their own rates, stamp late, drop and repeat frames; recordings loop. The policy: a thermal frame and
an RGB frame form a pair when neither has a nearer free partner in corrected time (stamp minus offset), within a
tolerance. That is a greedy matching by distance; with 30 and 9 Hz it gives every thermal frame its nearest RGB frame.
A pair is handed out as soon as no frame still to come can change it, and pairs come out in time order.

Works on stamps and on the times of arrival that the caller gives, with no clock of its own.
"""

from __future__ import annotations

import statistics
from bisect import insort
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from thermal_fusion_ros.config import SyncConfig
from thermal_fusion_ros.sensing.clock_offset import SETTLED_NS, measured_offset
from thermal_fusion_ros.sensing.stream_state import ALWAYS, Frame, StreamState

NS = 1_000_000_000
PATIENCE_NS = 100_000_000  # for a nearer partner, while a stream's rate is not known
RECENT_PAIRS = 256  # pairs the report's residual and waiting times are from
MEASURE_EVERY = 8  # frames between two updates of an applied offset


class Stream(str, Enum):
    """Which camera."""

    RGB = "rgb"
    THERMAL = "thermal"

    @property
    def other(self) -> Stream:
        """Which camera this one is paired with."""
        return Stream.THERMAL if self is Stream.RGB else Stream.RGB


@dataclass(frozen=True)
class Pair:
    """Two items of the same instant, with the stamps they were added with."""

    rgb: Any
    thermal: Any
    rgb_stamp_ns: int
    thermal_stamp_ns: int


@dataclass(frozen=True)
class PairingReport:
    """How pairing goes. For every stream ``frames_in = used + buffered + sum of its counters``.

    `measured_offset_s`: how much later thermal stamps are than RGB stamps of the same instant, measured from stamps
    and arrivals (see `clock_offset` for what it cannot see), with the arrival jitter as its uncertainty;
    `unexplained_offset_s`: what of that the configured offsets leave. `residual_s`: median of corrected thermal minus
    corrected RGB time over the recent pairs. `waited_s`, `waited_worst_s`: time from the arrival of a pair's second
    frame to the pair. `other_clock`: streams whose stamps come from another clock than the arrival times, so that
    their age cannot be judged. `jumps`: how often a stream's stamps went back.
    """

    frames_in: dict[str, int]
    used: dict[str, int]
    buffered: dict[str, int]
    dropped: dict[str, int]
    pairs: int
    jumps: dict[str, int] = field(default_factory=dict)
    other_clock: tuple[str, ...] = ()
    measured_offset_s: float | None = None
    measured_jitter_s: float | None = None
    unexplained_offset_s: float | None = None
    applied_offset_s: float = 0.0
    residual_s: float | None = None
    waited_s: float | None = None
    waited_worst_s: float | None = None


class PairerLike(Protocol):
    """What the node and the offline replay ask of a pairing policy."""

    counters: Counter[str]

    def add(self, stream: Stream, stamp_ns: int, item: Any, now_ns: int) -> list[Pair]:
        """Take a frame; the pairs that became certain by it."""

    def expire(self, now_ns: int) -> list[Pair]:
        """Called by a timer: the pairs that have waited long enough."""

    def flush(self, now_ns: int) -> list[Pair]:
        """End of a recording: decide everything that waits."""

    def reset(self, reason: str) -> None:
        """Drop what waits; counters survive."""

    def update(self, config: SyncConfig) -> None:
        """Apply changed parameters."""

    def report(self) -> PairingReport:
        """Counts and clocks."""


def make_pairer(config: SyncConfig) -> PairerLike:
    """The policy that `sync.backend` names. `InputError` where it is not installed."""
    if config.backend == "message_filters":
        from thermal_fusion_ros.sensing.message_filters_backend import MessageFiltersPairer

        return MessageFiltersPairer(config)
    return Pairer(config)


class Pairer:
    """Mutual nearest neighbours in corrected time. Used by one thread at a time.

    `counters` says why frames were not used, each name led by its stream: `duplicate` (stamp seen before), `stale`
    and `future` (too far from the time of arrival), `out_of_order` (came when later frames were already paired),
    `unpaired` (no partner within the tolerance was left), `expired` (the other stream stayed silent), `overflow`
    (too many waited), `reset`.
    """

    def __init__(self, config: SyncConfig) -> None:
        self.counters: Counter[str] = Counter()
        self._streams = {stream: StreamState() for stream in Stream}
        self._frames_in: Counter[Stream] = Counter()
        self._jumps: Counter[Stream] = Counter()
        self._pairs = 0
        self._now: int | None = None
        self._last: tuple[Frame, Frame] | None = None  # newest pair handed out
        self._measured: int | None = None  # applied in place of the configured difference
        self._distances: deque[int] = deque(maxlen=RECENT_PAIRS)
        self._waits: deque[int] = deque(maxlen=RECENT_PAIRS)
        self.update(config)

    def update(self, config: SyncConfig) -> None:
        """Apply changed parameters; frames that wait are kept."""
        self.config = config
        self._tolerance = round(config.tolerance_s * NS)
        if not config.apply_measured_offset:
            self._measured = None
        self._set_offsets()

    def add(self, stream: Stream, stamp_ns: int, item: Any, now_ns: int) -> list[Pair]:
        """Take a frame with its stamp and time of arrival (ns); the pairs that became certain by it, in time order."""
        self._see_clock(now_ns)
        self._frames_in[stream] += 1
        state = self._streams[stream]
        state.note_arrival(now_ns)
        for frame in self._in_epoch(stream, Frame(stamp_ns, item, now_ns)):
            self._accept(stream, frame)
        if self.config.apply_measured_offset and self._frames_in[stream] % MEASURE_EVERY == 0:
            self._follow_measured_offset()
        pairs = self._decide(now_ns)
        while len(state.waiting) > self.config.queue_size:
            self._drop(stream, state.waiting.pop(0), "overflow")
        return pairs

    def expire(self, now_ns: int) -> list[Pair]:
        """Pairs for which nothing better will come because a stream is overdue; for a timer, about every 20 ms."""
        self._see_clock(now_ns)
        for stream, state in self._streams.items():
            late = state.suspect is not None and now_ns - state.suspect.arrival > self.config.wait_s * NS
            if state.suspect is not None and late and state.overdue(now_ns, PATIENCE_NS):
                self._drop(stream, state.suspect, "out_of_order")
                state.suspect = None
        overdue = {stream for stream, state in self._streams.items() if state.overdue(now_ns, PATIENCE_NS)}
        return self._decide(now_ns, silent=overdue)

    def flush(self, now_ns: int) -> list[Pair]:
        """The recording has ended: every frame that waits is paired or dropped now."""
        self._see_clock(now_ns)
        for stream, state in self._streams.items():
            if state.suspect is not None:
                suspect, state.suspect = state.suspect, None
                self._jump(stream)
                self._accept(stream, suspect)
        return self._decide(now_ns, silent=set(Stream), ended=True)

    def reset(self, reason: str) -> None:
        """Drop what waits, counted as `reset`, and forget the streams' clocks; `reason` is for the log."""
        del reason
        for stream, state in self._streams.items():
            for frame in [*state.waiting, *([state.suspect] if state.suspect else [])]:
                self._drop(stream, frame, "reset")
            self._streams[stream] = StreamState()
        self._last = None
        self._now = None

    def report(self) -> PairingReport:
        """Counts so far and the state of the clocks; cheap enough for every diagnostics period."""
        measured = self._measure()
        used = {stream.value: self._pairs for stream in Stream}
        return PairingReport(
            frames_in={stream.value: self._frames_in[stream] for stream in Stream},
            used=used,
            buffered={
                stream.value: len(state.waiting) + (state.suspect is not None)
                for stream, state in self._streams.items()
            },
            dropped=dict(self.counters),
            pairs=self._pairs,
            jumps={stream.value: self._jumps[stream] for stream in Stream},
            other_clock=tuple(stream.value for stream, state in self._streams.items() if state.own_clock),
            measured_offset_s=None if measured is None else measured[0] / NS,
            measured_jitter_s=None if measured is None else measured[1] / NS,
            unexplained_offset_s=None
            if measured is None
            else measured[0] / NS - self._configured_difference / NS,
            applied_offset_s=(self._offset[Stream.THERMAL] - self._offset[Stream.RGB]) / NS,
            residual_s=statistics.median(self._distances) / NS if self._distances else None,
            waited_s=statistics.median(self._waits) / NS if self._waits else None,
            waited_worst_s=max(self._waits) / NS if self._waits else None,
        )

    # Stamps

    def _see_clock(self, now: int) -> None:
        if self._now is not None and now < self._now:
            for state in self._streams.values():
                state.clock_went_back(now)
        self._now = now

    def _in_epoch(self, stream: Stream, frame: Frame) -> Iterator[Frame]:
        """The frames that may be accepted now that `frame` has come: none, it, or it and the one held back before.

        A frame far behind its stream is a straggler or the first one after the clock jumped. The next frame tells.
        """
        state = self._streams[stream]
        suspect, state.suspect = state.suspect, None
        newest = state.newest
        if suspect is not None and newest is not None:
            if suspect.stamp < frame.stamp < newest:
                self._jump(stream)
                yield suspect
                yield frame
                return
            self._drop(stream, suspect, "out_of_order")
        if newest is not None and frame.stamp < newest - self.config.jump_s * NS:
            state.suspect = frame
            return
        yield frame

    def _jump(self, stream: Stream) -> None:
        """The stream's clock went back: a new epoch, which the other stream joins when it jumps too."""
        self._jumps[stream] += 1
        state, other = self._streams[stream], self._streams[stream.other]
        state.start_epoch(other.epoch if other.epoch > state.epoch else state.epoch + 1)

    def _accept(self, stream: Stream, frame: Frame) -> None:
        state = self._streams[stream]
        if frame.stamp in state.seen:
            self._drop(stream, frame, "duplicate")
            return
        offset = self._offset[stream]
        fault = state.age_fault(
            frame.arrival - (frame.stamp - offset),
            round(self.config.stale_s * NS),
            round(self.config.future_s * NS),
        )
        if fault:
            self._drop(stream, frame, fault)
            return
        self._join_epoch(stream, frame.stamp - offset)
        state.note_delay(frame.arrival, frame.arrival - frame.stamp)
        state.note_stamp(frame)
        frame.epoch = state.epoch
        if self._is_passed(stream, frame):
            self._drop(stream, frame, "out_of_order" if frame.late else "unpaired")
            return
        insort(state.waiting, frame, key=lambda waiting: (waiting.epoch, waiting.stamp))

    def _join_epoch(self, stream: Stream, corrected: int) -> None:
        """Follow the other stream into its epoch without a jump of one's own.

        That happens where this stream was silent while the recording looped, or one camera's clock was set.
        """
        state, other = self._streams[stream], self._streams[stream.other]
        if other.epoch <= state.epoch or other.newest is None or other.newest_before is None:
            return
        offset = self._offset[stream.other]
        if abs(corrected - other.newest + offset) < abs(corrected - other.newest_before + offset):
            state.start_epoch(other.epoch)

    # Offsets

    @property
    def _configured_difference(self) -> int:
        return round((self.config.thermal_offset_s - self.config.rgb_offset_s) * NS)

    def _set_offsets(self) -> None:
        rgb = round(self.config.rgb_offset_s * NS)
        difference = self._configured_difference if self._measured is None else self._measured
        self._offset = {Stream.RGB: rgb, Stream.THERMAL: rgb + difference}

    def _measure(self) -> tuple[int, int] | None:
        rgb, thermal = self._streams[Stream.RGB], self._streams[Stream.THERMAL]
        return measured_offset(rgb.delays, thermal.delays) if rgb.epoch == thermal.epoch else None

    def _follow_measured_offset(self) -> None:
        measured = self._measure()
        if measured is not None and (
            self._measured is None or abs(measured[0] - self._measured) > SETTLED_NS
        ):
            self._measured = measured[0]
            self._set_offsets()

    # Decisions

    def _time(self, stream: Stream, frame: Frame) -> int:
        return frame.stamp - self._offset[stream]

    def _is_passed(self, stream: Stream, frame: Frame) -> bool:
        """Whether a pair at or after this frame has been handed out, so that using it would go back in time."""
        if self._last is None:
            return False
        last = self._last[0] if stream is Stream.RGB else self._last[1]
        return (frame.epoch, frame.stamp) <= (last.epoch, last.stamp)

    def _unseen_from(self, stream: Stream, epoch: int, silent: set[Stream]) -> int:
        if stream in silent:
            return ALWAYS
        return self._streams[stream].unseen_from(epoch) - self._offset[stream]

    def _decide(self, now: int, silent: set[Stream] | None = None, ended: bool = False) -> list[Pair]:
        """Hand out the pairs that are final and drop the frames that are without hope.

        `silent` streams are taken to bring nothing nearer; `ended`: nothing at all.
        """
        silent = silent or set()
        matched, undecided = self._match(now, silent)
        pairs: list[Pair] = []
        held: set[int] = set()
        for rgb, thermal, final in sorted(matched, key=lambda match: (match[0].epoch, match[0].stamp)):
            if held or not final:  # an earlier pair is still open: keep the order
                held |= {id(rgb), id(thermal)}
                continue
            pairs.append(self._hand_out(rgb, thermal, now))
        for stream, state in self._streams.items():
            kept = []
            for frame in state.waiting:
                why = (
                    None
                    if id(frame) in held
                    else self._hopeless(stream, frame, now, ended, frame in undecided)
                )
                if why:
                    self._drop(stream, frame, why)
                else:
                    kept.append(frame)
            state.waiting = kept
        return pairs

    def _match(self, now: int, silent: set[Stream]) -> tuple[list[tuple[Frame, Frame, bool]], list[Frame]]:
        """Greedy matching by distance, without crossings: `(rgb, thermal, final)`, and the frames left in doubt.

        A match is final when no frame to come can be nearer to either side, and no nearer frame that is now taken
        can become free.
        """
        candidates = sorted(self._candidates(), key=lambda c: c[:4])
        matched: list[tuple[Frame, Frame, bool]] = []
        taken: dict[int, bool] = {}  # by id of the frame: whether its match is final
        doubtful: dict[int, Frame] = {}
        wait = self.config.wait_s * NS
        for distance, _, _, _, rgb, thermal in candidates:
            blockers = [taken[id(frame)] for frame in (rgb, thermal) if id(frame) in taken]
            blockers += [
                final
                for other_rgb, other_thermal, final in matched
                if other_rgb.epoch == rgb.epoch
                and (other_rgb.stamp < rgb.stamp) != (other_thermal.stamp < thermal.stamp)
            ]
            if blockers:
                if not all(blockers):
                    doubtful |= {id(frame): frame for frame in (rgb, thermal) if id(frame) not in taken}
                continue
            rgb_time, thermal_time = self._time(Stream.RGB, rgb), self._time(Stream.THERMAL, thermal)
            final = (
                id(rgb) not in doubtful
                and id(thermal) not in doubtful
                and self._unseen_from(Stream.RGB, rgb.epoch, silent) >= thermal_time + distance
                and self._unseen_from(Stream.THERMAL, thermal.epoch, silent) >= rgb_time + distance
            ) or now - max(rgb.arrival, thermal.arrival) > wait
            matched.append((rgb, thermal, final))
            taken[id(rgb)] = taken[id(thermal)] = final
        return matched, [frame for frame in doubtful.values() if id(frame) not in taken]

    def _candidates(self) -> Iterator[tuple[int, bool, int, int, Frame, Frame]]:
        """Every possible pair with its sort key. Of equal distances, those with RGB first, then the earlier."""
        rgb_waiting = self._streams[Stream.RGB].waiting
        for thermal in self._streams[Stream.THERMAL].waiting:
            thermal_time = self._time(Stream.THERMAL, thermal)
            for rgb in rgb_waiting:
                if rgb.epoch != thermal.epoch:
                    continue
                ahead = self._time(Stream.RGB, rgb) - thermal_time
                if abs(ahead) <= self._tolerance:
                    yield abs(ahead), ahead > 0, thermal.epoch, thermal.stamp, rgb, thermal

    def _hand_out(self, rgb: Frame, thermal: Frame, now: int) -> Pair:
        self._streams[Stream.RGB].waiting.remove(rgb)
        self._streams[Stream.THERMAL].waiting.remove(thermal)
        self._last = (rgb, thermal)
        self._pairs += 1
        self._distances.append(self._time(Stream.THERMAL, thermal) - self._time(Stream.RGB, rgb))
        self._waits.append(now - max(rgb.arrival, thermal.arrival))
        pair = Pair(rgb.item, thermal.item, rgb.stamp, thermal.stamp)
        rgb.item = thermal.item = None  # release the images even while the frames are remembered
        return pair

    def _hopeless(self, stream: Stream, frame: Frame, now: int, ended: bool, in_doubt: bool) -> str | None:
        """Why an unmatched frame is dropped now, or None to let it wait."""
        unpaired = "out_of_order" if frame.late else "unpaired"
        if ended or self._is_passed(stream, frame):
            return unpaired
        if now - frame.arrival > self.config.wait_s * NS:
            return "expired"
        until = self._time(stream, frame) + self._tolerance
        if not in_doubt and self._unseen_from(stream.other, frame.epoch, set()) > until:
            return unpaired
        return None

    def _drop(self, stream: Stream, frame: Frame, why: str) -> None:
        frame.item = None  # release the image even while the frame is remembered
        self.counters[f"{stream.value}_{why}"] += 1
