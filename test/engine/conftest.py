"""A small graph, and a torch_tensorrt that compiles nothing: what surrounds TensorRT is tested without it."""

from __future__ import annotations

import sys
import types
from contextlib import nullcontext
from importlib.machinery import ModuleSpec

import pytest
import torch
from torch import Tensor, nn

from thermal_fusion_ros.engine import tensorrt_backend
from thermal_fusion_ros.models.graph import PerceptionGraph


class TinyFusion(nn.Module):
    """Signature of a fusion network; quick to export."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, rgb: Tensor, thermal: Tensor, code: Tensor) -> Tensor:
        return torch.sigmoid(self.mix(torch.cat([rgb, thermal], 1)) + code.mean())


class TinyDepth(nn.Module):
    """Signature of DepthNet."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 2, 3, padding=1)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return self.head(image).split(1, dim=1)


@pytest.fixture(scope="session")
def tiny() -> PerceptionGraph:
    """All outputs, hardly any work."""
    torch.manual_seed(0)
    return PerceptionGraph(TinyFusion(), TinyDepth()).eval()


class FakeTorchTensorRt(types.ModuleType):
    """`compiled` counts what the cache should save; programs run as torch would run them, on the CPU."""

    def __init__(self) -> None:
        super().__init__("torch_tensorrt")
        self.__spec__ = ModuleSpec("torch_tensorrt", None)  # torch looks for it
        self.__version__ = "2.13.0"
        self.compiled = 0
        self.captured = 0
        self.dynamo = types.SimpleNamespace(compile=self.compile)
        self.runtime = types.SimpleNamespace(enable_cudagraphs=self.enable_cudagraphs)

    def compile(self, program, *, arg_inputs):
        self.compiled += 1
        assert all(x.dtype is torch.float32 for x in arg_inputs)
        return program.module()

    def save(self, module, path, *, arg_inputs):
        torch.export.save(torch.export.export(module, tuple(arg_inputs)), path)

    def enable_cudagraphs(self, module):
        self.captured += 1
        return nullcontext(module)


@pytest.fixture
def torch_tensorrt(monkeypatch, tmp_path) -> FakeTorchTensorRt:
    """The fake in place of the real one, a GPU that is a CPU, and a cache of its own."""
    fake = FakeTorchTensorRt()
    tensorrt = types.ModuleType("tensorrt")
    tensorrt.__spec__ = ModuleSpec("tensorrt", None)
    tensorrt.__version__ = "10.13.0"
    monkeypatch.setitem(sys.modules, "torch_tensorrt", fake)
    monkeypatch.setitem(sys.modules, "tensorrt", tensorrt)
    monkeypatch.setattr(tensorrt_backend, "DEVICE", "cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(tensorrt_backend, "gpu_facts", lambda: {"gpu": "Fake 1000", "driver": "550"})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return fake
