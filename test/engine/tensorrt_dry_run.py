"""What torch-tensorrt would do with our graph: its own code, up to where TensorRT itself would begin.

torch-tensorrt's wheel brings no TensorRT, and does not import without. Here its Python sources run against a stand-in
for the module `tensorrt` that has any name anybody asks for, on a torch that may have no CUDA. `dryrun` then makes
torch-tensorrt decompose and lower the exported program and ask every converter, validators included, which operators
it takes; it stops short of building.

    PYTHONPATH=. python test/engine/tensorrt_dry_run.py FOLDER   # that holds the package torch_tensorrt
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
import types
import warnings
from importlib.machinery import ModuleSpec
from typing import Any

import torch
from graphs import GRAPHS, make
from torch import nn

from thermal_fusion_ros.models.graph import PerceptionGraph, example_inputs

SIZES = ((480, 640), (1024, 1280))  # height, width: without and with a smaller picture for the depth network


class AnyName(type):
    """A class that has every attribute; each is such a class, always the same one."""

    def __getattr__(cls, name: str) -> AnyName:
        if name.startswith("__"):
            raise AttributeError(name)
        value = AnyName(name, (), {})
        setattr(cls, name, value)
        return value


class StandIn(types.ModuleType):
    """A module that has every attribute."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__spec__, self.__file__, self.__path__ = ModuleSpec(name, None), name, []
        self.__version__ = "10.13.0"
        sys.modules[name] = self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = AnyName(name, (), {})
        setattr(self, name, value)
        return value


class Refused(nn.Module):
    """A fusion network with an operator that nobody converts: shows that a refusal would be seen."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, rgb: torch.Tensor, thermal: torch.Tensor, code: torch.Tensor) -> torch.Tensor:
        x = self.mix(torch.cat([rgb, thermal], 1)) + code.mean()
        return torch.sigmoid(torch.special.bessel_j0(x.float()).to(rgb.dtype))


def import_torch_tensorrt() -> types.ModuleType:
    """The real package from sys.path, with what it cannot find here replaced."""
    tensorrt = StandIn("tensorrt")
    tensorrt.tensorrt = sys.modules["tensorrt.tensorrt"] = tensorrt
    StandIn("torch_tensorrt._TensorRTProxyModule").package_name = "tensorrt"
    StandIn("dllist").dllist = list  # lists loaded libraries
    for name in ("", ".lower", ".utils"):  # the frontend before dynamo
        StandIn(f"torch_tensorrt.fx{name}")
    if not torch.cuda.is_available():
        gpu = types.SimpleNamespace(name="stand-in", major=9, minor=0, total_memory=1 << 34)
        torch.cuda._lazy_init = lambda: None
        torch.cuda.current_device = lambda: 0
        torch.cuda.get_device_capability = lambda *_: (9, 0)
        torch.cuda.get_device_properties = lambda *_: gpu
        torch.cuda.mem_get_info = lambda *_: (1 << 34, 1 << 34)
        torch.cuda.empty_cache = lambda: None
        if not hasattr(torch._C, "_CudaDeviceProperties"):
            torch._C._CudaDeviceProperties = object
    return importlib.import_module("torch_tensorrt")


def dry_run(
    torch_tensorrt: types.ModuleType, graph: PerceptionGraph, height: int, width: int
) -> dict[str, Any]:
    """Operators in all, those that stay with torch (by count), and the number of TensorRT engines."""
    compiler = importlib.import_module("torch_tensorrt.dynamo._compiler")
    seen = []
    compiler.to_torch_device = lambda *_: torch.device("cpu")
    compiler.dryrun_stats_display = lambda tracker, _dryrun: seen.append(tracker)
    dtype = next(graph.parameters()).dtype
    inputs = tuple(x.to(dtype) for x in example_inputs(height, width))
    with torch.no_grad():
        program = torch.export.export(graph, inputs)
        torch_tensorrt.dynamo.compile(program, arg_inputs=list(inputs), dryrun=True, device="cuda:0")
    (tracker,) = seen
    return {
        "operators": tracker.total_ops_in_graph,
        "with_torch": {str(name): count for name, count in tracker.unsupported_ops.items()},
        "engines": tracker.tensorrt_graph_count,
    }


def main(folder: str) -> None:
    """Every graph, as the backend hands them over: in half precision."""
    sys.path.insert(0, folder)
    warnings.simplefilter("ignore")
    with contextlib.redirect_stdout(sys.stderr):
        torch_tensorrt = import_torch_tensorrt()
        found = {"refused": dry_run(torch_tensorrt, PerceptionGraph(Refused()).half().eval(), 64, 96)}
        for name in GRAPHS:
            graph = make(name).half()
            for height, width in SIZES if graph.depth is not None else SIZES[:1]:
                found[f"{name} {width}x{height}"] = dry_run(torch_tensorrt, graph, height, width)
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
