"""Depth to a coloured point cloud, in the optical frame of the camera that the depth belongs to.

The cloud is organised like the picture: row and column of a point are those of its pixel, what is invalid is NaN
(REP-118 says the same of depth images). Points are structured numbers in one block of memory that is laid out as
sensor_msgs/PointCloud2 wants it, so publishing copies nothing.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.config import PointsConfig
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.sensing.camera import CameraModel

F32 = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Cloud = NDArray[Any]  # structured, see point_type

TEMPERATURE, INTENSITY = "temperature", "intensity"
CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
NOTHING = np.float32(np.inf)  # where there is no depth: nothing is nearer for it


def point_type(channel: str) -> np.dtype[Any]:
    """One point of 20 bytes: `x y z` metres, `rgb` (three bytes in a float32, as RViz and PCL read it), `channel`.

    `channel` is :data:`TEMPERATURE` (kelvin) or :data:`INTENSITY` (0 to 255, the thermal picture).
    """
    return np.dtype([(name, np.dtype("<f4")) for name in ("x", "y", "z", "rgb", channel)])


class PointCloudBuilder:
    """Organised clouds of one camera, always in the same memory.

    The rays of all pixels, lens distortion included, are computed once. Change of camera, `stride` or `channel` needs
    a new builder (see :meth:`serves`); the limits of `config` may be replaced at any time.
    """

    def __init__(self, camera: CameraModel, config: PointsConfig, channel: str = INTENSITY):
        """`camera`: the one that the pictures come from, with their size."""
        self.camera, self.config, self.channel = camera, config, channel
        self.stride = config.stride
        rays = _rays(camera, config.stride)
        self._right, self._down = (np.ascontiguousarray(rays[..., axis]) for axis in (0, 1))
        self.shape: tuple[int, int] = (rays.shape[0], rays.shape[1])
        size = (camera.height, camera.width)
        self._whole, self._limit = np.empty(size, np.float32), np.empty(size, np.float32)
        self._keep, self._far_enough = np.empty(size, np.bool_), np.empty(size, np.bool_)
        self._bgr0 = np.zeros((*self.shape, 4), np.uint8)
        self._lay(np.zeros(self.shape, point_type(channel)))

    def serves(self, camera: CameraModel, config: PointsConfig, channel: str) -> bool:
        """Whether clouds of this camera, stride and channel can be made; the camera is compared by identity."""
        return camera is self.camera and config.stride == self.stride and channel == self.channel

    @property
    def nbytes(self) -> int:
        """Size of the cloud."""
        return int(self.cloud.nbytes)

    def lay_over(self, memory: Any) -> None:
        """Make clouds in `memory`, a writable buffer of :attr:`nbytes` bytes, from now on."""
        self._lay(np.frombuffer(memory, point_type(self.channel)).reshape(self.shape))

    def _lay(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self._colour = cloud["rgb"].view(np.uint32)

    def __call__(self, depth: F32, rgb: Bytes, channel: NDArray[Any] | None) -> Cloud:
        """The cloud (h×w structured, overwritten by the next call).

        `depth` H×W float32 metres along the optical axis, `rgb` H×W×3 uint8, `channel` H×W of any number type; None
        fills the channel with NaN. Raises :class:`InputError` for other sizes than the camera's.
        """
        self._check(depth, rgb, channel)
        z = self._kept(depth)
        cloud, step = self.cloud, self.stride
        cloud["z"] = z
        np.multiply(self._right, z, out=cloud["x"])
        np.multiply(self._down, z, out=cloud["y"])
        if step > 1:
            rgb = np.ascontiguousarray(rgb[::step, ::step])
        cv2.mixChannels([rgb], [self._bgr0], [0, 2, 1, 1, 2, 0])  # little-endian: 0x00rrggbb
        self._colour[...] = self._bgr0.view(np.uint32)[..., 0]
        cloud[self.channel] = np.nan if channel is None else channel[::step, ::step]
        return cloud

    def _check(self, depth: F32, rgb: Bytes, channel: NDArray[Any] | None) -> None:
        size = (self.camera.height, self.camera.width)
        for name, image in (("depth", depth), ("picture", rgb), (self.channel, channel)):
            if image is not None and image.shape[:2] != size:
                raise InputError(
                    f"point cloud: {name} is {image.shape[1]}x{image.shape[0]}, the camera {size[1]}x{size[0]}"
                )

    def _kept(self, depth: F32) -> F32:
        """Depth of every `stride`-th pixel, NaN where there is to be no point."""
        config = self.config
        z, keep = self._whole, self._keep
        np.greater(depth, 0, out=keep)  # false for NaN
        np.copyto(z, NOTHING)
        np.copyto(z, depth, where=keep)
        farthest = np.float32(config.farthest_m)
        if config.edge > 0:
            # A flying pixel hangs behind the edge of something. The thing's own pixels have nothing nearer beside
            # them, so even what is one pixel wide stays. What is too near to be shown (the robot itself) has edges too.
            cv2.erode(z, CROSS, dst=self._limit, borderType=cv2.BORDER_REPLICATE)
            self._limit *= np.float32(1 + config.edge)
            np.minimum(self._limit, farthest, out=self._limit)
            np.less_equal(z, self._limit, out=keep)
        else:
            np.less_equal(z, farthest, out=keep)
        np.greater_equal(z, np.float32(config.nearest_m), out=self._far_enough)
        keep &= self._far_enough
        np.copyto(z, np.float32(np.nan), where=np.logical_not(keep, out=keep))
        return z[:: self.stride, :: self.stride]


def voxel_filtered(cloud: Cloud, edge_m: float) -> Cloud:
    """One point per cube of this edge, metres: the mean of those in it, colour included; valid points only, 1×N.

    Raises :class:`InputError` where open3d is not installed.
    """
    try:
        import open3d
    except ImportError as error:
        raise InputError(
            f"points.voxel_m needs open3d ({error}): pip install open3d, or set it to 0"
        ) from error
    valid = np.ascontiguousarray(cloud[np.isfinite(cloud["z"])])
    names = valid.dtype.names or ()
    filtered = np.empty((1, 0), cloud.dtype)
    if not valid.size:
        return filtered
    numbers = valid.view(np.float32).reshape(-1, len(names))
    tensor = open3d.core.Tensor.from_numpy
    source = open3d.t.geometry.PointCloud(tensor(np.ascontiguousarray(numbers[:, :3])))
    bgr = valid["rgb"].copy().view(np.uint8).reshape(-1, 4)[:, :3]
    source.point["bgr"] = tensor(bgr.astype(np.float32))
    source.point["channel"] = tensor(np.ascontiguousarray(numbers[:, 4:]))
    down = source.voxel_down_sample(edge_m)
    filtered = np.empty((1, len(down.point.positions)), cloud.dtype)
    made = filtered.view(np.float32).reshape(-1, len(names))
    made[:, :3] = down.point.positions.numpy()
    made[:, 4:] = down.point["channel"].numpy()
    packed = np.zeros((len(made), 4), np.uint8)
    packed[:, :3] = np.rint(down.point["bgr"].numpy())
    filtered["rgb"] = packed.view(np.float32).reshape(1, -1)
    return filtered


def _rays(camera: CameraModel, stride: int) -> F32:
    """h×w×2: where the ray through every `stride`-th pixel is one metre ahead; NaN where the lens reaches no pixel."""
    rows, columns = np.arange(0, camera.height, stride), np.arange(0, camera.width, stride)
    pixels = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2).astype(np.float64)
    focal, centre = camera.k[[0, 1], [0, 1]], camera.k[:2, 2]
    rays = camera.unproject(pixels)[:, :2] if camera.distorts else (pixels - centre) / focal  # much faster
    return rays.reshape(len(rows), len(columns), 2).astype(np.float32)
