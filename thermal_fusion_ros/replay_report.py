"""What a replay says at its end: every pair accounted for, and how long each took."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass
class ReplayReport:
    """Numbers of one replay, with or without ROS.

    `pairs_in`: pairs the recording gave. `dropped`: pairs that were not published, by reason. `unused`:
    frames that never became part of a pair, by reason. `sent`, `received`: frames per stream, as counted by
    the player and by the node. `latencies_ms`: one per fused frame; over ROS from publishing the RGB frame to
    receiving the fused one, offline the processing time alone. `seconds`: from the first to the last fused
    frame.
    """

    source: str
    mode: str
    pairs_in: int = 0
    published: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    unused: Counter[str] = field(default_factory=Counter)
    sent: dict[str, int] = field(default_factory=dict)
    received: dict[str, int] = field(default_factory=dict)
    latencies_ms: list[float] = field(default_factory=list)
    seconds: float = 0.0
    engine: str = ""
    notes: list[str] = field(default_factory=list)
    interrupted: bool = False
    failed: bool = False

    @property
    def output_hz(self) -> float:
        """Fused frames per second, 0 for fewer than two."""
        return (self.published - 1) / self.seconds if self.published > 1 and self.seconds > 0 else 0.0

    def balance(self) -> None:
        """Name what no part has accounted for, so that the sums match and a gap can't hide."""
        gap = self.pairs_in - self.published - sum(self.dropped.values())
        if gap > 0:
            self.dropped["unaccounted"] += gap
        elif gap < 0:
            self.pairs_in -= gap

    def to_json(self) -> dict[str, Any]:
        """The machine-readable form; keys are only ever added."""
        return {
            "source": self.source,
            "mode": self.mode,
            "engine": self.engine,
            "pairs_in": self.pairs_in,
            "published": self.published,
            "dropped": dict(sorted(self.dropped.items())),
            "unused_frames": dict(sorted(self.unused.items())),
            "frames_sent": self.sent,
            "frames_received": self.received,
            "latency_ms": {
                "median": _percentile(self.latencies_ms, 50),
                "p99": _percentile(self.latencies_ms, 99),
            },
            "output_hz": round(self.output_hz, 3),
            "seconds": round(self.seconds, 3),
            "notes": self.notes,
        }

    def rows(self) -> list[tuple[str, str]]:
        """The table as label and value."""
        found = [("pairs in", str(self.pairs_in)), ("published", str(self.published))]
        found += [(f"dropped: {reason}", str(count)) for reason, count in sorted(self.dropped.items())]
        for stream, count in self.sent.items():
            got = self.received.get(stream)
            found.append((f"{stream} frames", f"{count} sent" + ("" if got is None else f", {got} received")))
        found += [(f"unused: {reason}", str(count)) for reason, count in sorted(self.unused.items())]
        median, p99 = (_percentile(self.latencies_ms, share) for share in (50, 99))
        if median is not None and p99 is not None:
            found.append(("latency", f"median {median:.1f} ms, p99 {p99:.1f} ms"))
        found.append(("output", f"{self.output_hz:.1f} Hz"))
        if self.engine:
            found.append(("engine", self.engine))
        return found

    def table(self) -> str:
        """The table as text."""
        rows = self.rows()
        width = max(len(label) for label, _ in rows)
        return "\n".join(f"  {label:<{width}}  {value}" for label, value in rows)


def _percentile(values: list[float], share: float) -> float | None:
    """Percentile rounded to microseconds, None of nothing."""
    if not values:
        return None
    import numpy as np

    return round(float(np.percentile(values, share)), 3)


def engine_notes(refused: list[str]) -> list[str]:
    """A line for each backend that was tried before the one that ran."""
    return [f"engine {reason}: the next one ran" for reason in refused]
