"""How long a frame takes, per backend, all backends side by side in one run."""

from __future__ import annotations

import dataclasses
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from thermal_fusion_ros.config import Config
from thermal_fusion_ros.frames import FramePair, RgbFrame, ThermalFrame, ThermalKind
from thermal_fusion_ros.models.graph import PerceptionGraph
from thermal_fusion_ros.pipeline import Pipeline

BACKENDS = ("torch-eager", "torch", "openvino")


def scene(height: int, width: int, count: int, seed: int = 0) -> list[FramePair]:
    """`count` different pairs: colour and 16-bit thermal counts with smooth structure and noise."""
    rng = np.random.default_rng(seed)
    pairs = []
    for index in range(count):
        rgb = cv2.resize(
            rng.integers(0, 255, (12, 16, 3), np.uint8), (width, height), interpolation=cv2.INTER_CUBIC
        )
        counts = cv2.resize(rng.normal(8000, 400, (12, 16)).astype(np.float32), (width, height))
        counts = counts + rng.normal(0, 5, counts.shape)
        stamp = index * 33_000_000
        pairs.append(
            FramePair(
                RgbFrame(stamp, np.asarray(rgb, np.uint8)),
                ThermalFrame(stamp, counts.astype(np.uint16), ThermalKind.COUNTS),
            )
        )
    return pairs


def machine() -> dict[str, str | int]:
    """What it was measured on."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line
        ]
        model = names[0] if names else model
    found: dict[str, str | int] = {"cpu": model, "cores": os.cpu_count() or 1, "torch": torch.__version__}
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


def gigaflop(graph: PerceptionGraph, height: int, width: int) -> float:
    """Floating-point operations of one frame, 2 per multiply-add, in 10^9."""
    from torch.utils.flop_counter import FlopCounterMode

    from thermal_fusion_ros.models.graph import example_inputs

    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        graph(*example_inputs(height, width))
    return float(counter.get_total_flops()) / 1e9


def run(
    config: Config,
    height: int,
    width: int,
    frames: int,
    backends: tuple[str, ...] = BACKENDS,
    on_frame: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """Times of `frames` frames per backend, taken in turns so that a drifting machine is fair to all.

    Returns what ``bench --json`` writes: `engine_ms` is the network alone, `frame_ms` a pair in, a fused image out.
    A backend that does not work is listed with the reason in `unavailable`.
    """
    pairs = scene(height, width, 4)
    pipelines: dict[str, Pipeline] = {}
    unavailable: dict[str, str] = {}
    for name in backends:
        # Past the check of choices: `torch-eager` is a baseline, not an option.
        engine = dataclasses.replace(config.engine, backend=name)
        pipeline = Pipeline(dataclasses.replace(config, engine=engine))
        pipeline.prepare(height, width)
        if pipeline.engine_refused:
            unavailable[name] = pipeline.engine_refused[0]
        else:
            pipelines[name] = pipeline
    engine_ms: dict[str, list[float]] = {name: [] for name in pipelines}
    frame_ms: dict[str, list[float]] = {name: [] for name in pipelines}
    stages: dict[str, dict[str, list[float]]] = {name: {} for name in pipelines}
    warm_up = 3
    for turn in range(frames + warm_up):
        for name, pipeline in pipelines.items():
            stage_ms = pipeline.process(pairs[turn % len(pairs)]).stage_ms
            if turn >= warm_up:
                engine_ms[name].append(stage_ms["engine"])
                frame_ms[name].append(sum(stage_ms.values()))
                for stage, duration in stage_ms.items():
                    stages[name].setdefault(stage, []).append(duration)
        on_frame()
    gflop = gigaflop(next(iter(pipelines.values())).graph, height, width) if pipelines else float("nan")
    return {
        "machine": machine(),
        "height": height,
        "width": width,
        "frames": frames,
        "unavailable": unavailable,
        "backends": {
            name: {
                "engine": pipeline.engine_name,
                "engine_ms": _summary(engine_ms[name]),
                "frame_ms": _summary(frame_ms[name]),
                "stage_ms": {stage: _summary(values) for stage, values in stages[name].items()},
                "gflop": round(gflop, 3),
            }
            for name, pipeline in pipelines.items()
        },
    }


def _summary(values: list[float]) -> dict[str, float]:
    return {
        "median": round(float(np.median(values)), 3),
        "p99": round(float(np.quantile(values, 0.99)), 3),
    }
