"""A rig put together from messages that arrive in any order, may be wrong, or may never come."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from thermal_fusion_ros.config import RegistrationConfig
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.sensing.camera import CalibrationError, CameraModel, Floats
from thermal_fusion_ros.sensing.rig import Rig

CAMERAS = ("rgb", "thermal")
SAME_FOCAL_LENGTH = (
    0.02  # camera_info and rig file may differ by this share before they contradict each other
)
SAME_M, SAME_TURN = 0.001, 0.001  # poses that differ by less (metres, of a quaternion) are one
WAITING = ("waiting_camera_info", "waiting_transform", "uncalibrated")  # reasons that are not a mistake

Pose = tuple[Floats, Floats]


def _is_same(one: Pose, other: Pose) -> bool:
    """Whether nothing has moved: TF that is interpolated differs in its last digits every time."""
    (at, turn), (at_then, turn_then) = one, other
    apart = min(np.abs(turn - turn_then).max(), np.abs(turn + turn_then).max())  # q and -q are one rotation
    return bool(np.abs(at - at_then).max() < SAME_M and apart < SAME_TURN)


class RigAssembly:
    """Collects camera_info of both cameras and the transform between them.

    `rig` is None until all is there and agrees; then and before, `problem` says what is missing or wrong (a
    :class:`CalibrationError` whose `reason` is `waiting_camera_info`, `waiting_transform`, or the name of the mistake).
    """

    def __init__(self, config: RegistrationConfig):
        """Takes `rig` and `thermal_in_rgb` of the configuration; :class:`InputError` when they are not usable."""
        self.rig: Rig | None = None
        self.problem: CalibrationError | None = None
        self._file = Rig.from_yaml(Path(config.rig)) if config.rig else None
        self._given = parse_pose(config.thermal_in_rgb)
        self._pose: Pose | None = self._given
        self._cameras: dict[str, CameraModel] = {}
        self._wrong: dict[str, CalibrationError] = {}
        self._last: dict[str, tuple[Any, ...]] = {}
        self._settle()

    def take_camera_info(self, camera: str, message: Any) -> bool:
        """A sensor_msgs/CameraInfo of "rgb" or "thermal"; True when it says something new."""
        said = _contents(message)
        if self._last.get(camera) == said:
            return False
        self._last[camera] = said
        self._cameras.pop(camera, None)
        self._wrong.pop(camera, None)
        try:
            self._cameras[camera] = CameraModel.from_camera_info(message, f"{camera}/camera_info")
        except CalibrationError as error:
            self._wrong[camera] = error
        self._settle()
        return True

    def take_pose(self, position: Sequence[float] | Floats, quaternion: Sequence[float] | Floats) -> bool:
        """Pose of the thermal frame in the RGB frame (metres; x y z w), from TF; True when it is new."""
        pose = np.asarray(position, np.float64), np.asarray(quaternion, np.float64)
        if self._pose is not None and _is_same(self._pose, pose):
            return False
        self._pose = pose
        self._settle()
        return True

    def camera(self, camera: str) -> CameraModel | None:
        """The camera as its camera_info describes it, when that is usable."""
        return self._cameras.get(camera)

    def wrong(self, camera: str) -> CalibrationError | None:
        """What is wrong with a camera's camera_info."""
        return self._wrong.get(camera)

    @property
    def wanted_transform(self) -> tuple[str, str] | None:
        """(RGB frame, thermal frame) to ask TF for; None when it is given otherwise or the frames are not known."""
        if self._file is not None or self._given is not None or len(self._cameras) < len(CAMERAS):
            return None
        rgb, thermal = (self._cameras[camera].frame_id for camera in CAMERAS)
        return (rgb, thermal) if rgb and thermal and rgb != thermal else None

    def _settle(self) -> None:
        self.rig, self.problem = None, None
        try:
            self.rig = self._assembled()
        except CalibrationError as problem:
            self.problem = problem

    def _assembled(self) -> Rig:
        for camera in CAMERAS:
            wrong = self._wrong.get(camera)
            if wrong is not None and not (self._file is not None and wrong.reason == "uncalibrated"):
                raise wrong
        if self._file is not None:
            for camera in CAMERAS:
                self._check_against_file(camera, getattr(self._file, camera))
            return self._file
        for camera in CAMERAS:
            if camera not in self._cameras:
                raise CalibrationError(
                    "waiting_camera_info",
                    f"nothing has come on {camera}/camera_info; start the driver's, or set registration.rig",
                )
        rgb, thermal = (self._cameras[camera] for camera in CAMERAS)
        if rgb.frame_id and rgb.frame_id == thermal.frame_id:  # registered by the driver
            return Rig(rgb, thermal, np.eye(3), np.zeros(3))
        if self._pose is None:
            raise CalibrationError(
                "waiting_transform",
                f"no transform from {thermal.frame_id or 'the thermal frame'} to {rgb.frame_id or 'the RGB frame'} on "
                "TF; publish it (static_transform_publisher), or set registration.thermal_in_rgb or registration.rig",
            )
        position, quaternion = self._pose
        return Rig.from_pose(rgb, thermal, position.tolist(), quaternion.tolist())

    def _check_against_file(self, camera: str, calibrated: CameraModel) -> None:
        told = self._cameras.get(camera)
        if told is None:
            return
        told.check_image(*calibrated.size)
        ratio = np.array([told.k[0, 0] / calibrated.k[0, 0], told.k[1, 1] / calibrated.k[1, 1]])
        if np.abs(ratio - 1).max() > SAME_FOCAL_LENGTH:
            raise CalibrationError(
                "contradictory",
                f"{camera}/camera_info has focal length {told.k[0, 0]:.1f} px, registration.rig has "
                f"{calibrated.k[0, 0]:.1f} px; one of them is of another camera or another lens",
            )


def parse_pose(text: str) -> Pose | None:
    """`registration.thermal_in_rgb`, "x y z qx qy qz qw", as TF has it; None when empty."""
    if not text.strip():
        return None
    try:
        numbers = np.array([float(part) for part in text.replace(",", " ").split()])
    except ValueError as error:
        raise InputError(f"registration.thermal_in_rgb {text!r}: not numbers") from error
    if numbers.size != 7 or not np.isfinite(numbers).all() or abs(np.linalg.norm(numbers[3:]) - 1) > 0.01:
        raise InputError(
            f"registration.thermal_in_rgb {text!r}: give x y z in metres and a quaternion x y z w of length 1"
        )
    return numbers[:3], numbers[3:]


def _contents(message: Any) -> tuple[Any, ...]:
    """What a CameraInfo says, without its stamp; messages repeat it with every picture."""
    roi = getattr(message, "roi", None)
    window = () if roi is None else (roi.x_offset, roi.y_offset, roi.width, roi.height)
    return (
        getattr(message.header, "frame_id", ""), message.width, message.height, message.distortion_model, window,
        getattr(message, "binning_x", 0), getattr(message, "binning_y", 0),
        *(np.asarray(getattr(message, name), np.float64).tobytes() for name in "kdrp"),
    )  # fmt: skip
