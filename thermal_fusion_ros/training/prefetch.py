"""Batches made ahead of their steps, by other processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Generic, TypeVar

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

Batch = TypeVar("Batch")


class Prefetched(Generic[Batch]):
    """`make(step)`, for steps in order up to `last`, by `workers` processes (0: here, when it is asked for).

    `make` returns a dataclass whose fields are NumPy arrays, or small.
    """

    def __init__(self, make: Callable[[int], Batch], last: int, workers: int) -> None:
        self._make, self._last, self._workers = make, last, workers
        self._next = -1
        self._made: Iterator[Batch] = iter(())

    def __call__(self, step: int) -> Batch:
        """The batch of this step."""
        if self._workers <= 0:
            return self._make(step)
        if step != self._next:
            self._made = self._from(step)
        self._next = step + 1
        return next(self._made)

    def _from(self, step: int) -> Iterator[Batch]:
        loader = DataLoader(
            _Steps(self._make),
            batch_size=None,
            sampler=range(step, self._last),
            num_workers=self._workers,
            worker_init_fn=_alone,
            prefetch_factor=4,
            multiprocessing_context="fork",  # they read the pictures where they are
        )
        return (_each(batch, torch.Tensor, torch.Tensor.numpy) for batch in loader)


class _Steps(Dataset[Any]):
    def __init__(self, make: Callable[[int], Any]) -> None:
        self.make = make

    def __getitem__(self, step: int) -> Any:
        """Arrays as tensors, which go from process to process in shared memory."""
        return _each(self.make(step), np.ndarray, torch.from_numpy)


def _each(batch: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    """The batch with fields of one kind changed."""
    changed = {name: change(value) for name, value in vars(batch).items() if isinstance(value, kind)}
    return replace(batch, **changed)


def _alone(worker: int) -> None:
    cv2.setNumThreads(0)
