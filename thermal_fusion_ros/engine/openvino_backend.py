"""OpenVINO: the backend of CPUs and of Intel's GPUs.

Takes a `torch.export` program, with thin maps rewritten (:mod:`.openvino_rewrites`).

No INT8: NNCF's post-training quantisation of fusion and depth, calibrated on 16 recorded and simulated pairs, saved
8 % of the processor time of bf16 at 640x480 (44 instead of 48 ms on a Zen 5; wide convolutions alone: 1 %) and cost up
to 120 of 255 in the fused picture, where bf16 costs 2.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from thermal_fusion_ros.config import EngineConfig
from thermal_fusion_ros.engine.base import Outputs
from thermal_fusion_ros.engine.cache import EngineCache
from thermal_fusion_ros.engine.openvino_rewrites import rewrite
from thermal_fusion_ros.models.graph import PerceptionGraph, example_inputs

if TYPE_CHECKING:
    import openvino

CPU, GPU = "CPU", "GPU"  # OpenVINO's names
KERNELS = "openvino-gpu"  # folder of the cache in which its GPU plug-in keeps what it has compiled
FORM = 4  # of stored models: a new one whenever what is done to them changes


class OpenVinoEngine:
    """A compiled model with one inference request; inputs are shared with numpy, the output is read in place."""

    exact = False

    def __init__(
        self,
        graph: PerceptionGraph,
        height: int,
        width: int,
        config: EngineConfig,
        cache: EngineCache | None = None,
    ) -> None:
        import openvino

        core, cache = openvino.Core(), cache or EngineCache()
        place = _place(config, core)
        model = _converted(core, graph, height, width, cache)
        compiled = core.compile_model(model, place, _options(config, place, cache))
        self.outputs = graph.outputs
        precision = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        if config.precision not in ("auto", precision):
            raise RuntimeError(
                f"this {place} computes in {precision}, engine.precision is {config.precision}"
            )
        self.name = f"openvino-{place.lower()}-{precision}"
        self.request: openvino.InferRequest = compiled.create_infer_request()

    def run(self, rgb: NDArray[np.uint8], thermal: NDArray[np.uint8], code: NDArray[np.float32]) -> Outputs:
        """See :meth:`Engine.run`."""
        self.request.infer([rgb[None], thermal[None], code[None]], share_inputs=True, share_outputs=True)
        return {name: self.request.get_output_tensor(i).data[0] for i, name in enumerate(self.outputs)}


def _place(config: EngineConfig, core: openvino.Core) -> str:
    """OpenVINO's name of the device that is asked for. A GPU never by itself, and drivers are not even looked at."""
    if config.device != "intel_gpu":
        return CPU
    if not any(name.startswith(GPU) for name in core.available_devices):  # several are GPU.0, GPU.1
        raise RuntimeError(
            "engine.device is intel_gpu, but OpenVINO sees no Intel GPU: install its driver (Debian, Ubuntu: "
            "intel-opencl-icd) and let the user read /dev/dri (group render)"
        )
    return GPU


def _options(config: EngineConfig, place: str, cache: EngineCache) -> dict[str, Any]:
    """What OpenVINO is told. In latency mode a CPU picks bf16 by itself where it has it, a GPU f16."""
    options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
    if config.precision != "auto":
        options["INFERENCE_PRECISION_HINT"] = config.precision
    if place == GPU:  # compiling its kernels takes tens of seconds
        options["CACHE_DIR"] = str(cache.root / KERNELS)
    elif config.threads:
        options["INFERENCE_NUM_THREADS"] = config.threads
    return options


def _converted(
    core: openvino.Core, graph: PerceptionGraph, height: int, width: int, cache: EngineCache
) -> openvino.Model:
    """The graph as an OpenVINO model. Conversion takes seconds, so its result is kept; compiling takes little."""
    import openvino

    key = cache.key(graph, "openvino", size=f"{width}x{height}", openvino=openvino.__version__, form=FORM)
    if (folder := cache.load(key)) is not None:
        return core.read_model(folder / "graph.xml")
    example = example_inputs(height, width)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch.export's own, about torch's own internals
        program = torch.export.export(graph, example)
        model = openvino.convert_model(program, example_input=example)
    # The converter forgets the sizes of inputs, and code for sizes that are known only at run time is half as fast.
    model.reshape({port: list(x.shape) for port, x in zip(model.inputs, example, strict=True)})
    rewrite(model)

    def write(folder: Path) -> None:
        openvino.save_model(model, folder / "graph.xml", compress_to_fp16=False)

    cache.store(key, write)
    return model
