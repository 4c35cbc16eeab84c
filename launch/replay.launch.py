"""At a desk: play a bag into the fusion node and look at the result in RViz.

ros2 launch thermal_fusion_ros replay.launch.py bag:=drive.mcap rgb_image:=/color thermal_image:=/flir/image_raw

For figures (every pair accounted for) and for videos or picture folders: thermal-fusion replay SOURCE
"""

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    OpaqueFunction,
    SetLaunchConfiguration,
)
from launch.events import Shutdown
from launch.substitutions import LaunchConfiguration

from thermal_fusion_ros.ros.launching import dds_environment, fusion_node, node_arguments, rviz


def _player(context):
    def given(name):
        return LaunchConfiguration(name).perform(context)

    loop = given("loop").lower() == "true"
    return [
        ExecuteProcess(
            cmd=[
                "ros2",
                "bag",
                "play",
                given("bag"),
                "--clock",
                "100",
                "--rate",
                given("rate"),
                *["--loop"] * loop,
            ],
            output="screen",
            on_exit=EmitEvent(event=Shutdown(reason="the bag has ended")),
        )
    ]


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription(
        [
            DeclareLaunchArgument("bag", description="rosbag2: its folder, or the .mcap or .db3 file."),
            DeclareLaunchArgument(
                "rate", default_value="1.0", description="Playback speed, 1 = as recorded."
            ),
            DeclareLaunchArgument("loop", default_value="false", description="Start again at the end."),
            *dds_environment(),
            *node_arguments(),
            SetLaunchConfiguration("use_sim_time", "true"),  # the player is the clock
            fusion_node(),
            *rviz(default="true"),
            OpaqueFunction(function=_player),
        ]
    )
