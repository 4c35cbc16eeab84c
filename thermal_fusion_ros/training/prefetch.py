"""Batches made ahead of their steps, by other threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Batch = TypeVar("Batch")
AHEAD = 2  # batches that each worker is ahead


class Prefetched(Generic[Batch]):
    """`make(step)`, for steps in order up to `last`, by `workers` threads (0: here, when it is asked for).

    Threads, because the pictures are gigabytes, and OpenCV, which has most of the work, lets others run meanwhile.
    """

    def __init__(self, make: Callable[[int], Batch], last: int, workers: int) -> None:
        self._make, self._last = make, last
        self._ahead = AHEAD * workers
        self._pool = ThreadPoolExecutor(workers, "batch") if workers > 0 else None
        self._made: dict[int, Future[Batch]] = {}

    def __call__(self, step: int) -> Batch:
        """The batch of this step."""
        if self._pool is None:
            return self._make(step)
        wanted = range(step, min(step + self._ahead + 1, self._last))
        self._made = {s: self._made.get(s) or self._pool.submit(self._make, s) for s in wanted}
        return self._made[step].result()
