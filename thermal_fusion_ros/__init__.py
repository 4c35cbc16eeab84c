"""Real-time RGB-thermal fusion and depth for ROS 2 robots. The core imports no ROS; `thermal_fusion_ros.ros` does."""

__version__ = "0.1.0"
