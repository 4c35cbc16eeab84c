"""torch: on a CPU eager, in channels-last, the reference; on a GPU in half precision, recorded as a CUDA graph.

The last resort everywhere.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thermal_fusion_ros.config import EngineConfig
from thermal_fusion_ros.engine.base import Engine, Outputs, wants_cuda
from thermal_fusion_ros.engine.buffers import Buffers
from thermal_fusion_ros.models.graph import PerceptionGraph

TYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}  # of engine.precision
WARM_UP = 3  # runs before recording, in which libraries choose their kernels and take their memory


def engine(graph: PerceptionGraph, height: int, width: int, config: EngineConfig) -> Engine:
    """On the device that is asked for; RuntimeError when it is a GPU that torch does not see."""
    return CudaEngine(graph, height, width, config) if on_cuda(config) else TorchEngine(graph, config)


def on_cuda(config: EngineConfig) -> bool:
    """Whether the configuration means a GPU; RuntimeError when torch sees none, or it is no place for torch."""
    if config.device == "intel_gpu":
        raise RuntimeError("engine.device is intel_gpu, where only OpenVINO runs")
    wanted = wants_cuda(config)
    if wanted and not torch.cuda.is_available():
        raise RuntimeError("engine.device is cuda, but torch sees no CUDA device")
    return wanted


class TorchEngine:
    """Runs the graph as it is; `channels_last` false is torch's default memory format, the baseline of benchmarks."""

    def __init__(self, graph: PerceptionGraph, config: EngineConfig, *, channels_last: bool = True) -> None:
        cuda = on_cuda(config)
        self.device = torch.device("cuda" if cuda else "cpu")
        self.name = f"torch-{self.device.type}" if channels_last else f"torch-eager-{self.device.type}"
        self.dtype = TYPES[("f16" if cuda else "f32") if config.precision == "auto" else config.precision]
        self.exact = not cuda and self.dtype is torch.float32
        if config.threads:
            torch.set_num_threads(config.threads)
        self.graph = copy.deepcopy(graph).to(self.device)
        if channels_last:
            self.graph.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def run(self, rgb: NDArray[np.uint8], thermal: NDArray[np.uint8], code: NDArray[np.float32]) -> Outputs:
        """See :meth:`Engine.run`."""
        inputs = (torch.from_numpy(x)[None].to(self.device) for x in (rgb, thermal, code))
        lower = self.dtype is not torch.float32
        with torch.inference_mode(), torch.autocast(self.device.type, self.dtype, enabled=lower):
            images = self.graph(*inputs)
            return {
                name: image[0].cpu().numpy() for name, image in zip(self.graph.outputs, images, strict=True)
            }


class CudaEngine:
    """The graph as one recording: a GPU is done with its many small kernels before a CPU has launched them."""

    exact = False

    def __init__(self, graph: PerceptionGraph, height: int, width: int, config: EngineConfig) -> None:
        precision = "f16" if config.precision == "auto" else config.precision
        self.name = f"torch-cuda-{precision}"
        self.outputs = graph.outputs
        typed = copy.deepcopy(graph).to("cuda", TYPES[precision]).eval()
        typed.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._buffers = Buffers(height, width, TYPES[precision], "cuda")
        self._buffers.connect(_Recording(typed, self._buffers.inputs))

    def run(self, rgb: NDArray[np.uint8], thermal: NDArray[np.uint8], code: NDArray[np.float32]) -> Outputs:
        """See :meth:`Engine.run`."""
        return self._buffers.run(self.outputs, rgb, thermal, code)


class _Recording:
    """What `graph` does with these inputs, where they are, again and again."""

    def __init__(self, graph: PerceptionGraph, inputs: Sequence[Tensor]) -> None:
        self._recorded = torch.cuda.CUDAGraph()
        stream = torch.cuda.Stream()
        with torch.no_grad(), torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                graph(*inputs)
        stream.synchronize()
        with torch.no_grad(), torch.cuda.graph(self._recorded):
            self._outputs = graph(*inputs)

    def __call__(self, *_: Tensor) -> Sequence[Tensor]:
        self._recorded.replay()
        return self._outputs
