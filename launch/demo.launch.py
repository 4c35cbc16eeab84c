"""Without cameras: the simulated rig drives through its world, the fusion node fuses, RViz shows it.

ros2 launch thermal_fusion_ros demo.launch.py simulation.seed:=3

For a report with pictures and numbers: thermal-fusion demo
"""

from launch import LaunchDescription

from thermal_fusion_ros.ros.launching import (
    dds_environment,
    fusion_node,
    node_arguments,
    rviz,
    rviz_argument,
    simulator,
    simulator_arguments,
)


def generate_launch_description() -> LaunchDescription:
    arguments = [*simulator_arguments(), *node_arguments(), rviz_argument("true")]
    return LaunchDescription([*dds_environment(), *arguments, simulator(), fusion_node(), rviz()])
