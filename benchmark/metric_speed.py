"""CPU time of the nine common metrics on one 640x480 picture, beside the straightforward implementation.

Processor time, not wall-clock: threads don't hide work, and a busy machine changes little.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np

from benchmark import straightforward_metrics
from benchmark.context import Context
from benchmark.markdown import table
from thermal_fusion_ros.evaluation.fusion_metrics import COMMON, score

HEIGHT, WIDTH = 480, 640
REPEATS = 5


def pictures() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fused, visible, thermal: smooth noise with grain, whole grey values, always the same."""
    random = np.random.default_rng(0)

    def one() -> np.ndarray:
        smooth = cv2.GaussianBlur(random.normal(0, 1, (HEIGHT, WIDTH)), (0, 0), 6)
        return np.clip(np.rint(128 + 600 * smooth + random.normal(0, 6, (HEIGHT, WIDTH))), 0, 255)

    visible, thermal = one(), one()
    return np.rint(0.6 * visible + 0.4 * thermal), visible, thermal


def processor_seconds(work: Callable[[], object]) -> float:
    """The least of several runs: what the work itself takes."""
    work()
    best = float("inf")
    for _ in range(REPEATS):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def metric_speed(context: Context | None = None) -> str:
    """Milliseconds of processor time per metric and for all nine, and the ratio."""
    cv2.setNumThreads(1)
    fused, visible, thermal = pictures()
    rows = []
    for name in COMMON:
        slow = processor_seconds(partial(straightforward_metrics.METRICS[name], fused, visible, thermal))
        fast = processor_seconds(partial(score, fused, visible, thermal, [name]))
        rows.append(_row(name, slow, fast))
    slow = processor_seconds(partial(straightforward_metrics.score, fused, visible, thermal))
    fast = processor_seconds(partial(score, fused, visible, thermal))
    rows.append(_row("all nine", slow, fast))
    made = table(["metric", "straightforward, ms", "ours, ms", "ratio"], rows)
    return (
        f"{made}\n\nProcessor time for one {WIDTH}x{HEIGHT} picture; ours includes checking the three images."
    )


def _row(name: str, slow: float, fast: float) -> list[str]:
    return [name, f"{slow * 1e3:.1f}", f"{fast * 1e3:.1f}", f"{slow / fast:.1f}"]


if __name__ == "__main__":
    print(metric_speed())
