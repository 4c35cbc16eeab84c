"""Depth from the robot's own motion: pictures of one camera from two known places are a stereo pair.

A network that sees one picture guesses depth from what scenes look like; a robot that has driven knows better. For a
range of depths around the network's, pictures of up to :data:`VIEWS` earlier places are brought into the present view
and compared (plane sweep; Collins, CVPR 1996), with the network's depth and its uncertainty as the prior that decides
where a picture has no structure (as in MaGNet: Bae et al., CVPR 2022, here without a second network). Odometry knows
how far the robot has come better than which way it looks, so its turn is first corrected by the pictures, which at
the same time tell how many metres a unit of the network's depth is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.detections import Box
from thermal_fusion_ros.geometry.motion_corners import Corners, Moved, Sweep
from thermal_fusion_ros.geometry.poses import Matrix, inverse
from thermal_fusion_ros.geometry.scale_readings import Reading
from thermal_fusion_ros.sensing.camera import CameraModel

F32 = NDArray[np.float32]

WIDTH_PX = 240  # pictures are compared at most this wide
VIEWS = 3  # earlier places that are compared with
SPACING_M = 0.3  # between two of them
LEAST_MOVED_M = 0.2  # nearer places show too little parallax
OLDEST_NS = 10_000_000_000  # what was seen earlier may have changed
TYPICAL_M = 4.0  # to begin with, where nobody knows how far anything is
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
SCALE_VARIES = 0.04  # of log scale: how far that of one picture is from that of all ...
SCALE_ERROR = 0.03  # ... and what pictures are wrong about it
BEHIND = (0.0, 0.0, -1.0)  # a ray along which nothing is seen


@dataclass(frozen=True)
class _View:
    """A picture (h×w float32 grey, undistorted) from a place; `world_from_camera`."""

    picture: F32
    pose: Matrix
    stamp_ns: int


@dataclass(frozen=True)
class _Now:
    """The present view as it is compared: small, and with the places that it is compared with."""

    picture: F32
    depth: F32
    sigma: F32
    earlier: Sequence[tuple[_View, Sweep]]
    reading: Reading | str


class MotionStereo:
    """Compares the pictures of one camera with those of places that it has left. Used by one thread at a time.

    Every picture is first looked at (:meth:`look`), which tells the scale of its depth; with a scale, its depth can
    then be refined. `views` is with how many the last picture is compared, `turned_deg` the largest correction of
    their turn.
    """

    def __init__(self) -> None:
        self.views, self.turned_deg = 0, 0.0
        self._camera: CameraModel | None = None
        self._past: deque[_View] = deque(maxlen=VIEWS + 1)
        self._now: _Now | None = None

    def reset(self) -> None:
        """Forget earlier pictures: another recording, a clock that jumped, another camera."""
        self._past.clear()
        self._now = None
        self.views, self.turned_deg = 0, 0.0

    @property
    def state(self) -> str:
        """What became of the last picture, for diagnostics."""
        return f"compared with {self.views} earlier places, turned by up to {self.turned_deg:.1f}°"

    def look(
        self,
        relative: F32,
        sigma: F32,
        picture: NDArray[np.uint8],
        camera: CameraModel,
        world_from_camera: Matrix,
        stamp_ns: int,
        guess: float | None = None,
    ) -> Reading | str:
        """How many metres a unit of depth is by what earlier pictures show, or why they don't tell.

        `relative` (h×w, some unit) and `sigma` (of its logarithm) are the network's; `picture` H×W×3 uint8 of
        `camera`; `guess`: metres for a unit as far as they are known.
        """
        self._use(camera)
        seen = self._small_grey(picture)
        usable = np.isfinite(relative) & (relative > 0)
        depth = self._small(np.where(usable, relative, np.float32(1)))
        unsure = np.maximum(self._small(sigma), np.float32(LEAST_SIGMA))
        past = self._visible_from(world_from_camera, stamp_ns)
        corners = Corners(seen) if past else None
        said: list[Moved] = []
        earlier: list[tuple[_View, Sweep]] = []
        self.views, self.turned_deg = len(past), 0.0
        log_scale = float(np.log(guess or TYPICAL_M / float(np.median(depth))))
        for view in past:
            sweep = Sweep(self._rays, self._k, inverse(view.pose) @ world_from_camera, depth)
            assert corners is not None
            moved = corners.moved(view.picture, sweep, unsure, log_scale)
            if moved is not None:
                said.append(moved)
                log_scale = moved.log_scale
                self.turned_deg = max(self.turned_deg, float(np.degrees(np.linalg.norm(moved.turn))))
                sweep = sweep.turned(moved.turn)
            earlier.append((view, sweep))
        reading = _together(said) if past else f"the camera has not moved {LEAST_MOVED_M} m lately"
        self._now = _Now(seen, depth, unsure, earlier, reading)
        self._remember(seen, world_from_camera, stamp_ns)
        return reading

    def refine(
        self, relative: F32, sigma: F32, metres_each: float, moving: Sequence[Box] = ()
    ) -> tuple[F32, F32]:
        """Depth and sigma of the picture that was looked at, new arrays where earlier pictures say something.

        `metres_each`: of a unit of `relative`; `moving`: boxes (x0 y0 x1 y1 pixels) of what may have moved, where the
        network alone is believed.
        """
        if self._now is None or not self._now.earlier:
            return relative, sigma
        offset, spread = self._swept(self._now, float(np.log(metres_each)), moving)
        size = (relative.shape[1], relative.shape[0])
        left = np.clip(cv2.resize(spread, size), MOST_SURER * sigma, sigma)
        return relative * np.exp(cv2.resize(offset, size)), np.asarray(left, np.float32)

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

    def _remember(self, seen: F32, pose: Matrix, stamp_ns: int) -> None:
        newest = self._past[-1] if self._past else None
        if newest is None or _apart(newest.pose, pose) >= SPACING_M:
            straight = np.asarray(cv2.remap(seen, *self._straight, cv2.INTER_LINEAR), np.float32)
            self._past.append(_View(straight, pose, stamp_ns))

    def _swept(self, now: _Now, log_scale: float, moving: Sequence[Box]) -> tuple[F32, F32]:
        """Offset of log depth and its sigma, small, by comparing with every earlier view."""
        patches, surfaces = Patches(now.picture), Surfaces(np.log(now.depth))
        shift = _of_one_picture(now.reading, log_scale)
        cost = self._cost
        cost.fill(0)
        for view, sweep in now.earlier:
            for layer, offset in zip(cost, OFFSETS, strict=True):
                looks = sweep.warped(view.picture, log_scale + shift + float(offset))
                np.add(layer, patches.unlike(*looks), out=layer)
        for x0, y0, x1, y1 in moving:
            left, top = (max(0, int(value * self._zoom)) for value in (x0, y0))
            right, bottom = (int(value * self._zoom) + 2 for value in (x1, y1))
            cost[:, top:bottom, left:right] = 0
        for layer, offset in zip(cost, OFFSETS, strict=True):
            layer[:] = TRUST * surfaces.mean(layer) + 0.5 * np.square(offset / now.sigma)
        cost -= cost.min(axis=0)
        likely = np.exp(-cost, out=cost)
        likely /= likely.sum(axis=0)
        mean = np.tensordot(OFFSETS, likely, 1)
        variance = np.tensordot(OFFSETS**2, likely, 1) - mean**2
        return mean + np.float32(shift), np.sqrt(np.maximum(variance, np.float32(LEAST_SIGMA**2)))


def _together(said: Sequence[Moved]) -> Reading | str:
    """What several earlier views say about scale; they share the errors of the present depth."""
    if not said:
        return "too few corners are found again in earlier pictures"
    weights = np.array([one.sigma for one in said]) ** -2.0
    values = np.array([one.log_scale for one in said])
    mean = float((weights * values).sum() / weights.sum())
    scatter = float((weights * (values - mean) ** 2).sum() / weights.sum())
    return Reading(mean, float(np.sqrt(max(len(said) / weights.sum(), scatter))))


def _of_one_picture(reading: Reading | str, log_scale: float) -> float:
    """How far the log scale of a picture is from that of all, by what it says itself."""
    if isinstance(reading, str):
        return 0.0
    trust = SCALE_VARIES**2 / (SCALE_VARIES**2 + SCALE_ERROR**2 + reading.sigma**2)
    return float(np.clip(trust * (reading.log_scale - log_scale), OFFSETS[0], OFFSETS[-1]))


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
