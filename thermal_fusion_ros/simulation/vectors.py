"""Arithmetic on N×3 arrays that OpenCV does several times faster than numpy.

numpy's matrix products wake a pool of threads that spins for longer than such a product takes, and broadcasting over an
inner axis of three is slow; `cv2.transform` is one tight loop.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from thermal_fusion_ros.simulation.mesh import F32


def _transform(a: NDArray[Any], matrix: NDArray[Any]) -> F32:
    n = len(a)
    if not n:
        return np.zeros((0, len(matrix)), np.float32)
    channels = 1 if a.ndim == 1 else a.shape[1]
    out: Any = cv2.transform(np.ascontiguousarray(a, np.float32).reshape(n, 1, channels), matrix)
    return np.asarray(out).reshape(n, -1)


def turned(a: F32, matrix: ArrayLike) -> F32:
    """Rows of N×3 times a K×3 matrix: N×K."""
    return _transform(a, np.asarray(matrix, np.float32))


def carried(poses: F32, points: F32) -> F32:
    """N×3 points, each moved by a 4×4 pose of its own."""
    return np.einsum("nij,nj->ni", poses[:, :3, :3], points) + poses[:, :3, 3]


def dot(a: F32, v: ArrayLike) -> F32:
    """N dot products of N×3 with one vector."""
    return _transform(a, np.asarray(v, np.float32).reshape(1, 3))[:, 0]


def row_dot(a: F32, b: F32) -> F32:
    """N dot products of the rows of two N×3 arrays."""
    return _transform(np.multiply(a, b, dtype=np.float32), np.ones((1, 3), np.float32))[:, 0]


def spread(x: F32, color: ArrayLike, offset: ArrayLike = 0.0) -> F32:
    """N numbers times a colour plus another: N×3."""
    last = np.broadcast_to(np.asarray(offset, np.float32), (3,))
    return _transform(x, np.stack([np.asarray(color, np.float32), last], 1))
