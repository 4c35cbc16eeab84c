"""Processes that share this one's work."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from threading import Thread
from types import TracebackType
from typing import Any


class WorkerPool(ProcessPoolExecutor):
    """Processes to which Ctrl-C does nothing: it is sent to them too, but this process answers it.

    They end with this one, however it does. `initializer` runs in each. At the end of a `with` statement what was not
    begun is not done any more.
    """

    def __init__(
        self, processes: int, initializer: Callable[..., object], initargs: tuple[Any, ...] = ()
    ) -> None:
        # Spawned, not forked: threads of OpenCV, PyTorch and Open3D do not survive a fork.
        super().__init__(processes, get_context("spawn"), _start, (initializer, initargs))

    def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
        """As `ProcessPoolExecutor.submit`; processes start in it, as tasks come."""
        # They inherit what is blocked. To ignore the signal in `initializer` would be too late: what is imported for it
        # takes seconds.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return super().submit(*args, **kwargs)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown(cancel_futures=True)


def _start(initializer: Callable[..., object], initargs: tuple[Any, ...]) -> None:
    Thread(target=_end_with_parent, daemon=True).start()
    initializer(*initargs)


def _end_with_parent() -> None:
    """A pool whose process was killed can't say so: its workers would wait for tasks for ever."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
