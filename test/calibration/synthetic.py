"""Boards seen by cameras that are known exactly: every pixel is the mean of rays cast at the board's plane."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from thermal_fusion_ros.calibration.board import Board
from thermal_fusion_ros.sensing.camera import CameraModel
from thermal_fusion_ros.sensing.rig import Rig

MARGIN = 1.0  # white paper round the pattern, in squares
OVERSAMPLING = 2


def example_rig() -> Rig:
    rgb = CameraModel(
        640,
        480,
        [[610, 0, 322.5], [0, 608, 238.2], [0, 0, 1]],
        [-0.12, 0.06, 0.0007, -0.0004, 0.0],
        name="rgb",
    )
    thermal = CameraModel(
        640,
        512,
        [[590, 0, 315.1], [0, 592, 259.4], [0, 0, 1]],
        [-0.22, 0.09, -0.0005, 0.0006, 0.0],
        name="thermal",
    )
    rotation = Rotation.from_euler("xyz", (0.8, -1.3, 0.6), degrees=True).as_matrix()
    return Rig(rgb, thermal, rotation, np.array([-0.1, 0.004, 0.012]))


def poses(board: Board, count: int, seed: int = 0) -> list[np.ndarray]:
    """4×4 poses (RGB from board) that fill the shared view at several distances and tilts."""
    rng = np.random.default_rng(seed)
    centre = board.points.mean(axis=0)
    width = max(np.ptp(board.points[:, 0]), 1.33 * np.ptp(board.points[:, 1])) + 2 * board.square_m
    made = []
    for i in range(count):
        distance = width * (1.15 + 0.9 * (i % 4) / 3)
        reach = 0.42 * distance - 0.5 * width * 0.75
        x, y = np.array([(i * 0.618) % 1, (i * 0.414) % 1]) * 2 - 1
        tilt = rng.uniform(20, 38) if i % 5 else 0
        axis = np.append(Rotation.from_euler("z", i * 2.4).as_matrix()[:2, 0], 0)
        rotation = Rotation.from_rotvec(np.radians(tilt) * axis) * Rotation.from_euler(
            "z", rng.uniform(-0.4, 0.4)
        )
        pose = np.eye(4)
        pose[:3, :3] = rotation.as_matrix()
        target = np.array([x * max(0, reach) + 0.05, y * max(0, reach) * 0.7, distance])
        pose[:3, 3] = target - rotation.apply(centre)
        made.append(pose)
    return made


def pattern(board: Board, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """1 on white, 0 on black, nan off the board, at board coordinates in metres."""
    u, v = x / board.square_m, y / board.square_m
    extent = board.points[:, :2].max(axis=0) / board.square_m
    edge = 1 + MARGIN
    off = (u < -edge) | (u > extent[0] + edge) | (v < -edge) | (v > extent[1] + edge)
    if board.kind == "checkerboard":
        squares = (u >= -1) & (u < extent[0] + 1) & (v >= -1) & (v < extent[1] + 1)
        value = np.where(squares & ((np.floor(u) + np.floor(v)) % 2 == 0), 0.0, 1.0)
    elif board.kind == "charuco":
        scale = 40  # pixels per square of the printed picture
        size = ((board.columns + 1) * scale, (board.rows + 1) * scale)
        printed = board.charuco.generateImage(size, marginSize=0) / 255.0
        column = np.clip((u + 1) * scale, 0, size[0] - 1).astype(int)
        row = np.clip((v + 1) * scale, 0, size[1] - 1).astype(int)
        squares = (u >= -1) & (u < extent[0] + 1) & (v >= -1) & (v < extent[1] + 1)
        value = np.where(squares, printed[row, column], 1.0)
    else:
        radius = 0.3 if board.kind == "circles" else 0.5
        value = np.ones_like(u)
        for cx, cy in board.points[:, :2] / board.square_m:
            value[(u - cx) ** 2 + (v - cy) ** 2 < radius**2] = 0
    return np.where(off, np.nan, value)


@dataclass
class Painter:
    """Renders one camera; the rays are computed once."""

    camera: CameraModel
    from_rgb: np.ndarray  # 4×4

    def __post_init__(self):
        offsets = (np.arange(OVERSAMPLING) + 0.5) / OVERSAMPLING - 0.5
        grid = self.camera.pixel_grid()
        fine = grid[:, None] + np.stack(np.meshgrid(offsets, offsets), -1).reshape(1, -1, 2)
        self.rays = self.camera.unproject(fine.reshape(-1, 2))

    def __call__(self, board: Board, rgb_from_board: np.ndarray) -> np.ndarray:
        """H×W float, mean of `pattern`; NaN off the board."""
        pose = np.linalg.inv(self.from_rgb @ rgb_from_board)
        origin, direction = pose[:3, 3], self.rays @ pose[:3, :3].T
        reach = -origin[2] / direction[:, 2]
        hit = origin + reach[:, None] * direction
        value = pattern(board, hit[:, 0], hit[:, 1])
        return value.reshape(self.camera.height, self.camera.width, -1).mean(axis=2)


def render(rig: Rig, board: Board, rgb_from_board: list[np.ndarray], seed: int = 0):
    """(RGB uint8 H×W×3, thermal uint16 H×W) per pose: the thermal one faint, inverted, graded, blurred, noisy."""
    rng = np.random.default_rng(seed)
    thermal_from_rgb = np.eye(4)
    thermal_from_rgb[:3, :3], thermal_from_rgb[:3, 3] = rig.rotation, rig.translation
    see_rgb, see_thermal = Painter(rig.rgb, np.eye(4)), Painter(rig.thermal, thermal_from_rgb)
    for pose in rgb_from_board:
        white = see_rgb(board, pose)
        gray = np.where(np.isnan(white), 90 + 40 * rng.random(), 25 + 190 * white)
        gray = cv2.GaussianBlur(gray, (0, 0), 0.6) + rng.normal(0, 2, gray.shape)
        rgb = np.repeat(np.clip(gray, 0, 255).astype(np.uint8)[..., None], 3, axis=2)

        white = see_thermal(board, pose)
        v, u = np.mgrid[: rig.thermal.height, : rig.thermal.width]
        lamp = np.exp(-(((u - 330) / 260) ** 2 + ((v - 240) / 220) ** 2))
        heat = np.where(np.isnan(white), 4000, 12000 + 18000 * lamp + 1500 * (1 - white))
        heat = cv2.GaussianBlur(heat, (0, 0), 1.3) + rng.normal(0, 60, heat.shape)
        yield rgb, np.clip(heat, 0, 65535).astype(np.uint16)
