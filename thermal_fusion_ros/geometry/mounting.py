"""Where level ground is for a camera that is mounted on a robot: what `depth.camera_tilt` and TF say.

A body frame is x ahead, y left, z up (REP-103), and an optical frame x right, y down, z ahead.
"""

from __future__ import annotations

import numpy as np

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.sensing.camera import Floats

STEEPEST_DEG = 60.0  # roll or pitch; who is tilted more sees no ground that goes on, or is no optical frame


def parse_tilt(text: str) -> Floats | None:
    """`depth.camera_tilt`, "ROLL PITCH" in degrees, as :func:`down_of_tilt`; None when empty."""
    if not text.strip():
        return None
    try:
        roll, pitch = (float(number) for number in text.replace(",", " ").split())
    except ValueError as error:
        raise InputError(f'depth.camera_tilt {text!r}: give "ROLL PITCH" in degrees, like "0 5"') from error
    if not all(abs(angle) <= STEEPEST_DEG for angle in (roll, pitch)):  # NaN is not, either
        raise InputError(
            f"depth.camera_tilt {text!r}: roll and pitch are -{STEEPEST_DEG:g} to {STEEPEST_DEG:g} degrees"
        )
    return down_of_tilt(roll, pitch)


def down_of_tilt(roll_deg: float, pitch_deg: float) -> Floats:
    """Down (3,), of unit length, in the optical frame of a camera turned by these angles about x and y of the body.

    As in `static_transform_publisher --roll --pitch`: pitch above 0 looks down, roll above 0 leans to the right.
    """
    roll, pitch = np.radians([roll_deg, pitch_deg])
    # body_from_camera is Ry(pitch) Rx(roll); its last row is up, seen from the camera's own x ahead, y left, z up.
    ahead, left, up = -np.sin(pitch), np.cos(pitch) * np.sin(roll), np.cos(pitch) * np.cos(roll)
    return np.array([left, up, -ahead])


def down_of_pose(pose: Floats) -> Floats:
    """Down (3,) in an optical frame whose pose in a level frame is this 4×4."""
    return -pose[2, :3]


def plausible(down: Floats) -> bool:
    """Whether a camera that sees ground may have down there: an optical frame, not too steep."""
    return all(abs(angle) <= STEEPEST_DEG for angle in tilt_of(down))


def tilt_text(down: Floats) -> str:
    """`depth.camera_tilt` for a camera that has down there: what :func:`parse_tilt` reads."""
    return "{:.3f} {:.3f}".format(*tilt_of(down))


def tilt_of(down: Floats) -> tuple[float, float]:
    """Roll and pitch in degrees, as :func:`down_of_tilt` takes them."""
    left, up, below = (float(part) for part in down)
    return float(np.degrees(np.arctan2(left, up))), float(np.degrees(np.arctan2(below, np.hypot(left, up))))
