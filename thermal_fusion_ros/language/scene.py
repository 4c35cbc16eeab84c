"""What a caption is made from: the objects in sight, how far, where and how warm they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.detections import LABELS, Box, Detection
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.language.visibility import Visibility
from thermal_fusion_ros.sensing.camera import CameraModel


@dataclass(frozen=True, slots=True)
class SeenObject:
    """One detected object.

    `label` is one of :data:`LABELS`; `box` x0 y0 x1 y1 pixels; `score` 0..1; `depth` along the optical axis, farther
    is larger: metres if `metric`, else in any unit (that of ``Scene.median_depth``); None or NaN where unknown.
    `sigma` is the relative standard deviation of that depth, scale included. `bearing_deg` is left positive (REP-103).
    `size` is the share of the picture that the box covers; `heat` (-1..1) how much brighter the object is in the
    thermal display than what surrounds it; `temperature_k` its median where the camera is radiometric. `view` is the
    box on a plane at depth 1, in the optical frame (x right, y down): times `depth` it is the object's outline.
    """

    label: str
    box: Box
    score: float = 1.0
    depth: float | None = None
    metric: bool = False
    sigma: float = 0.0
    bearing_deg: float = 0.0
    size: float = 0.0
    heat: float = 0.0
    temperature_k: float | None = None
    view: Box = (0.0, 0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        if self.label not in LABELS:
            raise InputError(f"caption: object {self.label!r} is none of {', '.join(LABELS)}")

    @property
    def distance(self) -> float | None:
        """Straight distance on the ground, in the unit of `depth`; None where unknown."""
        if self.depth is None or not math.isfinite(self.depth) or self.depth <= 0:
            return None
        return self.depth / max(math.cos(math.radians(self.bearing_deg)), 0.1)


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything a caption tells of one moment.

    `stamp_ns` is the stamp of the picture and `width` its width in pixels; `median_depth` that of the picture, in the
    unit of the objects' depth: what "near" and "far" are measured against where there are no metres.
    """

    stamp_ns: int
    objects: tuple[SeenObject, ...]
    visibility: Visibility | None = None
    median_depth: float | None = None
    width: int | None = None


def see(
    detections: Sequence[Detection],
    thermal: NDArray[np.uint8],
    depth: NDArray[np.float32] | None = None,
    *,
    camera: CameraModel,
    metric: bool = False,
    sigma: float = 0.0,
    depth_sigma: NDArray[np.float32] | None = None,
    temperature_k: NDArray[np.float32] | None = None,
) -> tuple[SeenObject, ...]:
    """Detections with the distance, bearing and heat that the other images give them.

    In the RGB frame: `thermal` H×W, the display image; `depth` h×w of any size, along the optical axis (NaN: unknown),
    and `depth_sigma`, its relative uncertainty; `temperature_k` H×W kelvin (NaN: invalid). `camera`: the RGB one.
    `metric` and `sigma`, the relative uncertainty of what all of it is multiplied by, belong to
    `depth`.
    """
    height, width = thermal.shape
    views = _views([found.box for found in detections], camera)
    seen = []
    for (label, box, score), view in zip(detections, views, strict=True):
        x0, y0, x1, y1 = box
        inner = _inside(box, 0.5, 0.6, height, width)
        if inner is None:
            continue
        near = (
            None
            if depth is None
            else _inside(_zoomed(box, thermal.shape, depth.shape), 0.5, 0.6, *depth.shape)
        )
        distance = None if depth is None or near is None else _median(depth[near])
        unsure = None if depth_sigma is None or near is None else _median(depth_sigma[near])
        seen.append(
            SeenObject(
                label,
                box,
                score,
                depth=distance,
                metric=metric and depth is not None,
                sigma=sigma if unsure is None else math.hypot(sigma, unsure),
                bearing_deg=math.degrees(math.atan(-0.5 * (view[0] + view[2]))),
                view=view,
                size=min(max((x1 - x0) * (y1 - y0) / (height * width), 0.0), 1.0),
                heat=_heat(thermal, box, inner),
                temperature_k=None if temperature_k is None else _median(temperature_k[inner]),
            )
        )
    return tuple(seen)


def _views(boxes: Sequence[Box], camera: CameraModel) -> list[Box]:
    """Tangents of the angles from the axis at which the edges of boxes lie, in their middles."""
    middles = [
        [((x0, (y0 + y1) / 2), (x1, (y0 + y1) / 2)), (((x0 + x1) / 2, y0), ((x0 + x1) / 2, y1))]
        for x0, y0, x1, y1 in boxes
    ]
    pixels = np.array(middles, np.float64).reshape(-1, 2)
    rays, straight = camera.unproject(pixels), camera.pinhole.unproject(pixels)
    rays = np.where(np.isfinite(rays), rays, straight)  # beyond what the lens model reaches
    return [
        (float(left[0]), float(top[1]), float(right[0]), float(bottom[1]))
        for left, right, top, bottom in rays.reshape(-1, 4, 3)
    ]


def _zoomed(box: Box, size: tuple[int, ...], other: tuple[int, ...]) -> Box:
    """The box in a picture of the same view but another size, rows by columns."""
    down, across = other[0] / size[0], other[1] / size[1]
    return box[0] * across, box[1] * down, box[2] * across, box[3] * down


def _heat(thermal: NDArray[np.uint8], box: Box, inner: tuple[slice, slice]) -> float:
    """Brightness of the box's middle less that of a frame around the box, -1..1."""
    height, width = thermal.shape
    around = _inside(box, 1.6, 1.2, height, width)
    own = _inside(box, 1.0, 1.0, height, width)
    assert around is not None
    assert own is not None
    frame = np.ones((height, width), bool)[around]
    y, x = around[0].start, around[1].start
    frame[own[0].start - y : own[0].stop - y, own[1].start - x : own[1].stop - x] = False
    if not frame.any():
        return 0.0
    return float(np.median(thermal[inner]) - np.median(thermal[around][frame])) / 255


def _median(values: NDArray[np.float32]) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if 2 * known.size > values.size else None


def _inside(box: Box, across: float, down: float, height: int, width: int) -> tuple[slice, slice] | None:
    """Rows and columns of `box` scaled about its middle, inside the picture; None if that is empty."""
    x, y = 0.5 * (box[0] + box[2]), 0.5 * (box[1] + box[3])
    half_w, half_h = 0.5 * across * (box[2] - box[0]), 0.5 * down * (box[3] - box[1])
    columns = slice(max(round(x - half_w), 0), min(max(round(x + half_w), round(x - half_w) + 1), width))
    rows = slice(max(round(y - half_h), 0), min(max(round(y + half_h), round(y - half_h) + 1), height))
    return (rows, columns) if rows.start < rows.stop and columns.start < columns.stop else None
