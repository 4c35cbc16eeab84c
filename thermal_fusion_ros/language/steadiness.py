"""Keeping words still while what they describe trembles."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

STEPS = tuple(m * 10.0**e for e in range(-1, 4) for m in (1, 2, 5))


def sticky_bin(value: float, edges: Sequence[float], previous: int | None, margin: float) -> int:
    """Which of the bins between rising `edges` holds `value`; the previous one until left by more than `margin`."""
    if previous is not None:
        low = edges[previous - 1] if previous > 0 else -float("inf")
        high = edges[previous] if previous < len(edges) else float("inf")
        if low - margin <= value <= high + margin:
            return previous
    return bisect_right(edges, value)


def sticky_number(value: float, previous: float | None, coarseness: float) -> float:
    """`value` rounded to 1, 2 or 5 times a power of ten, a step of at most `coarseness` of it (0.1 at least).

    The previous number stays while `value` is within nine tenths of a step, so rounding and holding together are wrong
    by less than ``0.9 * coarseness``.
    """
    step = max((s for s in STEPS if s <= coarseness * value), default=STEPS[0])
    if previous is not None and abs(value - previous) <= 0.9 * step:
        return previous
    return round(round(value / step) * step, 1)


def spoken(number: float) -> str:
    """`6`, `6.5`, `0.4`."""
    return f"{number:g}"
