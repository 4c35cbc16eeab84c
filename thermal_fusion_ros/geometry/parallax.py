"""The scale of relative depth from the rig itself: RGB and thermal cameras are a stereo pair with a known baseline.

At the right scale, relative depth says where the thermal camera sees the edges that the RGB camera sees. Both pictures
are brought into one undistorted view (thermal through the plane at infinity, so that only parallax is left), their
orientation fields are compared along the epipolar lines for a grid of scales, and the curves of agreement are added
up over frames, because a single pair rarely decides. What is near carries the information: parallax is f · B / Z.

The two pictures are rarely of the same moment. A rig that drives v · Δt ahead in between has another baseline, which
looks like too small a scale on one side of the picture and too large a one on the other. So every block of the picture
has its own curve, and that slope across the picture is estimated beside the scale.
"""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from thermal_fusion_ros.geometry.scale_readings import Reading
from thermal_fusion_ros.sensing.camera import CameraModel, Floats
from thermal_fusion_ros.sensing.orientation_field import Field, orientation_field
from thermal_fusion_ros.sensing.rig import Rig

F32 = NDArray[np.float32]

WIDTH_PX = 320  # pictures are compared at most this wide
POINTS = 8000  # most pixels with structure that are followed
FEWEST_POINTS = 200
LEAST_WEIGHT = 0.02
UNSURE = 0.5  # depth with a larger sigma of its logarithm is not used
RIM_PX = 6  # pixels this close to the edge of the picture are not followed
ROWS, COLUMNS = 6, 8  # blocks
STEP = 0.06  # of log scale
NEAREST_M, FARTHEST_M = 0.4, 25.0  # where the near part of the first picture may lie
NEAR_PERCENTILE = 90.0  # of inverse depth
JUMP, JUMP_PX = 0.25, 3  # inverse depth differs by this share within these pixels: a surface ends here
TYPICAL_SIGMA, LARGEST_CORRECTED = 0.1, 0.15  # of log depth; where the network does not say, and at most
ENERGY_FLOOR = 0.05  # of the mean energy of a block: less is no structure
SLOPES = np.linspace(-0.4, 0.4, 17)  # movement ahead between the pictures, in baselines
SLOPE_PRIOR = 0.05
MEMORY = 60  # evaluations that are remembered
FORGETTING = 0.98  # per evaluation
TYPICAL_OF = 20  # pictures that together say better than the first where the near part of a picture lies
MISPLACED = 1.0  # of log depth between the two: another grid of scales is tried unless this one has an answer
STATIC = 0.03  # pictures that differ by a smaller share of their contrast show the same again
FEWEST = 4  # different evaluations before anything is said
LARGEST_SIGMA = 0.15  # of log scale
ELSEWHERE = 0.4  # of log scale: scales this far from the peak must explain less
DECIDED = 2.0  # standard errors by which they must


