"""Depth pictures with poses into one surface: open3d's truncated signed distance function in a sparse voxel grid.

Curless and Levoy, A Volumetric Method for Building Complex Models from Range Images (SIGGRAPH 1996); the sparse grid is
that of Dong et al., ASH (TPAMI 2022).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.geometry.poses import Matrix, inverse
from thermal_fusion_ros.geometry.reconstruction_mesh import Mesh
from thermal_fusion_ros.sensing.camera import CameraModel

F32 = NDArray[np.float32]

BLOCK = 16  # voxels along the edge of a block
BYTES_PER_VOXEL = 20  # distance, weight, three channels
MOST_BYTES = 3 << 30  # of voxels; growing takes twice as much for a moment
FIRST_BLOCKS = 1000
# How far before and behind a surface its distance is kept, along the view: ground that is seen at a flat angle lies
# between voxels that are far from it that way, and has gaps when this is small.
TRUNCATION_VOXELS = 8.0
FULL_WEIGHT = 3.0  # looks at a voxel before it counts, when there are enough frames for that
FEWEST_TRIANGLES = 40  # of a piece: less is noise
SHARPEST_WIDTH_PX = 480  # smaller depth pictures are enlarged to about this: the grid takes the nearest pixel
SAME_SURFACE = 0.05  # depth changes by less than this share from one pixel to the next on one surface
LEAST_SEEN = 0.2  # of the weight of a voxel: the share that must have come with a temperature
GREY = 178


def open3d() -> Any:
    """The library; :class:`InputError` with the remedy where it is missing."""
    try:
        import open3d
    except (ImportError, OSError) as error:
        raise InputError(
            f"reconstruction needs open3d ({error}): "
            "pip install open3d, and on Debian apt install libusb-1.0-0 libgl1 libgomp1"
        ) from error
    return open3d


@dataclass(frozen=True)
class Flat:
    """A depth picture as a camera without a lens error sees it.

    `depth` H×W float32 metres along the axis, 0 where there is none; `channels` H×W×3 float32: red, green and blue
    (0 to 255), or for temperature: kelvin, 1 and 0 where it is known, else three zeros. `k` 3×3 has pixel centres at
    whole numbers.
    """

    depth: F32
    channels: F32
    k: NDArray[np.float64]


class Flattener:
    """Undistorts depth and what lies on it, for one camera; maps are computed once.

    Inverse depth is interpolated, which is exact on planes, but never across an edge: no surface is invented between
    a thing and what is behind it.
    """

    def __init__(self, camera: CameraModel) -> None:
        self.camera = camera
        times = min(4, max(1, -(-SHARPEST_WIDTH_PX // camera.width)))
        self.flat = camera.pinhole.resized(times * camera.width, times * camera.height)
        pixels = camera.project(self.flat.unproject(self.flat.pixel_grid()))
        maps = np.nan_to_num(pixels, nan=-1e4).reshape(self.flat.height, self.flat.width, 2)
        self._x, self._y = (np.ascontiguousarray(maps[..., i], np.float32) for i in (0, 1))

    def depth(self, depth: F32) -> F32:
        """H×W metres, NaN or anything not above 0 where there is none, to the flat camera; 0 where there is none."""
        self.camera.check_image(depth.shape[1], depth.shape[0])
        known = np.isfinite(depth) & (depth > 0)
        near = np.divide(np.float32(1), depth, out=np.zeros(depth.shape, np.float32), where=known)
        nearest = self._map(near, cv2.INTER_NEAREST)
        smooth = self._map(near, cv2.INTER_LINEAR)
        inverse_depth = np.where(np.abs(smooth - nearest) < SAME_SURFACE * nearest, smooth, nearest)
        return np.divide(
            np.float32(1), inverse_depth, out=np.zeros_like(inverse_depth), where=inverse_depth > 0
        )

    def picture(self, picture: NDArray[Any]) -> F32:
        """H×W×3 of any number type to the flat camera, float32."""
        return self._map(np.asarray(picture, np.float32), cv2.INTER_LINEAR)

    def _map(self, image: F32, how: int) -> F32:
        return np.asarray(cv2.remap(image, self._x, self._y, how, borderValue=0), np.float32)


class Volume:
    """The surface so far. Used by one thread at a time."""

    def __init__(self, voxel_m: float, max_depth_m: float) -> None:
        """`voxel_m`: edge of a voxel; what is farther than `max_depth_m` from the camera is not used."""
        self._o3d = o3d = open3d()
        self.voxel_m, self.max_depth_m = voxel_m, max_depth_m
        self.frames = 0
        self._most_blocks = MOST_BYTES // (BLOCK**3 * BYTES_PER_VOXEL)
        # Voxels have single precision: the first camera is the middle of the grid, however far the world's origin is.
        self._middle: NDArray[np.float64] | None = None
        self._grid = o3d.t.geometry.VoxelBlockGrid(
            ("tsdf", "weight", "color"),
            (o3d.core.float32,) * 3,
            ((1,), (1,), (3,)),
            voxel_m,
            BLOCK,
            FIRST_BLOCKS,
            o3d.core.Device("CPU:0"),
        )

    def add(self, flat: Flat, world_from_camera: Matrix) -> bool:
        """Integrate one picture; False when nothing in it is near enough. InputError when memory would run out."""
        if self._middle is None:
            self._middle = np.round(world_from_camera[:3, 3])
        depth = np.where(flat.depth <= self.max_depth_m, flat.depth, np.float32(0))
        if not depth.any():
            return False
        o3d = self._o3d
        pose = world_from_camera.copy()
        pose[:3, 3] -= self._middle
        extrinsic = o3d.core.Tensor(inverse(pose))
        # open3d cuts off the fraction of a pixel coordinate; half a pixel more makes that rounding.
        k = flat.k.copy()
        k[:2, 2] += 0.5
        intrinsic = o3d.core.Tensor(k)
        depth_image = o3d.t.geometry.Image(o3d.core.Tensor(np.ascontiguousarray(depth)))
        colour_image = o3d.t.geometry.Image(o3d.core.Tensor(np.ascontiguousarray(flat.channels)))
        how = (1.0, self.max_depth_m, TRUNCATION_VOXELS)  # depth scale, and twice what it says
        try:
            blocks = self._grid.compute_unique_block_coordinates(depth_image, intrinsic, extrinsic, *how)
        except RuntimeError:  # "no block is touched"
            return False
        if self._grid.hashmap().size() + len(blocks) > self._most_blocks:
            self._refuse_if_full(blocks)
        self._grid.integrate(blocks, depth_image, colour_image, intrinsic, intrinsic, extrinsic, *how)
        self.frames += 1
        return True

    def _refuse_if_full(self, blocks: Any) -> None:
        grid = self._grid.hashmap()
        _, known = grid.find(blocks)
        if grid.size() + int((~known.numpy()).sum()) > self._most_blocks:
            raise InputError(
                f"more than {MOST_BYTES >> 30} GiB of voxels after {self.frames} frames: raise --voxel "
                f"{self.voxel_m:g} or lower --max-depth {self.max_depth_m:g}"
            )

    def mesh(self, *, temperature: bool = False) -> Mesh:
        """The surface without its smallest pieces; it may have no triangle.

        `temperature`: the channels were those of temperature; colours are then grey, to be painted from it.
        """
        looks = min(FULL_WEIGHT, max(1.0, self.frames / 3))
        if not self.frames:
            return _empty()
        try:
            found = self._grid.extract_triangle_mesh(looks)
            triangles = found.triangle.indices.numpy().astype(np.int32)
        except (RuntimeError, KeyError):  # an empty surface
            return _empty()
        assert self._middle is not None
        channels = found.vertex.colors.numpy()
        colours = np.full(channels.shape, GREY, np.uint8)
        kelvin: F32 | None = None
        if temperature:
            seen = channels[:, 1]
            kelvin = np.where(
                seen > LEAST_SEEN, channels[:, 0] / np.maximum(seen, LEAST_SEEN), np.nan
            ).astype(np.float32)
        else:
            colours = np.clip(np.rint(channels), 0, 255).astype(np.uint8)
        return Mesh(
            found.vertex.positions.numpy().astype(np.float64) + self._middle,
            triangles,
            found.vertex.normals.numpy().astype(np.float32),
            colours,
            kelvin,
        ).without_small_pieces(FEWEST_TRIANGLES)


def _empty() -> Mesh:
    return Mesh(
        np.zeros((0, 3)),
        np.zeros((0, 3), np.int32),
        np.zeros((0, 3), np.float32),
        np.zeros((0, 3), np.uint8),
    )
