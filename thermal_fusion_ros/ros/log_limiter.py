"""One clear line per problem: at once the first time, then at most every few seconds with how often it happened."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

QUIET_S = 10.0


class LogLimiter:
    """Logs through a logger of rclpy (anything with `info`, `warning` and `error`). Any thread may use it."""

    def __init__(self, logger: Any) -> None:
        self._logger = logger
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[float, int]] = {}  # kind -> when logged, how often held back since

    def info(self, kind: str, text: str) -> None:
        """`kind`: what counts as the same event."""
        if line := self._line(kind, text):
            self._logger.info(line)

    def warning(self, kind: str, text: str) -> None:
        """`kind`: what counts as the same problem."""
        if line := self._line(kind, text):
            self._logger.warning(line)

    def error(self, kind: str, text: str) -> None:
        """`kind`: what counts as the same problem."""
        if line := self._line(kind, text):
            self._logger.error(line)

    def _line(self, kind: str, text: str) -> str:
        """What to log now, empty for nothing."""
        now = time.monotonic()
        with self._lock:
            logged, held = self._seen.get(kind, (-QUIET_S, 0))
            if now - logged < QUIET_S:
                self._seen[kind] = (logged, held + 1)
                return ""
            self._seen[kind] = (now, 0)
        return text + (f" ({held} more of this kind since)" if held else "")


class PythonLogBridge(logging.Handler):
    """What is logged below `source` through Python's `logging`, in the node's own log, from :meth:`open` to `close`."""

    def __init__(self, logger: Any, source: str) -> None:
        super().__init__(logging.INFO)
        self._logger = logger
        self._source = logging.getLogger(source)
        self._level_before = self._source.level

    def open(self) -> None:
        """Begin; from now on `source` lets informations through, too: building an engine should not be silent."""
        self._source.addHandler(self)
        self._source.setLevel(logging.INFO)

    def close(self) -> None:
        """End."""
        self._source.removeHandler(self)
        self._source.setLevel(self._level_before)
        super().close()

    def emit(self, record: logging.LogRecord) -> None:
        """Log `record`."""
        # rclpy remembers the level of every line that logs, so each level needs a line of its own.
        text = record.getMessage()
        if record.levelno >= logging.ERROR:
            self._logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(text)
        else:
            self._logger.info(text)
