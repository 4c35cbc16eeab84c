"""Shipped files are found wherever the package lies."""

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from thermal_fusion_ros import share
from thermal_fusion_ros.errors import InputError


def installed_at(path: Path) -> ModuleType:
    """The same module, loaded from another place."""
    path.parent.mkdir(parents=True)
    shutil.copy(share.__file__, path)
    spec = importlib.util.spec_from_file_location("moved_share", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_checkout() -> None:
    assert share.share_file("config/fastdds.xml") == Path(__file__).parents[1] / "config" / "fastdds.xml"


def test_installed_prefix(tmp_path: Path) -> None:
    module = installed_at(tmp_path / "lib/python3.12/site-packages/thermal_fusion_ros/share.py")
    wanted = tmp_path / "share/thermal_fusion_ros/config/fastdds.xml"
    wanted.parent.mkdir(parents=True)
    wanted.touch()
    assert module.share_file("config/fastdds.xml") == wanted


def test_prefix_that_only_ros_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = installed_at(tmp_path / "elsewhere/thermal_fusion_ros/share.py")
    wanted = tmp_path / "prefix/share/thermal_fusion_ros/config/fastdds.xml"
    wanted.parent.mkdir(parents=True)
    wanted.touch()
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"/nowhere:{tmp_path / 'prefix'}")
    assert module.share_file("config/fastdds.xml") == wanted


def test_missing_file_says_what_to_do() -> None:
    with pytest.raises(InputError, match=r"no_such\.yaml .* colcon"):
        share.share_file("config/no_such.yaml")
