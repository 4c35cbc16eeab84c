"""Launch files: loaded by the real `launch` where it is installed, and by a stand-in that records everywhere."""

import sys
import types
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
import yaml

from thermal_fusion_ros import dds
from thermal_fusion_ros.config import parameters

LAUNCH = Path(__file__).parents[2] / "launch"
FILES = sorted(LAUNCH.glob("*.launch.py"))
MODULES = {
    "launch": "LaunchContext LaunchDescription",
    "launch.actions": "DeclareLaunchArgument EmitEvent ExecuteProcess OpaqueFunction SetEnvironmentVariable "
    "SetLaunchConfiguration",
    "launch.events": "Shutdown",
    "launch.substitutions": "LaunchConfiguration",
    "launch_ros": "",
    "launch_ros.actions": "Node",
    "launch_ros.parameter_descriptions": "ParameterFile",
}


class Recorded:
    """Any class of `launch`: keeps what it was made with."""

    context: dict[str, str]  # set by the test

    def __init__(self, *args: Any, **options: Any) -> None:
        self.args, self.options = args, options

    def perform(self, context: object) -> str:
        return Recorded.context.get(self.args[0], self.options["default"])


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, classes in MODULES.items():
        module = types.ModuleType(name)
        for each in classes.split():
            setattr(module, each, type(each, (Recorded,), {}))
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "thermal_fusion_ros.ros.launching", raising=False)
    for name in dds.PROFILE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    yield
    sys.modules.pop("thermal_fusion_ros.ros.launching", None)


