"""package.xml and setup.py tell the truth about what the code imports."""

import ast
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import thermal_fusion_ros

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "thermal_fusion_ros"
MANIFEST = ET.parse(ROOT / "package.xml").getroot()

# Import name -> what setup.py calls it. None: optional, imported only where it is found.
DISTRIBUTION = {
    "cv2": "opencv-python",
    "open_clip": "open_clip_torch",
    "PIL": "Pillow",
    "tensorrt": None,
    "torch_tensorrt": None,
    "yaml": "PyYAML",
}
# Import name -> ROS package, where they differ.
ROS_PACKAGE = {"tf2_ros": "tf2_ros_py"}
# Every ROS package that may be imported, the optional ones included.
ROS = re.compile(
    r"(.*_msgs|.*_interfaces|rclpy|launch|launch_ros|tf2_ros|cv_bridge|message_filters|ament_index_python)$"
)


def imported(folder: Path) -> set[str]:
    """Top-level names of everything that the Python files below `folder` import."""
    return set().union(*(imports_of(path) for path in folder.rglob("*.py")))


def imports_of(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"thermal_fusion_ros"}


def declared(*tags: str) -> set[str]:
    return {(element.text or "").strip() for tag in tags for element in MANIFEST.iter(tag)}


def required_by_setup() -> set[str]:
    """Names in install_requires and extras_require, without running setup.py."""
    call = next(
        node
        for node in ast.walk(ast.parse((ROOT / "setup.py").read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "setup"
    )
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    lists = [ast.literal_eval(given["install_requires"]), *ast.literal_eval(given["extras_require"]).values()]
    return {re.split(r"[<>=!;\[ ]", entry)[0].lower() for entries in lists for entry in entries}


def test_versions_agree() -> None:
    assert MANIFEST.findtext("version") == thermal_fusion_ros.__version__


def test_ros_packages_are_declared() -> None:
    used = {
        ROS_PACKAGE.get(name, name)
        for name in imported(PACKAGE) | imported(ROOT / "launch")
        if ROS.match(name)
    }
    assert used, "the pattern finds nothing"
    assert used <= declared("exec_depend", "depend")


def test_python_packages_are_declared() -> None:
    used = {name for name in imported(PACKAGE) if not ROS.match(name)}
    wanted = {DISTRIBUTION.get(name, name) for name in used} - {None}
    assert {str(name).lower().replace("_", "-") for name in wanted} <= {
        name.replace("_", "-") for name in required_by_setup()
    }


def test_only_the_ros_folder_imports_ros() -> None:
    outside = {
        str(path.relative_to(PACKAGE)): sorted(found)
        for path in PACKAGE.rglob("*.py")
        if path.parent.name != "ros"
        for found in [{name for name in imports_of(path) if ROS.match(name)}]
        if found
    }
    assert outside == {}


def test_every_folder_with_code_is_a_package() -> None:
    lacking = {
        str(path.parent) for path in PACKAGE.rglob("*.py") if not (path.parent / "__init__.py").exists()
    }
    assert lacking == set(), "find_packages leaves these out of the installation"


@pytest.mark.parametrize("name", ["LICENSE", "CHANGELOG.rst", "resource/thermal_fusion_ros", "setup.cfg"])
def test_file_is_there(name: str) -> None:
    assert (ROOT / name).is_file()
