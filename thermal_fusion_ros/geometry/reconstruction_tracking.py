"""Poses from the pictures themselves, where a recording has none: open3d's RGB-D odometry against key frames.

Every frame is aligned with the last key frame, from where constant motion would have it; a new key frame is taken when
the view has moved on. So error grows with the way and not with the number of frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.geometry.poses import Matrix, PoseError, interpolated, inverse, turn_between
from thermal_fusion_ros.geometry.reconstruction_volume import Flat, open3d

# Optical axes (x right, y down, z ahead) in a body frame of x ahead, y left, z up (REP-103).
BODY_FROM_OPTICAL: Matrix = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]], np.float64)

WIDTH_PX = 320  # pictures are aligned at this width at most
ITERATIONS = (20, 12, 8)  # coarse to fine
OUTLIER_M = 0.15  # points farther apart are not the same
LEAST_FITNESS = 0.3  # share of the pixels that must find their partner
LONGEST_STEP_M, WIDEST_STEP_RAD = 1.5, 0.5  # between two frames: more is no motion but a mistake
KEY_STEP_M, KEY_STEP_RAD = 0.4, 0.14


@dataclass(frozen=True)
class _View:
    """A frame as open3d wants it."""

    image: Any
    k: Any


class RgbdOdometry:
    """Where each frame is, in a frame `odom` that starts at the first camera, z up if that one was level."""

    def __init__(self, max_depth_m: float) -> None:
        self._o3d = open3d()
        self._max_depth_m = max_depth_m
        self._key: tuple[_View, Matrix] | None = None
        self._last: tuple[int, Matrix] | None = None
        self._step: tuple[int, Matrix] = (1, np.eye(4))  # the last motion and how long it took, ns

    def track(self, flat: Flat, stamp_ns: int, *, colour: bool = True) -> Matrix:
        """`odom_from_camera` of the next frame. :class:`PoseError` (`tracking_lost`) when it can't be aligned.

        `colour`: the channels are a picture; otherwise shape alone is followed.
        """
        view = self._view(flat, colour)
        if self._key is None or self._last is None:
            self._key, self._last = (view, BODY_FROM_OPTICAL), (stamp_ns, BODY_FROM_OPTICAL)
            return BODY_FROM_OPTICAL
        before_ns, before = self._last
        took_ns, step = self._step
        share = np.clip((stamp_ns - before_ns) / took_ns, 0.0, 5.0)
        expected = before @ interpolated(np.eye(4), step, share)
        pose = self._align(view, expected, before, colour)
        if pose is None:  # it may have stopped
            pose = self._align(view, before, before, colour)
        if pose is None:
            raise PoseError(
                "tracking_lost", "RGB-D odometry found no way from the last key frame to this frame"
            )
        self._step = max(stamp_ns - before_ns, 1), inverse(before) @ pose
        self._last = stamp_ns, pose
        from_key = inverse(self._key[1]) @ pose
        if np.linalg.norm(from_key[:3, 3]) > KEY_STEP_M or turn_between(np.eye(4), from_key) > KEY_STEP_RAD:
            self._key = view, pose
        return pose

    def _align(self, view: _View, guess: Matrix, before: Matrix, colour: bool) -> Matrix | None:
        assert self._key is not None
        odometry = self._o3d.t.pipelines.odometry
        key, key_pose = self._key
        try:
            found = odometry.rgbd_odometry_multi_scale(
                view.image,
                key.image,
                view.k,
                self._o3d.core.Tensor(inverse(key_pose) @ guess),
                1.0,
                self._max_depth_m,
                [odometry.OdometryConvergenceCriteria(n) for n in ITERATIONS],
                odometry.Method.Hybrid if colour else odometry.Method.PointToPlane,
                odometry.OdometryLossParams(OUTLIER_M, OUTLIER_M / 2, 0.1),
            )
        except RuntimeError:  # a singular system: nothing to hold on to
            return None
        relative: Matrix = found.transformation.numpy()
        if not np.isfinite(relative).all() or found.fitness < LEAST_FITNESS:
            return None
        pose = key_pose @ relative
        too_far = np.linalg.norm(pose[:3, 3] - before[:3, 3]) > LONGEST_STEP_M
        return None if too_far or turn_between(before, pose) > WIDEST_STEP_RAD else pose

    def _view(self, flat: Flat, colour: bool) -> _View:
        every = max(1, round(flat.depth.shape[1] / WIDTH_PX))
        depth = flat.depth[::every, ::every]
        depth = np.where((depth > 0) & (depth < self._max_depth_m), depth, np.float32(np.nan))
        picture = cv2.blur(flat.channels, (every, every))[::every, ::every]
        grey = _evened(picture) if colour else np.zeros((*depth.shape, 3), np.uint8)
        k = flat.k.copy()
        k[:2] /= every  # every pixel that is left stays where it was
        o3d = self._o3d
        images = (o3d.t.geometry.Image(o3d.core.Tensor(np.ascontiguousarray(i))) for i in (grey, depth))
        return _View(o3d.t.geometry.RGBDImage(*images), o3d.core.Tensor(k))


def _evened(picture: NDArray[Any]) -> NDArray[np.uint8]:
    """H×W×3 uint8 of even brightness: cameras change their exposure, and nights are dark."""
    grey = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY)
    low, high = np.percentile(grey, (1, 99))
    scaled = np.clip((grey - low) * (255 / max(high - low, 16.0)), 0, 255).astype(np.uint8)
    return np.repeat(scaled[..., None], 3, axis=2)
