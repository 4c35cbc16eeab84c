"""What depth means in metres: scale, point clouds, reconstruction. numpy and OpenCV only, no torch, no ROS."""
