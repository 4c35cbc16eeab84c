"""What the views leave unseen, and which ones to take next."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from thermal_fusion_ros.calibration.detection import Detection
from thermal_fusion_ros.calibration.intrinsics import CameraCalibration
from thermal_fusion_ros.sensing.camera import Floats

GRID = (3, 3)  # rows, columns
PLACES = (
    ("upper left", "top", "upper right"),
    ("left", "middle", "right"),
    ("lower left", "bottom", "lower right"),
)
ENOUGH_VIEWS = 15
ENOUGH_TILT_DEG = 15.0  # a focal length is told from distance by foreshortening
ENOUGH_TILTED_SHARE = 0.3
ENOUGH_SIZE_RATIO = 1.3  # nearest over farthest board
LARGEST_DEVIATION = 0.005  # of the focal length


def covered(detections: Mapping[str, Detection]) -> Floats:
    """Share of the views with a point in each cell of a 3×3 grid over the picture."""
    counts = np.zeros(GRID)
    for detection in detections.values():
        cells = (detection.pixels[:, ::-1] / detection.size[::-1] * GRID).astype(int)
        hit = np.zeros(GRID, dtype=bool)
        hit[tuple(np.clip(cells, 0, np.array(GRID) - 1).T)] = True
        counts += hit
    return counts / max(1, len(detections))


def advice(calibration: CameraCalibration, detections: Mapping[str, Detection]) -> list[str]:
    """Lines such as "thermal: no view reaches the upper left"; empty when the views are good."""
    name = calibration.camera.name
    used = {view: detections[view] for view in calibration.poses}
    lines = []
    if len(used) < ENOUGH_VIEWS:
        lines.append(f"{name}: {len(used)} views; take {ENOUGH_VIEWS} or more")
    share = covered(used)
    empty = [PLACES[row][column] for row, column in np.argwhere(share == 0)]
    if empty:
        lines.append(f"{name}: no view reaches the {', '.join(empty)} of the picture")
    tilts = [np.degrees(np.arccos(min(1.0, abs(pose[2, 2])))) for pose in calibration.poses.values()]
    if np.mean(np.array(tilts) > ENOUGH_TILT_DEG) < ENOUGH_TILTED_SHARE:
        lines.append(f"{name}: most views are frontal; tilt the board by 20° to 40°")
    distances = [float(pose[2, 3]) for pose in calibration.poses.values()]
    if max(distances) < ENOUGH_SIZE_RATIO * min(distances):
        lines.append(f"{name}: all views are from the same distance; take some nearer and some farther")
    if calibration.deviation is not None:
        focal = float(calibration.deviation[0] / calibration.camera.k[0, 0])
        if focal > LARGEST_DEVIATION:
            lines.append(f"{name}: focal length known to ±{100 * focal:.1f} % only; take more tilted views")
    return lines
