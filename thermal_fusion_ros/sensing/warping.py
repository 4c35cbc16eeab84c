"""Thermal pictures seen from the RGB camera: through a 3×3 matrix, a plane, or the depth of every pixel.

A warp has two jobs: `apply` resamples a picture (any number of them: the display image, the temperature map), and
`valid` says how far each pixel may be believed: 255 where thermal was seen, falling softly to 0 where it was not.
"""

from __future__ import annotations

from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.sensing.camera import CALIBRATE_HINT, CalibrationError, CameraModel, Floats
from thermal_fusion_ros.sensing.rig import Rig

Mask = NDArray[np.uint8]

FEATHER = 0.05  # of the width: over which thermal fades in beside pixels that are out of its view
OCCLUSION_FEATHER_PX = 3  # the same beside hidden pixels: shadows of things are narrow
OUTSIDE = -1e4  # a map entry that is outside every picture
FRAME_STEP_PX = 4  # between the pixels that tell how large the undistorted picture is
STRIDE = 2  # every how many RGB pixels the z-buffer is asked
CELL_MARGIN = 1.25  # its cells are so much larger than the step between samples: no holes in what is near
NEAREST_TANGENT = 1e-3  # rays closer to the thermal camera's own plane are not looked up
FEWEST_HIDDEN = 3  # of a 3×3 neighbourhood: single hidden spots are not masked
OCCLUSION_PX = 1.5  # two surfaces are told apart when parallax separates them by more


class Warp(Protocol):
    """Resamples pictures of the thermal camera into the RGB frame. Arrays belong to it: copy what must last."""

    valid: Mask

    def apply(
        self, image: NDArray[Any], out: NDArray[Any] | None = None, *, nearest: bool = False
    ) -> NDArray[Any]:
        """`image` (thermal size, uint8/uint16/float32) as the RGB camera would have seen it (RGB size)."""


def softened(seen: Mask, width_px: int | None = None) -> Mask:
    """0 where `seen` (0/255) is 0, rising to 255 within `width_px` inside (default :data:`FEATHER`).

    Where the view ends with the picture it stays 255 up to the rim.
    """
    if seen.all():
        return seen
    if width_px is None:
        width_px = max(5, round(FEATHER * seen.shape[1]))
    side = width_px // 2 * 2 + 1
    core = cv2.erode(seen, np.ones((side, side), np.uint8), borderType=cv2.BORDER_REPLICATE)
    return cv2.blur(core, (side, side), borderType=cv2.BORDER_REPLICATE).astype(np.uint8, copy=False)


class MatrixWarp:
    """Through a 3×3 matrix from RGB pixels to thermal pixels."""

    def __init__(self, matrix: Floats, rgb_size: tuple[int, int], thermal_size: tuple[int, int]):
        """Sizes are (width, height). Raises :class:`InputError` for a matrix that is none."""
        matrix = np.asarray(matrix, dtype=np.float64)
        if matrix.shape != (3, 3) or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-12:
            raise InputError(f"registration matrix {matrix.tolist()} is not an invertible 3×3 matrix")
        self.matrix, self.rgb_size, self.thermal_size = matrix, rgb_size, thermal_size
        everywhere = np.full(thermal_size[::-1], 255, np.uint8)
        seen = cv2.warpPerspective(
            everywhere, matrix, rgb_size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderValue=0
        )
        self.valid: Mask = softened(np.where(seen > 127, 255, 0).astype(np.uint8))

    def apply(
        self, image: NDArray[Any], out: NDArray[Any] | None = None, *, nearest: bool = False
    ) -> NDArray[Any]:
        """See :class:`Warp`; what was not seen repeats the rim."""
        how = (cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR) | cv2.WARP_INVERSE_MAP
        return cv2.warpPerspective(
            image, self.matrix, self.rgb_size, dst=out, flags=how, borderMode=cv2.BORDER_REPLICATE
        )


