"""What a detector says of a picture."""

from __future__ import annotations

from typing import NamedTuple

LABELS = ("person", "car", "truck", "bus", "motorcycle", "bicycle", "traffic light")

Box = tuple[float, float, float, float]  # x0 y0 x1 y1, pixels


class Detection(NamedTuple):
    """An object of the kind `label`, one of :data:`LABELS`, in `box`; `score` 0..1."""

    label: str
    box: Box
    score: float = 1.0
