"""What flows through the package: plain numpy, no ROS, no torch.

Images are row-major, RGB order. Stamps are integer nanoseconds of the recording's clock. Temperature is kelvin.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from thermal_fusion_ros.geometry.scale import MetricScale
    from thermal_fusion_ros.language.scene import SeenObject

# What can be wanted of a pair
FUSED, DEPTH, POINTS, OBJECTS, CAPTION = "fused", "depth", "points", "objects", "caption"


class ThermalKind(str, Enum):
    """What the numbers of a thermal image are."""

    COUNTS = "counts"  # raw 14/16-bit detector counts, monotonic in radiance, not a temperature
    TLINEAR = "tlinear"  # temperature-linear: kelvin = pixel * resolution
    AGC8 = "agc8"  # 8-bit, white hot, contrast already set by the camera


@dataclass(frozen=True, slots=True)
class RgbFrame:
    """A colour frame: `image` H×W×3 uint8, in the optical frame `frame_id` (REP-103)."""

    stamp_ns: int
    image: NDArray[np.uint8]
    frame_id: str = ""


@dataclass(frozen=True, slots=True)
class ThermalFrame:
    """A thermal frame: `image` H×W uint8 or uint16, meaning given by `kind`."""

    stamp_ns: int
    image: NDArray[np.uint8] | NDArray[np.uint16]
    kind: ThermalKind
    frame_id: str = ""


@dataclass(frozen=True, slots=True)
class FramePair:
    """Two frames of the same instant. Results carry the stamp and frame of the RGB camera.

    `world_from_camera` (4×4, metres): where the RGB camera was then, in a frame that stands still; None: not known.
    """

    rgb: RgbFrame
    thermal: ThermalFrame
    world_from_camera: NDArray[np.float64] | None = None


@dataclass(slots=True)
class Perception:
    """What one pair gives.

    `fused` H×W×3 uint8; `thermal` H×W uint8, the display image; `temperature_k` H×W float32 kelvin where the source is
    radiometric, NaN where invalid; `frozen`: the thermal camera repeats a frame (FFC); `empty`: it shows nothing, and
    `fused` is the visible picture alone. All at the size of the RGB frame. The arrays belong to the pipeline and are
    overwritten by the next call: copy what must outlive it.

    `depth` H×W float32, metres along the optical axis (REP-118) at the size of the RGB frame, NaN where invalid or too
    uncertain; None without a metric scale, and then `depth_refused` says why. `relative_depth` h×w float32, without a
    unit, and `depth_sigma` h×w float32, its uncertainty as a share of itself: both at the size that the network
    predicts. `scale` is what makes metres of it, `scale_state` what the diagnostics tell of that.

    `objects`: what was recognised, best first; its boxes are in pixels of the RGB frame, its depth is that of
    `relative_depth`, in metres where there is a scale. Empty where it is not wanted.
    """

    stamp_ns: int
    frame_id: str
    fused: NDArray[np.uint8]
    thermal: NDArray[np.uint8]
    temperature_k: NDArray[np.float32] | None = None
    frozen: bool = False
    empty: bool = False
    stage_ms: dict[str, float] = field(default_factory=dict)
    depth: NDArray[np.float32] | None = None
    relative_depth: NDArray[np.float32] | None = None
    depth_sigma: NDArray[np.float32] | None = None
    scale: MetricScale | None = None
    scale_state: dict[str, Any] = field(default_factory=dict)
    depth_refused: str = ""
    objects: tuple[SeenObject, ...] = ()