class RigGeometry:
    """What every warp through a rig needs: the ray of each RGB pixel in the thermal frame, and the thermal lens.

    A point at depth d on the ray of RGB pixel p lies at ``d · rays[p] + translation`` in the thermal frame.
    """

    def __init__(self, rig: Rig):
        """Raises :class:`CalibrationError` for a thermal lens that sees nothing."""
        self.rig = rig
        self.ideal, self.lens = _lens_map(rig.thermal)
        rays = rig.rgb.unproject(rig.rgb.pixel_grid()) @ rig.rotation.T
        shape = (rig.rgb.height, rig.rgb.width)
        self.known: NDArray[np.bool_] = np.isfinite(rays).all(axis=1).reshape(shape)
        rays = np.nan_to_num(rays, nan=0.0)
        self.x, self.y, self.z = (np.ascontiguousarray(axis.reshape(shape), np.float32) for axis in rays.T)
        (self._fx, _, self._cx), (_, self._fy, self._cy) = self.ideal.k[:2].tolist()
        self._fx_x, self._fy_y = np.float32(self._fx) * self.x, np.float32(self._fy) * self.y

    def thermal_pixels(self, inverse_depth: NDArray[np.float32]) -> tuple[NDArray, NDArray, NDArray, NDArray]:
        """Where RGB pixels at 1/depth (H×W, 1/m; 0 is infinitely far) are seen by the thermal camera.

        Returns (x, y, inverse depth in the thermal frame, in view), each H×W; x, y are sensor pixels, lens included.
        """
        tx, ty, tz = self.rig.translation.astype(np.float32)
        ahead = cv2.scaleAdd(inverse_depth, float(tz), self.z)
        in_view = ahead > NEAREST_TANGENT
        in_view &= self.known
        scale = cv2.divide(1.0, ahead)  # 0 where `ahead` is
        u = cv2.scaleAdd(inverse_depth, float(self._fx * tx), self._fx_x)
        v = cv2.scaleAdd(inverse_depth, float(self._fy * ty), self._fy_y)
        u, v = cv2.multiply(u, scale), cv2.multiply(v, scale)
        u = cv2.add(u, self._cx)
        v = cv2.add(v, self._cy)
        np.copyto(u, np.float32(OUTSIDE), where=~in_view)
        if self.lens is None:
            x, y = u, v
        else:
            # Bending changes so slowly that the nearest entry is right to a few hundredths of a pixel.
            outside = (OUTSIDE, OUTSIDE, 0, 0)
            bend_x, bend_y = cv2.split(cv2.remap(self.lens, u, v, cv2.INTER_NEAREST, borderValue=outside))
            x, y = cv2.add(u, bend_x), cv2.add(v, bend_y)
        width, height = self.rig.thermal.size
        in_view &= (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)
        return x, y, cv2.multiply(inverse_depth, scale), in_view


def _lens_map(camera: CameraModel) -> tuple[CameraModel, NDArray[np.float32] | None]:
    """The undistorted camera that sees as much as `camera`, and how far the lens moves each of its pixels (H×W×2).

    None when the lens does not distort.
    """
    if not camera.distorts:
        return camera.pinhole, None
    width, height = camera.size
    # The rim alone would do, if all of it had rays; a lens need not reach it.
    x, y = (np.append(np.arange(0, edge - 1, FRAME_STEP_PX), edge - 1.0) for edge in camera.size)
    pixels = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
    straight = camera.pinhole.project(camera.unproject(pixels))
    straight = straight[np.isfinite(straight).all(axis=1)]
    if not len(straight):
        raise CalibrationError(
            "no_rays",
            f"{camera.name}: the distortion leaves no pixel a direction to look in; {CALIBRATE_HINT}",
        )
    # A fisheye's rim may lie almost at infinity; what is beyond three pictures is not worth a map.
    low = np.clip(np.floor(straight.min(axis=0)) - 2, (-width, -height), 0).astype(int)
    high = np.clip(np.ceil(straight.max(axis=0)) + 3, camera.size, (2 * width, 2 * height)).astype(int)
    ideal = camera.pinhole.cropped(*low, *(high - low))
    rays = ideal.unproject(ideal.pixel_grid())
    bend = np.nan_to_num(camera.project(rays) - ideal.pixel_grid(), nan=OUTSIDE)
    return ideal, bend.reshape(ideal.height, ideal.width, 2).astype(np.float32)


