"""Camera geometry: intrinsics, distortion, projection, rectification.

Frames follow REP-103 (optical: x right, y down, z forward). Pixel coordinates put (0, 0) at the centre of the
upper left pixel, as OpenCV and CameraInfo do. Distortion models carry ROS names: `plumb_bob` (Brown-Conrady,
5 numbers), `rational_polynomial` (8, up to OpenCV's 14) and `equidistant` (Kannala-Brandt fisheye, 4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.errors import InputError

Floats = NDArray[np.float64]

MODELS = {"plumb_bob": (4, 5), "rational_polynomial": (8, 12, 14), "equidistant": (4,)}
ALIASES = {"fisheye": "equidistant", "kannala_brandt": "equidistant", "kannala_brandt4": "equidistant"}
CALIBRATE_HINT = "calibrate the camera with `thermal-fusion calibrate` or correct its camera_info"
UNPROJECT_CRITERIA = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 50, 1e-12)
UNPROJECT_TOLERANCE_PX = 0.1  # an inversion that does not project back this closely has no solution
WIDEST_TANGENT = 20.0  # ±87°: farther from the axis no rectification map is asked for
USUAL_FOV_DEG = 60.0  # across, of a colour camera on a robot about which nothing else is known


class CalibrationError(InputError):
    """A calibration that can't be used; `reason` is a short name for counters and diagnostics."""

    def __init__(self, reason: str, message: str):
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class CameraModel:
    """Intrinsics of one camera, checked when made: a CameraModel that exists can be used.

    `k` 3×3 pixels, `d` the numbers of `distortion_model`, `r` 3×3 rectifying rotation, `p` 3×4 projection of
    the rectified image (as in sensor_msgs/CameraInfo). Raises :class:`CalibrationError` naming what is wrong.
    """

    width: int
    height: int
    k: Floats
    d: Floats = field(default_factory=lambda: np.zeros(5))
    distortion_model: str = "plumb_bob"
    r: Floats = field(default_factory=lambda: np.eye(3))
    p: Floats = field(default_factory=lambda: np.zeros((3, 4)))
    name: str = "camera"
    frame_id: str = ""

    def __post_init__(self) -> None:
        """Bring the numbers into shape, then check every one of them."""
        put = object.__setattr__  # the dataclass is frozen
        put(self, "distortion_model", ALIASES.get(self.distortion_model, self.distortion_model))
        for attribute, shape in (("k", (3, 3)), ("r", (3, 3)), ("p", (3, 4)), ("d", (-1,))):
            put(self, attribute, self._shaped(attribute, shape))
        self._check_size()
        self._check_matrix()
        self._check_distortion()
        self._check_rectification()

    def _shaped(self, attribute: str, shape: tuple[int, ...]) -> Floats:
        try:
            values = np.array(getattr(self, attribute), dtype=np.float64).reshape(shape)
        except (TypeError, ValueError) as error:
            wanted = "×".join(map(str, shape)) if shape != (-1,) else "a list of"
            raise self._error("malformed", f"{attribute.upper()} is not {wanted} numbers") from error
        if not np.isfinite(values).all():
            what = "distortion" if attribute == "d" else attribute.upper()
            raise self._error("not_finite", f"{what} holds NaN or infinity: {values.ravel().tolist()}")
        values.flags.writeable = False
        return values

    def _error(self, reason: str, message: str) -> CalibrationError:
        return CalibrationError(reason, f"{self.name}: {message}; {CALIBRATE_HINT}")

    def _check_size(self) -> None:
        if not self.k.any():  # first: such a message often has no size either
            raise self._error("uncalibrated", "K is all zeros: this camera says that it is not calibrated")
        if self.width < 1 or self.height < 1:
            raise self._error("wrong_size", f"image size {self.width}×{self.height} is not a size")

    def _check_matrix(self) -> None:
        fx, fy, cx, cy = self.k[0, 0], self.k[1, 1], self.k[0, 2], self.k[1, 2]
        if fx <= 0 or fy <= 0:
            raise self._error("zero_focal_length", f"focal lengths fx={fx:g}, fy={fy:g} must be positive")
        if not np.allclose(self.k[[1, 2, 2, 2], [0, 0, 1, 2]], (0, 0, 0, 1)):
            raise self._error("malformed", f"K is not a camera matrix: {self.k.tolist()}")
        if not (-self.width <= cx <= 2 * self.width and -self.height <= cy <= 2 * self.height):
            raise self._error(
                "wrong_size",
                f"principal point ({cx:g}, {cy:g}) lies far outside {self.width}×{self.height}; "
                "was it calibrated at another size?",
            )

    def _check_distortion(self) -> None:
        if self.distortion_model in ("", "none") and not self.d.any():
            object.__setattr__(self, "distortion_model", "plumb_bob")
        if self.distortion_model not in MODELS:
            raise self._error(
                "unknown_distortion",
                f"distortion model {self.distortion_model!r} is not one of {', '.join(MODELS)}",
            )
        lengths = MODELS[self.distortion_model]
        if self.d.size == 0:
            object.__setattr__(
                self, "d", np.zeros(lengths[-1] if self.distortion_model == "plumb_bob" else lengths[0])
            )
        elif self.d.size not in lengths:
            raise self._error(
                "malformed",
                f"{self.distortion_model} takes {' or '.join(map(str, lengths))} numbers, not {self.d.size}",
            )

    def _check_rectification(self) -> None:
        if not self.r.any():  # drivers of single cameras leave it empty
            object.__setattr__(self, "r", np.eye(3))
        elif not np.allclose(self.r @ self.r.T, np.eye(3), atol=1e-3) or np.linalg.det(self.r) < 0:
            raise self._error("malformed", "R is not a rotation")
        if not self.p.any():
            object.__setattr__(self, "p", np.hstack([self.k, np.zeros((3, 1))]))
        elif self.p[0, 0] <= 0 or self.p[1, 1] <= 0:
            raise self._error("zero_focal_length", f"P has focal lengths {self.p[0, 0]:g}, {self.p[1, 1]:g}")

    # ---------------------------------------------------------------- reading and writing

    @classmethod
    def from_camera_info(cls, message: Any, name: str = "") -> CameraModel:
        """From a sensor_msgs/CameraInfo, or anything with its fields (upper or lower case K, D, R, P).

        Binning and region of interest are applied, so that the model describes the image as it is sent.
        """

        def read(field_name: str) -> Any:
            value = getattr(message, field_name, None)
            return getattr(message, field_name.upper(), ()) if value is None else value

        frame_id = str(getattr(getattr(message, "header", None), "frame_id", ""))
        model = cls._from_parts(
            name=name or frame_id or "camera_info",
            frame_id=frame_id,
            width=message.width,
            height=message.height,
            distortion_model=str(getattr(message, "distortion_model", "")),
            k=read("k"), d=read("d"), r=read("r"), p=read("p"),
        )  # fmt: skip
        roi = getattr(message, "roi", None)
        if roi is not None and (roi.width or roi.height):
            model = model.cropped(
                roi.x_offset, roi.y_offset, roi.width or model.width, roi.height or model.height
            )
        binning = (max(1, getattr(message, "binning_x", 1)), max(1, getattr(message, "binning_y", 1)))
        if binning != (1, 1):
            model = model.resized(model.width // binning[0], model.height // binning[1])
        return model

    @classmethod
    def _from_parts(
        cls,
        *,
        name: str,
        frame_id: str,
        width: Any,
        height: Any,
        distortion_model: str,
        k: Any,
        d: Any,
        r: Any,
        p: Any,
    ) -> CameraModel:
        def flat(values: Any, empty: int) -> Any:
            values = list(values) if values is not None else []
            return values or [0.0] * empty

        return cls(
            int(width),
            int(height),
            flat(k, 9),
            flat(d, 0),
            distortion_model,
            flat(r, 9),
            flat(p, 12),
            name,
            frame_id,
        )  # type: ignore[arg-type]  # __post_init__ makes arrays of them

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any], name: str = "") -> CameraModel:
        """From the layout of ROS's camera_calibration (`image_width`, `camera_matrix: {data}`, …)."""
        label = name or str(tree.get("camera_name", "camera"))

        def data(key: str) -> Any:
            value = tree.get(key)
            return value.get("data") if isinstance(value, Mapping) else value

        for key in ("image_width", "image_height", "camera_matrix"):
            if key not in tree:
                raise CalibrationError(
                    "malformed", f"{label}: `{key}` is missing; expected a camera_info YAML"
                )
        try:
            return cls._from_parts(
                name=label,
                frame_id=str(tree.get("frame_id", "")),
                width=tree["image_width"],
                height=tree["image_height"],
                distortion_model=str(tree.get("distortion_model", "plumb_bob")),
                k=data("camera_matrix"),
                d=data("distortion_coefficients"),
                r=data("rectification_matrix"),
                p=data("projection_matrix"),
            )
        except (TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise CalibrationError("malformed", f"{label}: {error}; expected a camera_info YAML") from error

    @classmethod
    def from_yaml(cls, path: Path, name: str = "") -> CameraModel:
        """From a camera_info YAML file, as `camera_calibration` and `thermal-fusion calibrate` write it."""
        return cls.from_dict(read_yaml(path), name or path.stem)

    def to_dict(self) -> dict[str, Any]:
        """The layout of ROS's camera_calibration, in plain Python types."""

        def matrix(values: Floats) -> dict[str, Any]:
            rows, columns = values.shape
            return {"rows": rows, "cols": columns, "data": [float(x) for x in values.ravel()]}

        return {
            "image_width": self.width,
            "image_height": self.height,
            "camera_name": self.name,
            **({"frame_id": self.frame_id} if self.frame_id else {}),
            "camera_matrix": matrix(self.k),
            "distortion_model": self.distortion_model,
            "distortion_coefficients": matrix(self.d[None, :]),
            "rectification_matrix": matrix(self.r),
            "projection_matrix": matrix(self.p),
        }

    # ---------------------------------------------------------------- size

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.width, self.height

    def check_image(self, width: int, height: int) -> None:
        """Raise :class:`CalibrationError` (`wrong_size`) unless this is the size that was calibrated."""
        if (width, height) != self.size:
            raise self._error(
                "wrong_size",
                f"images are {width}×{height} but the calibration is for {self.width}×{self.height}",
            )

    def resized(self, width: int, height: int) -> CameraModel:
        """The same camera after its image is resized (pixel areas are kept: centres move by half pixels)."""
        scale = np.diag([width / self.width, height / self.height, 1.0])
        scale[:2, 2] = (scale[0, 0] - 1) / 2, (scale[1, 1] - 1) / 2
        return replace(self, width=width, height=height, k=scale @ self.k, p=scale @ self.p)

    def cropped(self, x: int, y: int, width: int, height: int) -> CameraModel:
        """The same camera looking through the window whose upper left pixel is (x, y)."""
        shift = np.array([[1.0, 0, -x], [0, 1, -y], [0, 0, 1]])
        return replace(self, width=width, height=height, k=shift @ self.k, p=shift @ self.p)

    # ---------------------------------------------------------------- geometry

    @property
    def pinhole(self) -> CameraModel:
        """The camera of the undistorted image with the same matrix: no distortion, no rotation."""
        return CameraModel(self.width, self.height, self.k, name=self.name, frame_id=self.frame_id)

    @property
    def distorts(self) -> bool:
        """Whether straight lines become curved."""
        return bool(self.d.any()) or self.distortion_model == "equidistant"

    @cached_property
    def largest_tangent(self) -> float:
        """Tangent of the angle from the axis up to which the distortion is one-to-one.

        Fitted polynomials turn round somewhere outside the picture; beyond, points would fold back into it.
        """
        tangent = np.linspace(0.0, WIDEST_TANGENT, 8001)
        if self.distortion_model == "equidistant":
            theta = np.arctan(tangent)
            k1, k2, k3, k4 = self.d
            distorted = theta * (1 + k1 * theta**2 + k2 * theta**4 + k3 * theta**6 + k4 * theta**8)
        else:
            k1, k2, _, _, k3, k4, k5, k6 = np.pad(self.d[:8], (0, 8 - min(8, self.d.size)))
            r2 = tangent**2
            distorted = (
                tangent * (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
            )
        turns = np.flatnonzero(~(np.diff(distorted) > 0))
        return float(tangent[turns[0]]) if turns.size else WIDEST_TANGENT

    def project(self, points: Floats) -> Floats:
        """Pixels (N×2) of `points` (N×3, optical frame); NaN behind the camera or outside the lens model."""
        points = np.asarray(points, dtype=np.float64).reshape(-1, 3)
        with np.errstate(divide="ignore", invalid="ignore"):
            rays = points[:, :2] / points[:, 2:]
        seen = (points[:, 2] > 0) & (np.hypot(rays[:, 0], rays[:, 1]) <= self.largest_tangent)
        pixels = np.full((len(points), 2), np.nan)
        if seen.any():
            pixels[seen] = self._distort(rays[seen])
        return pixels

    def _distort(self, rays: Floats) -> Floats:
        points = np.concatenate([rays, np.ones((len(rays), 1))], axis=1)[:, None]
        zero = np.zeros(3)
        if self.distortion_model == "equidistant":
            pixels = cv2.fisheye.projectPoints(points, zero, zero, self.k, self.d)[0]
        else:
            pixels = cv2.projectPoints(points, zero, zero, self.k, self.d)[0]
        return np.asarray(pixels, dtype=np.float64).reshape(-1, 2)

    def unproject(self, pixels: Floats) -> Floats:
        """Rays (N×3 with z = 1) through `pixels` (N×2); NaN where the lens model reaches no such pixel."""
        pixels = np.asarray(pixels, dtype=np.float64).reshape(-1, 2)
        if not len(pixels):
            return np.zeros((0, 3))
        rays = np.ones((len(pixels), 3))
        source = pixels[:, None]
        if self.distortion_model == "equidistant":
            rays[:, :2] = cv2.fisheye.undistortPoints(source, self.k, self.d).reshape(-1, 2)
        elif hasattr(cv2, "undistortPointsIter"):  # OpenCV 4
            rays[:, :2] = cv2.undistortPointsIter(
                source, self.k, self.d, np.eye(3), np.eye(3), UNPROJECT_CRITERIA
            ).reshape(-1, 2)
        else:
            rays[:, :2] = cv2.undistortPoints(source, self.k, self.d, criteria=UNPROJECT_CRITERIA).reshape(
                -1, 2
            )
        rays[np.abs(rays[:, :2]).max(axis=1) > WIDEST_TANGENT] = np.nan
        error = np.abs(self.project(rays) - pixels).max(axis=1)
        rays[~(error < UNPROJECT_TOLERANCE_PX)] = np.nan
        return rays

    def pixel_grid(self) -> Floats:
        """Pixel coordinates of every pixel, row by row: (height·width)×2."""
        v, u = np.mgrid[: self.height, : self.width]
        return np.stack([u, v], axis=-1).reshape(-1, 2).astype(np.float64)

    def rectified(self, *, keep_all: bool = False) -> CameraModel:
        """The camera of the rectified image: `p` where it is given, else `k`.

        `keep_all` instead chooses a zoom at which every pixel of the original stays in the picture.
        """
        matrix: NDArray[Any] = self.p[:, :3]
        if keep_all and self.distorts:
            if self.distortion_model == "equidistant":
                matrix = cv2.fisheye.estimateNewCameraMatrixForUndistortRectify(
                    self.k, self.d, self.size, np.eye(3), balance=1.0
                )
            else:
                matrix = cv2.getOptimalNewCameraMatrix(self.k, self.d, self.size, 1.0)[0]
        return CameraModel(
            self.width, self.height, np.asarray(matrix), name=self.name, frame_id=self.frame_id
        )


class Rectifier:
    """Undistorts the images of one camera; the maps are computed once, in fixed point.

    Works on H×W or H×W×C of uint8, uint16 or float32. `valid` is H×W uint8, 255 where the rectified pixel saw
    the sensor. `camera` is the model of the rectified image.
    """

    def __init__(self, source: CameraModel, target: CameraModel | None = None):
        """Maps `source` images onto `target`, an undistorted camera (default: ``source.rectified()``)."""
        self.source = source
        self.camera = target or source.rectified()
        compute = cv2.fisheye.initUndistortRectifyMap if _is_fisheye(source) else cv2.initUndistortRectifyMap
        x, y = compute(source.k, source.d, source.r, self.camera.k, self.camera.size, cv2.CV_32FC1)
        beyond = self._beyond_lens()
        x[beyond] = y[beyond] = -1e4  # outside: filled with zero
        self._coarse, self._fine = cv2.convertMaps(x, y, cv2.CV_16SC2)
        inside = (x > -0.5) & (x < source.width - 0.5) & (y > -0.5) & (y < source.height - 0.5)
        self.valid: NDArray[np.uint8] = np.where(inside, 255, 0).astype(np.uint8)
        self._output: dict[tuple[Any, ...], NDArray[Any]] = {}

    def _beyond_lens(self) -> NDArray[np.bool_]:
        """Target pixels whose rays the lens model folds back."""
        pixels = np.concatenate(
            [self.camera.pixel_grid(), np.ones((self.camera.width * self.camera.height, 1))], axis=1
        )
        rays = pixels @ np.linalg.inv(self.camera.k).T @ self.source.r  # undo the rectifying rotation
        with np.errstate(divide="ignore", invalid="ignore"):
            tangent = np.hypot(rays[:, 0], rays[:, 1]) / rays[:, 2]
        inside = (rays[:, 2] > 0) & (tangent <= self.source.largest_tangent)
        return ~inside.reshape(self.camera.height, self.camera.width)

    def __call__(self, image: NDArray[Any]) -> NDArray[Any]:
        """`image` undistorted; the result belongs to the rectifier and is overwritten by the next call."""
        self.source.check_image(image.shape[1], image.shape[0])
        key = (*image.shape[2:], image.dtype.str)
        if key not in self._output:
            self._output[key] = np.empty(
                (self.camera.height, self.camera.width, *image.shape[2:]), image.dtype
            )
        return cv2.remap(image, self._coarse, self._fine, cv2.INTER_LINEAR, dst=self._output[key])


def _is_fisheye(camera: CameraModel) -> bool:
    return camera.distortion_model == "equidistant"


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; :class:`CalibrationError` when there is none."""
    import yaml

    try:
        tree = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CalibrationError("unreadable", f"{path}: not a readable calibration file: {error}") from error
    if not isinstance(tree, dict):
        raise CalibrationError("malformed", f"{path}: not a calibration file (expected a YAML mapping)")
    return tree
