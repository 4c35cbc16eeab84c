"""The rig: two calibrated cameras and the transform between them; reading, writing and checking it.

The file stores the pose of the thermal optical frame in the RGB optical frame, as TF does (parent RGB, child
thermal), so the numbers go into `static_transform_publisher` unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from thermal_fusion_ros.sensing.camera import CalibrationError, CameraModel, Floats, read_yaml

LONGEST_BASELINE_M = 5.0  # farther apart the two cameras are not one rig; more likely millimetres were given
WIDEST_ANGLE_DEG = 90.0  # between the two optical axes; beyond it they share no view


@dataclass(frozen=True)
class Rig:
    """Both cameras, and `rotation` 3×3, `translation` (3,) metres that take a point from RGB to thermal.

    ``point_thermal = rotation @ point_rgb + translation``. Raises :class:`CalibrationError` when the transform
    can't be that of a rig.
    """

    rgb: CameraModel
    thermal: CameraModel
    rotation: Floats
    translation: Floats

    def __post_init__(self) -> None:
        """Check the transform; the cameras have checked themselves."""
        rotation = np.array(self.rotation, dtype=np.float64)
        translation = np.array(self.translation, dtype=np.float64).ravel()
        if rotation.shape != (3, 3) or translation.shape != (3,):
            raise CalibrationError("malformed", "rig: rotation must be 3×3 and translation 3 numbers")
        if not (np.isfinite(rotation).all() and np.isfinite(translation).all()):
            raise CalibrationError(
                "not_finite", "rig: the transform between the cameras holds NaN or infinity"
            )
        if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-4) or np.linalg.det(rotation) < 0:
            raise CalibrationError("malformed", "rig: the rotation between the cameras is not a rotation")
        if np.linalg.norm(translation) > LONGEST_BASELINE_M:
            raise CalibrationError(
                "contradictory",
                f"rig: the cameras are {np.linalg.norm(translation):.1f} m apart; give metres, not millimetres",
            )
        angle = np.degrees(np.arccos(np.clip(rotation[2, 2], -1, 1)))
        if angle > WIDEST_ANGLE_DEG:
            raise CalibrationError(
                "contradictory",
                f"rig: the cameras look {angle:.0f}° apart; give the optical frames (z forward), not the bodies",
            )
        object.__setattr__(self, "rotation", rotation)
        object.__setattr__(self, "translation", translation)

    @property
    def baseline_m(self) -> float:
        """Distance between the optical centres."""
        return float(np.linalg.norm(self.translation))

    @classmethod
    def from_pose(
        cls, rgb: CameraModel, thermal: CameraModel, position: Sequence[float], quaternion: Sequence[float]
    ) -> Rig:
        """From the pose of the thermal frame in the RGB frame, as TF gives it (metres; x y z w)."""
        from scipy.spatial.transform import Rotation

        numbers = np.array([*position, *quaternion], dtype=np.float64)
        if numbers.shape != (7,) or not np.isfinite(numbers).all():
            raise CalibrationError("not_finite", f"rig: pose {numbers.tolist()} is not 7 finite numbers")
        if abs(np.linalg.norm(numbers[3:]) - 1) > 0.01:
            raise CalibrationError("malformed", f"rig: quaternion {numbers[3:].tolist()} is not of length 1")
        rgb_from_thermal = Rotation.from_quat(numbers[3:]).as_matrix()
        return cls(rgb, thermal, rgb_from_thermal.T, -rgb_from_thermal.T @ numbers[:3])

    @property
    def pose(self) -> tuple[Floats, Floats]:
        """Position (3,) metres and quaternion (x y z w) of the thermal frame in the RGB frame, as TF has it."""
        from scipy.spatial.transform import Rotation

        return -self.rotation.T @ self.translation, Rotation.from_matrix(self.rotation.T).as_quat()

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any]) -> Rig:
        """From the layout of :meth:`to_dict`."""
        for key in ("rgb", "thermal", "thermal_in_rgb"):
            if not isinstance(tree.get(key), Mapping):
                raise CalibrationError("malformed", f"rig: `{key}` is missing; expected a rig YAML")
        pose = tree["thermal_in_rgb"]
        try:
            position = [float(pose["translation"][axis]) for axis in "xyz"]
            quaternion = [float(pose["rotation"][axis]) for axis in "xyzw"]
        except (KeyError, TypeError, ValueError) as error:
            raise CalibrationError(
                "malformed", "rig: `thermal_in_rgb` needs translation: {x, y, z} and rotation: {x, y, z, w}"
            ) from error
        return cls.from_pose(
            CameraModel.from_dict(tree["rgb"], "rgb"),
            CameraModel.from_dict(tree["thermal"], "thermal"),
            position,
            quaternion,
        )

    @classmethod
    def from_yaml(cls, path: Path) -> Rig:
        """From the file that `thermal-fusion calibrate` writes."""
        tree = read_yaml(path)
        try:
            return cls.from_dict(tree)
        except CalibrationError as error:
            raise CalibrationError(error.reason, f"{path}: {error}") from error

    def to_dict(self) -> dict[str, Any]:
        """Plain Python types, for YAML."""
        position, quaternion = self.pose
        return {
            "rgb": self.rgb.to_dict(),
            "thermal": self.thermal.to_dict(),
            "thermal_in_rgb": {
                "translation": {axis: float(x) for axis, x in zip("xyz", position, strict=True)},
                "rotation": {axis: float(x) for axis, x in zip("xyzw", quaternion, strict=True)},
            },
        }

    def check_images(self, rgb: tuple[int, int], thermal: tuple[int, int]) -> None:
        """Raise :class:`CalibrationError` (`wrong_size`) unless both (width, height) are what was calibrated."""
        self.rgb.check_image(*rgb)
        self.thermal.check_image(*thermal)
