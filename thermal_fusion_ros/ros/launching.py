"""What the launch files share: arguments made from the configuration, the nodes, RViz, the DDS set-up.

Needs `launch` and `launch_ros`, which a robot's ROS has and the Python wheels have not.
"""

from __future__ import annotations

import os

from launch import LaunchContext
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterFile

from thermal_fusion_ros import dds
from thermal_fusion_ros.config import parameters
from thermal_fusion_ros.parameter import Parameter, Value, range_text
from thermal_fusion_ros.share import PACKAGE, share_file

NODE = "fusion_node"
SIMULATOR = "simulator_node"
SIMULATED = "simulation."  # parameters of the simulator; all others are the node's
NOT_GIVEN = ""  # the default of these arguments: the value comes from the parameter file

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
            "use_sim_time",
            default_value=NOT_GIVEN,
            description="Take the time from /clock. Not given: as in params_file.",
        ),
        DeclareLaunchArgument("log_level", default_value="info", description="debug, info, warn or error."),
    ]
    return arguments + [_argument(p, "as in params_file") for p in _of_node()]


def simulator_arguments() -> list[DeclareLaunchArgument]:
    """Every parameter of the simulated rig (`simulation.seed:=3`)."""
    return [_argument(p, "as the simulator thinks best for real time") for p in _of_simulator()]


def fusion_node() -> OpaqueFunction:
    """The node, made from the arguments of :func:`node_arguments`; a bad value ends the launch with one clear line."""
    return OpaqueFunction(function=_make_node)


def simulator() -> OpaqueFunction:
    """The simulated rig as two live cameras, made from :func:`simulator_arguments`."""
    return OpaqueFunction(function=_make_simulator)


def rviz_argument(default: str) -> DeclareLaunchArgument:
    """`rviz:=true` or `false`."""
    return DeclareLaunchArgument("rviz", default_value=default, description="Open RViz with a ready layout.")


def rviz() -> OpaqueFunction:
    """The viewer, on the topics of the node."""
    return OpaqueFunction(function=_make_rviz)


def dds_environment() -> list[SetEnvironmentVariable]:
    """The DDS profile for large images, for every process that is launched after this; a user's own stays."""
    wanted = dds.environment({name: os.environ.get(name, "") for name in dds.PROFILE_VARIABLES})
    return [SetEnvironmentVariable(name, value) for name, value in wanted.items() if value]


def given(context: LaunchContext, name: str) -> str:
    """Text of a launch argument; empty where the launch file has no such argument."""
    return str(LaunchConfiguration(name, default="").perform(context))


def _of_node() -> list[Parameter]:
    return [parameter for parameter in parameters() if not parameter.name.startswith(SIMULATED)]


def _of_simulator() -> list[Parameter]:
    return [parameter for parameter in parameters() if parameter.name.startswith(SIMULATED)]


def _argument(parameter: Parameter, otherwise: str) -> DeclareLaunchArgument:
    accepts = range_text(parameter.spec)
    default = f"default {parameter.default!r}" + (f"; {accepts}" if accepts else "")
    description = f"{parameter.spec.help} ({default}). Not given: {otherwise}."
    return DeclareLaunchArgument(parameter.name, default_value=NOT_GIVEN, description=description)


def _overrides(context: LaunchContext, among: list[Parameter]) -> dict[str, Value]:
    """Checked values of the arguments that were given."""
    texts = {parameter.name: given(context, parameter.name) for parameter in among}
    return {p.name: p.parse(texts[p.name]) for p in among if texts[p.name] != NOT_GIVEN}


def _make_node(context: LaunchContext) -> list[Node]:
    overrides = _overrides(context, _of_node())
    clock = given(context, "use_sim_time")
    if clock != NOT_GIVEN:
        overrides["use_sim_time"] = clock.lower() == "true"
    return [
        Node(
            package=PACKAGE,
            executable=NODE,
            name=NODE,
            namespace=given(context, "namespace"),
            parameters=[ParameterFile(given(context, "params_file")), overrides],
            remappings=_remappings(context),
            arguments=["--ros-args", "--log-level", given(context, "log_level")],
            output="screen",
            emulate_tty=True,
        )
    ]


def _make_simulator(context: LaunchContext) -> list[Node]:
    return [
        Node(
            package=PACKAGE,
            executable=SIMULATOR,
            namespace=given(context, "namespace"),
            parameters=[_overrides(context, _of_simulator())],
            output="screen",
            emulate_tty=True,
        )
    ]


def _make_rviz(context: LaunchContext) -> list[Node]:
    if given(context, "rviz").lower() != "true":
        return []
    return [
        Node(
            package="rviz2",
            executable="rviz2",
            namespace=given(context, "namespace"),
            arguments=["-d", str(share_file("config/fusion.rviz"))],
            remappings=_remappings(context),
        )
    ]


def _remappings(context: LaunchContext) -> list[tuple[str, str]]:
    pairs = [(topic, given(context, name)) for name, topic, _ in TOPICS]
    # CompressedImage travels beside the raw topic, under the name that image_transport gives it.
    pairs += [(f"{topic}/compressed", f"{target}/compressed") for topic, target in pairs if "image" in topic]
    return [(topic, target) for topic, target in pairs if target not in ("", "/compressed", topic)]
