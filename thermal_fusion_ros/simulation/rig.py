"""The rig: two cameras that differ in everything, where they sit, and where the robot carries them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.sensing.camera import CameraModel
from thermal_fusion_ros.sensing.rig import Rig as CalibratedRig
from thermal_fusion_ros.simulation import mesh as m
from thermal_fusion_ros.simulation.mesh import F32
from thermal_fusion_ros.simulation.worlds import World

F64 = NDArray[np.float64]

# Columns: where the optical frame's x (right), y (down), z (ahead) point in a body frame of x ahead, y left, z up.
BODY_FROM_OPTICAL: F64 = np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], np.float64)


@dataclass(frozen=True)
class Camera:
    """A plumb_bob camera. Pixel (0, 0) is the middle of the upper left pixel, as in OpenCV and REP-104."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, float, float, float, float] = (0.0, 0.0, 0.0, 0.0, 0.0)  # k1 k2 p1 p2 k3
    frame_id: str = "camera"

    @property
    def matrix(self) -> F64:
        """3×3 intrinsics."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], np.float64)

    @property
    def pixel_angle(self) -> float:
        """Radians seen by one pixel in the middle."""
        return 1.0 / self.fx

    def resized(self, width: int, height: int) -> Camera:
        """The same lens before a sensor of another resolution (same field of view up to the aspect ratio)."""
        sx, sy = width / self.width, height / self.height
        return replace(
            self,
            width=width,
            height=height,
            fx=self.fx * sx,
            fy=self.fy * sy,
            cx=(self.cx + 0.5) * sx - 0.5,
            cy=(self.cy + 0.5) * sy - 0.5,
        )

    def zoomed(self, zoom: float) -> Camera:
        """A lens `zoom` times as long, with as much less distortion, before the same sensor."""
        k1, k2, p1, p2, k3 = (k / zoom**2 for k in self.distortion)
        return replace(self, fx=self.fx * zoom, fy=self.fy * zoom, distortion=(k1, k2, p1, p2, k3))

    def rays(self, dx: float = 0.0, dy: float = 0.0) -> F32:
        """H×W×3 unit rays in the optical frame through every pixel, shifted by (dx, dy) pixels."""
        return _rays(self, dx, dy)

    def project(self, points: NDArray[np.floating]) -> F64:
        """N×2 pixels of N×3 points in the optical frame (z > 0), distortion applied."""
        p = np.asarray(points, np.float64)
        x, y = p[:, 0] / p[:, 2], p[:, 1] / p[:, 2]
        k1, k2, p1, p2, k3 = self.distortion
        r2 = x * x + y * y
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        xd = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
        yd = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
        return np.column_stack([self.fx * xd + self.cx, self.fy * yd + self.cy])


_CONVERGED = 1e-12  # far below what float32 can tell


@lru_cache(maxsize=24)
def _rays(camera: Camera, dx: float, dy: float) -> F32:
    u, v = np.meshgrid(np.arange(camera.width) + dx, np.arange(camera.height) + dy)
    xd, yd = (u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy
    k1, k2, p1, p2, k3 = camera.distortion
    x, y = xd.copy(), yd.copy()
    # Fixed point of Brown's model; converges for every lens that is invertible in its picture.
    for _ in range(40):
        r2 = x * x + y * y
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        before = x
        x, y = (
            (xd - 2 * p1 * x * y - p2 * (r2 + 2 * x * x)) / radial,
            (yd - p1 * (r2 + 2 * y * y) - 2 * p2 * x * y) / radial,
        )
        if np.abs(x - before).max() < _CONVERGED:
            break
    rays = np.stack([x, y, np.ones_like(x)], -1)
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    out = rays.astype(np.float32)
    out.setflags(write=False)
    return out


@dataclass(frozen=True)
class Timing:
    """When a camera takes pictures: every 1/rate s from `phase_s`; stamps are `latency_s` late."""

    rate_hz: float
    phase_s: float = 0.0
    latency_s: float = 0.0

    def captures(self, seconds: float) -> list[float]:
        """Capture times before `seconds`."""
        count = int(np.ceil((seconds - self.phase_s) * self.rate_hz - 1e-9))
        return [self.phase_s + k / self.rate_hz for k in range(max(count, 0))]


@dataclass(frozen=True)
class Rig:
    """Two cameras on a robot. Poses are 4×4, `a_from_b`; base_link is on the ground, x ahead."""

    rgb: Camera
    thermal: Camera
    base_from_rgb: F64
    base_from_thermal: F64
    rgb_timing: Timing = Timing(10.0)
    thermal_timing: Timing = Timing(10.0, 0.008, 0.020)
    headlamp: str = "auto"  # auto: at night where there are no street lamps

    @property
    def thermal_from_rgb(self) -> F64:
        """Extrinsics: a point of the RGB optical frame in the thermal optical frame."""
        return np.linalg.inv(self.base_from_thermal) @ self.base_from_rgb

    def calibration(self) -> CalibratedRig:
        """What a perfect calibration of this rig would find."""
        models = [
            CameraModel(
                camera.width,
                camera.height,
                camera.matrix,
                np.array(camera.distortion),
                name=name,
                frame_id=camera.frame_id,
            )
            for name, camera in (("rgb", self.rgb), ("thermal", self.thermal))
        ]
        turn = self.thermal_from_rgb
        return CalibratedRig(models[0], models[1], turn[:3, :3], turn[:3, 3])

    def remounted(self, base_from_rgb: F64, zoom: float) -> Rig:
        """Both cameras elsewhere, still in the same place to each other, with lenses `zoom` times as long."""
        between = np.linalg.inv(self.base_from_rgb) @ self.base_from_thermal
        return replace(
            self,
            rgb=self.rgb.zoomed(zoom),
            thermal=self.thermal.zoomed(zoom),
            base_from_rgb=base_from_rgb,
            base_from_thermal=base_from_rgb @ between,
        )

    def registered(self) -> Rig:
        """Both spectra through the undistorted RGB camera, at the same place and time: exact pairs for training."""
        eye = replace(self.rgb, distortion=(0.0,) * 5)
        return replace(
            self,
            rgb=eye,
            thermal=replace(eye, frame_id=self.thermal.frame_id),
            base_from_thermal=self.base_from_rgb,
            thermal_timing=replace(self.rgb_timing, latency_s=0.0),
        )


def mounted(ahead: float, height: float, pitch: float, roll: float = 0.0) -> F64:
    """base_from_camera (4×4) of a camera that looks ahead: metres, and radians down and about its axis."""
    out = np.eye(4)
    out[:3, :3] = (m.rotation_y(pitch) @ m.rotation_x(roll)).astype(np.float64) @ BODY_FROM_OPTICAL
    out[:3, 3] = (ahead, 0.0, height)
    return out


def default_rig(
    width: int = 640,
    height: int = 480,
    thermal_width: int = 640,
    thermal_height: int = 480,
    baseline_m: float = 0.10,
    mount_height_m: float = 1.35,
) -> Rig:
    """A 63° RGB camera and, `baseline_m` to its right, a 58° thermal one, slightly askew as real ones are."""
    if min(width, height, thermal_width, thermal_height) < 16:
        raise InputError(
            f"camera size {width}x{height}/{thermal_width}x{thermal_height}: at least 16 pixels each way"
        )
    if not np.isfinite(baseline_m) or abs(baseline_m) > 2:
        raise InputError(f"baseline {baseline_m} m: between -2 and 2")
    rgb = Camera(
        640, 480, 522.0, 521.0, 322.5, 236.5, (-0.082, 0.031, 0.0006, -0.0004, 0.0), "rgb_optical_frame"
    )
    thermal = Camera(
        640, 480, 577.0, 578.0, 314.0, 243.0, (-0.155, 0.062, -0.0005, 0.0008, 0.0), "thermal_optical_frame"
    )
    base_from_rgb = mounted(0.30, mount_height_m, np.radians(2.0))
    rgb_from_thermal = np.eye(4)
    askew = m.rotation_x(np.radians(-0.35)) @ m.rotation_y(np.radians(0.55)) @ m.rotation_z(np.radians(0.25))
    rgb_from_thermal[:3, :3] = askew
    rgb_from_thermal[:3, 3] = (baseline_m, 0.04 * baseline_m, -0.06 * baseline_m)
    return Rig(
        rgb.resized(width, height),
        thermal.resized(thermal_width, thermal_height),
        base_from_rgb,
        base_from_rgb @ rgb_from_thermal,
    )


def base_pose(world: World, t: float) -> F64:
    """world_from_base (4×4): the way of the world's path, with the shake of its ground."""
    x, y, yaw = world.path(t)
    s = world.path.distance(t)
    b = world.bumpiness
    ahead = world.ground(x + 0.5 * np.cos(yaw), y + 0.5 * np.sin(yaw)) - world.ground(x, y)
    pitch = -np.arctan(ahead / 0.5) * 0.5 + 0.7 * b * np.sin(1.9 * s) + 0.4 * b * np.sin(5.3 * s + 1)
    roll = 0.6 * b * np.sin(1.3 * s + 2) + 0.3 * b * np.sin(4.1 * s)
    heave = 0.5 * b * np.sin(2.7 * s + 0.5)
    out = np.eye(4)
    out[:3, :3] = (m.rotation_z(yaw) @ m.rotation_y(pitch) @ m.rotation_x(roll)).astype(np.float64)
    out[:3, 3] = (x, y, world.ground(x, y) + heave)
    return out
