"""Where every pair went."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

TOO_SLOW = (
    "more pairs are superseded than published, for the engine takes longer than they are apart. What helps, where it "
    "is not set yet: fusion.model: small (about half the time), depth.enabled: false and objects.enabled: false (their "
    "share of it); and `thermal-fusion doctor` says whether the processor lacks anything"
)


def pace(published: int, dropped: Mapping[str, int]) -> str:
    """What to do where the engine does not keep up; empty where it does."""
    return TOO_SLOW if dropped.get("superseded", 0) > published else ""


@dataclass(frozen=True)
class Balance:
    """pairs_in = published + under_way + sum of dropped."""

    pairs_in: int
    published: int
    dropped: dict[str, int]

    @property
    def under_way(self) -> int:
        """Pairs that wait for the engine or are in it."""
        return self.pairs_in - self.published - sum(self.dropped.values())


class Ledger:
    """Counts pairs in and out. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pairs_in = self._published = 0
        self._dropped: Counter[str] = Counter()

    def enter(self) -> None:
        """A pair has been found."""
        with self._lock:
            self._pairs_in += 1

    def publish(self) -> None:
        """It has been published."""
        with self._lock:
            self._published += 1

    def drop(self, reason: str) -> None:
        """It will not be published."""
        with self._lock:
            self._dropped[reason] += 1

    def balance(self) -> Balance:
        """All counts of one instant."""
        with self._lock:
            return Balance(self._pairs_in, self._published, dict(self._dropped))
