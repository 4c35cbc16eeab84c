"""On a robot: the fusion node on two camera topics.

ros2 launch thermal_fusion_ros fusion.launch.py rgb_image:=/front/color/image_raw thermal_image:=/boson/image_raw
"""

from launch import LaunchDescription

from thermal_fusion_ros.ros.launching import dds_environment, fusion_node, node_arguments, rviz, rviz_argument


def generate_launch_description() -> LaunchDescription:
    arguments = [*node_arguments(), rviz_argument("false")]
    return LaunchDescription([*dds_environment(), *arguments, fusion_node(), rviz()])
