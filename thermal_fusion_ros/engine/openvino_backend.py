"""OpenVINO: the CPU backend. Takes a `torch.export` program as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from thermal_fusion_ros.config import EngineConfig
from thermal_fusion_ros.models.graph import PerceptionGraph, example_inputs

if TYPE_CHECKING:
    import openvino


class OpenVinoEngine:
    """A compiled model with one inference request; inputs are shared with numpy, the output is read in place."""

    def __init__(self, graph: PerceptionGraph, height: int, width: int, config: EngineConfig) -> None:
        import openvino

        # Conversion walks the graph in Python; the plug-in then picks bf16 by itself where the CPU has it.
        example = example_inputs(height, width)
        with torch.inference_mode():
            program = torch.export.export(graph, example)
        model = openvino.convert_model(program, example_input=example)
        options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
        if config.threads:
            options["INFERENCE_NUM_THREADS"] = config.threads
        compiled = openvino.compile_model(model, "CPU", options)
        precision = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        self.name = f"openvino-cpu-{precision}"
        self.request: openvino.InferRequest = compiled.create_infer_request()

    def run(
        self, rgb: NDArray[np.uint8], thermal: NDArray[np.uint8], code: NDArray[np.float32]
    ) -> NDArray[np.uint8]:
        """See :meth:`Engine.run`."""
        self.request.infer([rgb[None], thermal[None], code[None]], share_inputs=True, share_outputs=True)
        fused: NDArray[np.uint8] = self.request.get_output_tensor(0).data[0]
        return fused
