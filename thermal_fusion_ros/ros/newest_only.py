"""Where :class:`NewestOnly` used to be; it knows no ROS."""

from thermal_fusion_ros.newest_only import NewestOnly

__all__ = ["NewestOnly"]
