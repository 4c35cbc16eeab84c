"""What single pictures say about the scale of relative depth: the ground, objects of known height, range points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.detections import Box, Detection
from thermal_fusion_ros.geometry.ground import Ground
from thermal_fusion_ros.sensing.camera import CameraModel, Floats

F32 = NDArray[np.float32]

# Metres, and the spread of their logarithm over what is met on streets and in halls (adults, passenger cars, ...).
HEIGHTS = {
    "person": (1.70, 0.07),
    "car": (1.52, 0.10),
    "truck": (3.0, 0.25),
    "bus": (3.05, 0.10),
    "bicycle": (1.07, 0.10),
    "motorcycle": (1.15, 0.12),
}
LEAST_SCORE = 0.5
HIDDEN = 0.1  # share of a box
LEAST_BOX_PX = 20  # height; lower boxes are too coarse
BOX_ERROR_PX = 1.5  # of the height of a box
RIM_PX = 1.5  # a box this close to the edge of the picture may be cut off
INNER = 0.5  # of a box's width and height: where the object is and not what is behind it
OF_OBJECT = 25  # percentile of the depth there
EDGE_PX = 1.5  # of the depth picture, over which networks mix an object with what is behind
OBJECTS_ALIKE = 0.03  # error that all objects of a picture share

FEWEST_RANGES = 8
RANGE_CELLS = 40  # per picture width: points that share a cell may hide each other
BEHIND = 1.25  # times as far as the nearest in its cell: hidden from the RGB camera
RANGE_WINDOW = 0.25  # of log ratio about the median
LEAST_RANGE_SPREAD = 0.03
RANGES_ALIKE = 10  # independent ones at most: errors of depth are smooth
RANGE_ERROR = 0.02  # that all points share: extrinsics, timing


@dataclass(frozen=True)
class Reading:
    """metres = exp(`log_scale`) · relative depth; `sigma` is the standard error of `log_scale`."""

    log_scale: float
    sigma: float


def from_ground(ground: Ground, camera_height_m: float) -> Reading:
    """The camera's height above the ground (metres) over the fitted one."""
    return Reading(float(np.log(camera_height_m / ground.height)), ground.sigma)


def from_objects(
    objects: Sequence[Detection], relative: F32, camera: CameraModel, uncertainty: F32 | None = None
) -> Reading | str:
    """Heights of people and vehicles over what `relative` depth (any size, NaN invalid) makes of their boxes.

    `uncertainty` (same size) is the sigma of log depth: people far away are taken for what is behind them. A reason in
    words when no box can be used. The camera is taken to be roughly level.
    """
    logs, variances = [], []
    for detection in objects:
        box = detection.box
        by_height = depth_by_height(detection, objects, camera)
        distance = inner_depth(relative, box, camera, OF_OBJECT)
        own = 0.0 if uncertainty is None else inner_depth(uncertainty, box, camera, 50)
        if by_height is None or not np.isfinite([distance, own]).all():
            continue
        logs.append(np.log(by_height[0] / distance))
        across = (box[2] - box[0]) * relative.shape[1] / camera.width
        variances.append(by_height[1] ** 2 + (EDGE_PX / max(across, 1)) ** 2 + own**2)
    if not logs:
        return "no fully visible object of known height"
    values, weights = np.array(logs), 1 / np.array(variances)
    centre = _weighted_median(values, weights)
    # One child or one box of two people must not move the others.
    weights = weights * (np.abs(values - centre) < 3 / np.sqrt(weights))
    mean = float((values * weights).sum() / weights.sum())
    return Reading(mean, float(np.sqrt(1 / weights.sum() + OBJECTS_ALIKE**2)))


def depth_by_height(
    detection: Detection, others: Sequence[Detection], camera: CameraModel
) -> tuple[float, float] | None:
    """Depth (metres along the optical axis) of an object of known height, and the sigma of its logarithm.

    None where its kind says nothing, or `others` of the same picture may hide a part of it. The camera is taken to be
    roughly level.
    """
    label, box, _ = detection
    known = HEIGHTS.get(label)
    if known is None or not _inside(box, camera) or _unsure(detection, others):
        return None
    middle = (box[0] + box[2] - 1) / 2
    edges = camera.unproject(np.array([[middle, box[1] - 0.5], [middle, box[3] - 0.5]]))
    extent = float(edges[1, 1] - edges[0, 1])
    if not extent > 0:
        return None
    return known[0] / extent, float(np.hypot(known[1], BOX_ERROR_PX / (box[3] - box[1])))


