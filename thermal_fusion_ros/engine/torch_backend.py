"""torch, eager: CPU in channels-last, or CUDA, in half precision unless told otherwise.

The reference and the last resort.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray

from thermal_fusion_ros.config import EngineConfig
from thermal_fusion_ros.engine.base import Outputs
from thermal_fusion_ros.models.graph import PerceptionGraph

TYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}  # of engine.precision


class TorchEngine:
    """Runs the graph as it is; `channels_last` false is torch's default memory format, the baseline of benchmarks."""

    def __init__(
        self,
        graph: PerceptionGraph,
        height: int,
        width: int,
        config: EngineConfig,
        *,
        channels_last: bool = True,
    ) -> None:
        wants_cuda = config.device == "cuda" or (config.device == "auto" and torch.cuda.is_available())
        if wants_cuda and not torch.cuda.is_available():
            raise RuntimeError("engine.device is cuda, but torch sees no CUDA device")
        self.device = torch.device("cuda" if wants_cuda else "cpu")
        self.name = f"torch-{self.device.type}" if channels_last else f"torch-eager-{self.device.type}"
        self.dtype = TYPES[
            ("f16" if wants_cuda else "f32") if config.precision == "auto" else config.precision
        ]
        self.exact = not wants_cuda and self.dtype is torch.float32
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
