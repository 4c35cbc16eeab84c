"""Thermal frames as they come to what a network and a person can read, with the temperature beside it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.config import ThermalConfig
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.frames import ThermalFrame, ThermalKind
from thermal_fusion_ros.sensing import radiometry
from thermal_fusion_ros.sensing.contrast import ContrastControl
from thermal_fusion_ros.sensing.dead_pixels import dead_zeros, find_dead_lines, repair
from thermal_fusion_ros.sensing.freeze import FreezeDetector
from thermal_fusion_ros.sensing.local_contrast import LocalContrast

BLOCK_PX = 8  # over which noise is averaged before a frame is said to show nothing
EMPTY_SHARE = 0.05  # of thermal.min_span: blocks that differ by less ...
EMPTY_LEVELS = 3.0  # ... or by less of 255, where the camera has set the contrast, show nothing
SHOWS_NOTHING = (
    "thermal frames show nothing (shutter closed, lens covered, saturated?): visible alone is shown"
)
NOISE_SHARE = 0.02  # of thermal.min_span: the weakest detail that local contrast takes for more than noise


@dataclass(slots=True)
class ThermalView:
    """A thermal frame made readable, all H×W of the frame.

    `display` uint8, white hot; `temperature_k` float32 kelvin where the source is radiometric, NaN where invalid;
    `frozen`: the camera repeats a frame; `invalid`: pixels that carry no picture (filled in `display`), None if all
    do; `empty`: nothing is to be seen (a closed shutter, a covered lens, a saturated camera). The arrays belong to the
    processor (for untouched agc8 frames, to the frame) and are overwritten by the next frame: copy what must outlive
    it.
    """

    display: NDArray[np.uint8]
    temperature_k: NDArray[np.float32] | None = None
    frozen: bool = False
    invalid: NDArray[np.bool_] | None = None
    empty: bool = False


class ThermalProcessor:
    """Contrast, temperature, dead pixels and freezes of one camera. Used by one thread at a time.

    `counters`: `frozen` and `empty` frames, frames with `dead_lines` or `invalid_pixels` repaired, `size_change`,
    `scene_change` (contrast released), `implausible_temperature` (a median below 170 K or above 1000 K: wrong
    ``thermal.kind`` or ``thermal.resolution_k``).
    """

    def __init__(self, config: ThermalConfig) -> None:
        self.counters: Counter[str] = Counter()
        self._contrast = ContrastControl()
        self._local = LocalContrast()
        self._freeze = FreezeDetector()
        self._last: tuple[ThermalView, ThermalKind] | None = None
        self._allocate((0, 0))
        self.update(config)

    def update(self, config: ThermalConfig) -> None:
        """Apply changed parameters; the contrast goes on from where it is."""
        if config.low_percentile >= config.high_percentile:
            raise InputError(
                f"thermal.low_percentile {config.low_percentile:g} must be below "
                f"thermal.high_percentile {config.high_percentile:g}"
            )
        self.config = config
        self._last = None

    def reset(self) -> None:
        """Forget earlier frames: a new recording, or the clock jumped."""
        self._contrast.reset()
        self._local.reset()
        self._freeze.reset()
        self._last = None

    def __call__(self, frame: ThermalFrame) -> ThermalView:
        """Process one frame. `InputError` for pixels that cannot be what ``thermal.kind`` says."""
        image = frame.image
        if image.ndim != 2 or not image.size:
            raise InputError(f"thermal frame: need H×W pixels, got shape {image.shape}")
        kind = radiometry.resolve_kind(image, frame.kind, self.config.kind)
        if image.shape != self._shape:
            if self._shape != (0, 0):
                self.counters["size_change"] += 1
            self._allocate(image.shape)
            self.reset()
        frozen = self._freeze.see(image, frame.stamp_ns, self.config.freeze_s)
        self.counters["frozen"] += frozen
        if kind is ThermalKind.AGC8:
            empty = self._is_empty(image, EMPTY_LEVELS)
            return ThermalView(self._with_detail(image, image, 1.0), frozen=frozen, empty=empty)  # type: ignore[arg-type]
        if self._freeze.repeats and self._last is not None and self._last[1] is kind:
            view = self._last[0]  # an exact repeat looks as it did
            view.frozen = frozen
            self.counters["empty"] += view.empty
            return view
        view = self._render(image, kind, frame.stamp_ns)
        view.frozen = frozen
        self._last = (view, kind)
        return view

    def _allocate(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        self._display = np.empty(shape, np.uint8)
        self._kelvin = np.empty(shape, np.float32)

    def _render(self, image: NDArray[np.generic], kind: ThermalKind, stamp_ns: int) -> ThermalView:
        temperature = saturated = None
        if kind is ThermalKind.TLINEAR:
            temperature = self._kelvin
            radiometry.kelvin(image, self.config.resolution_k, self.config.offset_k, temperature)  # type: ignore[arg-type]
        pixels: NDArray[np.uint16]
        if image.dtype == np.float32:
            assert temperature is not None
            pixels, lost = radiometry.as_counts(temperature)
        else:
            pixels = image.astype(np.uint16, copy=False)
            if temperature is not None:
                lost, saturated = radiometry.no_temperature(pixels)
            else:
                lost = dead_zeros(pixels)
        lost = self._with_dead_lines(pixels, lost)
        shown = pixels if lost is None else repair(pixels, lost)
        invalid = _either(lost, saturated)
        if invalid is not None:
            self.counters["invalid_pixels"] += 1
        if temperature is not None:
            if invalid is not None:
                temperature[invalid] = np.nan
            self.counters["implausible_temperature"] += not radiometry.is_plausible(temperature)
        empty = self._is_empty(shown, EMPTY_SHARE * self.config.min_span)
        display = self._stretch(shown, stamp_ns)
        return ThermalView(display, temperature, invalid=invalid, empty=empty)

    def _is_empty(self, pixels: NDArray[np.generic], least: float) -> bool:
        height, width = (max(1, side // BLOCK_PX) for side in pixels.shape)
        blocks = cv2.resize(pixels.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
        empty = bool(np.ptp(blocks) < least)
        self.counters["empty"] += empty
        return empty

    def _with_dead_lines(
        self, pixels: NDArray[np.uint16], lost: NDArray[np.bool_] | None
    ) -> NDArray[np.bool_] | None:
        rows, columns = find_dead_lines(pixels)
        if not (rows.any() or columns.any()):
            return lost
        self.counters["dead_lines"] += 1
        lost = np.zeros(pixels.shape, bool) if lost is None else lost
        lost[rows] = True
        lost[:, columns] = True
        return lost

    def _stretch(self, pixels: NDArray[np.uint16], stamp_ns: int) -> NDArray[np.uint8]:
        released = self._contrast.released
        self._contrast.follow(
            pixels,
            stamp_ns,
            low_percentile=self.config.low_percentile,
            high_percentile=self.config.high_percentile,
            min_span=self.config.min_span,
            equalise=self.config.equalise,
            smoothing_s=self.config.smoothing_s,
        )
        self.counters["scene_change"] += self._contrast.released - released
        self._contrast.show(pixels, self._display)
        return self._with_detail(pixels, self._display, NOISE_SHARE * self.config.min_span)

    def _with_detail(
        self, pixels: NDArray[np.uint16] | NDArray[np.uint8], display: NDArray[np.uint8], floor: float
    ) -> NDArray[np.uint8]:
        if self.config.detail <= 0:
            return display
        return self._local.add(pixels, display, self.config.detail, floor)


def _either(first: NDArray[np.bool_] | None, second: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    if first is None or second is None:
        return second if first is None else first
    return first | second
