"""Processes that share this one's work."""

from __future__ import annotations

import signal
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from types import TracebackType
from typing import Any


class WorkerPool(ProcessPoolExecutor):
    """Processes to which Ctrl-C does nothing: it is sent to them too, but this process answers it.

    `initializer` runs in each. At the end of a `with` statement what was not begun is not done any more.
    """

    def __init__(
        self, processes: int, initializer: Callable[..., object], initargs: tuple[Any, ...] = ()
    ) -> None:
        # Spawned, not forked: threads of OpenCV, PyTorch and Open3D do not survive a fork.
        super().__init__(processes, get_context("spawn"), initializer, initargs)

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
