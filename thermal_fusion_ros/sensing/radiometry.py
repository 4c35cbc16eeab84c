"""What thermal pixels mean: their kind, their temperature, and which of them mean nothing."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.frames import ThermalKind

FULL_SCALE_14 = 16383  # most uncooled cameras have 14 bits
FULL_SCALE_16 = 65535
DISPLAY_STEP_K = (
    0.02  # float temperatures become 16-bit numbers of this step for the contrast control (to 1310 K)
)
PLAUSIBLE_K = (
    170.0,
    1000.0,
)  # a scene's median outside means a wrong resolution, or counts taken for tlinear


def resolve_kind(image: NDArray[np.generic], declared: ThermalKind, setting: str) -> ThermalKind:
    """What the pixels are. `setting` is ``thermal.kind``; with `auto` the frame's own word counts.

    8- and 16-bit unsigned integers and float32 are understood. Raises :class:`InputError` for other types and for
    kinds that the type cannot be.
    """
    kind = declared if setting == "auto" else ThermalKind(setting)
    if image.dtype == np.uint8:
        if kind is ThermalKind.TLINEAR:
            raise InputError(
                "thermal frame: 8-bit pixels cannot be tlinear; set thermal.kind to agc8 or counts, "
                "or make the driver publish mono16"
            )
        return kind
    if image.dtype == np.uint16:
        if kind is ThermalKind.AGC8:
            raise InputError(
                "thermal frame: 16-bit pixels cannot be agc8; set thermal.kind to counts or tlinear (or auto)"
            )
        return kind
    if image.dtype == np.float32:
        if kind is not ThermalKind.TLINEAR:
            raise InputError(
                "thermal frame: float pixels are temperatures; set thermal.kind to tlinear, and thermal.resolution_k "
                "and thermal.offset_k so that kelvin = pixel * resolution + offset (1 and 273.15 for °C)"
            )
        return kind
    raise InputError(
        f"thermal frame: {image.dtype} pixels; need uint8, uint16 or float32 (mono8, mono16, 32FC1)"
    )


def kelvin(
    image: NDArray[np.uint16] | NDArray[np.float32],
    resolution: float,
    offset: float,
    out: NDArray[np.float32],
) -> None:
    """Temperature of tlinear pixels, H×W, into `out`."""
    np.multiply(image, np.float32(resolution), out=out)
    if offset:
        out += np.float32(offset)


def no_temperature(pixels: NDArray[np.uint16]) -> tuple[NDArray[np.bool_] | None, NDArray[np.bool_] | None]:
    """Pixels of a 16-bit tlinear image that are no temperature: `(empty, saturated)`, None where there are none.

    Empty pixels are 0; saturated ones are at the full scale of 14 or 16 bits, if that is the image's largest value.
    """
    low, high, _, _ = cv2.minMaxLoc(pixels)
    empty = pixels == 0 if low == 0 else None
    saturated = pixels == np.uint16(high) if high in (FULL_SCALE_14, FULL_SCALE_16) else None
    return empty, saturated


def as_counts(temperature: NDArray[np.float32]) -> tuple[NDArray[np.uint16], NDArray[np.bool_] | None]:
    """Kelvin (H×W) as 16-bit numbers of 0.02 K for the contrast control, and the pixels that are no temperature."""
    empty = ~((temperature > 0) & (temperature < np.inf))  # NaN is neither
    scaled = temperature * np.float32(1 / DISPLAY_STEP_K)
    some = bool(empty.any())
    if some:
        scaled[empty] = 0
    np.minimum(scaled, np.float32(FULL_SCALE_16), out=scaled)
    return scaled.astype(np.uint16), empty if some else None


def is_plausible(temperature: NDArray[np.float32]) -> bool:
    """Whether the median (kelvin) may be that of a scene on earth; also if every pixel is NaN."""
    sample = temperature[::8, ::8]
    sample = sample[np.isfinite(sample)]
    return not sample.size or PLAUSIBLE_K[0] <= float(np.median(sample)) <= PLAUSIBLE_K[1]
