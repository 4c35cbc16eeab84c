"""One camera from its views of a board (Zhang 2000, as OpenCV does it), with bad views named and left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.calibration.board import Board
from thermal_fusion_ros.calibration.detection import Detection
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.sensing.camera import CameraModel, Floats

FEWEST_VIEWS = 4  # three determine a pinhole; a fourth lets one be doubted
OUTLIER_RATIO = 2.0  # a view this many times worse than the median view is left out
HARMLESS_PX = 0.15  # no view better than this is an outlier
CRITERIA = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 200, 1e-9)
MODEL_CHOICES = ("plumb_bob", "rational_polynomial", "equidistant")


@dataclass
class CameraCalibration:
    """A camera with how well it explains its views.

    `poses` holds 4×4 camera-from-board matrices; `view_rms_px` the RMS distance between seen and projected points;
    `dropped` the views left out, with the reason; `deviation` one standard deviation of (fx, fy, cx, cy), pixels,
    where the solver tells.
    """

    camera: CameraModel
    rms_px: float
    view_rms_px: dict[str, float]
    poses: dict[str, Floats]
    dropped: dict[str, str] = field(default_factory=dict)
    deviation: Floats | None = None


def calibrate_camera(
    board: Board, detections: Mapping[str, Detection], *, name: str, model: str = "plumb_bob"
) -> CameraCalibration:
    """Intrinsics from views by name. Raises :class:`InputError` when there are too few or they disagree in size."""
    if model not in MODEL_CHOICES:
        raise InputError(f"camera model {model!r} is not one of {', '.join(MODEL_CHOICES)}")
    if len(detections) < FEWEST_VIEWS:
        raise InputError(
            f"{name}: the board was found in {len(detections)} views; at least {FEWEST_VIEWS} are needed "
            "(check --board and --corners, or take more views)"
        )
    sizes = {d.size for d in detections.values()}
    if len(sizes) > 1:
        raise InputError(f"{name}: pictures of different sizes: {sorted(sizes)}")
    dropped: dict[str, str] = {}
    used = dict(detections)
    while True:
        result = _solve(board, used, name, model)
        worst = outlier(result.view_rms_px, FEWEST_VIEWS)
        if worst is None:
            result.dropped = dropped
            return result
        dropped[worst] = f"{name} reprojection error {result.view_rms_px[worst]:.2f} px stands out"
        del used[worst]


def outlier(view_rms_px: Mapping[str, float], fewest: int) -> str | None:
    """The worst view, if it stands out from the others and enough would be left."""
    if len(view_rms_px) <= fewest:
        return None
    worst = max(view_rms_px, key=lambda view: view_rms_px[view])
    limit = max(HARMLESS_PX, OUTLIER_RATIO * float(np.median(list(view_rms_px.values()))))
    return worst if view_rms_px[worst] > limit else None


def point_lists(
    board: Board, detections: Mapping[str, Detection]
) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]:
    """Board points and pixels of every view, in the shapes that every OpenCV takes."""
    board_points = [board.points[d.ids].astype(np.float32)[:, None] for d in detections.values()]
    return board_points, [d.pixels.astype(np.float32)[:, None] for d in detections.values()]


def reprojection_errors(board: Board, camera: CameraModel, pose: Floats, detection: Detection) -> Floats:
    """Seen minus projected pixels, N×2."""
    points = board.points[detection.ids] @ pose[:3, :3].T + pose[:3, 3]
    return detection.pixels - camera.project(points)


def rms(errors: Floats) -> float:
    """Root mean square length of N×2 errors."""
    return float(np.sqrt((errors**2).sum(axis=1).mean()))


def pose_matrix(rotation: NDArray, translation: NDArray) -> Floats:
    """4×4 from OpenCV's rotation vector (or matrix) and translation."""
    pose = np.eye(4)
    pose[:3, :3] = rotation if np.shape(rotation) == (3, 3) else cv2.Rodrigues(np.asarray(rotation))[0]
    pose[:3, 3] = np.ravel(translation)
    return pose


def _solve(board: Board, detections: Mapping[str, Detection], name: str, model: str) -> CameraCalibration:
    board_points, pixels = point_lists(board, detections)
    size = next(iter(detections.values())).size
    deviation = None
    try:
        if model == "equidistant":
            _, matrix, distortion, rotations, translations = _solve_fisheye(board_points, pixels, size)
        else:
            # A sixth-order radial term needs views that fill the corners; without them it bends the picture's edge.
            flags = cv2.CALIB_RATIONAL_MODEL if model == "rational_polynomial" else cv2.CALIB_FIX_K3
            _, matrix, distortion, rotations, translations, spread, *_ = cv2.calibrateCameraExtended(
                board_points, pixels, size, np.eye(3), np.zeros(5), flags=flags, criteria=CRITERIA
            )
            deviation = np.ravel(spread)[:4].astype(np.float64)
            distortion = np.ravel(distortion)[: 5 if model == "plumb_bob" else 8]
    except cv2.error as error:
        raise InputError(
            f"{name}: the views do not determine a camera; tilt the board more ({error.err})"
        ) from error
    camera = CameraModel(*size, matrix, distortion, model, name=name)
    poses = {view: pose_matrix(r, t) for view, r, t in zip(detections, rotations, translations, strict=True)}
    errors = {view: reprojection_errors(board, camera, poses[view], d) for view, d in detections.items()}
    return CameraCalibration(
        camera,
        rms(np.concatenate(list(errors.values()))),
        {view: rms(e) for view, e in errors.items()},
        poses,
        deviation=deviation,
    )


def _solve_fisheye(board_points: list[NDArray], pixels: list[NDArray], size: tuple[int, int]) -> tuple:
    """OpenCV 4 keeps the flags in cv2.fisheye, OpenCV 5 in cv2."""

    def flag(short: str) -> int:
        return int(getattr(cv2.fisheye, short, None) or getattr(cv2, short))

    flags = flag("CALIB_RECOMPUTE_EXTRINSIC") | flag("CALIB_FIX_SKEW")
    doubles = [p.astype(np.float64).reshape(1, -1, 3) for p in board_points]
    seen = [p.astype(np.float64).reshape(1, -1, 2) for p in pixels]
    return cv2.fisheye.calibrate(
        doubles, seen, size, np.zeros((3, 3)), np.zeros((4, 1)), flags=flags, criteria=CRITERIA
    )
