"""Boxes in pictures: N×4, x0 y0 x1 y1 in pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def intersection(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.float64]:
    """Area that every first box (N) shares with every second one (M): N×M."""
    a, b = first[:, None].astype(np.float64), second[None].astype(np.float64)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    return np.asarray(np.clip(sides, 0, None).prod(2))


def area(boxes: NDArray[Any]) -> NDArray[np.float64]:
    """Area of every box."""
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).astype(np.float64).prod(1))


def iou(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.float64]:
    """Intersection over union, N×M."""
    shared = intersection(first, second)
    return np.asarray(shared / np.maximum(area(first)[:, None] + area(second)[None] - shared, 1e-9))
