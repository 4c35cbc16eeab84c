"""Without cameras: the demo clip through the fusion node, in RViz, with its report at the end.

ros2 launch thermal_fusion_ros demo.launch.py
"""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, EmitEvent, ExecuteProcess, OpaqueFunction
from launch.events import Shutdown
from launch_ros.substitutions import ExecutableInPackage

from thermal_fusion_ros.ros.launching import dds_environment, given, rviz, rviz_argument


def demo(context: LaunchContext) -> list[ExecuteProcess]:
    command = [ExecutableInPackage(package="thermal_fusion_ros", executable="thermal-fusion"), "demo"]
    for option in ("namespace", "seconds", "out"):
        command += [f"--{option}", given(context, option)]
    end = EmitEvent(event=Shutdown(reason="the demo has ended"))
    return [ExecuteProcess(cmd=command, output="screen", on_exit=end)]


def generate_launch_description() -> LaunchDescription:
    arguments = [
        DeclareLaunchArgument("seconds", default_value="30", description="Length of the clip."),
        DeclareLaunchArgument("out", default_value="demo-report", description="Folder of the report."),
        DeclareLaunchArgument("namespace", default_value="/demo", description="Namespace of all topics."),
        rviz_argument("true"),
    ]
    return LaunchDescription([*dds_environment(), *arguments, rviz(), OpaqueFunction(function=demo)])
