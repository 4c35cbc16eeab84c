"""At a desk: play a bag into the fusion node and look at the result in RViz.

ros2 launch thermal_fusion_ros replay.launch.py bag:=drive.mcap rgb_image:=/color thermal_image:=/flir/image_raw

For figures (every pair accounted for) and for videos or picture folders: thermal-fusion replay SOURCE
"""

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    OpaqueFunction,
    SetLaunchConfiguration,
)
from launch.events import Shutdown

from thermal_fusion_ros.ros.launching import (
    dds_environment,
    fusion_node,
    given,
    node_arguments,
    rviz,
    rviz_argument,
)


def play(context: LaunchContext) -> list[ExecuteProcess]:
    command = [
        "ros2",
        "bag",
        "play",
        given(context, "bag"),
        "--clock",
        "100",
        "--rate",
        given(context, "rate"),
    ]
    if given(context, "loop").lower() == "true":
        command.append("--loop")
    end = EmitEvent(event=Shutdown(reason="the bag has ended"))
    return [ExecuteProcess(cmd=command, output="screen", on_exit=end)]


def generate_launch_description() -> LaunchDescription:
    arguments = [
        DeclareLaunchArgument("bag", description="rosbag2: its folder, or the .mcap or .db3 file."),
        DeclareLaunchArgument("rate", default_value="1.0", description="Playback speed, 1 = as recorded."),
        DeclareLaunchArgument("loop", default_value="false", description="Start again at the end."),
        *node_arguments(),
        rviz_argument("true"),
    ]
    clock = SetLaunchConfiguration("use_sim_time", "true")  # the player is the clock
    return LaunchDescription(
        [*dds_environment(), *arguments, clock, fusion_node(), rviz(), OpaqueFunction(function=play)]
    )
