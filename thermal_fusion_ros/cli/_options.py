"""Options that several sub-commands share."""

from __future__ import annotations

import argparse
import os
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


def read_config(args: argparse.Namespace, base: Config | None = None) -> Config:
    """The configuration of `--params` on top of `base` (the defaults), then `--set` on top of that."""
    from thermal_fusion_ros.config import Config, load_yaml

    base = base or Config()
    if args.params:
        base = load_yaml(args.params, base)
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


def check_writable(path: Path, option: str) -> None:
    """Before the work whose result would be lost: `path` can be a file. Nothing is made yet.

    Raises :class:`InputError` when it is a folder, or lies where nothing can be written.
    """
    try:
        place = next((place for place in (path, *path.parents) if place.exists()), Path())
        if path.is_dir():
            raise InputError(f"{option} {path}: is a folder; name a file")
        if place != path and not place.is_dir():
            raise InputError(f"{option} {path}: {place} is not a folder; choose another")
    except OSError as error:
        raise InputError(f"{option} {path}: {error.strerror}; choose another") from error
    if not os.access(place, os.W_OK):
        raise InputError(f"{option} {path}: {place} can't be written; choose another")
