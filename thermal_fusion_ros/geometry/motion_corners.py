"""What corners tell when a camera has moved: how it has turned, and how large everything is.

The way between two pictures is known (odometry), the depth of the one up to a factor and with errors, the turn between
them nearly. Corners are tracked from the one to the other as it would look from there; what they miss along the
epipolar lines is depth, and what all of it has in common is its scale.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.geometry.poses import Matrix

F32 = NDArray[np.float32]

TURN_SIGMA = np.radians(0.5)  # of odometry, between two pictures
MOST_TURNED = np.radians(3.0)  # more is no correction
SCALE_SIGMA = 1.0  # of log scale, before corners say anything
NEARLY = 0.05  # of log scale: what is left to correct does not bend a corner's way
LARGEST_STEP = 0.6  # of log scale, at a time
MOST_STEPS = 8  # for one picture, whatever it is compared with: the scale is nearly always known
PATCH = (11, 11)  # pixels around a corner that are tracked
TRACKED_PX, THERE_AND_BACK_PX = 0.2, 0.3  # precision of a tracked corner; how far it may miss itself
MOST_CORNERS, FEWEST_CORNERS = 300, 30
STEP = 0.02  # of log depth, for a derivative
RIM_PX = 2


class Sweep:
    """Where the pixels of the present view (`rays` h×w×3 through them) lie in the picture of another place.

    `k` of that picture, which is undistorted; `there` takes points of the present camera to it; `depth` h×w, of which
    offsets are logarithms of what it has to be multiplied by.
    """

    def __init__(self, rays: F32, k: Matrix, there: Matrix, depth: F32) -> None:
        self.rays, self.k, self.there, self.depth = rays, k, there, depth
        along = (rays @ (k @ there[:3, :3]).T.astype(np.float32)) * depth[..., None]
        self._along = [np.ascontiguousarray(along[..., axis]) for axis in range(3)]
        self._start = k @ there[:3, 3]

    def turned(self, turn: Matrix) -> Sweep:
        """The same for a picture that was taken under another angle: a rotation vector (3,) there."""
        turning = np.eye(4)
        turning[:3, :3] = cv2.Rodrigues(turn)[0]
        return Sweep(self.rays, self.k, turning @ self.there, self.depth)

    def pixels(self, offset: float) -> tuple[F32, F32, F32]:
        """u, v and depth there (over the factor) of every pixel, if its log depth differs by `offset`."""
        x, y, ahead = (
            along + np.float32(start * np.exp(-offset))
            for along, start in zip(self._along, self._start, strict=True)
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            x /= ahead
            y /= ahead
        return x, y, ahead

    def warped(self, picture: F32, offset: float) -> tuple[F32, NDArray[np.bool_]]:
        """`picture` as it would look from here, and where it shows nothing of what is seen from here."""
        height, width = picture.shape
        u, v, ahead = self.pixels(offset)
        inside = (ahead > 0) & (u > RIM_PX) & (v > RIM_PX)
        inside &= (u < width - 1 - RIM_PX) & (v < height - 1 - RIM_PX)
        looks = cv2.remap(picture, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(looks, np.float32), ~inside


@dataclass(frozen=True)
class Moved:
    """What is missing in the `turn` (3,) there, a rotation vector; log scale of depth and its standard error."""

    turn: Matrix
    log_scale: float
    sigma: float


class Corners:
    """Corners of the present picture, looked for in others to see how the camera has moved."""

    def __init__(self, seen: F32) -> None:
        self._now = _bytes(seen)
        found = cv2.goodFeaturesToTrack(self._now, MOST_CORNERS, 0.005, 3, blockSize=3)
        self._corners = np.empty((0, 1, 2), np.float32) if found is None else np.asarray(found, np.float32)
        self._steps = MOST_STEPS

    def moved(self, picture: F32, sweep: Sweep, sigma: F32, log_scale: float) -> Moved | None:
        """How `picture` was taken and the scale of the sweep's depth, from a guess of that; None if nobody knows.

        `sigma` h×w is that of log depth, besides scale.
        """
        for _ in range(max(1, self._steps)):
            self._steps -= 1
            found = self._step(picture, sweep, sigma, log_scale)
            if found is None:
                return None
            step = found.log_scale - log_scale
            if abs(step) < NEARLY:
                return found if np.linalg.norm(found.turn) < MOST_TURNED else None
            log_scale += float(np.clip(step, -LARGEST_STEP, LARGEST_STEP))
        return None

    def _step(self, picture: F32, sweep: Sweep, sigma: F32, log_scale: float) -> Moved | None:
        """As :meth:`moved`, as if corners went straight when the scale changes."""
        here, off = self._tracked(_bytes(sweep.warped(picture, log_scale)[0]))
        if len(here) < FEWEST_CORNERS:
            return None
        expected = sweep.pixels(log_scale)[:2]
        at = [_sampled(axis, here) for axis in expected]
        missed = np.stack([_sampled(axis, off) - old for axis, old in zip(expected, at, strict=True)], 1)
        farther = [_sampled(axis, here) for axis in sweep.pixels(log_scale + STEP)[:2]]
        along = np.stack([(new - old) / STEP for new, old in zip(farther, at, strict=True)], 1)
        k = sweep.k
        x, y = (at[0] - k[0, 2]) / k[0, 0], (at[1] - k[1, 2]) / k[1, 1]
        turning = np.stack(
            [np.stack([-x * y, 1 + x * x, -y], 1) * k[0, 0], np.stack([-1 - y * y, x * y, x], 1) * k[1, 1]], 1
        )
        spread = _sampled(sigma, here)[:, None] * along
        information = np.linalg.inv(TRACKED_PX**2 * np.eye(2) + spread[:, :, None] * spread[:, None, :])
        effects = np.concatenate([turning, along[:, :, None]], axis=2)  # of turn and scale
        prior = np.diag([TURN_SIGMA**-2] * 3 + [SCALE_SIGMA**-2])
        found = np.zeros(4)
        for _ in range(10):  # Cauchy's weights: some corners are on something that moves
            left = missed - effects @ found
            unlikely = np.einsum("ni,nij,nj->n", left, information, left)
            weighted = np.einsum("nik,nij->nkj", effects, information / (1 + unlikely / 4)[:, None, None])
            normal = np.einsum("nkj,njl->kl", weighted, effects) + prior
            found = np.linalg.solve(normal, np.einsum("nkj,nj->k", weighted, missed))
        sure = float(np.sqrt(np.linalg.inv(normal)[3, 3]))
        return Moved(found[:3], log_scale + float(found[3]), sure)

    def _tracked(self, then: NDArray[np.uint8]) -> tuple[F32, F32]:
        """Corners (N×2) and where they are in a picture of the same view."""
        now, corners = self._now, self._corners
        if len(corners) < FEWEST_CORNERS:
            return corners[:0, 0], corners[:0, 0]
        found, ok, _ = cv2.calcOpticalFlowPyrLK(now, then, corners, corners.copy(), winSize=PATCH, maxLevel=2)
        back, ok_back, _ = cv2.calcOpticalFlowPyrLK(then, now, found, found.copy(), winSize=PATCH, maxLevel=2)
        good = (ok.ravel() > 0) & (ok_back.ravel() > 0)
        good &= np.abs(back - corners).max(axis=(1, 2)) < THERE_AND_BACK_PX
        good &= (found[:, 0] > RIM_PX).all(1) & (found[:, 0] < np.array(now.shape[::-1]) - 1 - RIM_PX).all(1)
        return corners[good, 0], np.asarray(found[good, 0], np.float32)


def _bytes(picture: F32) -> NDArray[np.uint8]:
    return np.clip(picture, 0, 255).astype(np.uint8)


def _sampled(image: F32, pixels: F32) -> Matrix:
    """Bilinear values (N,) of `image` at `pixels` (N×2)."""
    found = cv2.remap(image, pixels[:, :1], pixels[:, 1:], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return found.ravel().astype(np.float64)
