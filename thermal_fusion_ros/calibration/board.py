"""Calibration boards: where their points are, and in how many ways a board looks like itself."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.errors import InputError

KINDS = ("checkerboard", "circles", "acircles", "charuco")
FEWEST_POINTS = 6  # of a board with identified corners, to count as seen


@dataclass(frozen=True)
class Board:
    """A flat pattern of `columns` × `rows` points, `square_m` metres apart.

    checkerboard: inner corners. circles: symmetric grid of centres. acircles: OpenCV's asymmetric grid, where
    `columns` is the number of circles in a row and neighbouring rows are offset by half a step (`square_m` is
    half the distance inside a row). charuco: inner corners; `marker_m` is the side of the markers and
    `dictionary` an OpenCV name such as DICT_5X5_100.
    """

    kind: str
    columns: int
    rows: int
    square_m: float
    marker_m: float = 0.0
    dictionary: str = "DICT_5X5_100"

    def __post_init__(self) -> None:
        """Refuse boards that don't exist."""
        if self.kind not in KINDS:
            raise InputError(f"board {self.kind!r} is not one of {', '.join(KINDS)}")
        if self.columns < 2 or self.rows < 2:
            raise InputError(f"board of {self.columns}x{self.rows} corners: give at least 2x2 inner corners")
        if not np.isfinite(self.square_m) or self.square_m <= 0:
            raise InputError(f"board square {self.square_m:g} m: give the side of a square in metres")
        if self.kind == "charuco":
            if not hasattr(cv2.aruco, self.dictionary):
                raise InputError(f"marker dictionary {self.dictionary!r} is unknown (example: DICT_5X5_100)")
            if not 0 <= self.marker_m < self.square_m:
                raise InputError(f"marker side {self.marker_m:g} m must be smaller than the square")

    @property
    def points(self) -> NDArray[np.float64]:
        """Every point in metres, N×3 with z = 0, in the order in which detections are numbered."""
        column, row = np.meshgrid(np.arange(self.columns), np.arange(self.rows))
        x, y = column.astype(float), row.astype(float)
        if self.kind == "acircles":
            x = 2 * x + row % 2
        return np.stack([x, y, np.zeros_like(x)], axis=-1).reshape(-1, 3) * self.square_m

    @property
    def symmetries(self) -> list[NDArray[np.int64]]:
        """Renumberings of the points under which the grid is the same: identity first, then turns and mirrors.

        A detector may start at another corner in each spectrum (a heated checkerboard has its colours swapped).
        """
        if self.kind == "charuco":
            return [np.arange(self.columns * self.rows)]
        centred = self.points[:, :2] - (self.points[:, :2].min(axis=0) + self.points[:, :2].max(axis=0)) / 2
        found = []
        for swap, sign_x, sign_y in itertools.product((False, True), (1, -1), (1, -1)):
            moved = (centred[:, ::-1] if swap else centred) * (sign_x, sign_y)
            distance = np.abs(moved[:, None] - centred[None]).max(axis=2)
            if distance.min(axis=1).max() < 1e-6 * self.square_m:
                found.append(distance.argmin(axis=1))
        return found

    @property
    def charuco(self) -> cv2.aruco.CharucoBoard:
        """OpenCV's description of a ChArUco board (markers default to three quarters of the square)."""
        dictionary = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, self.dictionary))
        marker = self.marker_m or 0.75 * self.square_m
        return cv2.aruco.CharucoBoard((self.columns + 1, self.rows + 1), self.square_m, marker, dictionary)

    @property
    def fewest_points(self) -> int:
        """How many points a view must show: all, except where they carry numbers."""
        return FEWEST_POINTS if self.kind == "charuco" else self.columns * self.rows


def parse_corners(text: str) -> tuple[int, int]:
    """`9x6` -> (9, 6)."""
    columns, _, rows = text.lower().replace("×", "x").partition("x")
    if not (columns.isdigit() and rows.isdigit()):
        raise InputError(f"--corners {text}: write it as COLUMNSxROWS, as in 9x6")
    return int(columns), int(rows)
