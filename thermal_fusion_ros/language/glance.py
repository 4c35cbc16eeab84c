"""What the language worker gets of a pair: small copies, made in the frame path, looked at in the worker's own time."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.frames import Perception
from thermal_fusion_ros.language.scene import Scene
from thermal_fusion_ros.language.visibility import HEIGHT, WIDTH, look

DEPTH_STEP = 8  # every how many pixels depth is copied: enough for a median


def glance(rgb: NDArray[np.uint8], perception: Perception) -> Callable[[], Scene]:
    """The scene of a pair, to be made when called: `rgb` H×W×3 and what was perceived of it.

    Nothing of the pipeline's memory is kept. Copying takes a fraction of a millisecond; the call takes ten.
    """
    colour, thermal = _small(rgb), _small(perception.thermal)
    depth = perception.relative_depth if perception.depth is None else perception.depth
    sparse = None if depth is None else depth[::DEPTH_STEP, ::DEPTH_STEP].copy()
    stamp_ns, objects, width = perception.stamp_ns, tuple(perception.objects), rgb.shape[1]

    def scene() -> Scene:
        median = None
        if sparse is not None and np.isfinite(sparse).any():
            median = float(np.median(sparse[np.isfinite(sparse)]))
        return Scene(stamp_ns, objects, look(colour, thermal), median, width)

    return scene


def _small(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """At the size that light and air are judged at, so that judging the copy is judging the picture."""
    return np.asarray(cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), np.uint8)
