"""How long a frame takes, per backend, all backends side by side in one run."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from thermal_fusion_ros.config import Config
from thermal_fusion_ros.engine.choice import cpu_name
from thermal_fusion_ros.engine.torch_backend import TYPES
from thermal_fusion_ros.evaluation import peaks
from thermal_fusion_ros.evaluation.frame_path import FramePath, scene, with_metres
from thermal_fusion_ros.models.graph import PerceptionGraph, example_inputs, padded
from thermal_fusion_ros.pipeline import Pipeline

# Frames of one backend in a row, as a camera sends them, and not timed before: caches hold what another has left there,
# and its threads still spin for a while.
BLOCK, WARM_UP = 10, 2
BACKENDS = ("torch-eager", "torch", "openvino", "tensorrt")


def backends_here() -> tuple[str, ...]:
    """Those that this machine could have; TensorRT needs an NVIDIA GPU."""
    return tuple(name for name in BACKENDS if name != "tensorrt" or torch.cuda.is_available())


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

    Returns what ``bench --json`` writes: `engine_ms` is the network alone, `frame_ms` two raw messages in, fused
    picture, depth and cloud filled into messages (see :class:`FramePath`; its parts are in `stage_ms`), `against_eager`
    how many times shorter the engine takes than torch-eager, `frame_against_engine` what the rest of the path adds,
    `floor_ms` the least the engine could take by the machine's measured `peaks`, `rss_growth_mb` what loading it added
    to the process. A backend that does not work is listed with the reason in `unavailable`.
    """
    config = with_metres(config)
    pairs = scene(height, width, 4)
    backends = backends_here() if backends is None else backends
    growth: dict[str, float] = {}
    paths: dict[str, FramePath] = {}
    unavailable: dict[str, str] = {}
    for name in backends:
        # Past the check of choices: `torch-eager` is a baseline, not an option.
        engine = dataclasses.replace(config.engine, backend=name)
        if engine.device == "intel_gpu" and name != "openvino":  # what it is compared with
            engine = dataclasses.replace(engine, device="cpu")
        before = peaks.rss_mb()
        path = FramePath(dataclasses.replace(config, engine=engine))
        path.pipeline.prepare(height, width)
        growth[name] = peaks.rss_mb() - before
        if path.pipeline.engine_refused:
            unavailable[name] = path.pipeline.engine_refused[0]
        else:
            paths[name] = path
    frame_ms: dict[str, list[float]] = {name: [] for name in paths}
    stages: dict[str, dict[str, list[float]]] = {name: {} for name in paths}
    for first in range(0, frames, BLOCK):
        block = range(first, min(first + BLOCK, frames))
        for name, path in paths.items():
            for _ in range(WARM_UP):
                path(*pairs[first % len(pairs)])
            for turn in block:
                stage_ms = path(*pairs[turn % len(pairs)])
                frame_ms[name].append(sum(stage_ms.values()))
                for stage, duration in stage_ms.items():
                    stages[name].setdefault(stage, []).append(duration)
        for _ in block:
            on_frame()
    pipelines = {name: path.pipeline for name, path in paths.items()}
    engine_ms = {name: stages[name]["engine"] for name in paths}
    graph = next(iter(pipelines.values())).graph if pipelines else None
    gflop = gigaflop(graph, *padded(height, width, graph.stride)) if graph else float("nan")
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
                "frame_against_engine": _ratio(frame_ms[name], engine_ms[name]),
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
    """`floor_ms` by backend, and under `peaks` what it was computed from, by device; of those that torch can use."""
    found: dict[str, Any] = {"peaks": {}}
    for name, pipeline in pipelines.items():
        if pipeline.engine_name.startswith("openvino-gpu"):
            continue
        precision = precision_of(pipeline.engine_name)
        device = (
            "cuda"
            if pipeline.engine_name.startswith(("torch-cuda", "torch-eager-cuda", "tensorrt"))
            else "cpu"
        )
        measured = found["peaks"].setdefault(device, {})
        if f"gflops_{precision}" not in measured:
            measured |= peaks.measure(device, (precision,))
        moved = peaks.compulsory_bytes(
            pipeline.graph, *padded(height, width, pipeline.graph.stride), precision
        )
        found[name] = {"floor_ms": round(peaks.floor_ms(gflop, moved, precision, measured), 3)}
    return found


def _ratio(longer: list[float], shorter: list[float]) -> float:
    return round(float(np.median(np.array(longer) / np.array(shorter))), 2)


def _summary(values: list[float]) -> dict[str, float]:
    return {
        "median": round(float(np.median(values)), 3),
        "p99": round(float(np.quantile(values, 0.99)), 3),
    }
