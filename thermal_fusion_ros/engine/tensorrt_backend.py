"""TensorRT through torch-tensorrt: the backend of NVIDIA GPUs. Static shapes, half precision, CUDA graphs.

torch-tensorrt compiles the graph ahead of time (`torch_tensorrt.dynamo.compile`); what it leaves to torch, which is
the cast of the fused picture to bytes, is captured into the CUDA graph as well. Compiled programs are kept in our own
cache: torch-tensorrt's misses changes of version (pytorch/TensorRT#4226).
"""

from __future__ import annotations

import copy
import inspect
import logging
import threading
import time
import warnings
from types import ModuleType, TracebackType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from thermal_fusion_ros.config import EngineConfig
from thermal_fusion_ros.engine.base import Outputs, check, first_line
from thermal_fusion_ros.engine.buffers import Buffers
from thermal_fusion_ros.engine.cache import EngineCache
from thermal_fusion_ros.engine.choice import gpu_facts
from thermal_fusion_ros.engine.torch_backend import TYPES
from thermal_fusion_ros.models.graph import PerceptionGraph

log = logging.getLogger(__name__)

DEVICE = "cuda"  # tests, which have none, compile for a CPU
FILE = "graph.ep"
TELL_EVERY_S = 5.0


class TensorRtEngine:
    """A compiled program between buffers that never move: pinned on the host, fixed on the device."""

    exact = False

    def __init__(
        self,
        graph: PerceptionGraph,
        height: int,
        width: int,
        config: EngineConfig,
        cache: EngineCache | None = None,
    ) -> None:
        self._library = library(config)
        cache = cache or EngineCache()
        precision = "f16" if config.precision == "auto" else config.precision
        self.name = f"tensorrt-{precision}"
        self.outputs = graph.outputs
        self._buffers = Buffers(height, width, TYPES[precision], DEVICE)
        key = cache.key(
            graph, "tensorrt", size=f"{width}x{height}", precision=precision, **versions(self._library)
        )
        folder = cache.load(key)
        if folder is not None:
            try:
                self._use(torch.export.load(folder / FILE).module())
                check(self, graph, height, width)
            except Exception as error:  # whatever is wrong with a stored engine, a new one mends it
                log.warning("engine cache: %s does not work (%s), building anew", folder, first_line(error))
            else:
                return
        with Progress(f"building the TensorRT engine for {width}x{height}"):
            module = self._compile(graph, TYPES[precision])
        # Before CUDA graphs: saving traces the module once more.
        cache.store(
            key,
            lambda folder: self._library.save(
                module, str(folder / FILE), arg_inputs=list(self._buffers.inputs)
            ),
        )
        self._use(module)

    def run(self, rgb: NDArray[np.uint8], thermal: NDArray[np.uint8], code: NDArray[np.float32]) -> Outputs:
        """See :meth:`Engine.run`."""
        return self._buffers.run(self.outputs, rgb, thermal, code)

    def _compile(self, graph: PerceptionGraph, dtype: torch.dtype) -> Any:
        compile_ = self._library.dynamo.compile
        options: dict[str, Any] = {}
        if "use_explicit_typing" in inspect.signature(compile_).parameters:
            options["use_explicit_typing"] = True  # versions before 2.13; later ones know no other way
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter and the compiler, about their own internals
            typed = copy.deepcopy(graph).to(DEVICE, dtype).eval()
            program = torch.export.export(typed, tuple(self._buffers.inputs))
            return compile_(program, arg_inputs=list(self._buffers.inputs), **options)

    def _use(self, module: Any) -> None:
        """Record `module` as a CUDA graph, and make room for its outputs."""
        # Entered for good: the mode is the library's, not the module's.
        self._buffers.connect(self._library.runtime.enable_cudagraphs(module).__enter__())


class Progress:
    """Says every few seconds, as long as it lasts, that something is going on."""

    def __init__(self, what: str) -> None:
        self._what, self._done = what, threading.Event()
        self._thread = threading.Thread(target=self._tell, name="progress", daemon=True)

    def __enter__(self) -> None:
        self._begun = time.monotonic()
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        if error is None:
            log.warning("%s: done after %.0f s", self._what, time.monotonic() - self._begun)

    def _tell(self) -> None:
        # Warnings, because they are shown where nobody has set up logging, and minutes of silence look like a hang.
        log.warning("%s: first start on this machine takes minutes; later starts take seconds", self._what)
        while not self._done.wait(TELL_EVERY_S):
            log.warning("%s: %.0f s", self._what, time.monotonic() - self._begun)


def library(config: EngineConfig) -> ModuleType:
    """torch_tensorrt; RuntimeError, in one line, where it cannot work."""
    if config.device in ("cpu", "intel_gpu"):
        raise RuntimeError(f"TensorRT needs an NVIDIA GPU, and engine.device is {config.device}")
    if not torch.cuda.is_available():
        raise RuntimeError("TensorRT needs an NVIDIA GPU, and torch sees no CUDA device")
    try:
        import torch_tensorrt
    except ModuleNotFoundError as error:
        raise RuntimeError(
            f"{error.name} is not installed: pip install torch-tensorrt=={torch.__version__.partition('+')[0]}"
        ) from error
    except Exception as error:  # its libraries are missing or do not fit; it raises plain exceptions
        raise RuntimeError(f"torch_tensorrt does not load: {first_line(error)}") from error
    return torch_tensorrt


def versions(torch_tensorrt: ModuleType) -> dict[str, str]:
    """What a stored engine depends on, besides torch."""
    import tensorrt

    return {
        "torch_tensorrt": torch_tensorrt.__version__,
        "tensorrt": tensorrt.__version__,
        **gpu_facts(),
    }
