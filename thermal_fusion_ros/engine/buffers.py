"""Where frames go into a program on a device and out of it: pinned on the host, fixed on the device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thermal_fusion_ros.engine.base import Outputs
from thermal_fusion_ros.models.graph import example_inputs

Program = Callable[..., Sequence[Tensor]]


class Buffers:
    """`inputs` of one picture size, of `dtype`, on `device`: where a program that is recorded once finds each frame."""

    def __init__(self, height: int, width: int, dtype: torch.dtype, device: str) -> None:
        self._stream = torch.cuda.Stream() if device == "cuda" else None
        examples = example_inputs(height, width)
        self._sent = [self._pinned(x) for x in examples]
        self._staged = [x.to(device) for x in examples]
        self.inputs = [x.to(device, dtype) for x in examples]  # cast here: TensorRT never sees a byte
        self._received: list[Tensor] = []

    def connect(self, program: Program) -> None:
        """Run `program` once on what is in the inputs, and make room for its outputs."""
        self._program = program
        with self._on_stream(), torch.no_grad():
            outputs = program(*self.inputs)
        self._wait()
        self._received = [self._pinned(output) for output in outputs]

    def run(self, names: Sequence[str], *arrays: NDArray[Any]) -> Outputs:
        """The connected program's outputs, by these names, for arrays H×W×3, H×W and (64,); valid until the next
        call.
        """
        for host, array in zip(self._sent, arrays, strict=True):
            np.copyto(host.numpy()[0], array)
        with self._on_stream(), torch.no_grad():
            for host, staged, typed in zip(self._sent, self._staged, self.inputs, strict=True):
                typed.copy_(staged.copy_(host, non_blocking=True))
            for host, image in zip(self._received, self._program(*self.inputs), strict=True):
                host.copy_(image, non_blocking=True)
        self._wait()
        return {name: host.numpy()[0] for name, host in zip(names, self._received, strict=True)}

    def _on_stream(self) -> Any:
        return torch.cuda.stream(self._stream) if self._stream else nullcontext()

    def _wait(self) -> None:
        if self._stream:
            self._stream.synchronize()

    def _pinned(self, like: Tensor) -> Tensor:
        """Host memory that the GPU reads and writes by itself, of the shape and type of `like`."""
        return torch.empty(like.shape, dtype=like.dtype, pin_memory=self._stream is not None)
