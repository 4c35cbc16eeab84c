"""Training data for diffusion: crops of registered pairs from whole scenes to texture, and the noise that goes in."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from thermal_fusion_ros.models.diffusion import LEVELS, zoom_of
from thermal_fusion_ros.training.data import SOURCES, Floats, Image, Pair, by_source

FINEST = 1.5  # picture pixels to a training pixel, at least; the network is run on pictures of half the size
WHOLE = 0.3  # share of crops that hold as much of the picture as fits


@dataclass(frozen=True)
class DiffusionBatch:
    """`image` and `noise` B×4×S×S (RGB and thermal in [-1, 1]), `level` B noise levels, `zoom` B."""

    image: Floats
    noise: Floats
    level: Floats
    zoom: Floats


class DiffusionSampler:
    """Batches that depend on (seed, step) alone; any process can make its own part of one."""

    def __init__(self, real: list[Pair], simulated: list[Pair], share: float, size: int, seed: int) -> None:
        """`share` of a batch is simulated, if there is any; `size`: crop edge in pixels, a multiple of 16."""
        groups = by_source(real)
        total = sum(SOURCES.get(s, 1.0) for s in groups)
        share = share if simulated else 0.0
        self.groups = [*groups.values(), *([simulated] if simulated else [])]
        self.shares = [(1 - share) * SOURCES.get(s, 1.0) / total for s in groups]
        self.shares += [share] if simulated else []
        self.size, self.seed = size, seed

    def batch(self, step: int, count: int, mine: range | None = None) -> DiffusionBatch:
        """The batch of training step `step`, or those of its `count` items that are `mine`."""
        items = [self._item(step, i, count) for i in (range(count) if mine is None else mine)]
        return DiffusionBatch(*(np.stack(column) for column in zip(*items, strict=True)))

    def _item(self, step: int, index: int, count: int) -> tuple[Floats, ...]:
        rng = np.random.default_rng((self.seed, step, index, 3))
        group = self.groups[rng.choice(len(self.shares), p=self.shares)]
        image, zoom = crop(group[rng.integers(len(group))], self.size, rng)
        noise = rng.standard_normal(image.shape, np.float32)
        # Stratified: every batch holds all noise levels.
        level = int((index + rng.random()) / count * LEVELS)
        return image, noise, np.array(level), np.array(zoom, np.float32)


def crop(pair: Pair, size: int, rng: np.random.Generator) -> tuple[Floats, float]:
    """A random square of a pair as 4×S×S in [-1, 1], and the zoom it is shown at."""
    height, width = pair.thermal.shape
    most = min(height, width) / size
    reduction = most if rng.random() < WHOLE else float(np.exp(rng.uniform(np.log(FINEST), np.log(most))))
    edge = min(round(size * reduction), height, width)
    x, y = int(rng.integers(width - edge + 1)), int(rng.integers(height - edge + 1))
    four = stacked(
        pair.rgb[y : y + edge, x : x + edge], pair.thermal[y : y + edge, x : x + edge], (size, size)
    )
    if rng.random() < 0.5:
        four = four[:, :, ::-1]
    return np.ascontiguousarray(four), zoom_of(int(width * size / edge))


def stacked(rgb: Image, thermal: Image, size: tuple[int, int]) -> Floats:
    """H×W×3 and H×W uint8 at another (height, width), as 4×h×w in [-1, 1]."""
    parts = (cv2.resize(part, size[::-1], interpolation=cv2.INTER_AREA) for part in (rgb, thermal))
    four = np.dstack(list(parts)).astype(np.float32) / 127.5 - 1
    return np.ascontiguousarray(four.transpose(2, 0, 1))
