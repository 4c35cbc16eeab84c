"""Whole pictures with a reference depth, for the depth-driven loss: simulated ones, and real ones with an opinion."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from thermal_fusion_ros.models.depth import NATIVE_WIDTH, DepthNet
from thermal_fusion_ros.simulation.dataset import Sample
from thermal_fusion_ros.training.data import Floats, Image, Pair
from thermal_fusion_ros.training.depth_data import (
    STORED_WIDTH,
    cut,
    display,
    random_window,
    shrink,
    target,
)
from thermal_fusion_ros.training.depth_loss import trust_in
from thermal_fusion_ros.training.stages.depth import surest

SIZE = (224, NATIVE_WIDTH)  # multiples of 32, as fusion needs them


@dataclass(frozen=True)
class WholePicture:
    """A pair as `four` H×W×4 uint8; `reference` log depth and `trust` in it, H×W float16; `exact`: it is the truth."""

    four: Image
    reference: NDArray[np.float16]
    trust: NDArray[np.float16]
    exact: bool


@dataclass(frozen=True)
class WholeBatch:
    """`rgb` B×3×H×W and `thermal` B×1×H×W in [0, 1]; `reference` and `trust` B×1×H×W, `exact` B."""

    rgb: Floats
    thermal: Floats
    reference: Floats
    trust: Floats
    exact: Floats


def simulated(sample: Sample) -> WholePicture:
    """A picture of a registered dataset; its sky has no depth."""
    log_depth = target(sample)
    known = np.isfinite(log_depth)
    four = np.dstack([sample.rgb, display(sample.counts)])
    return WholePicture(
        four, np.where(known, log_depth, 0).astype(np.float16), known.astype(np.float16), True
    )


def real(pair: Pair, networks: list[DepthNet]) -> WholePicture:
    """A real pair; per pixel the surer of the visible and the infrared network says how far things are."""
    small = shrink(pair, STORED_WIDTH)
    log_depth, log_sigma = surest(networks, (small.rgb, small.thermal[..., None]))
    trust = trust_in(torch.from_numpy(log_sigma).float()).numpy().astype(np.float16)
    return WholePicture(np.dstack([small.rgb, small.thermal]), log_depth, trust, False)


class WholeSampler:
    """Batches that depend on (seed, step) alone, simulated and real pictures by turns."""

    def __init__(self, simulated: list[WholePicture], real: list[WholePicture], seed: int) -> None:
        self.kinds = [kind for kind in (simulated, real) if kind]
        self.seed = seed

    def batch(self, step: int, count: int, mine: range | None = None) -> WholeBatch:
        """The batch of training step `step`, or those of its `count` items that are `mine`."""
        items = [self._item(step, i) for i in (range(count) if mine is None else mine)]
        return WholeBatch(*(np.stack(column) for column in zip(*items, strict=True)))

    def _item(self, step: int, index: int) -> tuple[Floats, ...]:
        rng = np.random.default_rng((self.seed, step, index, 4))
        kind = self.kinds[(step + index) % len(self.kinds)]
        picture = kind[rng.integers(len(kind))]
        window = random_window(picture.trust.shape, rng, size=SIZE)
        flip = rng.random() < 0.5
        four = (
            cut(picture.four, window, flip, cv2.INTER_AREA, SIZE).astype(np.float32).transpose(2, 0, 1) / 255
        )
        layers = (x.astype(np.float32) for x in (picture.reference, picture.trust))
        reference, trust = (cut(x, window, flip, cv2.INTER_NEAREST, SIZE)[None] for x in layers)
        reference += np.log(window[2] / picture.trust.shape[1])  # a narrower lens: see models/depth.py
        return four[:3], four[3:], reference, trust, np.array(picture.exact, np.float32)
