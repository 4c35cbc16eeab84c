"""Which backend is fastest here: a short measurement, remembered for the next start."""

from __future__ import annotations

import json
import logging
import os
import platform
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from thermal_fusion_ros.config import EngineConfig
from thermal_fusion_ros.engine.cache import EngineCache, Key
from thermal_fusion_ros.models.graph import PerceptionGraph, example_inputs

if TYPE_CHECKING:
    from thermal_fusion_ros.engine.base import Engine

log = logging.getLogger(__name__)

FILE = "milliseconds.json"
WARM_UP, TIMED = 2, 5  # runs of each engine


def cpu_name() -> str:
    """Model of the processor, as its maker calls it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def gpu_facts() -> dict[str, str]:
    """Name and driver of the GPU that torch would use; empty where there is none."""
    if not torch.cuda.is_available():
        return {}
    driver = Path("/proc/driver/nvidia/version")  # not on a Jetson, whose driver goes with its system
    version = driver.read_text().partition("\n")[0] if driver.is_file() else platform.release()
    return {"gpu": torch.cuda.get_device_name(), "driver": version, "cuda": str(torch.version.cuda)}


def versions(*packages: str) -> dict[str, str]:
    """Installed versions by name of distribution."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "none"
    return found


def key(cache: EngineCache, graph: PerceptionGraph, height: int, width: int, config: EngineConfig) -> Key:
    """Everything that can change which backend is fastest."""
    facts = versions("openvino", "torch_tensorrt", "tensorrt") | gpu_facts()
    return cache.key(
        graph, "choice", size=f"{width}x{height}", cpu=cpu_name(), cores=os.cpu_count(), threads=config.threads,
        device=config.device, precision=config.precision, **facts,
    )  # fmt: skip


def recall(cache: EngineCache, key: Key) -> dict[str, float]:
    """Milliseconds by backend, fastest first, as measured at an earlier start; empty if never."""
    folder = cache.load(key, explain=False)
    if folder is None:
        return {}
    times = json.loads((folder / FILE).read_text())
    return {name: float(times[name]) for name in sorted(times, key=lambda name: float(times[name]))}


def measure(engines: Mapping[str, Engine], height: int, width: int) -> dict[str, float]:
    """Milliseconds by backend, fastest first: the best of a few runs, taken in turns to be fair to all."""
    rgb, thermal, code = (x[0].numpy() for x in example_inputs(height, width))
    best = dict.fromkeys(engines, float("inf"))
    for turn in range(WARM_UP + TIMED):
        for name, engine in engines.items():
            begun = time.perf_counter()
            engine.run(rgb, thermal, code)
            if turn >= WARM_UP:
                best[name] = min(best[name], (time.perf_counter() - begun) * 1e3)
    return dict(sorted(best.items(), key=lambda item: item[1]))


def remember(cache: EngineCache, key: Key, times: Mapping[str, float]) -> None:
    """Keep what :func:`measure` found for the next start."""
    cache.store(key, lambda folder: (folder / FILE).write_text(json.dumps(dict(times))))


def said(times: Mapping[str, float]) -> str:
    """`openvino 49 ms, torch 89 ms`."""
    return ", ".join(f"{name} {value:.3g} ms" for name, value in times.items())
