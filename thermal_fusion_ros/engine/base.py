"""What an engine is, and how one is chosen, checked and replaced."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from thermal_fusion_ros.config import EngineConfig
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.models.graph import PerceptionGraph, example_inputs

log = logging.getLogger(__name__)

# Against eager float32 torch: half precision rounds, a wrong conversion is off by far more.
MEAN_TOLERANCE, P999_TOLERANCE = 1.0, 6.0  # of uint8 images
MEAN_RELATIVE, P999_RELATIVE = 0.02, 0.15  # of depth and its uncertainty

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
    from thermal_fusion_ros.engine.torch_backend import TorchEngine

    return TorchEngine(graph, height, width, config)


def _torch_eager(graph: PerceptionGraph, height: int, width: int, config: EngineConfig) -> Engine:
    from thermal_fusion_ros.engine.torch_backend import TorchEngine

    return TorchEngine(graph, height, width, config, channels_last=False)


# `torch-eager` is what benchmarks compare with; the configuration does not offer it.
BACKENDS: dict[str, Builder] = {"openvino": _openvino, "torch": _torch, "torch-eager": _torch_eager}


def candidates(config: EngineConfig) -> list[str]:
    """Backends to try, best first. The one asked for leads; torch, the reference, is always the last resort."""
    cuda = config.device == "cuda" or (config.device == "auto" and torch.cuda.is_available())
    order = ["torch", "openvino"] if cuda else ["openvino", "torch"]
    if config.backend != "auto":
        order = [config.backend]
    return order if "torch" in order else [*order, "torch"]


def build(graph: PerceptionGraph, height: int, width: int, config: EngineConfig) -> tuple[Engine, list[str]]:
    """The first backend that builds and agrees with eager torch, and why each one before it did not.

    height and width in pixels, multiples of 32. Raises :class:`InputError` when none works.
    """
    refused = []
    for name in candidates(config):
        try:
            engine = BACKENDS[name](graph, height, width, config)
            if not engine.exact:
                check(engine, graph, height, width)
        except Exception as error:  # a backend may fail in any way; the next one takes over
            reason = f"{name}: {str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__}"
            log.warning("engine %s does not work here, trying the next", reason)
            refused.append(reason)
        else:
            return engine, refused
    raise InputError(f"engine: no backend works for {width}x{height}: {'; '.join(refused)}")


def check(engine: Engine, graph: PerceptionGraph, height: int, width: int) -> None:
    """Compare `engine` with eager torch on a fixed input; RuntimeError when they differ by more than rounding."""
    rgb, thermal, code = example_inputs(height, width)
    with torch.inference_mode():
        wanted = graph.float().cpu()(rgb, thermal, code)
    got = engine.run(rgb[0].numpy(), thermal[0].numpy(), code[0].numpy())
    for name, tensor in zip(graph.outputs, wanted, strict=True):
        reference = tensor[0].numpy()
        error = np.abs(got[name].astype(np.float32) - reference)
        mean_limit, tail_limit, unit = MEAN_TOLERANCE, P999_TOLERANCE, "of 255"
        if reference.dtype != np.uint8:
            error, mean_limit, tail_limit, unit = error / reference, MEAN_RELATIVE, P999_RELATIVE, "of 1"
        mean, tail = float(error.mean()), float(np.quantile(error, 0.999))
        if not (mean <= mean_limit and tail <= tail_limit):
            raise RuntimeError(
                f"{name} differs from eager torch by {mean:.2g} in the mean, {tail:.2g} in the tail ({unit})"
            )
