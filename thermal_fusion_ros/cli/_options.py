"""Options that several sub-commands share."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thermal_fusion_ros.errors import InputError

if TYPE_CHECKING:
    from thermal_fusion_ros.bags.source import Source
    from thermal_fusion_ros.config import Config


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """`--set` and `--params`: any parameter of the node, for the commands that run the same pipeline."""
    group = parser.add_argument_group("configuration")
    group.add_argument(
        "--set",
        action="append",
        metavar="NAME=VALUE",
        help="set a parameter, e.g. sync.tolerance_s=0.02; repeatable",
    )
    group.add_argument(
        "--params", type=Path, metavar="FILE", help="ROS parameter file (see config/fusion.yaml)"
    )


def read_config(args: argparse.Namespace) -> Config:
    """The configuration of `--params`, then `--set` on top."""
    from thermal_fusion_ros.config import Config, load_yaml

    base = load_yaml(args.params) if args.params else Config()
    return base.with_assignments(args.set)


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """SOURCE and what tells its parts apart."""
    parser.add_argument(
        "source",
        type=Path,
        metavar="SOURCE",
        help="rosbag2 (folder, .mcap, .db3), or a folder with visible+infrared, vi+ir or rgb+thermal in it",
    )
    group = parser.add_argument_group("source")
    group.add_argument("--rgb-topic", default="", help="colour images of a bag (found by default)")
    group.add_argument("--thermal-topic", default="", help="thermal images of a bag (found by default)")
    group.add_argument(
        "--clip", default="", metavar="NAME", help="which one, where the folders hold several videos"
    )
    group.add_argument(
        "--fps", type=float, default=0.0, help="rate of pictures (default 30) or videos (their own)"
    )


def read_source(args: argparse.Namespace) -> Source:
    """Open what :func:`add_source_options` asked for."""
    from thermal_fusion_ros.bags.source import open_source

    return open_source(
        args.source, rgb_topic=args.rgb_topic, thermal_topic=args.thermal_topic, clip=args.clip, fps=args.fps
    )


@contextmanager
def progress(total: int | None, unit: str, label: str = "") -> Iterator[Any]:
    """A progress bar on stderr; silent where nobody watches."""
    from tqdm import tqdm

    with tqdm(total=total, unit=unit, desc=label or None, disable=None, dynamic_ncols=True) as bar:
        yield bar


def write_json(path: Path, value: Any) -> None:
    """Write a machine-readable result."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value, indent=2) + "\n")
    except OSError as error:
        raise InputError(f"{path}: not written: {error.strerror}") from error
