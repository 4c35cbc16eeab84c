"""How long a frame takes, per backend, all backends side by side in one run."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import torch

from thermal_fusion_ros.config import Config
from thermal_fusion_ros.engine.choice import cpu_name
from thermal_fusion_ros.engine.torch_backend import TYPES
from thermal_fusion_ros.evaluation import peaks
from thermal_fusion_ros.frames import FramePair, RgbFrame, ThermalFrame, ThermalKind
from thermal_fusion_ros.models.graph import PerceptionGraph, example_inputs, padded
from thermal_fusion_ros.pipeline import Pipeline

BACKENDS = ("torch-eager", "torch", "openvino", "tensorrt")


def backends_here() -> tuple[str, ...]:
    """Those that this machine could have; TensorRT needs an NVIDIA GPU."""
    return tuple(name for name in BACKENDS if name != "tensorrt" or torch.cuda.is_available())


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
    found: dict[str, str | int] = {
        "cpu": cpu_name(),
        "cores": os.cpu_count() or 1,
        "torch": torch.__version__,
    }
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


def gigaflop(graph: PerceptionGraph, height: int, width: int) -> float:
    """Floating-point operations of one frame, 2 per multiply-add, in 10^9."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        graph(*example_inputs(height, width))
    return float(counter.get_total_flops()) / 1e9


def run(
    config: Config,
    height: int,
    width: int,
    frames: int,
    backends: tuple[str, ...] | None = None,
    on_frame: Callable[[], object] = lambda: None,
    *,
    with_floor: bool = True,
) -> dict[str, Any]:
    """Times of `frames` frames per backend, taken in turns so that a drifting machine is fair to all.

    Returns what ``bench --json`` writes: `engine_ms` is the network alone, `frame_ms` a pair in, a fused image out,
    `against_eager` how many times shorter the engine takes than torch-eager, `floor_ms` the least it could take by
    the machine's measured `peaks`, `rss_growth_mb` what loading it added to the process. A backend that does not work
    is listed with the reason in `unavailable`.
    """
    pairs = scene(height, width, 4)
    backends = backends_here() if backends is None else backends
    growth: dict[str, float] = {}
    pipelines: dict[str, Pipeline] = {}
    unavailable: dict[str, str] = {}
    for name in backends:
        # Past the check of choices: `torch-eager` is a baseline, not an option.
        engine = dataclasses.replace(config.engine, backend=name)
        before = peaks.rss_mb()
        pipeline = Pipeline(dataclasses.replace(config, engine=engine))
        pipeline.prepare(height, width)
        growth[name] = peaks.rss_mb() - before
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
    graph = next(iter(pipelines.values())).graph if pipelines else None
    gflop = gigaflop(graph, *padded(height, width)) if graph else float("nan")
    floor = _floors(pipelines, gflop, height, width) if with_floor else {}
    eager = float(np.median(engine_ms["torch-eager"])) if "torch-eager" in engine_ms else None
    return {
        "machine": machine(),
        "peaks": floor.pop("peaks", {}),
        "rss_peak_mb": round(peaks.peak_rss_mb(), 1),
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
                "against_eager": round(eager / float(np.median(engine_ms[name])), 2) if eager else None,
                "rss_growth_mb": round(growth[name], 1),
                **floor.get(name, {}),
            }
            for name, pipeline in pipelines.items()
        },
    }


def run_sizes(
    config: Config,
    sizes: Sequence[tuple[int, int]],
    frames: int,
    on_frame: Callable[[], object] = lambda: None,
) -> list[dict[str, Any]]:
    """:func:`run` for each (width, height), without the eager baseline and the floor."""
    backends = tuple(name for name in backends_here() if name != "torch-eager")
    return [
        run(config, height, width, frames, backends, on_frame, with_floor=False) for width, height in sizes
    ]


def precision_of(engine_name: str) -> str:
    """Number format that an engine computes in, by its name (`openvino-cpu-bf16`)."""
    last = engine_name.rpartition("-")[2]
    if last in TYPES:
        return last
    return "f16" if last == "cuda" else "f32"


def _floors(pipelines: dict[str, Pipeline], gflop: float, height: int, width: int) -> dict[str, Any]:
    """`floor_ms` by backend, and under `peaks` what it was computed from, by device."""
    found: dict[str, Any] = {"peaks": {}}
    for name, pipeline in pipelines.items():
        precision = precision_of(pipeline.engine_name)
        device = (
            "cuda"
            if pipeline.engine_name.startswith(("torch-cuda", "torch-eager-cuda", "tensorrt"))
            else "cpu"
        )
        measured = found["peaks"].setdefault(device, {})
        if f"gflops_{precision}" not in measured:
            measured |= peaks.measure(device, (precision,))
        moved = peaks.compulsory_bytes(pipeline.graph, *padded(height, width), precision)
        found[name] = {"floor_ms": round(peaks.floor_ms(gflop, moved, precision, measured), 3)}
    return found


def _summary(values: list[float]) -> dict[str, float]:
    return {
        "median": round(float(np.median(values)), 3),
        "p99": round(float(np.quantile(values, 0.99)), 3),
    }
