"""A pipeline that is quick and whose pixels are known, put in place of the real one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from thermal_fusion_ros.bags.pictures import write_picture
from thermal_fusion_ros.config import Config
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.frames import FramePair, Perception


class AddingPipeline:
    """Adds a tenth of the mean thermal value to the visible image, and remembers what it was asked."""

    made: list[AddingPipeline]

    def __init__(self, config: Config) -> None:
        self.config = config
        self.sizes: list[tuple[int, ...]] = []
        self.resets = 0
        self.engine_name = "adding"
        self.engine_refused: list[str] = []
        self.counters: Counter[str] = Counter()
        self.registration_counters: Counter[str] = Counter()
        type(self).made.append(self)

    def reset(self) -> None:
        self.resets += 1

    def set_down(self, down) -> None:
        pass

    def set_rig(self, rig: object, problem: object, rgb: object) -> None:
        """It adds pictures as they are."""

    def prepare(self, height: int, width: int) -> None:
        assert not self.sizes or (height, width) not in self.sizes, "prepared too late"

    def process(self, pair: FramePair) -> Perception:
        self.sizes.append(pair.rgb.image.shape[:2])
        if pair.rgb.image.shape[0] < 16:
            raise InputError("rgb frame: too small")
        return Perception(
            pair.rgb.stamp_ns,
            pair.rgb.frame_id,
            fused(pair.rgb.image, pair.thermal.image),
            pair.thermal.image,
        )


def fused(visible: np.ndarray, thermal: np.ndarray) -> np.ndarray:
    return np.clip(visible.astype(int) + int(thermal.mean() / 10), 0, 255).astype(np.uint8)


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> type[AddingPipeline]:
    AddingPipeline.made = []
    monkeypatch.setattr("thermal_fusion_ros.pipeline.Pipeline", AddingPipeline)
    return AddingPipeline


@pytest.fixture
def make_folders(tmp_path: Path) -> Callable[..., Path]:
    """`visible` and `infrared` with pictures of the given names and sizes (height, width)."""

    def make(sizes: dict[str, tuple[int, int]]) -> Path:
        rng = np.random.default_rng(0)
        folder = tmp_path / "source"
        for sub in ("visible", "infrared"):
            (folder / sub).mkdir(parents=True)
        for name, (height, width) in sizes.items():
            write_picture(
                folder / "visible" / f"{name}.png", rng.integers(0, 200, (height, width, 3), np.uint8)
            )
            write_picture(
                folder / "infrared" / f"{name}.png", rng.integers(0, 256, (height, width), np.uint8)
            )
        return folder

    return make