def load(path: Path) -> types.ModuleType:
    spec = spec_from_file_location(path.stem.replace(".", "_"), path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def entities(path: Path) -> list[Any]:
    """What the launch file describes, when loaded by the stand-in."""
    found = load(path).generate_launch_description().args[0]
    assert isinstance(found, list)
    return found


def of_kind(kind: str, among: list[Any]) -> list[Any]:
    return [entity for entity in among if type(entity).__name__ == kind]


def defaults(among: list[Any]) -> dict[str, str]:
    return {e.args[0]: e.options.get("default_value", "") for e in of_kind("DeclareLaunchArgument", among)}


def processes(described: list[Any]) -> list[Any]:
    """What would be started, with the arguments in `Recorded.context`."""
    return [
        each for maker in of_kind("OpaqueFunction", described) for each in maker.options["function"](None)
    ]


def test_the_promised_files_are_there() -> None:
    assert {path.name for path in FILES} >= {"fusion.launch.py", "replay.launch.py", "demo.launch.py"}


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_large_images_arrive_at_whatever_is_launched(path: Path) -> None:
    variables = {entity.args for entity in of_kind("SetEnvironmentVariable", entities(path))}
    assert variables == {(name, str(dds.profile())) for name in dds.PROFILE_VARIABLES}


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_parameter_is_an_argument(path: Path) -> None:
    arguments = defaults(entities(path))
    wanted = {parameter.name for parameter in parameters()}
    if path.name != "demo.launch.py":
        wanted = {name for name in wanted if not name.startswith("simulation.")}
    assert {name for name in arguments if "." in name} == wanted
    assert Path(arguments["params_file"]).is_file()


@pytest.mark.usefixtures("stand_in")
def test_only_given_arguments_override_the_parameter_file() -> None:
    described = entities(LAUNCH / "fusion.launch.py")
    Recorded.context = defaults(described) | {"sync.tolerance_s": "0.1", "rgb_image": "/front/color"}
    (node,) = processes(described)
    file, overrides = node.options["parameters"]
    assert file.args == (Recorded.context["params_file"],)
    assert overrides == {"sync.tolerance_s": 0.1}
    remapped = dict(node.options["remappings"])
    assert remapped == {
        "rgb/image_raw": "/front/color",
        "rgb/image_raw/compressed": "/front/color/compressed",
    }


@pytest.mark.usefixtures("stand_in")
def test_the_clock_is_that_of_the_parameter_file_unless_given() -> None:
    described = entities(LAUNCH / "fusion.launch.py")
    for given, wanted in (({}, {}), ({"use_sim_time": "True"}, {"use_sim_time": True})):
        Recorded.context = defaults(described) | given
        (node,) = processes(described)
        assert node.options["parameters"][1] == wanted


@pytest.mark.usefixtures("stand_in")
def test_a_bad_value_is_refused_before_anything_starts() -> None:
    described = entities(LAUNCH / "fusion.launch.py")
    Recorded.context = defaults(described) | {"sync.tolerance_s": "99"}
    with pytest.raises(ValueError, match=r"sync\.tolerance_s: 99"):
        processes(described)


@pytest.mark.usefixtures("stand_in")
def test_rviz_looks_at_the_topics_of_the_node() -> None:
    described = entities(LAUNCH / "fusion.launch.py")
    Recorded.context = defaults(described) | {"namespace": "bot", "rgb_image": "/color", "rviz": "true"}
    node, viewer = processes(described)
    assert viewer.options["remappings"] == node.options["remappings"]
    assert viewer.options["namespace"] == node.options["namespace"] == "bot"
    layout = yaml.safe_load(Path(viewer.options["arguments"][1]).read_text())
    shown = {display["Topic"]["Value"] for display in layout["Visualization Manager"]["Displays"]}
    ours = {"fused/image_raw", "depth/image_raw", "points", "objects"}
    assert ours | {"rgb/image_raw", "thermal/image_raw"} == shown


@pytest.mark.usefixtures("stand_in")
def test_a_bag_is_played_as_asked() -> None:
    described = entities(LAUNCH / "replay.launch.py")
    Recorded.context = defaults(described) | {"bag": "drive.mcap", "loop": "true", "rviz": "false"}
    (clock,) = of_kind("SetLaunchConfiguration", described)
    assert clock.args == ("use_sim_time", "true")
    _node, player = processes(described)
    assert player.options["cmd"][:4] == ["ros2", "bag", "play", "drive.mcap"]
    assert "--loop" in player.options["cmd"]


@pytest.mark.usefixtures("stand_in")
def test_the_demo_gives_each_node_its_own_parameters() -> None:
    described = entities(LAUNCH / "demo.launch.py")
    given = {"simulation.seed": "3", "sync.tolerance_s": "0.1", "rviz": "false"}
    Recorded.context = defaults(described) | given
    cameras, node = processes(described)
    assert cameras.options["parameters"] == [{"simulation.seed": 3}]
    assert node.options["parameters"][1] == {"sync.tolerance_s": 0.1}
    assert cameras.options["namespace"] == node.options["namespace"]


@pytest.mark.usefixtures("stand_in")
def test_executables_are_those_that_are_installed() -> None:
    described = entities(LAUNCH / "demo.launch.py")
    Recorded.context = defaults(described) | {"rviz": "false"}
    setup = (LAUNCH.parent / "setup.py").read_text()
    for process in processes(described):
        assert f'"{process.options["executable"]} = ' in setup


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_real_launch_accepts_the_file(path: Path) -> None:
    pytest.importorskip("launch_ros", reason="ROS's launch is not installed")
    from launch import LaunchContext
    from launch.launch_description_sources import PythonLaunchDescriptionSource

    description = PythonLaunchDescriptionSource(str(path)).get_launch_description(LaunchContext())
    names = {argument.name for argument in description.get_launch_arguments()}
    assert "rviz" in names


def test_the_real_launch_builds_the_node() -> None:
    pytest.importorskip("launch_ros", reason="ROS's launch is not installed")
    from launch import LaunchContext
    from launch.actions import DeclareLaunchArgument, OpaqueFunction
    from launch.launch_description_sources import PythonLaunchDescriptionSource

    context = LaunchContext()
    source = PythonLaunchDescriptionSource(str(LAUNCH / "fusion.launch.py"))
    described = source.get_launch_description(context).entities
    context.launch_configurations["sync.tolerance_s"] = "0.1"
    for entity in described:
        if isinstance(entity, DeclareLaunchArgument):
            entity.visit(context)
    (node,) = [
        made for each in described if isinstance(each, OpaqueFunction) for made in each.visit(context) or []
    ]
    assert (node.node_package, node.node_executable) == ("thermal_fusion_ros", "fusion_node")
