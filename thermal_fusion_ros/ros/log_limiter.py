"""One clear line per problem: at once the first time, then at most every few seconds with how often it happened."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

QUIET_S = 10.0


class LogLimiter:
    """Logs through a logger of rclpy (anything with `warning` and `error`). Any thread may use it."""

    def __init__(self, logger: Any) -> None:
        self._logger = logger
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[float, int]] = {}  # kind -> when logged, how often held back since

    def warning(self, kind: str, text: str) -> None:
        """`kind`: what counts as the same problem."""
        line = self._line(kind, text)
        if line is not None:
            self._logger.warning(line)

    def error(self, kind: str, text: str) -> None:
        """`kind`: what counts as the same problem."""
        line = self._line(kind, text)
        if line is not None:
            self._logger.error(line)

    def _line(self, kind: str, text: str) -> str | None:
        now = time.monotonic()
        with self._lock:
            logged, held = self._seen.get(kind, (-QUIET_S, 0))
            if now - logged < QUIET_S:
                self._seen[kind] = (logged, held + 1)
                return None
            self._seen[kind] = (now, 0)
        return text + (f" ({held} more of this kind since)" if held else "")


class PythonLogBridge(logging.Handler):
    """What the core of the package logs through Python's `logging`, in the node's own log."""

    def __init__(self, logger: Any) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Log `record`."""
        # rclpy remembers the level of every line that logs, so each level needs a line of its own.
        text = record.getMessage()
        if record.levelno >= logging.ERROR:
            self._logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(text)
        elif record.levelno >= logging.INFO:
            self._logger.info(text)
        else:
            self._logger.debug(text)
