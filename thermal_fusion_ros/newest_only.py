"""A thread with a one-slot mailbox: it works on the newest item it was given, and never on an old one."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class NewestOnly(Generic[Item]):
    """Calls `work` with the newest item offered, one at a time, in a thread of its own.

    Neither `work` nor a task given to :meth:`call` may raise.
    """

    def __init__(self, work: Callable[[Item], None], *, name: str) -> None:
        self._work = work
        self._condition = threading.Condition()
        self._slot: Item | None = None
        self._tasks: deque[Callable[[], None]] = deque()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def offer(self, item: Item) -> Item | None:
        """Put `item` into the slot; the one it replaced, which will not be worked on."""
        with self._condition:
            replaced, self._slot = self._slot, item
            self._condition.notify()
        return replaced

    def take_back(self) -> Item | None:
        """Empty the slot."""
        with self._condition:
            item, self._slot = self._slot, None
        return item

    def call(self, task: Callable[[], None]) -> None:
        """Run `task` in the thread, before the next item and after the tasks given earlier."""
        with self._condition:
            self._tasks.append(task)
            self._condition.notify()

    def stop(self, timeout_s: float) -> bool:
        """End the thread after what it is doing now; False if that takes longer than `timeout_s`."""
        with self._condition:
            self._stopped = True
            self._condition.notify()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._stopped or self._tasks or self._slot is not None)
                if self._stopped:
                    return
                task = self._tasks.popleft() if self._tasks else None
                item = None
                if task is None:
                    item, self._slot = self._slot, None
            if task is not None:
                task()
            elif item is not None:
                self._work(item)
