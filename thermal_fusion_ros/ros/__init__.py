"""ROS 2: the only part of the package that imports rclpy. It translates; the work is done elsewhere."""
