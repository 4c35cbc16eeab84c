"""The transform between the cameras: the order of the points agreed between the spectra, then bundle adjustment.

Every view has its own board pose; the transform is common. Minimised is the distance between seen and projected
points in both pictures over poses, transform and, where the views are rich enough, the intrinsics as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from thermal_fusion_ros.calibration.board import FEWEST_POINTS, Board
from thermal_fusion_ros.calibration.detection import Detection
from thermal_fusion_ros.calibration.intrinsics import (
    CRITERIA,
    CameraCalibration,
    outlier,
    pose_matrix,
    reprojection_errors,
    rms,
)
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.sensing.camera import CameraModel, Floats
from thermal_fusion_ros.sensing.rig import Rig

FEWEST_SHARED_VIEWS = 3
FEWEST_VIEWS_TO_REFINE = 8  # with fewer, freeing the intrinsics trades focal length against distance
AGREEING_DEG = 5.0  # two views tell the same transform when their rotations differ by less
NEARLY_NO_COST = 1e-4  # per degree of rotation: prefers cameras that look the same way where views can't tell


@dataclass
class RigCalibration:
    """The rig with how well it explains the views seen by both cameras.

    `view_rms_px` per view is (RGB, thermal); `rms_px` is over all points of both pictures.
    """

    rig: Rig
    rms_px: float
    view_rms_px: dict[str, tuple[float, float]]
    dropped: dict[str, str] = field(default_factory=dict)
    refined_intrinsics: bool = False


def calibrate_rig(
    board: Board,
    rgb: CameraCalibration,
    thermal: CameraCalibration,
    rgb_views: Mapping[str, Detection],
    thermal_views: Mapping[str, Detection],
) -> RigCalibration:
    """The transform from views that both calibrations kept. Raises :class:`InputError` when too few are shared."""
    shared = [view for view in rgb.poses if view in thermal.poses]
    matches = {view: _common_points(rgb_views[view], thermal_views[view]) for view in shared}
    pairs = {view: pair for view, pair in matches.items() if pair is not None}
    if len(pairs) < FEWEST_SHARED_VIEWS:
        raise InputError(
            f"only {len(pairs)} views show the board to both cameras; at least {FEWEST_SHARED_VIEWS} are needed"
        )
    pairs, dropped = _agree_on_order(board, rgb, thermal, pairs)
    while True:
        result = _adjust(board, rgb.camera, thermal.camera, pairs)
        both = {view: float(np.hypot(*errors) / np.sqrt(2)) for view, errors in result.view_rms_px.items()}
        worst = outlier(both, FEWEST_SHARED_VIEWS + 1)
        if worst is None:
            result.dropped = dropped
            return result
        dropped[worst] = (
            f"stereo reprojection error {both[worst]:.2f} px stands out (did the board move between the exposures?)"
        )
        del pairs[worst]


Pair = tuple[Detection, Detection]


def _common_points(rgb: Detection, thermal: Detection) -> Pair | None:
    ids, in_rgb, in_thermal = np.intersect1d(rgb.ids, thermal.ids, return_indices=True)
    if len(ids) < FEWEST_POINTS:
        return None
    return Detection(rgb.pixels[in_rgb], ids, rgb.size), Detection(
        thermal.pixels[in_thermal], ids, thermal.size
    )


def _agree_on_order(
    board: Board, rgb: CameraCalibration, thermal: CameraCalibration, pairs: dict[str, Pair]
) -> tuple[dict[str, Pair], dict[str, str]]:
    """Renumber the thermal points so that all views tell the same transform; views that can't are dropped.

    Seen through a symmetry of the board, each view tells its own wrong transform; only the right one is common.
    """
    orders = board.symmetries
    turns = [_as_motion(board, order) for order in orders]
    transforms = {
        view: [thermal.poses[view] @ np.linalg.inv(turn) @ np.linalg.inv(rgb.poses[view]) for turn in turns]
        for view in pairs
    }

    def distances(reference: Floats, view: str) -> list[float]:
        return [_angle_deg(t[:3, :3] @ reference[:3, :3].T) for t in transforms[view]]

    def disagreement(reference: Floats) -> float:
        votes = [min(min(distances(reference, view)) / AGREEING_DEG, 1.0) for view in pairs]
        return sum(votes) + NEARLY_NO_COST * _angle_deg(reference[:3, :3])

    best = min((t for options in transforms.values() for t in options), key=disagreement)
    agreed, dropped = {}, {}
    for view, (seen, felt) in pairs.items():
        angles = distances(best, view)
        if min(angles) < AGREEING_DEG:
            agreed[view] = seen, felt.renumbered(orders[int(np.argmin(angles))])
        else:
            dropped[view] = (
                f"tells another transform between the cameras than the rest ({min(angles):.0f}° off)"
            )
    if len(agreed) < FEWEST_SHARED_VIEWS:
        raise InputError(
            "the views do not agree on one transform between the cameras; are the pictures of a view synchronised?"
        )
    return agreed, dropped


def _as_motion(board: Board, order: np.ndarray) -> Floats:
    """The symmetry as a 4×4 motion: it takes point i to point order[i]."""
    middle = (board.points.min(axis=0) + board.points.max(axis=0)) / 2
    rotation = Rotation.align_vectors(board.points[order] - middle, board.points - middle)[0]
    return pose_matrix(rotation.as_matrix(), middle - rotation.apply(middle))


def _angle_deg(rotation: Floats) -> float:
    return float(np.degrees(Rotation.from_matrix(rotation).magnitude()))


def _adjust(
    board: Board, rgb: CameraModel, thermal: CameraModel, pairs: Mapping[str, Pair]
) -> RigCalibration:
    """Bundle adjustment over the transform and all board poses, and the intrinsics when there are views enough."""
    same_model = rgb.distortion_model == thermal.distortion_model != "equidistant"
    refine = same_model and len(pairs) >= FEWEST_VIEWS_TO_REFINE
    board_points = [board.points[a.ids].astype(np.float32)[:, None] for a, _ in pairs.values()]
    if refine:
        free = cv2.CALIB_RATIONAL_MODEL if rgb.distortion_model == "rational_polynomial" else cv2.CALIB_FIX_K3
        flags, cameras = cv2.CALIB_USE_INTRINSIC_GUESS | free, (rgb, thermal)
        pixels = [[d.pixels[:, None] for d in side] for side in zip(*pairs.values(), strict=True)]
    else:
        # Distortion is undone first, so that any pair of lens models can be adjusted.
        flags, cameras = cv2.CALIB_FIX_INTRINSIC, (rgb.pinhole, thermal.pinhole)
        pixels = [
            [ideal_pixels(camera, d)[:, None] for d in side]
            for camera, side in zip((rgb, thermal), zip(*pairs.values(), strict=True), strict=True)
        ]
    (k1, d1), (k2, d2) = ((camera.k.copy(), camera.d.copy()) for camera in cameras)
    _, *solved, rotation, translation, _, _, rotations, translations, _ = cv2.stereoCalibrateExtended(
        board_points, pixels[0], pixels[1], k1, d1, k2, d2, rgb.size, np.eye(3), np.zeros((3, 1)),
        flags=flags, criteria=CRITERIA,
    )  # fmt: skip
    if refine:
        rgb, thermal = _with_numbers(rgb, *solved[:2]), _with_numbers(thermal, *solved[2:])
    rig = Rig(rgb, thermal, np.asarray(rotation, np.float64), np.ravel(translation))
    step = pose_matrix(rotation, translation)
    errors = {}
    for (view, pair), r, t in zip(pairs.items(), rotations, translations, strict=True):
        pose = pose_matrix(r, t)
        errors[view] = (
            reprojection_errors(board, rgb, pose, pair[0]),
            reprojection_errors(board, thermal, step @ pose, pair[1]),
        )
    return RigCalibration(
        rig,
        rms(np.concatenate([e for both in errors.values() for e in both])),
        {view: (rms(a), rms(b)) for view, (a, b) in errors.items()},
        refined_intrinsics=refine,
    )


def ideal_pixels(camera: CameraModel, detection: Detection) -> np.ndarray:
    """Where an undistorted camera with the same matrix would have seen the points."""
    return camera.pinhole.project(camera.unproject(detection.pixels.astype(np.float64))).astype(np.float32)


def _with_numbers(camera: CameraModel, k: np.ndarray, d: np.ndarray) -> CameraModel:
    return CameraModel(
        *camera.size, k, np.ravel(d)[: camera.d.size], camera.distortion_model, name=camera.name
    )
