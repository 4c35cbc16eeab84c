"""Thermal into the RGB frame, by the best that is known: depth and extrinsics, a plane and extrinsics, or a matrix.

| level | needs | exact for |
|---|---|---|
| `depth` | rig, depth of the RGB pixels | everything both cameras see |
| `plane` | rig | a plane at `plane_distance_m` |
| `homography` | `matrix` from the parameters | the scene it was measured on |
| `online` | nothing; estimated from structure that both spectra share | the average of the scene |
| `none` | cameras that are already registered | |
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.config import RegistrationConfig
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.sensing.alignment import Floats, Search, stretch
from thermal_fusion_ros.sensing.camera import CalibrationError
from thermal_fusion_ros.sensing.online_alignment import OnlineAligner
from thermal_fusion_ros.sensing.rig import Rig
from thermal_fusion_ros.sensing.rig_assembly import WAITING
from thermal_fusion_ros.sensing.warping import DepthWarp, MatrixWarp, PlaneWarp, RigGeometry, Warp


@dataclass(frozen=True)
class Registered:
    """The thermal picture in the RGB frame.

    `image` has the RGB camera's height and width and the type of the input; `valid` H×W uint8 is 255 where it may be
    believed and falls softly to 0 where the thermal camera saw nothing (outside its view, or behind something).
    `level` is what was used; `confidence` in [0, 1] is 1 for what was given and estimated for `online`. Arrays belong
    to the registrar and are overwritten by the next call.
    """

    image: NDArray[Any]
    valid: NDArray[np.uint8]
    level: str
    confidence: float = 1.0
    drift_px: float = 0.0


class Registrar:
    """Registers one stream of pairs; used by one thread at a time.

    `counters` says which level registered how many pairs and what the online estimate did.
    """

    def __init__(self, config: RegistrationConfig, rig: Rig | None = None):
        """A `rig` given here or to :meth:`set_rig` goes before the file that the configuration names.

        Raises :class:`InputError` when the configuration asks for what it does not provide.
        """
        self.config = config
        self.counters: Counter[str] = Counter()
        self.rig = rig or (Rig.from_yaml(Path(config.rig)) if config.rig else None)
        self.problem: CalibrationError | None = None
        self._given = parse_matrix(config.matrix)
        if config.level == "homography" and self._given is None:
            raise InputError("registration.level is homography but registration.matrix is empty")
        self._aligner = self._new_aligner()
        self._pairs = 0
        self._geometry: RigGeometry | None = None
        self._depth: DepthWarp | None = None
        self._plane: PlaneWarp | None = None
        self._matrix: MatrixWarp | None = None
        self._warp: Warp | None = None
        self._outputs: dict[str, NDArray[Any]] = {}

    def _new_aligner(self) -> OnlineAligner:
        config = self.config
        return OnlineAligner(
            model=config.online_model,
            search=Search(config.search_shift, config.search_rotation_deg, config.search_scale),
            least_confidence=config.online_confidence,
            most_drift_px=config.online_drift_px,
        )

    def set_rig(self, rig: Rig | None, problem: CalibrationError | None = None) -> None:
        """Calibration that has arrived (camera_info and TF), has changed, or is missing or wrong: then the `problem`.

        Levels that need a rig raise the problem for every pair; `auto` does so when it is a mistake, and takes the
        pictures as registered while something is only missing.
        """
        self.rig, self.problem = rig, problem
        self._geometry = self._depth = self._plane = None

    def reset(self) -> None:
        """A new recording: forget what was estimated."""
        self._aligner.reset()
        self._pairs = 0

    @property
    def level(self) -> str:
        """The level in use when depth is available; see the module's table."""
        if self.config.level != "auto":
            return self.config.level
        if self.rig is not None or (self.problem is not None and self.problem.reason not in WAITING):
            return "depth"
        return "homography" if self._given is not None else "none"

    def __call__(
        self,
        thermal: NDArray[Any],
        depth: NDArray[np.float32] | None = None,
        rgb: NDArray[np.uint8] | None = None,
    ) -> Registered:
        """Register `thermal` (H'×W', uint8 for `online`).

        `depth` H×W float32 metres, RGB frame, NaN where unknown: needed by level `depth`, which falls back to `plane`
        without it. `rgb` H×W×3 or H×W uint8: needed by `online`, and gives the size of the result where no rig
        does. Raises :class:`InputError`, naming what is missing or has the wrong size.
        """
        if thermal.ndim != 2:
            raise InputError(f"thermal frame: need H×W, got {thermal.shape}")
        level = self.level
        if level in ("depth", "plane"):
            level, warp = self._through_rig(level, thermal, depth, rgb)
            return self._result(warp, thermal, level)
        size = self._rgb_size(thermal, rgb)
        if level == "online":
            return self._online(thermal, rgb, size)
        matrix = self._given if level == "homography" else None
        if matrix is None and size == thermal.shape[::-1]:
            everywhere = self._output("valid", size[::-1], np.dtype(np.uint8))
            everywhere.fill(255)
            self._warp = None
            self.counters["none"] += 1
            return Registered(thermal, everywhere, "none")
        return self._result(self._matrix_warp(matrix, size, thermal), thermal, level)

    def also(self, image: NDArray[Any], *, nearest: bool = False) -> NDArray[Any]:
        """Another picture of the thermal camera (its temperature, say) through the warp of the last call."""
        if self._warp is None:
            return image
        key = f"also{image.dtype.str}"
        return self._warp.apply(
            image, self._output(key, self._warp.valid.shape, image.dtype), nearest=nearest
        )

    def _result(
        self, warp: Warp, thermal: NDArray[Any], level: str, confidence: float = 1.0, drift_px: float = 0.0
    ) -> Registered:
        self._warp = warp
        self.counters[level] += 1
        image = warp.apply(thermal, self._output("image", warp.valid.shape, thermal.dtype))
        return Registered(image, warp.valid, level, confidence, drift_px)

    def _output(self, key: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        buffer = self._outputs.get(key)
        if buffer is None or buffer.shape != shape or buffer.dtype != dtype:
            buffer = self._outputs[key] = np.empty(shape, dtype)
        return buffer

    @staticmethod
    def _rgb_size(thermal: NDArray[Any], rgb: NDArray[Any] | None) -> tuple[int, int]:
        source = thermal if rgb is None else rgb
        return source.shape[1], source.shape[0]

    def _matrix_warp(self, matrix: Floats | None, size: tuple[int, int], thermal: NDArray[Any]) -> MatrixWarp:
        if matrix is None:
            matrix = stretch(thermal.shape, (size[1], size[0]))
        thermal_size = (thermal.shape[1], thermal.shape[0])
        kept = self._matrix
        same = kept is not None and (kept.rgb_size, kept.thermal_size) == (size, thermal_size)
        if kept is None or not same or not np.array_equal(kept.matrix, matrix):
            kept = self._matrix = MatrixWarp(matrix, size, thermal_size)
        return kept

    def _through_rig(
        self,
        level: str,
        thermal: NDArray[Any],
        depth: NDArray[np.float32] | None,
        rgb: NDArray[np.uint8] | None,
    ) -> tuple[str, Warp]:
        if self.problem is not None:
            raise CalibrationError(self.problem.reason, str(self.problem))
        if self.rig is None:
            raise InputError(
                f"registration.level is {level} but the rig is not known: set registration.rig to the file that "
                "`thermal-fusion calibrate` wrote"
            )
        rgb_size = self.rig.rgb.size if rgb is None else self._rgb_size(thermal, rgb)
        self.rig.check_images(rgb_size, (thermal.shape[1], thermal.shape[0]))
        if self._geometry is None:
            self._geometry = RigGeometry(self.rig)
        if level == "depth" and depth is not None:
            if self._depth is None:
                self._depth = DepthWarp(self._geometry)
            self._depth.update(depth)
            return "depth", self._depth
        if self._plane is None:
            self._plane = PlaneWarp(self._geometry, self.config.plane_distance_m)
        return "plane", self._plane

    def _online(
        self, thermal: NDArray[Any], rgb: NDArray[np.uint8] | None, size: tuple[int, int]
    ) -> Registered:
        if rgb is None or thermal.dtype != np.uint8:
            raise InputError(
                "registration.level is online: it needs the RGB picture and an 8-bit thermal one"
            )
        if self._pairs % self.config.online_every == 0:
            gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) if rgb.ndim == 3 else rgb
            self._aligner.observe(gray.astype(np.uint8, copy=False), thermal, self._given)
            self.counters.update(
                {f"online_{k}": n - self.counters[f"online_{k}"] for k, n in self._aligner.counters.items()}
            )
        self._pairs += 1
        state = self._aligner.state((size[1], size[0]), thermal.shape)
        if state.found:
            warp = self._matrix_warp(state.matrix, size, thermal)
            return self._result(warp, thermal, "online", state.confidence, state.drift_px)
        # Refused: what was given, or the pictures laid on each other, and the confidence says that it is a guess.
        warp = self._matrix_warp(self._given, size, thermal)
        return self._result(
            warp, thermal, "homography" if self._given is not None else "none", state.confidence
        )


def parse_matrix(text: str) -> Floats | None:
    """`registration.matrix` (9 numbers, or 6 of an affine map, thermal pixels to RGB pixels) as RGB to thermal.

    None when empty; :class:`InputError` when it is not a matrix that can be inverted.
    """
    if not text.strip():
        return None
    try:
        numbers = [float(part) for part in text.replace(",", " ").replace("[", " ").replace("]", " ").split()]
    except ValueError as error:
        raise InputError(f"registration.matrix {text!r}: not numbers") from error
    if len(numbers) == 6:
        numbers += [0.0, 0.0, 1.0]
    if len(numbers) != 9:
        raise InputError(
            f"registration.matrix: {len(numbers)} numbers; give 9, row by row, or 6 of an affine map"
        )
    matrix = np.array(numbers).reshape(3, 3)
    if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-9:
        raise InputError(f"registration.matrix {numbers}: can't be inverted")
    inverse: Floats = np.linalg.inv(matrix)
    return inverse / inverse[2, 2]
