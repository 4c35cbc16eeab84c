"""What the launch files share: arguments made from the configuration, the node, the DDS set-up, RViz.

Needs `launch` and `launch_ros`, which a robot's ROS has and the Python wheels have not.
"""

from __future__ import annotations

import os

from launch import LaunchContext
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterFile

from thermal_fusion_ros import dds
from thermal_fusion_ros.config import Value, parameters, range_text
from thermal_fusion_ros.share import PACKAGE, share_file

NODE = "fusion_node"
FROM_FILE = ""  # an argument left at this takes its value from the parameter file

# Argument, the node's own topic, what it is.
TOPICS = (
    ("rgb_image", "rgb/image_raw", "colour images"),
    ("rgb_info", "rgb/camera_info", "calibration of the colour camera"),
    ("thermal_image", "thermal/image_raw", "thermal images"),
    ("thermal_info", "thermal/camera_info", "calibration of the thermal camera"),
)


def node_arguments() -> list[DeclareLaunchArgument]:
    """Topics, parameter file, and every parameter of the node under its own name (`sync.tolerance_s:=0.03`)."""
    arguments = [
        DeclareLaunchArgument(name, default_value=topic, description=f"Topic of the {what}.")
        for name, topic, what in TOPICS
    ]
    arguments += [
        DeclareLaunchArgument(
            "params_file",
            default_value=str(share_file("config/fusion.yaml")),
            description="ROS parameter file of the node.",
        ),
        DeclareLaunchArgument(
            "namespace", default_value="", description="Namespace of the node and its topics."
        ),
        DeclareLaunchArgument(
            "use_sim_time", default_value="false", description="Take the time from /clock."
        ),
        DeclareLaunchArgument("log_level", default_value="info", description="debug, info, warn or error."),
    ]
    for parameter in parameters():
        accepts = range_text(parameter.spec)
        default = f"default {parameter.default!r}" + (f"; {accepts}" if accepts else "")
        arguments.append(
            DeclareLaunchArgument(
                parameter.name,
                default_value=FROM_FILE,
                description=f"{parameter.spec.help} ({default}). Not given: as in params_file.",
            )
        )
    return arguments


def fusion_node() -> OpaqueFunction:
    """The node, made from the arguments of :func:`node_arguments`; bad values end the launch with one clear line."""
    return OpaqueFunction(function=_make_node)


def _make_node(context: LaunchContext) -> list[Node]:
    def given(name: str) -> str:
        return str(LaunchConfiguration(name).perform(context))

    overrides: dict[str, Value] = {
        parameter.name: parameter.parse(given(parameter.name))
        for parameter in parameters()
        if given(parameter.name) != FROM_FILE
    }
    remappings = [(topic, given(name)) for name, topic, _ in TOPICS]
    # CompressedImage travels beside the raw topic, under the name that image_transport gives it.
    remappings += [
        (f"{topic}/compressed", f"{given(name)}/compressed") for name, topic, _ in TOPICS if "image" in name
    ]
    return [
        Node(
            package=PACKAGE,
            executable=NODE,
            name=NODE,
            namespace=given("namespace"),
            parameters=[
                ParameterFile(given("params_file")),
                overrides,
                {"use_sim_time": given("use_sim_time").lower() == "true"},
            ],
            remappings=remappings,
            arguments=["--ros-args", "--log-level", given("log_level")],
            output="screen",
            emulate_tty=True,
        )
    ]


def dds_environment() -> list[SetEnvironmentVariable]:
    """The DDS profile for large images, for every process that is launched after this."""
    wanted = dds.environment()
    return [
        SetEnvironmentVariable(name, wanted[name])
        for name in dds.PROFILE_VARIABLES
        if name in wanted and os.environ.get(name) != wanted[name]
    ]


def rviz(default: str = "false") -> list[DeclareLaunchArgument | Node]:
    """The `rviz` argument, and the viewer it opens."""
    return [
        DeclareLaunchArgument("rviz", default_value=default, description="Open RViz with a ready layout."),
        Node(
            package="rviz2",
            executable="rviz2",
            arguments=["-d", str(share_file("config/fusion.rviz"))],
            condition=IfCondition(LaunchConfiguration("rviz")),
        ),
    ]
