"""scripts/setup_env.sh: once is enough, interruptions are mended, a sourced ROS is used. pip is a recording here."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PIP = """
import os, sys
with open(os.environ["PIP_LOG"], "a") as log:
    print(*sys.argv[1:], file=log)
sys.exit(int(os.environ.get("PIP_RESULT", "0")))
"""


class Checkout:
    """A copy of what the script reads, with a `pip` that only writes down what it was asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "repo"
        (self.folder / "scripts").mkdir(parents=True)
        shutil.copy(ROOT / "scripts" / "setup_env.sh", self.folder / "scripts")
        (self.folder / "setup.py").write_text("# one")
        self.modules = folder / "modules"
        (self.modules / "pip").mkdir(parents=True)
        (self.modules / "pip" / "__init__.py").touch()
        (self.modules / "pip" / "__main__.py").write_text(PIP)
        self.log = folder / "pip.log"
        self.log.touch()

    def make(self, level: str = "runtime", **env: str) -> subprocess.CompletedProcess[str]:
        clean = {
            name: value
            for name, value in os.environ.items()
            if name not in ("AMENT_PREFIX_PATH", "ROS_DISTRO", "VIRTUAL_ENV", "TORCH", "PYTHON")
        }
        clean |= {"PYTHONPATH": str(self.modules), "PIP_LOG": str(self.log), "PYTHON": sys.executable} | env
        script = [str(self.folder / "scripts" / "setup_env.sh"), level]
        return subprocess.run(script, env=clean, capture_output=True, text=True, check=False)

    @property
    def pip_calls(self) -> list[str]:
        return self.log.read_text().splitlines()

    @property
    def venv(self) -> Path:
        return self.folder / ".venv"


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_it_is_done_once_until_requirements_change(checkout: Checkout) -> None:
    # The path of a workspace built with the wheels is no sourced ROS.
    first = checkout.make("test", AMENT_PREFIX_PATH=str(checkout.folder / "install"))
    assert first.returncode == 0, first.stderr
    assert "torch==" in checkout.pip_calls[0]
    assert checkout.pip_calls[0].endswith("-e .[simulation,test,ros-wheels]")
    for level in ("test", "runtime"):  # what the tests need includes what the program needs
        again = checkout.make(level)
        assert (again.returncode, again.stderr) == (0, "")
    assert len(checkout.pip_calls) == 2
    assert checkout.pip_calls[1].startswith("download ")  # of torch-tensorrt, only to read

    (checkout.venv / "kept").touch()
    (checkout.folder / "setup.py").write_text("# two")
    assert checkout.make(TORCH="/wheels/torch-jetson.whl").returncode == 0
    assert " /wheels/torch-jetson.whl " in checkout.pip_calls[2]
    assert checkout.pip_calls[2].endswith("-e .[simulation,ros-wheels]")
    assert (checkout.venv / "kept").exists()


def test_an_active_environment_is_not_another_python(checkout: Checkout) -> None:
    python = checkout.folder.parent / "python3"  # a name that leads to the interpreter, as python3 does
    python.symlink_to(Path(sys.executable).resolve())
    assert checkout.make(PYTHON=str(python)).returncode == 0
    again = checkout.make(PYTHON=str(checkout.venv / "bin" / "python3"))
    assert (again.returncode, again.stderr) == (0, "")


def test_failed_installation_is_reported_and_redone_from_scratch(checkout: Checkout) -> None:
    failed = checkout.make(PIP_RESULT="1")
    assert failed.returncode == 1
    assert "pip could not install" in failed.stderr
    (checkout.venv / "half-written").touch()
    assert checkout.make().returncode == 0
    assert len(checkout.pip_calls) == 2
    assert not (checkout.venv / "half-written").exists()


def test_sourced_ros_is_used_and_left(checkout: Checkout) -> None:
    # As the PYTHONPATH of a sourced ROS and the system's packages would provide them.
    (checkout.modules / "rclpy.py").touch()
    (checkout.modules / "numpy.py").write_text("__version__ = '1.26.4'")
    assert checkout.make(AMENT_PREFIX_PATH="/opt/ros/jazzy").returncode == 0
    assert checkout.pip_calls[0].endswith("-e .[simulation]")
    assert "include-system-site-packages = true" in (checkout.venv / "pyvenv.cfg").read_text()
    assert (checkout.venv / ".constraints").read_text() == "numpy<2\n"
    # Gone again: the environment is made anew, with wheels.
    assert checkout.make().returncode == 0
    assert checkout.pip_calls[1].endswith("-e .[simulation,ros-wheels]")
    assert "include-system-site-packages = false" in (checkout.venv / "pyvenv.cfg").read_text()


def test_no_suitable_python(checkout: Checkout) -> None:
    done = checkout.make(PYTHON="no-such-python")
    assert done.returncode == 1
    assert "make PYTHON=" in done.stderr
    assert not checkout.venv.exists()
