"""The arguments that a process was started with, as far as they are ROS's: `--ros-args` and what follows."""

from __future__ import annotations

import rclpy

from thermal_fusion_ros.errors import InputError


def begin(args: list[str] | None) -> None:
    """Start ROS. :class:`InputError` where it cannot be done with these arguments or in this environment."""
    try:
        rclpy.init(args=args)
    except RuntimeError as error:  # what RCLError and UnknownROSArgsError are
        raise InputError(f"ROS does not start: {error}") from error
