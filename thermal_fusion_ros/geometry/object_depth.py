"""People who are found are no farther away in depth than their height allows.

A depth network that does not see somebody at night or in smoke says what is behind; who is found by heat is then in the
cloud where nobody stands. How tall people are says how far somebody can be at most: children, and people who sit or
whose feet are hidden, look farther than they are, so nobody is ever moved away from the robot. Vehicles stay where they
are: a van is no car that is near.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.detections import Detection
from thermal_fusion_ros.geometry.scale_readings import INNER, OF_OBJECT, depth_by_height, inner_depth
from thermal_fusion_ros.sensing.camera import CameraModel

F32 = NDArray[np.float32]

BOX_SIGMA = (
    0.1  # of the height of a detected box, and of how it stands: measured on simulated training pictures
)
SURFACE = 0.5  # of log depth: what differs less from the middle of a box is the same
PERSON = "person"


def brought_nearer(
    relative: F32, sigma: F32, metres_each: float, objects: Sequence[Detection], camera: CameraModel
) -> tuple[F32, F32]:
    """Depth (h×w, units of `metres_each`) and sigma (of its logarithm); new arrays where somebody is moved.

    Somebody is moved who is farther than the height in the picture allows by more than a standard error of that: to
    there come the middle of the box, from head to foot, and what lies about as far. Boxes of `objects` are pixels of
    `camera`.
    """
    moved = False
    for found in objects:
        if found.label != PERSON:
            continue
        by_height = depth_by_height(found, objects, camera)
        said = inner_depth(relative, found.box, camera, OF_OBJECT)
        if by_height is None or not np.isfinite(said):
            continue
        error = float(np.hypot(by_height[1], BOX_SIGMA))
        most = by_height[0] / metres_each
        if said < most * np.exp(error):
            continue
        if not moved:
            relative, sigma, moved = relative.copy(), sigma.copy(), True
        box = _pixels(found, relative.shape, camera)
        part = relative[box]
        its = np.abs(np.log(part / said)) < SURFACE
        wide = part.shape[1]
        its[:, round(wide * (1 - INNER) / 2) : round(wide * (1 + INNER) / 2)] = True
        its &= part > most
        part[its] = most
        sigma[box][its] = error
    return relative, sigma


def _pixels(found: Detection, shape: tuple[int, ...], camera: CameraModel) -> tuple[slice, slice]:
    x, y = shape[1] / camera.width, shape[0] / camera.height
    x0, y0, x1, y1 = (round(edge * zoom) for edge, zoom in zip(found.box, (x, y, x, y), strict=True))
    return slice(max(y0, 0), max(y1, 0)), slice(max(x0, 0), max(x1, 0))
