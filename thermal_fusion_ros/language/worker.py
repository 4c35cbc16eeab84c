"""A thread that thinks about language at its own low rate, and may hang or crash without the frame path noticing.

Jobs go into a one-slot mailbox where the newest wins; results come out with their age. Guidance fades to the zero code
("no text") when no new result comes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.language.guide import Job, Thought
from thermal_fusion_ros.models.guidance import CODE_DIM
from thermal_fusion_ros.newest_only import NewestOnly

FAINT = 1e-3  # weights below are no guidance at all
LOADING_S = 600.0  # CLIP's weights may have to be fetched first; longer is a stall
RETRY_S = 5.0  # after a failure, before the work is prepared anew
MOST_HANGING = 4  # threads that were given up and may never end: each holds its memory

Work = Callable[[Job], Thought]


@dataclass(frozen=True, slots=True)
class Guidance:
    """What guides fusion now: `code` (64,) already faded by `weight` (0..1), and the age in seconds of what it is from.

    `thought` and `age_s` are None before the first result.
    """

    code: NDArray[np.float32]
    weight: float
    age_s: float | None
    thought: Thought | None


@dataclass
class _Run:
    """One thread and what it works with; a new one is made by a restart, and late results of an old one are ignored."""

    mailbox: NewestOnly[tuple[Job, float, int]] | None = None
    work: Work | None = None


class LanguageWorker:
    """`offer` jobs, ask for `guidance`: both return at once, whatever the work does. Any thread may call any method.

    `prepare` makes the work (loading CLIP, say). It runs in the worker's thread before the first job, and again after a
    failure of either, when `retry_s` have passed and another job comes.
    """

    def __init__(
        self,
        prepare: Callable[[], Work],
        *,
        timeout_s: float,
        half_life_s: float,
        retry_s: float = RETRY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._prepare, self._clock = prepare, clock
        self._timeout_s, self._half_life_s, self._retry_s = timeout_s, half_life_s, retry_s
        self._lock = threading.Lock()  # held for assignments only
        self._hanging: list[NewestOnly[tuple[Job, float, int]]] = []
        self._thought: tuple[Thought, float] | None = None
        self._era = 0  # begins anew whenever everything is forgotten
        self._busy: tuple[str, float] | None = None
        self._failure: tuple[str, float] | None = None
        self._stopped = False
        self._run = self._start()

    def offer(self, job: Job) -> None:
        """Think about `job` next; one that was still waiting is forgotten."""
        with self._lock:
            mailbox, era = self._run.mailbox, self._era
        if mailbox is not None:
            mailbox.offer((job, self._clock(), era))

    def guidance(self) -> Guidance:
        """The newest result's code, faded by its age."""
        with self._lock:
            newest = self._thought
        if newest is None:
            return Guidance(np.zeros(CODE_DIM, np.float32), 0.0, None, None)
        thought, since_s = newest
        age_s = max(self._clock() - since_s, 0.0)
        weight = 1.0 if thought.lasting else fade(age_s, self._timeout_s, self._half_life_s)
        return Guidance(thought.code * np.float32(weight), weight, age_s, thought)

    def forget(self) -> None:
        """No guidance until there is a result of what is offered from now on: a prompt was cleared, or a new recording
        begins.
        """
        with self._lock:
            self._thought = None
            self._era += 1

    @property
    def state(self) -> str:
        """`idle`, `loading`, `working`, `stalled: ...`, `failed: ...` or `stopped`, for the diagnostics."""
        with self._lock:
            busy, failure, stopped = self._busy, self._failure, self._stopped
        if stopped:
            return "stopped"
        if busy is not None:
            what, since_s = busy
            taken_s = self._clock() - since_s
            limit_s = LOADING_S if what == "loading" else self._timeout_s
            return what if taken_s <= limit_s else f"stalled: {what} for {taken_s:.0f} s"
        return "idle" if failure is None else f"failed: {failure[0]}"

    @property
    def hanging(self) -> int:
        """How many threads that were given up have not ended."""
        return sum(not mailbox.stop(0.0) for mailbox in self._hanging)

    def restart(self) -> bool:
        """Give the thread up, whatever it does, and begin with a new one.

        False if too many threads that were given up still hang: only a new process helps then.
        """
        self._hanging = [mailbox for mailbox in self._hanging if not mailbox.stop(0.0)]
        if len(self._hanging) >= MOST_HANGING:
            return False
        run = self._start()
        with self._lock:
            old, self._run = self._run.mailbox, run
            self._busy, self._failure, self._stopped = None, None, False
        if old is not None and not old.stop(0.0):
            self._hanging.append(old)
        return True

    def stop(self, timeout_s: float = 1.0) -> bool:
        """End the thread; False if it does not end in time (it is a daemon and dies with the process)."""
        with self._lock:
            mailbox, self._stopped, self._busy = self._run.mailbox, True, None
            self._run = _Run()
        return mailbox is None or mailbox.stop(timeout_s)

    def _start(self) -> _Run:
        run = _Run()
        run.mailbox = NewestOnly(lambda item: self._think(run, *item), name="language")
        return run

    def _think(self, run: _Run, job: Job, offered_s: float, era: int) -> None:
        """One job, in the worker's thread. Whatever the work raises is reported and tried again later."""
        with self._lock:
            failure = self._failure
        if failure is not None and self._clock() - failure[1] < self._retry_s:
            return
        try:
            if run.work is None:
                self._note(run, ("loading", self._clock()), None)
                run.work = self._prepare()
            self._note(run, ("working", self._clock()), None)
            thought = run.work(job)
        except Exception as error:
            run.work = None
            self._note(run, None, (_summary(error), self._clock()))
            return
        with self._lock:
            if run is self._run:
                self._busy = self._failure = None
                if era == self._era:
                    self._thought = (thought, offered_s)

    def _note(self, run: _Run, busy: tuple[str, float] | None, failure: tuple[str, float] | None) -> None:
        with self._lock:
            if run is self._run:  # not given up in the meantime
                self._busy, self._failure = busy, failure


def fade(age_s: float, timeout_s: float, half_life_s: float) -> float:
    """Weight of guidance of that age: 1 up to the timeout, then halved every half-life, at last exactly 0."""
    weight = 0.5 ** (max(age_s - timeout_s, 0.0) / half_life_s)
    return weight if weight >= FAINT else 0.0


def _summary(error: Exception) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
