"""Small recordings made on the spot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from thermal_fusion_ros.bags.pictures import write_picture


def colour_picture(seed: int, height: int = 48, width: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def grey_picture(seed: int, height: int = 48, width: int = 64, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, (height, width), dtype)


@pytest.fixture
def make_pictures(tmp_path: Path) -> Callable[..., Path]:
    """A folder with `visible` and `infrared` pictures of the given names."""

    def make(names: list[str], dtype: type = np.uint8) -> Path:
        folder = tmp_path / "pair"
        for sub in ("visible", "infrared"):
            (folder / sub).mkdir(parents=True)
        for seed, name in enumerate(names):
            write_picture(folder / "visible" / f"{name}.png", colour_picture(seed))
            write_picture(folder / "infrared" / f"{name}.png", grey_picture(seed, dtype=dtype))
        return folder

    return make


@pytest.fixture
def make_video() -> Callable[..., Path]:
    """A video whose n-th frame has the grey level 10 n."""

    def make(path: Path, frames: int, fps: float = 30.0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), fps, (64, 48))
        assert writer.isOpened()
        for index in range(frames):
            writer.write(np.full((48, 64, 3), 10 * index, np.uint8))
        writer.release()
        return path

    return make