class PlaneWarp:
    """Through a plane before the RGB camera: exact for what lies on it; maps are computed once."""

    def __init__(
        self, geometry: RigGeometry, distance_m: float, normal: tuple[float, float, float] = (0, 0, 1)
    ):
        """`normal` (RGB optical frame) and `distance_m` from the camera; a distance of 0 means infinity."""
        if not np.isfinite(distance_m) or distance_m < 0:
            raise InputError(f"plane distance {distance_m:g} m: give a positive distance, or 0 for infinity")
        if distance_m == 0:
            inverse = np.zeros_like(geometry.z)
        else:
            direction = geometry.rig.rotation @ (np.asarray(normal, float) / np.linalg.norm(normal))
            facing = geometry.x * direction[0] + geometry.y * direction[1] + geometry.z * direction[2]
            inverse = np.maximum(facing / distance_m, 0).astype(np.float32)
        x, y, _, seen = geometry.thermal_pixels(inverse)
        self._maps = cv2.convertMaps(x, y, cv2.CV_16SC2)
        self.valid: Mask = softened(np.where(seen, 255, 0).astype(np.uint8))

    def apply(
        self, image: NDArray[Any], out: NDArray[Any] | None = None, *, nearest: bool = False
    ) -> NDArray[Any]:
        """See :class:`Warp`."""
        how = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
        return cv2.remap(image, *self._maps, how, dst=out, borderMode=cv2.BORDER_REPLICATE)


class DepthWarp:
    """Through the depth of every RGB pixel; what the thermal camera could not see behind something is masked."""

    def __init__(self, geometry: RigGeometry):
        self.geometry = geometry
        camera = geometry.rig.thermal
        self._cell_px = max(1.0, CELL_MARGIN * STRIDE * camera.k[0, 0] / geometry.rig.rgb.k[0, 0])
        self._cells = tuple(int(edge / self._cell_px) + 1 for edge in camera.size)
        self._nearest = np.zeros(self._cells[0] * self._cells[1], np.float32)
        # Parallax in thermal pixels per 1/m of inverse depth.
        self._parallax = max(1e-6, float(camera.k[0, 0] * geometry.rig.baseline_m))
        shape = geometry.z.shape
        self.valid: Mask = np.zeros(shape, np.uint8)
        self._maps: tuple[NDArray, NDArray] = (np.zeros(shape, np.float32), np.zeros(shape, np.float32))

    def update(self, depth: NDArray[np.float32]) -> None:
        """Take a new depth map: H×W float32, metres along the RGB camera's axis; NaN counts as infinitely far."""
        shape = self.geometry.z.shape
        if depth.ndim != 2:
            raise InputError(f"depth: need H×W, got {depth.shape}")
        if depth.shape != shape:
            depth = cv2.resize(depth, shape[::-1], interpolation=cv2.INTER_NEAREST).astype(
                np.float32, copy=False
            )
        usable = depth > 1e-3  # NaN is not
        inverse = np.divide(np.float32(1), depth, out=np.zeros(shape, np.float32), where=usable)
        x, y, inverse_there, in_view = self.geometry.thermal_pixels(inverse)
        self._maps = x, y
        view = softened(in_view.view(np.uint8) * np.uint8(255))
        self.valid = cv2.min(view, self._free(x, y, inverse_there, in_view)).astype(np.uint8, copy=False)

    def _free(self, x: NDArray, y: NDArray, inverse: NDArray, in_view: NDArray[np.bool_]) -> Mask:
        """0 where something nearer is seen by the thermal camera before the pixel (z-buffer in coarse cells)."""
        shape = inverse.shape
        every = np.s_[::STRIDE, ::STRIDE]
        inverse = inverse[every] * in_view[every]  # out of view is infinitely far: hides nothing
        columns, rows = self._cells
        column = np.clip(x[every] * np.float32(1 / self._cell_px), 0, columns - 1).astype(np.intp)
        cell = (
            np.clip(y[every] * np.float32(1 / self._cell_px), 0, rows - 1).astype(np.intp) * columns + column
        )
        self._nearest.fill(0)
        np.maximum.at(self._nearest, cell, inverse)
        behind = self._nearest[cell] - inverse
        free = np.where(behind > OCCLUSION_PX / self._parallax, np.uint8(0), np.uint8(255))
        hidden_near = 9 - cv2.boxFilter(free // 255, -1, (3, 3), normalize=False)
        free[hidden_near < FEWEST_HIDDEN] = 255  # foliage, noise of the depth
        wide = cv2.resize(free, shape[::-1], interpolation=cv2.INTER_NEAREST)
        return softened(wide.astype(np.uint8, copy=False), OCCLUSION_FEATHER_PX)

    def apply(
        self, image: NDArray[Any], out: NDArray[Any] | None = None, *, nearest: bool = False
    ) -> NDArray[Any]:
        """See :class:`Warp`; with the depth of the last :meth:`update`."""
        how = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
        return cv2.remap(image, *self._maps, how, dst=out, borderMode=cv2.BORDER_REPLICATE)
