"""Where the files that are not Python lie: in a source checkout, or under `share/` of the prefix it is installed in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from thermal_fusion_ros.errors import InputError

PACKAGE = "thermal_fusion_ros"


def share_file(relative: str) -> Path:
    """Path of a shipped file such as `config/fastdds.xml`.

    Looks beside the sources first (a checkout, `pip install -e`, `colcon build --symlink-install`), then in the prefix
    this module is installed in, then in every prefix that ROS knows.
    """
    for folder in _candidates():
        if (folder / relative).is_file():
            return folder / relative
    raise InputError(
        f"{relative} of {PACKAGE} is not installed: build the package with colcon, or run from a checkout"
    )


def _candidates() -> Iterator[Path]:
    here = Path(__file__).resolve()
    if (here.parents[1] / "package.xml").is_file():
        yield here.parents[1]
    for prefix in here.parents[2:]:
        yield prefix / "share" / PACKAGE
    for entry in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep):
        if entry:
            yield Path(entry) / "share" / PACKAGE
