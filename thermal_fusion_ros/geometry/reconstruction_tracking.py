"""Poses from the pictures themselves, where a recording has none: open3d's RGB-D odometry against key frames.

Every frame is aligned with the last key frame, from where constant motion would have it; a new key frame is taken when
the view has moved on. So error grows with the way and not with the number of frames.

Shape comes first, with a wide catch, then brightness: that alone holds on to what moves along with the camera, such as
the light of the robot's own lamp, and shape alone slides along corridors and streets. Where both agree, shape, which is
the finer of the two, has the last word.
"""

from __future__ import annotations

from collections.abc import Iterator
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
CATCH_M, OUTLIER_M, FINE_M = (
    0.3,
    0.15,
    0.1,
)  # points farther apart are not the same: at first, and when refining
AGREE_M, AGREE_RAD = 0.015, 0.005
WORSE = 0.5  # of the usual fit: then other guesses are tried
USUAL = 0.9  # share of the past in what is usual
LEAST_FITNESS = 0.3  # share of the pixels that must find their partner
LONGEST_STEP_M, WIDEST_STEP_RAD = 1.5, 0.5  # between two frames: more is no motion but a mistake
KEY_STEP_M, KEY_STEP_RAD = 0.25, 0.1


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
        self._newest: tuple[_View, Matrix] | None = None  # the last frame that was found
        self._usual = 0.0
        self._last: tuple[int, Matrix] | None = None
        self._step: tuple[int, Matrix] = (1, np.eye(4))  # the last motion and how long it took, ns

    def track(self, flat: Flat, stamp_ns: int, *, colour: bool = True) -> Matrix:
        """`odom_from_camera` of the next frame. :class:`PoseError` (`tracking_lost`) when it can't be aligned.

        `colour`: the channels are a picture; otherwise shape alone is followed.
        """
        view = self._view(flat, colour)
        if self._key is None or self._newest is None or self._last is None:
            self._key = self._newest = view, BODY_FROM_OPTICAL
            self._last = stamp_ns, BODY_FROM_OPTICAL
            return BODY_FROM_OPTICAL
        before_ns, before = self._last
        took_ns, step = self._step
        share = np.clip((stamp_ns - before_ns) / took_ns, 0.0, 5.0)
        expected = before @ interpolated(np.eye(4), step, share)
        guesses = (expected, before)  # it may have stopped
        pose = self._align(view, self._key, guesses, before, colour)
        if pose is None and self._newest is not self._key:  # less has changed since the last frame
            self._key = self._newest
            pose = self._align(view, self._key, guesses, before, colour)
        if pose is None:
            raise PoseError(
                "tracking_lost", "RGB-D odometry found no way from the last key frame to this frame"
            )
        self._step = max(stamp_ns - before_ns, 1), inverse(before) @ pose
        self._last, self._newest = (stamp_ns, pose), (view, pose)
        from_key = inverse(self._key[1]) @ pose
        if np.linalg.norm(from_key[:3, 3]) > KEY_STEP_M or _turn(from_key) > KEY_STEP_RAD:
            self._key = self._newest
        return pose

    def _align(
        self,
        view: _View,
        key_frame: tuple[_View, Matrix],
        guesses: tuple[Matrix, ...],
        before: Matrix,
        colour: bool,
    ) -> Matrix | None:
        """The best pose that follows from one of the guesses; None when none is believable."""
        key, key_pose = key_frame
        best: tuple[float, Matrix] | None = None
        for guess in guesses:
            for fit, relative in self._answers(view, key, inverse(key_pose) @ guess, colour):
                pose = key_pose @ relative
                step = inverse(before) @ pose
                believable = np.linalg.norm(step[:3, 3]) < LONGEST_STEP_M and _turn(step) < WIDEST_STEP_RAD
                if believable and (best is None or fit > best[0]):
                    best = fit, pose
            if best is not None and best[0] > WORSE * self._usual:
                break
        if best is None:
            return None
        self._usual = USUAL * self._usual + (1 - USUAL) * best[0] if self._usual else best[0]
        return best[1]

    def _answers(
        self, view: _View, key: _View, guess: Matrix, colour: bool
    ) -> Iterator[tuple[float, Matrix]]:
        """What shape and brightness make of a guess: (how well they fit, `key_from_view`)."""
        shape = self._solve(view, key, guess, CATCH_M, colour=False)
        fine = None if shape is None else self._solve(view, key, shape[1], FINE_M, colour=False)
        if not colour:
            if fine is not None:
                yield fine
            return
        for start in (guess, *(found[1] for found in (fine,) if found is not None)):
            answer = self._solve(view, key, start, OUTLIER_M, colour=True)
            if answer is None:
                continue
            agrees = False
            if fine is not None:
                apart = inverse(answer[1]) @ fine[1]
                agrees = bool(np.linalg.norm(apart[:3, 3]) < AGREE_M) and _turn(apart) < AGREE_RAD
            yield (answer[0], fine[1]) if agrees and fine is not None else answer

    def _solve(
        self, view: _View, key: _View, guess: Matrix, outlier_m: float, *, colour: bool
    ) -> tuple[float, Matrix] | None:
        """(how well they fit, `key_from_view`); None when too little does."""
        odometry = self._o3d.t.pipelines.odometry
        try:
            found = odometry.rgbd_odometry_multi_scale(
                view.image,
                key.image,
                view.k,
                self._o3d.core.Tensor(guess),
                1.0,
                self._max_depth_m,
                [odometry.OdometryConvergenceCriteria(n) for n in ITERATIONS],
                odometry.Method.Hybrid if colour else odometry.Method.PointToPlane,
                odometry.OdometryLossParams(outlier_m, outlier_m / 2, 0.1),
            )
        except RuntimeError:  # a singular system: nothing to hold on to
            return None
        relative: Matrix = found.transformation.numpy()
        if not np.isfinite(relative).all() or found.fitness < LEAST_FITNESS:
            return None
        return found.fitness / max(found.inlier_rmse, 1e-9), _rigid(relative)

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


def _rigid(motion: Matrix) -> Matrix:
    """The nearest transform that only turns and shifts: the solver's is so to a few digits, and errors multiply."""
    out = motion.astype(np.float64)
    left, _, right = np.linalg.svd(out[:3, :3])
    out[:3, :3] = left @ np.diag([1.0, 1.0, np.linalg.det(left @ right)]) @ right
    return out


def _turn(motion: Matrix) -> float:
    return turn_between(np.eye(4), motion)


def _evened(picture: NDArray[Any]) -> NDArray[np.uint8]:
    """H×W×3 uint8 of even brightness: cameras change their exposure, and nights are dark."""
    grey = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY)
    low, high = np.percentile(grey, (1, 99))
    scaled = np.clip((grey - low) * (255 / max(high - low, 16.0)), 0, 255).astype(np.uint8)
    return np.repeat(scaled[..., None], 3, axis=2)
