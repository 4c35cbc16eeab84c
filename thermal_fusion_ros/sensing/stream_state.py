"""What is known about one camera's stamps: order, spacing, age, jumps. Knows nothing of the other camera."""

from __future__ import annotations

import heapq
import statistics
from collections import deque
from dataclasses import dataclass, field
from typing import Any

NEVER = -(1 << 62)  # before every stamp
ALWAYS = 1 << 62  # after every stamp

SPACINGS = 32  # recent stamp distances the shortest period is read from
ENOUGH_SPACINGS = 4
SHORTEST_PERIOD = 0.75  # of the shortest recent spacing: the next frame will not come sooner
AGES = 64  # recent frames that tell whether the camera and this computer share a clock
REMEMBERED = 64  # recent stamps, to tell duplicates
OVERTAKEN = 128  # recent frames that tell how far behind a frame may arrive
DELAY_WINDOW_NS = 5_000_000_000  # arrivals the clock offset is measured over
DELAYS = 1024  # most of them kept
INTERVALS = 16  # recent arrival distances
OVERDUE = 2.5  # of them: one frame may be dropped, and the next come late


@dataclass(slots=True, eq=False)
class Frame:
    """A frame that waits for its partner. Stamps and arrival in nanoseconds; `epoch` counts clock jumps."""

    stamp: int
    item: Any
    arrival: int
    epoch: int = 0
    late: bool = False  # a later frame of its stream came first


@dataclass(slots=True)
class StreamState:
    """Memory of one stream; bounded."""

    epoch: int = 0
    newest: int | None = None  # stamp, in the present epoch
    newest_before: int | None = None  # stamp, when the epoch before it ended
    suspect: Frame | None = None  # far behind: a straggler, or the first after a jump
    last_arrival: int | None = None
    waiting: list[Frame] = field(default_factory=list)  # by epoch, then stamp
    seen: deque[int] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    spacings: deque[int] = field(default_factory=lambda: deque(maxlen=SPACINGS))
    intervals: deque[int] = field(default_factory=lambda: deque(maxlen=INTERVALS))
    behind: deque[int] = field(default_factory=lambda: deque(maxlen=OVERTAKEN))
    fresh: deque[bool] = field(default_factory=lambda: deque(maxlen=AGES))
    delays: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=DELAYS))  # arrival, its delay

    def note_arrival(self, now: int) -> None:
        """A frame came, whatever it is worth."""
        if self.last_arrival is not None:
            self.intervals.append(now - self.last_arrival)
        self.last_arrival = now

    def note_stamp(self, frame: Frame) -> None:
        """Take an accepted frame's stamp into the statistics; marks the frame `late` if a later one came first."""
        self.seen.append(frame.stamp)
        if self.newest is None:
            self.newest = frame.stamp
            return
        step = frame.stamp - self.newest
        self.behind.append(max(0, -step))
        if step > 0:
            self.spacings.append(step)
            self.newest = frame.stamp
        else:
            frame.late = True

    def note_delay(self, arrival: int, delay: int) -> None:
        """Remember how long after its (uncorrected) stamp a frame came."""
        self.delays.append((arrival, delay))
        while self.delays and self.delays[0][0] < arrival - DELAY_WINDOW_NS:
            self.delays.popleft()

    def age_fault(self, age: int, stale: int, future: int) -> str | None:
        """`stale` or `future` if a frame of this age (ns since its stamp) should not be used.

        If none of the recent frames had an acceptable age, the stamps come from another clock (a recording played
        without /clock, a camera that counts from its power-up): then an age means nothing and no frame is refused.
        """
        self.fresh.append(-future <= age <= stale)
        if self.fresh[-1] or not any(self.fresh):
            return None
        return "stale" if age > stale else "future"

    @property
    def own_clock(self) -> bool:
        """Whether the stamps come from another clock than the arrival times."""
        return bool(self.fresh) and not any(self.fresh)

    def start_epoch(self, epoch: int) -> None:
        """Forget what a jump of the clock has made worthless. Waiting frames stay: they belong to the old epoch."""
        self.newest_before = self.newest
        self.epoch = epoch
        self.newest = None
        self.seen.clear()
        self.fresh.clear()
        self.delays.clear()
        self.behind.clear()

    def unseen_from(self, epoch: int) -> int:
        """Stamp before which no further frame of `epoch` will come, as far as one can tell.

        Later frames proved it, or the frame rate makes it likely: a frame cannot follow the newest one sooner than
        three quarters of the shortest recent spacing. Where that is wrong (a camera changing its rate) a pair is
        not of nearest frames for once. Streams in which frames overtake each other get the time they recently needed.
        """
        if self.epoch > epoch:
            return ALWAYS
        if self.epoch < epoch or self.newest is None:
            return NEVER
        overtaken = (
            heapq.nlargest(2, self.behind)[-1] if self.behind else 0
        )  # once is an accident, twice a habit
        if overtaken:
            return self.newest - overtaken
        if len(self.spacings) < ENOUGH_SPACINGS:
            return self.newest
        return self.newest + int(SHORTEST_PERIOD * min(self.spacings))

    def overdue(self, now: int, patience: int) -> bool:
        """Whether the next frame should have come, one dropped before it; `patience` (ns): with no period known."""
        if self.last_arrival is None:
            return True
        if len(self.intervals) >= 4:
            patience = int(OVERDUE * statistics.median(self.intervals))
        return now - self.last_arrival > patience

    def clock_went_back(self, now: int) -> None:
        """The arrival clock jumped: ages and waiting times start anew."""
        self.last_arrival = now
        self.intervals.clear()
        self.fresh.clear()
        self.delays.clear()
        for frame in [*self.waiting, *([self.suspect] if self.suspect else [])]:
            frame.arrival = now
