"""What an engine is, and how one is chosen, checked and replaced."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from thermal_fusion_ros.config import EngineConfig
from thermal_fusion_ros.engine import choice
from thermal_fusion_ros.engine.cache import EngineCache
from thermal_fusion_ros.errors import EngineError
from thermal_fusion_ros.models.graph import PerceptionGraph, example_inputs

log = logging.getLogger(__name__)

# Against eager float32 torch: half precision rounds, a wrong conversion is off by far more.
MEAN_TOLERANCE, P999_TOLERANCE = 1.0, 6.0  # of uint8 images
MEAN_RELATIVE, P999_RELATIVE = 0.02, 0.15  # of depth and its uncertainty
MEAN_SCORE, MEAN_EDGE = 0.01, 0.03  # of objects; a peak may move to the cell beside, so no tail is judged

# By output: the largest mean and 99.9th percentile of the error, whether it is relative, and what it is a share of.
LIMITS = {
    "fused": (MEAN_TOLERANCE, P999_TOLERANCE, False, "of 255"),
    "depth": (MEAN_RELATIVE, P999_RELATIVE, True, "of 1"),
    "sigma": (MEAN_RELATIVE, P999_RELATIVE, True, "of 1"),
    "scores": (MEAN_SCORE, 1.0, False, "of 1"),
    "edges": (MEAN_EDGE, math.inf, True, "of 1"),
}

Outputs = dict[str, NDArray[Any]]


class Engine(Protocol):
    """A graph made ready for one image size."""

    name: str
    exact: bool  # computes just what eager torch does on a CPU, so there is nothing to check

    def run(self, rgb: NDArray[np.uint8], thermal: NDArray[np.uint8], code: NDArray[np.float32]) -> Outputs:
        """`rgb` H×W×3, `thermal` H×W, `code` (64,) -> PerceptionGraph's outputs by name, valid until the next call."""
        ...


Builder = Callable[[PerceptionGraph, int, int, EngineConfig], Engine]


def _openvino(graph: PerceptionGraph, height: int, width: int, config: EngineConfig) -> Engine:
    from thermal_fusion_ros.engine.openvino_backend import OpenVinoEngine

    return OpenVinoEngine(graph, height, width, config)


def _torch(graph: PerceptionGraph, height: int, width: int, config: EngineConfig) -> Engine:
    from thermal_fusion_ros.engine import torch_backend

    return torch_backend.engine(graph, height, width, config)


def _torch_eager(graph: PerceptionGraph, height: int, width: int, config: EngineConfig) -> Engine:
    from thermal_fusion_ros.engine.torch_backend import TorchEngine

    return TorchEngine(graph, config, channels_last=False)


def _tensorrt(graph: PerceptionGraph, height: int, width: int, config: EngineConfig) -> Engine:
    from thermal_fusion_ros.engine.tensorrt_backend import TensorRtEngine

    return TensorRtEngine(graph, height, width, config)


# `torch-eager` is what benchmarks compare with; the configuration does not offer it.
BACKENDS: dict[str, Builder] = {
    "tensorrt": _tensorrt,
    "openvino": _openvino,
    "torch": _torch,
    "torch-eager": _torch_eager,
}


def wants_cuda(config: EngineConfig) -> bool:
    """Whether the configuration means a GPU, be it there or not."""
    return config.device == "cuda" or (config.device == "auto" and torch.cuda.is_available())


def candidates(config: EngineConfig) -> list[str]:
    """Backends to try, likely best first. The one asked for leads; torch, the reference, is always the last resort."""
    order = ["tensorrt", "torch", "openvino"] if wants_cuda(config) else ["openvino", "torch"]
    if config.backend != "auto":
        order = [config.backend]
    return order if "torch" in order else [*order, "torch"]


def build(graph: PerceptionGraph, height: int, width: int, config: EngineConfig) -> tuple[Engine, list[str]]:
    """The backend asked for, or the fastest, that builds and agrees with eager torch; and why others did not.

    `auto` measures those that work once per machine, versions, graph and size; later starts go by what was found.
    height and width in pixels, multiples of 32. Raises :class:`EngineError` when none works.
    """
    refused: list[str] = []
    order, size = candidates(config), f"{width}x{height}"
    if config.backend != "auto" or len(order) == 1:
        for _, engine in _working(order, graph, height, width, config, refused):
            return engine, refused
        raise _none_works(size, refused)
    cache = EngineCache()
    key = choice.key(cache, graph, height, width, config)
    known = choice.recall(cache, key)
    if known:
        order = [*(name for name in known if name in order), *(name for name in order if name not in known)]
        for name, engine in _working(order, graph, height, width, config, refused):
            log.info("engine for %s: %s (measured at an earlier start: %s)", size, name, choice.said(known))
            return engine, refused
        raise _none_works(size, refused)
    engines = dict(_working(order, graph, height, width, config, refused))
    if not engines:
        raise _none_works(size, refused)
    if len(engines) == 1:  # nothing to measure, nor to remember: what is broken now may work next time
        return next(iter(engines.values())), refused
    times = choice.measure(engines, height, width)
    choice.remember(cache, key, times)
    fastest = next(iter(times))
    log.info("engine for %s: %s (measured now: %s)", size, fastest, choice.said(times))
    return engines[fastest], refused


def _working(
    order: Iterable[str],
    graph: PerceptionGraph,
    height: int,
    width: int,
    config: EngineConfig,
    refused: list[str],
) -> Iterator[tuple[str, Engine]]:
    """Those of `order` that build and agree with eager torch; why the others do not goes to `refused`."""
    for name in order:
        try:
            engine = BACKENDS[name](graph, height, width, config)
            if not engine.exact:
                check(engine, graph, height, width)
        except Exception as error:  # a backend may fail in any way; the next one takes over
            reason = f"{name}: {first_line(error)}"
            log.warning("engine %s does not work here, trying the next", reason)
            refused.append(reason)
        else:
            yield name, engine


def _none_works(size: str, refused: list[str]) -> EngineError:
    return EngineError(f"engine: no backend works for {size}: {'; '.join(refused)}")


def first_line(error: Exception) -> str:
    """What an error says, for a log line."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def check(engine: Engine, graph: PerceptionGraph, height: int, width: int) -> None:
    """Compare `engine` with eager torch on a fixed input; RuntimeError when they differ by more than rounding."""
    rgb, thermal, code = example_inputs(height, width)
    got = engine.run(rgb[0].numpy(), thermal[0].numpy(), code[0].numpy())
    compare(got, graph, height, width)


def compare(got: Outputs, graph: PerceptionGraph, height: int, width: int) -> None:
    """Compare outputs for :func:`example_inputs` with eager torch's; RuntimeError when they differ by more."""
    with torch.inference_mode():
        wanted = graph.float().cpu()(*example_inputs(height, width))
    for name, tensor in zip(graph.outputs, wanted, strict=True):
        reference = tensor[0].numpy()
        error = np.abs(got[name].astype(np.float32) - reference)
        mean_limit, tail_limit, relative, unit = LIMITS[name]
        if relative:
            error = error / reference
        mean, tail = float(error.mean()), float(np.quantile(error, 0.999))
        if not (mean <= mean_limit and tail <= tail_limit):
            raise RuntimeError(
                f"{name} differs from eager torch by {mean:.2g} in the mean, {tail:.2g} in the tail ({unit})"
            )
