"""What this machine can do at best, and so how long a frame takes at least (Williams et al., Roofline, CACM 2009)."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from thermal_fusion_ros.engine.torch_backend import TYPES
from thermal_fusion_ros.models.graph import PerceptionGraph, example_inputs

EDGE = {"cpu": 1536, "cuda": 8192}  # of the matrices that are multiplied
COPIED = {"cpu": 1 << 28, "cuda": 1 << 30}  # bytes: far more than any cache holds
REPEATS = 15  # a shared machine is rarely undisturbed


def measure(device: str, precisions: tuple[str, ...] = ("f32", "bf16")) -> dict[str, float]:
    """`gflops_<precision>` of a large matrix product in torch, and `gb_s` read plus written by a large copy."""
    found = {}
    for precision in precisions:
        a, b = (torch.randn(EDGE[device], EDGE[device], device=device, dtype=TYPES[precision]) for _ in "ab")
        seconds = _best(lambda a=a, b=b: a @ b, device)  # type: ignore[misc]
        found[f"gflops_{precision}"] = round(2e-9 * EDGE[device] ** 3 / seconds, 1)
    source = torch.ones(COPIED[device], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    found["gb_s"] = round(2e-9 * COPIED[device] / _best(lambda: target.copy_(source), device), 1)
    return found


def compulsory_bytes(graph: PerceptionGraph, height: int, width: int, precision: str) -> int:
    """Bytes that have to move however well the rest stays in caches: inputs, outputs and weights, once each."""
    inputs = example_inputs(height, width)
    with torch.inference_mode():
        outputs = graph(*inputs)
    size = 4 if precision == "f32" else 2
    return sum(map(_bytes, (*inputs, *outputs))) + size * sum(p.numel() for p in graph.parameters())


def floor_ms(gflop: float, moved: int, precision: str, peaks: dict[str, float]) -> float:
    """The longer of computing `gflop` and moving `moved` bytes at the peaks of :func:`measure`."""
    return 1e3 * max(gflop / peaks[f"gflops_{precision}"], moved * 1e-9 / peaks["gb_s"])


def rss_mb(process: int | str = "self") -> float:
    """Resident memory of this process now, or of the one with this id."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def peak_rss_mb() -> float:
    """The most resident memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def _bytes(x: Tensor) -> int:
    return x.numel() * x.element_size()


def _best(work: Callable[[], object], device: str) -> float:
    """Shortest of a few runs, s."""
    best = float("inf")
    for _ in range(1 + REPEATS):
        begun = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - begun)
    return best