def _unsure(detection: Detection, others: Sequence[Detection]) -> bool:
    """Whether this may be no object at all, or a nearer one (its lower edge is lower) hides a part of it."""
    x0, y0, x1, y1 = detection.box
    for other in others:
        if other is detection or other.box[3] <= y1:
            continue
        wide = min(x1, other.box[2]) - max(x0, other.box[0])
        high = min(y1, other.box[3]) - max(y0, other.box[1])
        if min(wide, high) > 0 and wide * high > HIDDEN * (x1 - x0) * (y1 - y0):
            return True
    return detection.score < LEAST_SCORE


def _inside(box: Box, camera: CameraModel) -> bool:
    x0, y0, x1, y1 = box
    return (
        y1 - y0 >= LEAST_BOX_PX
        and x1 - x0 >= 2
        and x0 > RIM_PX
        and y0 > RIM_PX
        and x1 < camera.width - RIM_PX
        and y1 < camera.height - RIM_PX
    )


def inner_depth(values: F32, box: Box, camera: CameraModel, percentile: float) -> float:
    """A percentile of the positive `values` where the object in `box` (pixels of `camera`) is; NaN without any.

    Of its depth not the median: blur and gaps between limbs mix in what is behind, and nothing is in front.
    """
    zoom = np.array([values.shape[1] / camera.width, values.shape[0] / camera.height])
    low, high = np.array(box[:2]) * zoom, np.array(box[2:]) * zoom
    middle, half = (low + high) / 2, (high - low) / 2 * INNER
    (x0, y0), (x1, y1) = np.floor(middle - half).astype(int), np.ceil(middle + half).astype(int)
    inner = values[max(0, y0) : y1, max(0, x0) : x1]
    inner = inner[inner > 0]
    return float(np.percentile(inner, percentile)) if inner.size else float("nan")


def _weighted_median(values: Floats, weights: Floats) -> float:
    order = np.argsort(values)
    share = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(share, share[-1] / 2)])


def from_range(points: Floats, relative: F32, camera: CameraModel) -> Reading | str:
    """Distances of `points` (N×3 metres, RGB optical frame) over `relative` depth where they are seen.

    Points that the RGB camera cannot see, because the range sensor looks past an edge, are left out: those behind
    a nearer one, and those where depth jumps. A reason in words when too few are left.
    """
    points = np.asarray(points, float).reshape(-1, 3)
    pixels = camera.project(points)
    with np.errstate(invalid="ignore"):
        seen = ((pixels > -0.5) & (pixels < np.array(camera.size) - 0.5)).all(axis=1)
    pixels, z = pixels[seen], points[seen, 2]
    if len(z) < FEWEST_RANGES:
        return f"{len(z)} range points in view, needs {FEWEST_RANGES}"
    height, width = relative.shape
    x = np.clip(((pixels[:, 0] + 0.5) * width / camera.width).astype(int), 0, width - 1)
    y = np.clip(((pixels[:, 1] + 0.5) * height / camera.height).astype(int), 0, height - 1)
    depth = relative[y, x].astype(float)
    usable = (depth > 0) & _in_front(pixels, z, camera) & _on_a_surface(relative)[y, x]
    if usable.sum() < FEWEST_RANGES:
        return f"{int(usable.sum())} range points on visible surfaces, needs {FEWEST_RANGES}"
    ratio = np.log(z[usable] / depth[usable])
    centre = float(np.median(ratio))
    for _ in range(3):
        near = ratio[np.abs(ratio - centre) < RANGE_WINDOW]
        if len(near) < max(FEWEST_RANGES, 0.4 * len(ratio)):
            return "range points and depth do not go together"
        centre = float(np.median(near))
    spread = max(LEAST_RANGE_SPREAD, float(1.2533 * near.std()))
    return Reading(centre, float(np.hypot(spread / np.sqrt(min(len(near), RANGES_ALIKE)), RANGE_ERROR)))


def _in_front(pixels: Floats, z: Floats, camera: CameraModel) -> NDArray[np.bool_]:
    """Whether no point in the same part of the picture is much nearer (N,)."""
    cells = (pixels * RANGE_CELLS / camera.width).astype(int) + 1
    rows = int(RANGE_CELLS * camera.height / camera.width) + 3
    nearest = np.full((rows, RANGE_CELLS + 3), np.inf, np.float32)
    np.minimum.at(nearest, (cells[:, 1], cells[:, 0]), z.astype(np.float32))
    return np.asarray(z <= BEHIND * nearest[cells[:, 1], cells[:, 0]])


def _on_a_surface(relative: F32) -> NDArray[np.bool_]:
    """Where depth does not jump between neighbours (H×W)."""
    filled = np.where(relative > 0, relative, np.float32(0))
    kernel = np.ones((3, 3), np.uint8)
    return np.asarray(cv2.dilate(filled, kernel) < BEHIND * cv2.erode(filled, kernel))
