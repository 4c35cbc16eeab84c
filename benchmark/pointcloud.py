"""`python -m benchmark.pointcloud`: time of a 640x480 cloud beside the two obvious ways to make one.

Processor time on one core, the implementations taking turns, so that a busy machine slows all of them alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmark.context import Context
from benchmark.markdown import table
from thermal_fusion_ros.config import PointsConfig
from thermal_fusion_ros.geometry.pointcloud import TEMPERATURE, PointCloudBuilder
from thermal_fusion_ros.sensing.camera import CameraModel

HEIGHT, WIDTH = 480, 640
ROUNDS = 30
CAMERA = CameraModel(WIDTH, HEIGHT, [[520.0, 0.0, 319.5], [0.0, 520.0, 239.5], [0.0, 0.0, 1.0]])
Arrays = tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.float32]]


def scene() -> Arrays:
    """Depth of a street-like scene with sky (NaN) and things in the way, a picture, temperatures; always the same."""
    random = np.random.default_rng(0)
    row = np.arange(HEIGHT, dtype=np.float32)[:, None] - 230.0
    depth = np.where(row > 8, 1.35 * 520.0 / np.maximum(row, 1), np.nan) * np.ones((1, WIDTH))
    for _ in range(12):
        x, y, size = random.integers((0, 120, 30), (WIDTH - 80, 300, 90))
        depth[y : y + 2 * size, x : x + size] = random.uniform(3, 30)
    picture = random.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    kelvin = random.uniform(280, 310, (HEIGHT, WIDTH))
    return depth.astype(np.float32), picture, kelvin.astype(np.float32)


def obvious(depth: NDArray[np.float32], rgb: NDArray[np.uint8], kelvin: NDArray[np.float32]) -> bytes:
    """What one writes first: a grid, the pinhole formula, a stack, bytes for the message. No flying pixels removed."""
    k = CAMERA.k
    u, v = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    z = np.where((depth >= 0.3) & (depth <= 40.0), depth, np.nan)
    x = (u - k[0, 2]) * z / k[0, 0]
    y = (v - k[1, 2]) * z / k[1, 1]
    red, green, blue = (rgb[..., c].astype(np.uint32) for c in range(3))
    packed = (red << 16 | green << 8 | blue).view(np.float32)
    return np.stack([x, y, z, packed, kelvin], axis=-1).astype(np.float32).tobytes()


def with_open3d(depth: NDArray[np.float32], rgb: NDArray[np.uint8]) -> Any:
    """open3d's own: colour in float64, no temperature, invalid points gone, not a message yet."""
    import open3d as o3d

    pictures = o3d.geometry.RGBDImage.create_from_color_and_depth(
        o3d.geometry.Image(rgb),
        o3d.geometry.Image(np.nan_to_num(depth)),
        depth_scale=1.0,
        depth_trunc=40.0,
        convert_rgb_to_intensity=False,
    )
    k = CAMERA.k
    camera = o3d.camera.PinholeCameraIntrinsic(WIDTH, HEIGHT, k[0, 0], k[1, 1], k[0, 2], k[1, 2])
    return o3d.geometry.PointCloud.create_from_rgbd_image(pictures, camera)


def side_by_side(work: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Median milliseconds of processor time of each, measured in turn."""
    taken: dict[str, list[float]] = {name: [] for name in work}
    for name, one in [*work.items()] * (ROUNDS + 2):
        start = time.process_time()
        one()
        taken[name].append((time.process_time() - start) * 1e3)
    return {name: float(np.median(times[2:])) for name, times in taken.items()}


def pointcloud(context: Context | None = None) -> str:
    """Milliseconds per cloud and the ratio to ours at stride 1 with everything on."""
    cv2.setNumThreads(1)
    depth, rgb, kelvin = scene()
    whole, plain, half = (
        PointCloudBuilder(CAMERA, PointsConfig(stride=stride, edge=edge), TEMPERATURE)
        for stride, edge in ((1, 0.05), (1, 0.0), (2, 0.05))
    )
    work: dict[str, Callable[[], object]] = {
        "ours, stride 1": lambda: whole(depth, rgb, kelvin),
        "ours, stride 1, flying pixels kept": lambda: plain(depth, rgb, kelvin),
        "ours, stride 2": lambda: half(depth, rgb, kelvin),
        "meshgrid and stack, flying pixels kept": lambda: obvious(depth, rgb, kelvin),
    }
    try:
        with_open3d(depth, rgb)
    except ImportError:
        pass
    else:
        work["open3d create_from_rgbd_image, no temperature"] = lambda: with_open3d(depth, rgb)
    taken = side_by_side(work)
    ours = taken["ours, stride 1"]
    rows = [[name, f"{ms:.2f}", f"{ms / ours:.1f}"] for name, ms in taken.items()]
    return table([f"cloud of {WIDTH}x{HEIGHT}", "ms", "times ours"], rows)


if __name__ == "__main__":
    print(pointcloud())
