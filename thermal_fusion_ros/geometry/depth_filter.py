"""What happens to depth between the network and a topic: steadied over time, made metres, refused where it is unsure.

Steadying must not leave trails: a costmap believes them. So a pixel takes over something of its past only while both
say that the same surface is still there: depth has changed by no more than its uncertainty, and the picture around
the pixel has not changed at all.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.config import DepthConfig

F32 = NDArray[np.float32]
Bytes = NDArray[np.uint8]

LARGEST_CHANGE = 0.1  # of log depth between frames: more is movement, however unsure the network is
GREY_STEP = 12.0  # of 255: a picture that changes by so much shows something else
AROUND = np.ones((3, 3), np.uint8)
MILLIMETRES, MOST_MILLIMETRES = 1000.0, 65535


class DepthFilter:
    """Recursive temporal filter, in log depth, over frames of one size.

    Weight of the past is ``depth.smoothing`` where nothing has changed and falls to 0 as depth changes by its
    uncertainty (at most :data:`LARGEST_CHANGE`) or the picture by :data:`GREY_STEP`; the picture's overall
    brightness does not count. `kept` is the mean weight of the last frame, for diagnostics.
    """

    def __init__(self, config: DepthConfig):
        self.config = config
        self.kept = 0.0
        self._log_depth: F32 | None = None
        self._grey: F32 | None = None

    def reset(self) -> None:
        """Forget the past: another recording, a clock that jumped, a camera that was moved."""
        self._log_depth = self._grey = None
        self.kept = 0.0

    def __call__(self, depth: F32, sigma: F32, picture: Bytes) -> F32:
        """Steadied depth, h×w float32, a new array.

        `depth` h×w > 0 in any unit (NaN where invalid), `sigma` h×w its uncertainty as a share of itself, `picture`
        H×W×3 or H×W uint8 of the same view, at least as large.
        """
        height, width = depth.shape
        grey = _small_grey(picture, height, width)
        log_depth = np.log(depth)
        past, past_grey = self._log_depth, self._grey
        self.kept = 0.0
        if (
            self.config.smoothing > 0
            and past is not None
            and past_grey is not None
            and past.shape == depth.shape
        ):
            weight = self._weight(log_depth - past, sigma, grey - past_grey)
            self.kept = float(weight.mean())
            # Not weight * (past - now): NaN in the past must not spread.
            log_depth += np.where(weight > 0, weight * (past - log_depth), np.float32(0))
        self._log_depth, self._grey = log_depth, grey
        return np.exp(log_depth)

    def _weight(self, change: F32, sigma: F32, grey_change: F32) -> F32:
        brightness = np.float32(
            np.median(grey_change[::4, ::4])
        )  # exposure and contrast control change all of it
        # The worst within a pixel: edges move as a whole.
        looks = np.asarray(cv2.dilate(np.abs(grey_change - brightness), AROUND), np.float32)
        looks *= np.float32(1 / GREY_STEP)
        moved = np.abs(change) / np.clip(sigma, np.float32(1e-6), np.float32(LARGEST_CHANGE))
        weight = (
            (1 - np.minimum(looks, 1)) * (1 - np.minimum(moved, 1) ** 2) * np.float32(self.config.smoothing)
        )
        weight[np.isnan(weight)] = 0
        return np.asarray(weight, np.float32)


def metres(depth: F32, sigma: F32, scale: float, height: int, width: int, config: DepthConfig) -> F32:
    """`height`×`width` float32 metres, a new array: `depth` (h×w, with `sigma` as the network predicts them) × `scale`.

    NaN where invalid, more uncertain than ``depth.most_uncertain``, or outside ``depth.nearest_m … farthest_m``.
    """
    scaled = depth * np.float32(scale)
    # False for NaN. Decided before pixels are interpolated: between what is too near and the sky there is nothing.
    sure = (scaled > 0) & (scaled >= config.nearest_m) & (scaled <= config.farthest_m)
    sure &= sigma <= config.most_uncertain
    if sure.all():
        return enlarged(scaled, height, width)
    share = enlarged(sure.astype(np.float32), height, width)
    scaled[~sure] = 0
    made = enlarged(scaled, height, width)
    with np.errstate(invalid="ignore", divide="ignore"):
        made /= share  # only what is sure has a say
    made[share < 0.5] = np.nan
    return made


def enlarged(image: F32, height: int, width: int) -> F32:
    """h×w bilinearly to `height`×`width`, a new array; a picture that was padded to whole steps is in its place."""
    step_y, step_x = -(-height // image.shape[0]), -(-width // image.shape[1])
    whole = (image.shape[1] * step_x, image.shape[0] * step_y)
    fits = step_y == step_x and whole[0] - width < step_x and whole[1] - height < step_y
    size = whole if fits else (width, height)
    made = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), np.float32)[:height, :width]
    return np.array(made) if made is image or not made.flags.c_contiguous else made


def millimetres(depth: F32) -> NDArray[np.uint16]:
    """REP-118's other form: H×W uint16 millimetres, 0 where invalid.

    What is farther than fits, 65.535 m, says 65.535 m; what is nearer than a millimetre says one.
    """
    scaled = np.rint(depth * np.float32(MILLIMETRES))
    valid = np.isfinite(depth) & (depth > 0)
    return np.where(valid, np.clip(scaled, 1, MOST_MILLIMETRES), 0).astype(np.uint16)


def _small_grey(picture: Bytes, height: int, width: int) -> F32:
    """Brightness (0 to 255) of the picture at the size of depth, with its noise averaged away."""
    small = picture
    if picture.shape[:2] != (height, width):
        small = np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    grey = small if small.ndim == 2 else cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.blur(grey.astype(np.float32), (3, 3)), np.float32)