class ParallaxView:
    """Both cameras seen through one undistorted camera at the place of the RGB one, `WIDTH_PX` wide at most.

    `camera` is that camera; `baseline` (3,) metres the thermal one's place, such that a point on ray r at inverse
    depth w is seen by thermal (turned parallel) along ``r + w · baseline``.
    """

    def __init__(self, rig: Rig):
        zoom = min(1.0, WIDTH_PX / rig.rgb.width)
        self.rig = rig
        self._rgb = rig.rgb.resized(round(rig.rgb.width * zoom), round(rig.rgb.height * zoom))
        self.camera = self._rgb.pinhole
        fine = min(1.0, self.camera.k[0, 0] / rig.thermal.k[0, 0])
        self._thermal = rig.thermal.resized(
            max(1, round(rig.thermal.width * fine)), max(1, round(rig.thermal.height * fine))
        )
        self.baseline: Floats = rig.rotation.T @ rig.translation
        rays = self.camera.unproject(self.camera.pixel_grid())
        self._rgb_map = self._map(self._rgb, rays)
        self._thermal_map = self._map(self._thermal, rays @ rig.rotation.T)
        x, y = self._thermal_map
        width, height = self._thermal.size
        inside = (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)
        self.thermal_seen: NDArray[np.uint8] = np.where(inside, 255, 0).astype(np.uint8)

    def _map(self, source: CameraModel, rays: Floats) -> tuple[F32, F32]:
        pixels = np.nan_to_num(source.project(rays), nan=-1e4).astype(np.float32)
        shape = (self.camera.height, self.camera.width)
        return pixels[:, 0].reshape(shape), pixels[:, 1].reshape(shape)

    def rgb(self, gray: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """`gray` (RGB camera's size) undistorted."""
        self.rig.rgb.check_image(gray.shape[1], gray.shape[0])
        return _remapped(gray, self._rgb, self._rgb_map)

    def thermal(self, display: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """`display` (thermal camera's size) undistorted and turned parallel to the RGB camera."""
        self.rig.thermal.check_image(display.shape[1], display.shape[0])
        return _remapped(display, self._thermal, self._thermal_map)

    def inverse_depth(self, relative: F32) -> F32:
        """1 / `relative` (any size, RGB view), 0 where invalid, undistorted."""
        usable = relative > 0
        inverse = np.divide(np.float32(1), relative, out=np.zeros(relative.shape, np.float32), where=usable)
        inverse = cv2.resize(inverse, self._rgb.size, interpolation=cv2.INTER_NEAREST)
        return cv2.remap(inverse, *self._rgb_map, cv2.INTER_NEAREST).astype(np.float32, copy=False)


def _remapped(image: NDArray[np.uint8], camera: CameraModel, maps: tuple[F32, F32]) -> NDArray[np.uint8]:
    if image.shape != (camera.height, camera.width):
        image = cv2.resize(image, camera.size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    return cv2.remap(image, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(
        np.uint8, copy=False
    )


def at_edges_of_things(inverse: F32) -> F32:
    """`inverse` depth with jumps sharpened: the half that is nearer has the depth of the near side, the other half 0.

    The edge of a thing lies at the depth of the thing, and networks blur the depth between it and what is behind. On a
    plane, inverse depth is linear in the picture, so nothing jumps there but where it is seen at a grazing angle.
    """
    kernel = np.ones((2 * JUMP_PX + 1,) * 2, np.uint8)
    most, least = cv2.dilate(inverse, kernel), cv2.erode(inverse, kernel)
    nearer = np.where(2 * inverse >= most + least, most, np.float32(0))
    return np.where(most - least > JUMP * most, nearer, inverse)


class ParallaxScale:
    """Pools pairs of pictures; :meth:`observe` them at a low rate, then ask for the :meth:`reading`."""

    def __init__(self, rig: Rig):
        self.view = ParallaxView(rig)
        # Of the middle of each block, for the slope across the picture.
        self._tangent: Floats = np.tile(
            ((np.arange(COLUMNS) + 0.5) / COLUMNS * self.view.camera.width - self.view.camera.k[0, 2])
            / self.view.camera.k[0, 0],
            ROWS,
        )
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.log_scales: Floats | None = None
        self.reason = "no pair of pictures yet"
        self._curves: deque[F32] = deque(maxlen=MEMORY)  # scales×blocks each
        self._small: F32 | None = None
        self._near: deque[float] = deque(maxlen=TYPICAL_OF)
        self._placed = 0.0

    def observe(
        self,
        gray: NDArray[np.uint8],
        thermal: NDArray[np.uint8],
        relative: F32,
        uncertainty: F32 | None = None,
    ) -> None:
        """Learn from one pair: `gray` H×W of the RGB camera, `thermal` display picture of the thermal camera.

        `relative` depth and `uncertainty` (sigma of its logarithm) may have any size; both in the RGB view.
        """
        if uncertainty is not None:
            relative = np.where(uncertainty < UNSURE, relative, np.float32(np.nan))
        inverse = self.view.inverse_depth(relative) * np.float32(self._correction(uncertainty))
        if np.count_nonzero(inverse) < FEWEST_POINTS:
            return
        self._place(float(np.log(np.percentile(inverse[inverse > 0], NEAR_PERCENTILE))))
        straight = self.view.rgb(gray)
        visible = orientation_field(straight)
        warm = orientation_field(self.view.thermal(thermal), self.view.thermal_seen)
        curves = self._agreement(visible, warm, at_edges_of_things(inverse))
        if curves is None:
            return
        if self._same_again(straight) and self._curves:
            self._curves[-1] = curves
        else:
            self._curves.append(curves)

    def _place(self, near: float) -> None:
        """Choose the scales to try, by the log of the inverse depth of what is `near` in this picture."""
        self._near.append(near)
        typical = float(np.median(self._near))
        lost = self.reason and len(self._near) == TYPICAL_OF and abs(typical - self._placed) > MISPLACED
        if self.log_scales is None or lost:
            self._curves.clear()
            self._placed = typical
            first, last = (round((np.log(metres) + typical) / STEP) for metres in (NEAREST_M, FARTHEST_M))
            self.log_scales = np.arange(first, last + 1) * STEP

    @staticmethod
    def _correction(uncertainty: F32 | None) -> float:
        """A factor on inverse depth that undoes the bias which errors of depth make.

        Where depth errs towards near, parallax is large and its curve sharp, so such pixels weigh more: for errors of
        log depth with variance v, the peak of the sum lies 3/2 · v too high (to first order, Gaussian curves).
        """
        sigma = TYPICAL_SIGMA
        if uncertainty is not None:
            usable = uncertainty[uncertainty < UNSURE]
            sigma = min(float(np.median(usable)), LARGEST_CORRECTED) if usable.size else sigma
        return float(np.exp(-1.5 * sigma**2))

    def _same_again(self, gray: NDArray[np.uint8]) -> bool:
        """Whether the picture shows what the last one showed that counted; else this is the new one."""
        small = cv2.resize(gray, (64, 48), interpolation=cv2.INTER_AREA).astype(np.float32)
        small = (small - small.mean()) / (small.std() + 1.0)
        if self._small is not None and float(np.abs(small - self._small).mean()) < STATIC:
            return True
        self._small = small
        return False

    def _agreement(self, visible: Field, warm: Field, inverse: F32) -> F32 | None:
        """Scales×blocks: correlation of the fields along the epipolar lines, weighted by structure."""
        assert self.log_scales is not None
        k, (bx, by, bz) = self.view.camera.k, self.view.baseline.astype(np.float32)
        # Only edges across the epipolar line say anything.
        modulus = np.abs(visible)
        across = 0.5 * (modulus + (visible * np.exp(-2j * np.arctan2(by, bx)).astype(np.complex64)).real)
        nearby = max(float(np.percentile(inverse, 75)), 1e-9)
        weight = across * np.minimum(inverse / nearby, 1)
        chosen = _strongest(weight)
        if len(chosen) < FEWEST_POINTS:
            return None
        height, width = inverse.shape
        v, u = np.divmod(chosen, width)
        block = v * ROWS // height * COLUMNS + u * COLUMNS // width
        order = np.argsort(block, kind="stable")
        chosen, u, v = chosen[order], u[order], v[order]
        present, starts = np.unique(block[order], return_index=True)
        w = np.exp(-self.log_scales).astype(np.float32)[:, None] * inverse.ravel()[chosen]
        ahead = 1 / (1 + bz * w)
        cx, cy = np.float32(k[0, 2]), np.float32(k[1, 2])
        x = ((u - cx).astype(np.float32) + np.float32(k[0, 0] * bx) * w) * ahead + cx
        y = ((v - cy).astype(np.float32) + np.float32(k[1, 1] * by) * w) * ahead + cy
        theirs = cv2.remap(warm.view(np.float32).reshape(height, width, 2), x, y, cv2.INTER_LINEAR)
        mine = visible.ravel()[chosen]
        share = across.ravel()[chosen] / modulus.ravel()[chosen]
        product = theirs[..., 0] * (mine.real * share) + theirs[..., 1] * (mine.imag * share)
        energy = (theirs[..., 0] ** 2 + theirs[..., 1] ** 2) * share
        product, energy = (np.add.reduceat(values, starts, axis=1) for values in (product, energy))
        own = np.add.reduceat(np.abs(mine) ** 2 * share, starts)
        # As in sensing.alignment: coefficients of correlation, weighted by how much structure both sides have.
        strength = np.sqrt(np.sqrt(own * energy.mean(axis=0)))
        curves = np.zeros((len(self.log_scales), ROWS * COLUMNS), np.float32)
        curves[:, present] = product / np.sqrt(energy * own + (ENERGY_FLOOR * own.mean()) ** 2) * strength
        return curves

    def reading(self) -> Reading | None:
        """What all pairs say together; None while that is not clear, and then :attr:`reason` says why."""
        if len(self._curves) < FEWEST:
            self.reason = f"{len(self._curves)} different pairs of pictures, needs {FEWEST}"
            return None
        assert self.log_scales is not None
        weights = FORGETTING ** np.arange(len(self._curves) - 1, -1, -1.0)
        curves = np.stack(self._curves).astype(np.float64) * weights[:, None, None]
        pooled = _Pooled(curves, self._tangent)
        peak = pooled.peak()
        if peak is None:
            self.reason = "agreement has no peak within the scales that were tried"
            return None
        position, slope, sigma = peak
        reading = Reading(float(self.log_scales[0] + position * STEP), sigma * STEP)
        if not reading.sigma <= LARGEST_SIGMA:
            self.reason = f"peak of agreement is flat: uncertain by {np.expm1(reading.sigma):.0%}"
            return None
        margin = pooled.margin(position, slope, max(ELSEWHERE / STEP, 5 * sigma))
        if margin < DECIDED:
            self.reason = f"another scale explains the pictures nearly as well ({margin:.1f} standard errors)"
            return None
        self.reason = ""
        return reading


class _Pooled:
    """Curves of several pairs, pairs×scales×blocks, as a function of scale and of the slope across the picture.

    With slope d, the peak of a block at tangent x lies ``-log(1 - x · d)`` above that of the middle. Positions are
    indices of the grid of scales.
    """

    def __init__(self, curves: Floats, tangent: Floats):
        self.curves, self.tangent = curves, tangent
        self._total = ndimage.spline_filter(curves.sum(axis=0), 3)
        self._steepness = np.gradient(curves, axis=1)

    def _offsets(self, slope: float) -> Floats:
        return -np.log1p(-self.tangent * slope) / STEP

    def _curve(self, slope: float) -> Floats:
        """Summed over blocks and pairs, by scale."""
        scales, blocks = self._total.shape
        rows = np.arange(scales)[:, None] + self._offsets(slope)
        columns = np.broadcast_to(np.arange(blocks), rows.shape)
        total = ndimage.map_coordinates(
            self._total, [rows, columns], order=3, mode="nearest", prefilter=False
        )
        return np.asarray(total.sum(axis=1))

    def _at(self, values: Floats, position: float, slope: float) -> Floats:
        """`values` (…×scales×blocks) of each block at its own place: …×blocks."""
        rows = np.clip(position + self._offsets(slope), 0, values.shape[-2] - 1.001)
        first, block = rows.astype(int), np.arange(values.shape[-1])
        share = rows - first
        return values[..., first, block] * (1 - share) + values[..., first + 1, block] * share

    def _information(self, position: float, slope: float) -> tuple[Floats, list[Floats]]:
        """Curvature 2×2 in (position, slope), and the scatter 2×2 of the gradient: by block, by pair."""
        lean = self.tangent / (1 - self.tangent * slope) / STEP
        steepness = self._at(self._steepness, position, slope)
        bend = -self._at(np.gradient(self._steepness.sum(axis=0), axis=0), position, slope)
        along = np.stack([np.ones_like(lean), lean])
        scatter = []
        for gradients in (along * steepness.sum(axis=0), along @ steepness.T):
            scatter.append(gradients @ gradients.T)
        return (along * bend) @ along.T, scatter

    def peak(self) -> tuple[float, float, float] | None:
        """(position, slope, standard error of the position); None when it is at the end of the grid or no peak."""
        level = int(np.argmax(self._curve(0.0)))
        curvature, scatter = self._information(level, 0.0)
        if curvature[0, 0] <= 0:
            return None
        # What one unit of agreement is worth as a log likelihood follows from the scatter of its gradient.
        unit = max(part[0, 0] for part in scatter) / curvature[0, 0]
        curves = np.stack([self._curve(slope) for slope in SLOPES])
        positions, values = np.array([_summit(curve) for curve in curves]).T
        values = values - 0.5 * unit * (SLOPES / SLOPE_PRIOR) ** 2
        if not np.isfinite(values).any():
            return None
        at = _summit(np.nan_to_num(values, nan=-np.inf, posinf=-np.inf), rim=True)[0]
        slope = float(np.interp(at, np.arange(len(SLOPES)), SLOPES))
        position = float(np.interp(at, np.arange(len(SLOPES)), positions))
        if not np.isfinite(position):
            return None
        curvature, scatter = self._information(position, slope)
        prior = unit / SLOPE_PRIOR**2
        curvature[1, 1] += prior
        if np.linalg.eigvalsh(curvature)[0] <= 0:
            return None
        inverse = np.linalg.inv(curvature)
        variance = 0.0
        for part in scatter:
            part[1, 1] += prior * unit
            variance = max(variance, float((inverse @ part @ inverse)[0, 0]))
        return position, slope, float(np.sqrt(variance))

    def margin(self, position: float, slope: float, apart: float) -> float:
        """By how many standard errors the peak is above the best scale that is `apart` or farther."""
        best = self._at(self.curves, position, slope)
        least = np.inf
        for other in range(self.curves.shape[1]):
            if abs(other - position) < apart:
                continue
            behind = best - self._at(self.curves, other, slope)
            error = max(np.sqrt((behind.sum(axis=axis) ** 2).sum()) for axis in (0, 1))
            least = min(least, float(behind.sum() / (error + 1e-12)))
        return least


def _summit(values: Floats, *, rim: bool = False) -> tuple[float, float]:
    """(index with a fraction, value) of the largest of `values`; NaN and -inf when it is the first or the last."""
    top = int(np.argmax(values))
    if top in (0, len(values) - 1):
        return (float(top), float(values[top])) if rim else (np.nan, -np.inf)
    left, middle, right = values[top - 1 : top + 2]
    bend = left - 2 * middle + right
    if not np.isfinite(bend) or bend >= 0:
        return float(top), float(middle)
    step = 0.5 * (left - right) / bend
    return top + float(step), float(middle - 0.25 * (left - right) * step)


def _strongest(weight: F32) -> NDArray[np.intp]:
    """Flat indices of at most :data:`POINTS` pixels with the most weight, none at the rim."""
    inner = np.zeros_like(weight)
    core = np.s_[RIM_PX:-RIM_PX, RIM_PX:-RIM_PX]
    inner[core] = weight[core]
    flat = inner.ravel()
    chosen = np.flatnonzero(flat > LEAST_WEIGHT)
    if len(chosen) > POINTS:
        chosen = chosen[np.argpartition(flat[chosen], -POINTS)[-POINTS:]]
    return chosen
