"""Depth from the robot's own motion: pictures of one camera from two known places are a stereo pair.

A network that sees one picture guesses depth from what scenes look like; a robot that has driven knows better. For a
range of depths around the network's, pictures of up to :data:`VIEWS` earlier places are brought into the present view
and compared (plane sweep; Collins, CVPR 1996), with the network's depth and its uncertainty as the prior that decides
where a picture has no structure (as in MaGNet: Bae et al., CVPR 2022, here without a second network). Odometry knows
how far the robot has come better than which way it looks, so its turn is first corrected by the pictures.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.detections import Box
from thermal_fusion_ros.geometry.poses import Matrix, inverse
from thermal_fusion_ros.sensing.camera import CameraModel

F32 = NDArray[np.float32]

WIDTH_PX = 240  # pictures are compared at most this wide
VIEWS = 3  # earlier places that are compared with
SPACING_M = 0.3  # between two of them
LEAST_MOVED_M = 0.2  # nearer places show too little parallax
OLDEST_NS = 10_000_000_000  # what was seen earlier may have changed
OFFSETS = np.linspace(-0.4, 0.4, 13).astype(np.float32)  # of log depth, from the network's
PATCH_PX = 1  # radius of what is compared
NOISE = 0.8  # of 255: patches with less contrast say little
UNLIKE = 0.2  # 1 - correlation that counts as one ...
MOST_UNLIKE = 4.0  # ... and at most so many: it may be hidden there, or have moved
TRUST = 5.0  # weight of a patch against the network's word
AROUND_PX = 6  # radius over which pixels of one surface are asked together
SURFACE = 0.1  # of log depth: what differs less is one surface
LEAST_SIGMA = 0.03  # of log depth: the network is never surer
MOST_SURER = 0.5  # of sigma remains at least: neighbours look at the same patches
TURN_SIGMA = np.radians(0.5)  # of odometry, between two pictures
DEPTH_SIGMA = 0.2  # of log depth: by how much a network is wrong about all of a picture
MOST_TURNED = np.radians(3.0)  # more is no correction
PATCH = (11, 11)  # pixels around a corner that are tracked
TRACKED_PX, THERE_AND_BACK_PX = 0.2, 0.3  # precision of a tracked corner; how far it may miss itself
MOST_CORNERS, FEWEST_CORNERS = 300, 30
STEP = 0.02  # of log depth, for a derivative
RIM_PX = 2
BEHIND = (0.0, 0.0, -1.0)  # a ray along which nothing is seen


@dataclass(frozen=True)
class _View:
    """A picture (h×w float32 grey, undistorted) from a place; `world_from_camera`."""

    picture: F32
    pose: Matrix
    stamp_ns: int


class MotionStereo:
    """Compares the pictures of one camera with those of places that it has left. Used by one thread at a time.

    `views` is with how many the last picture was compared, `turned_deg` the largest correction of their turn.
    """

    def __init__(self) -> None:
        self.views, self.turned_deg = 0, 0.0
        self._camera: CameraModel | None = None
        self._past: deque[_View] = deque(maxlen=VIEWS + 1)

    def reset(self) -> None:
        """Forget earlier pictures: another recording, a clock that jumped, another camera."""
        self._past.clear()
        self.views, self.turned_deg = 0, 0.0

    def __call__(
        self,
        depth: F32,
        sigma: F32,
        picture: NDArray[np.uint8],
        camera: CameraModel,
        world_from_camera: Matrix,
        stamp_ns: int,
        moving: Sequence[Box] = (),
    ) -> tuple[F32, F32]:
        """Depth (h×w metres) and sigma (of its logarithm), new arrays where earlier pictures say something.

        `depth` and `sigma` are the network's; `picture` H×W×3 uint8 of `camera`; `moving` boxes (x0 y0 x1 y1 pixels)
        of what may have moved, where the network alone is believed.
        """
        self._use(camera)
        seen = self._small_grey(picture)
        past = self._visible_from(world_from_camera, stamp_ns)
        self.views, self.turned_deg = len(past), 0.0
        refined = (depth, sigma)
        if past:
            offset, left = self._swept(depth, sigma, seen, past, world_from_camera, moving)
            refined = depth * np.exp(offset), left
        newest = self._past[-1] if self._past else None
        if newest is None or _apart(newest.pose, world_from_camera) >= SPACING_M:
            straight = np.asarray(cv2.remap(seen, *self._straight, cv2.INTER_LINEAR), np.float32)
            self._past.append(_View(straight, world_from_camera, stamp_ns))
        return refined

    def _use(self, camera: CameraModel) -> None:
        if camera is self._camera:
            return
        self.reset()
        self._camera = camera
        zoom = min(1.0, WIDTH_PX / camera.width)
        small = camera.resized(round(camera.width * zoom), round(camera.height * zoom))
        self._width, self._height = small.size
        self._zoom = zoom
        straight = small.pinhole
        self._k = straight.k
        pixels = np.nan_to_num(small.project(straight.unproject(straight.pixel_grid())), nan=-1e4)
        x, y = pixels.astype(np.float32).T.reshape(2, self._height, self._width)
        self._straight = np.ascontiguousarray(x), np.ascontiguousarray(y)
        rays = small.unproject(small.pixel_grid())
        rays[~np.isfinite(rays).all(axis=1)] = BEHIND  # the lens model reaches no such pixel
        self._rays = rays.reshape(self._height, self._width, 3).astype(np.float32)
        self._cost = np.empty((len(OFFSETS), self._height, self._width), np.float32)

    def _small_grey(self, picture: NDArray[np.uint8]) -> F32:
        grey = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        return np.asarray(self._small(grey.astype(np.float32)), np.float32)

    def _small(self, image: F32) -> F32:
        return np.asarray(
            cv2.resize(image, (self._width, self._height), interpolation=cv2.INTER_AREA), np.float32
        )

    def _visible_from(self, pose: Matrix, stamp_ns: int) -> list[_View]:
        """The newest views from places far enough away."""
        views = [
            view
            for view in reversed(self._past)
            if _apart(view.pose, pose) >= LEAST_MOVED_M and stamp_ns - view.stamp_ns <= OLDEST_NS
        ]
        return views[:VIEWS]

    def _swept(
        self, depth: F32, sigma: F32, seen: F32, past: Sequence[_View], pose: Matrix, moving: Sequence[Box]
    ) -> tuple[F32, F32]:
        """Offset of log depth, and what remains of sigma, at the size of `depth`."""
        usable = np.isfinite(depth) & (depth > 0)
        near = self._small(np.where(usable, depth, np.float32(1)))
        unsure = np.maximum(self._small(sigma), np.float32(LEAST_SIGMA))
        patches, surfaces = Patches(seen), Surfaces(np.log(near))
        corners = Corners(seen)
        cost = self._cost
        cost.fill(0)
        for view in past:
            sweep = _Sweep(self._rays, self._k, inverse(view.pose) @ pose, near)
            turn = corners.turn_to(view.picture, sweep, unsure)
            if turn is not None:
                self.turned_deg = max(self.turned_deg, float(np.degrees(np.linalg.norm(turn))))
                sweep = _Sweep(self._rays, self._k, _turned(sweep.there, turn), near)
            for layer, offset in zip(cost, OFFSETS, strict=True):
                np.add(layer, patches.unlike(*sweep.warped(view.picture, float(offset))), out=layer)
        for x0, y0, x1, y1 in moving:
            left, top = (max(0, int(value * self._zoom)) for value in (x0, y0))
            right, bottom = (int(value * self._zoom) + 2 for value in (x1, y1))
            cost[:, top:bottom, left:right] = 0
        for layer, offset in zip(cost, OFFSETS, strict=True):
            layer[:] = TRUST * surfaces.mean(layer) + 0.5 * np.square(offset / unsure)
        cost -= cost.min(axis=0)
        likely = np.exp(-cost, out=cost)
        likely /= likely.sum(axis=0)
        mean = np.tensordot(OFFSETS, likely, 1)
        spread = np.sqrt(
            np.maximum(np.tensordot(OFFSETS**2, likely, 1) - mean**2, np.float32(LEAST_SIGMA**2))
        )
        size = (depth.shape[1], depth.shape[0])
        left_over = np.clip(cv2.resize(spread, size), MOST_SURER * sigma, sigma)
        return np.asarray(cv2.resize(mean, size), np.float32), np.asarray(left_over, np.float32)


class _Sweep:
    """Where the pixels of the present view (`rays` h×w×3 through them) lie in the picture of another place.

    `k` of that picture, which is undistorted; `there` takes points of the present camera to it.
    """

    def __init__(self, rays: F32, k: Matrix, there: Matrix, depth: F32) -> None:
        self.k, self.there = k, there
        along = (rays @ (k @ there[:3, :3]).T.astype(np.float32)) * depth[..., None]
        self._along = [np.ascontiguousarray(along[..., axis]) for axis in range(3)]
        self._start = k @ there[:3, 3]

    def pixels(self, offset: float = 0.0) -> tuple[F32, F32, F32]:
        """u, v and depth there (over the factor) of every pixel, if its log depth differs by `offset`."""
        x, y, ahead = (
            along + np.float32(start * np.exp(-offset))
            for along, start in zip(self._along, self._start, strict=True)
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            x /= ahead
            y /= ahead
        return x, y, ahead

    def warped(self, picture: F32, offset: float = 0.0) -> tuple[F32, NDArray[np.bool_]]:
        """`picture` as it would look from here, and where it shows nothing of what is seen from here."""
        height, width = picture.shape
        u, v, ahead = self.pixels(offset)
        inside = (ahead > 0) & (u > RIM_PX) & (v > RIM_PX)
        inside &= (u < width - 1 - RIM_PX) & (v < height - 1 - RIM_PX)
        looks = cv2.remap(picture, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(looks, np.float32), ~inside


class Corners:
    """Corners of the present picture, looked for in others to see how the camera has turned."""

    def __init__(self, seen: F32) -> None:
        self._now = _bytes(seen)
        found = cv2.goodFeaturesToTrack(self._now, MOST_CORNERS, 0.005, 3, blockSize=3)
        self._corners = np.empty((0, 1, 2), np.float32) if found is None else np.asarray(found, np.float32)

    def turn_to(self, picture: F32, sweep: _Sweep, sigma: F32) -> Matrix | None:
        """What is missing in the turn to where `picture` was taken: a rotation vector (3,) there; None if unknown.

        The picture is brought here by depth. What corners are off along the epipolar line may be wrong depth (`sigma`
        of its logarithm, and all of it alike); the rest is the turn.
        """
        here, off = self._tracked(_bytes(sweep.warped(picture)[0]))
        if len(here) < FEWEST_CORNERS:
            return None
        expected = sweep.pixels()
        at = [_sampled(axis, here) for axis in expected[:2]]
        moved = np.stack([_sampled(axis, off) - old for axis, old in zip(expected[:2], at, strict=True)], 1)
        farther = [_sampled(axis, here) for axis in sweep.pixels(STEP)[:2]]
        along = np.stack([(new - old) / STEP for new, old in zip(farther, at, strict=True)], 1)
        k = sweep.k
        x, y = (at[0] - k[0, 2]) / k[0, 0], (at[1] - k[1, 2]) / k[1, 1]
        turning = np.stack(
            [np.stack([-x * y, 1 + x * x, -y], 1) * k[0, 0], np.stack([-1 - y * y, x * y, x], 1) * k[1, 1]], 1
        )
        spread = _sampled(sigma, here)[:, None] * along
        information = np.linalg.inv(TRACKED_PX**2 * np.eye(2) + spread[:, :, None] * spread[:, None, :])
        effects = np.concatenate(
            [turning, along[:, :, None]], axis=2
        )  # of the turn, and of all depth being wrong alike
        prior = np.diag([TURN_SIGMA**-2] * 3 + [DEPTH_SIGMA**-2])
        found_out = np.zeros(4)
        for _ in range(10):  # Cauchy's weights: some corners are on something that moves
            missed = moved - effects @ found_out
            unlikely = np.einsum("ni,nij,nj->n", missed, information, missed)
            weighted = np.einsum("nik,nij->nkj", effects, information / (1 + unlikely / 4)[:, None, None])
            normal = np.einsum("nkj,njl->kl", weighted, effects) + prior
            found_out = np.linalg.solve(normal, np.einsum("nkj,nj->k", weighted, moved))
        turn = found_out[:3]
        return turn if np.linalg.norm(turn) < MOST_TURNED else None

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


def _turned(there: Matrix, turn: Matrix) -> Matrix:
    out = np.eye(4)
    out[:3, :3] = cv2.Rodrigues(turn)[0]
    return out @ there


def _sampled(image: F32, pixels: F32) -> Matrix:
    """Bilinear values (N,) of `image` at `pixels` (N×2)."""
    found = cv2.remap(image, pixels[:, :1], pixels[:, 1:], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return found.ravel().astype(np.float64)


def _apart(one: Matrix, other: Matrix) -> float:
    return float(np.linalg.norm(one[:3, 3] - other[:3, 3]))


def _mean(image: F32, radius: int) -> F32:
    size = (2 * radius + 1,) * 2
    return np.asarray(cv2.blur(image, size, borderType=cv2.BORDER_REFLECT), np.float32)


class Patches:
    """How little the patches around every pixel have in common with those of other pictures of the same view."""

    def __init__(self, picture: F32) -> None:
        self._picture, self._middle = picture, _mean(picture, PATCH_PX)
        self._contrast = self._contrast_of(picture, self._middle)

    def unlike(self, other: F32, hidden: NDArray[np.bool_]) -> F32:
        """h×w, 0 for the same to :data:`MOST_UNLIKE`, which is also where it is `hidden`."""
        middle = _mean(other, PATCH_PX)
        common = _mean(self._picture * other, PATCH_PX) - self._middle * middle
        common /= np.sqrt(self._contrast * self._contrast_of(other, middle))
        unlike = np.minimum((1 - common) * np.float32(1 / UNLIKE), np.float32(MOST_UNLIKE))
        unlike[hidden] = MOST_UNLIKE
        return unlike

    @staticmethod
    def _contrast_of(picture: F32, middle: F32) -> F32:
        return np.maximum(_mean(picture * picture, PATCH_PX) - middle * middle, 0) + np.float32(NOISE**2)


class Surfaces:
    """Means over pixels of one surface: guided filter (He et al., ECCV 2010) by log depth."""

    def __init__(self, log_depth: F32) -> None:
        self._guide, self._middle = log_depth, _mean(log_depth, AROUND_PX)
        self._spread = _mean(log_depth * log_depth, AROUND_PX) - self._middle**2 + np.float32(SURFACE**2)

    def mean(self, image: F32) -> F32:
        """Of `image`, h×w."""
        middle = _mean(image, AROUND_PX)
        slope = (_mean(self._guide * image, AROUND_PX) - self._middle * middle) / self._spread
        return _mean(slope, AROUND_PX) * self._guide + _mean(middle - slope * self._middle, AROUND_PX)
