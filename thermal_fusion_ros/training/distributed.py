"""Several processes that train one network (`torchrun`): which part is mine, on which device, how precisely.

Every process makes its own part of each batch; gradients are averaged by torch's DistributedDataParallel. Without
`torchrun` there is one process, which does all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch import distributed as dist

from thermal_fusion_ros.errors import InputError

Terms = dict[str, Tensor]


def size() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Which of them this one is; 0 writes what is written."""
    return int(os.environ.get("RANK", "0"))


def device() -> torch.device:
    """Where this process computes: its GPU, or the CPU if there is none."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")


def start() -> None:
    """Meet the other processes, if there are any."""
    if torch.cuda.is_available():
        torch.cuda.set_device(device())
        torch.backends.cudnn.benchmark = True  # batches are all of one size
    if size() > 1 and not dist.is_initialized():
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")


def mine(count: int, option: str = "--batch") -> range:
    """Which items of a batch of `count` this process makes; all processes make equally many.

    Raises :class:`InputError`, which names `option`, where they can't.
    """
    if count % size():
        raise InputError(f"{option} {count}: not a multiple of the {size()} processes that share it")
    return range(rank(), count, size())


def precision(place: str) -> torch.dtype:
    """Of mixed precision on a device of type `place`: bfloat16 where it is in hardware, else what is fast there.

    That is float16 on a GPU and float32 on a CPU: one that has to work bfloat16 out took five times as long a step.
    """
    if place == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.bfloat16 if _cpu_has_bf16() else torch.float32


def _cpu_has_bf16() -> bool:
    """False also where torch is too old to tell."""
    tell: Callable[[], Mapping[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)
    return any(present for name, present in tell().items() if "bf16" in name)


def autocast(place: str = "") -> AbstractContextManager[Any]:
    """Mixed precision on devices of this type; on this process's own one without."""
    place = place or device().type
    lower = precision(place)
    return torch.autocast(place, lower) if lower != torch.float32 else nullcontext()


def tensor(array: NDArray[Any]) -> Tensor:
    """An array on this process's device."""
    return torch.from_numpy(array).to(device(), non_blocking=True)


class _Objective(nn.Module):
    """The loss as the module that DistributedDataParallel wants to see called."""

    def __init__(self, model: nn.Module, loss_terms: Callable[[int], Terms]) -> None:
        super().__init__()
        self.model, self.loss_terms = model, loss_terms

    def forward(self, step: int) -> Terms:
        return self.loss_terms(step)


def shared(model: nn.Module, loss_terms: Callable[[int], Terms]) -> Callable[[int], Terms]:
    """`loss_terms`, made so that gradients of `model` are averaged over all processes."""
    if size() == 1:
        return loss_terms
    return nn.parallel.DistributedDataParallel(_Objective(model, loss_terms), find_unused_parameters=True)


def mean(values: dict[str, float]) -> dict[str, float]:
    """Numbers that all processes have, averaged over them."""
    if size() == 1:
        return values
    together = torch.tensor(list(values.values()), dtype=torch.float64)
    dist.all_reduce(together)
    return dict(zip(values, (together / size()).tolist(), strict=True))


def from_first(value: Any) -> Any:
    """What process 0 has; the others' `value` is ignored."""
    if size() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box)
    return box[0]
