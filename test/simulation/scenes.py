"""Small worlds and cameras: every picture here has a few thousand pixels."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip(
    "open3d", reason="the simulator needs open3d (and Debian's libusb-1.0-0, libgl1, libgomp1)"
)

from thermal_fusion_ros.config import SimulationConfig
from thermal_fusion_ros.simulation import mesh, worlds
from thermal_fusion_ros.simulation.actors import Track
from thermal_fusion_ros.simulation.rig import BODY_FROM_OPTICAL, Camera

WALL_M = 8.0


def small(**changes) -> SimulationConfig:
    size = {"width": 96, "height": 72, "thermal_width": 80, "thermal_height": 64}
    return SimulationConfig(**{"world": "corridor", "condition": "day", "seed": 3, **size, **changes})


def pinhole(width: int = 96, height: int = 72, distortion=(0.0,) * 5) -> Camera:
    return Camera(width, height, 80.0, 80.0, (width - 1) / 2, (height - 1) / 2, tuple(distortion))


def looking_ahead(x: float = 0.0, y: float = 0.0, z: float = 1.5) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = BODY_FROM_OPTICAL, (x, y, z)
    return pose


def bare_world(
    *extra: mesh.Mesh, objects=(), wall: str = "wall", indoor: bool = False, **wall_changes
) -> worlds.World:
    """Ground, a wall across the view at x = 8 m, and what is asked for."""
    builder = worlds.Builder(np.random.default_rng(0))
    p = builder.palette
    builder.add(mesh.quad([[-50, -50, 0], [50, -50, 0], [50, 50, 0], [-50, 50, 0]], p("asphalt")))
    builder.add(mesh.span([WALL_M, -30, 0], [WALL_M + 1, 30, 30], p(wall, **wall_changes)), *extra)
    for label, low, high, material in objects:
        builder.add_object(label, mesh.span(low, high, p(material)))
    path = Track([[-20, 0], [-21, 0]], 0.1, closed=False)
    return builder.finish("bare", 0, path, lambda x, y: 0.0, indoor, 0.0, [[4.0, 0.0, 0.0, 1.0]])
