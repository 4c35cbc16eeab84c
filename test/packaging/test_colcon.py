"""`colcon build` of this package: everything lands where ROS looks, and what is installed starts."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ["CHANGELOG.rst", "LICENSE", "config", "launch", "package.xml", "resource", "setup.cfg", "setup.py"]
NAME = "thermal_fusion_ros"

pytestmark = pytest.mark.slow
pytest.importorskip("colcon_core", reason="colcon is not installed")


def outside_environment(**changes: str) -> dict[str, str]:
    """This environment without what would lead back to the checkout or to another workspace."""
    kept = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "COLCON_PREFIX_PATH")}
    return kept | changes


def build(workspace: Path, **environment: str) -> Path:
    """Build in `workspace` from a copy of the sources; returns the installed prefix."""
    source = workspace / "src" / NAME
    source.mkdir(parents=True)
    for name in [*SOURCES, NAME]:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, source)
    done = subprocess.run(
        [sys.executable, "-m", "colcon", "build"],
        cwd=workspace,
        env=outside_environment(**environment),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return workspace / "install" / NAME


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("workspace"))


def sourced(prefix: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run `command` as after `source install/setup.bash`, away from the checkout."""
    return subprocess.run(
        ["bash", "-c", f"source {prefix.parent}/local_setup.bash && exec {command}"],
        cwd=prefix,
        env=outside_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_ros_finds_the_package(prefix: Path) -> None:
    share = prefix / "share"
    assert (share / "ament_index/resource_index/packages" / NAME).is_file()
    assert (share / NAME / "package.xml").is_file()
    for folder in ("launch", "config"):
        shipped = {path.name for path in (ROOT / folder).iterdir() if path.is_file()}
        assert {path.name for path in (share / NAME / folder).iterdir()} == shipped


def test_nothing_of_the_package_is_left_behind(prefix: Path) -> None:
    (installed,) = prefix.glob(f"lib/python*/site-packages/{NAME}")

    def contents(folder: Path) -> set[str]:
        files = (path for path in folder.rglob("*") if path.is_file() and path.parent.name != "__pycache__")
        return {str(path.relative_to(folder)) for path in files}

    assert contents(installed) == contents(ROOT / NAME)


def test_executables_run_the_python_that_built_them(prefix: Path) -> None:
    for name in ("fusion_node", "thermal-fusion"):
        first = (prefix / "lib" / NAME / name).read_text().splitlines()[0]
        assert first == f"#!{sys.executable}"


def test_console_script_starts_from_the_installation(prefix: Path) -> None:
    done = sourced(prefix, f"{prefix}/lib/{NAME}/thermal-fusion --help")
    assert done.returncode == 0, done.stderr
    assert "fuse" in done.stdout
    where = sourced(prefix, f"{sys.executable} -c 'import {NAME} as p; print(p.__file__)'")
    assert where.stdout.startswith(str(prefix))


def test_node_starts_from_the_installation_and_ends_when_asked(prefix: Path) -> None:
    pytest.importorskip("rclpy", reason="no ROS here")
    node = f"{prefix}/lib/{NAME}/fusion_node --ros-args -p node.autostart:=false"
    process = subprocess.Popen(
        ["bash", "-c", f"source {prefix.parent}/local_setup.bash && exec {node}"],
        cwd=prefix,
        env=outside_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    with process:
        said = []
        for line in process.stdout:
            said.append(line)
            if "waiting to be configured" in line:
                process.send_signal(signal.SIGINT)
    assert process.returncode == 0, "".join(said)
    assert "waiting to be configured" in "".join(said)


def test_installed_node_refuses_a_bad_parameter(prefix: Path) -> None:
    pytest.importorskip("rclpy", reason="no ROS here")
    done = sourced(prefix, f"{prefix}/lib/{NAME}/fusion_node --ros-args -p sync.tolerance_s:=99.0")
    assert done.returncode == 2
    assert "sync.tolerance_s: 99.0 is outside" in done.stderr


def test_installed_files_are_found_by_the_installed_package(prefix: Path) -> None:
    done = sourced(prefix, f"{sys.executable} -c 'from {NAME} import dds; print(dds.profile())'")
    assert Path(done.stdout.strip()) == prefix / "share" / NAME / "config" / "fastdds.xml"


def test_an_active_virtual_environment_gets_into_the_scripts(tmp_path: Path) -> None:
    """Debian's colcon runs on the system's Python whatever is active; the scripts must not."""
    active = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(active)], check=True)
    installed = build(tmp_path / "workspace", VIRTUAL_ENV=str(active))
    script = installed / "lib" / NAME / "fusion_node"
    assert script.read_text().splitlines()[0] == f"#!{active}/bin/python3"
