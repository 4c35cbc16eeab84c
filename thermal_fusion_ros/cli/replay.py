"""`thermal-fusion replay`: a recording through the fusion node over DDS, or through the same pipeline without ROS."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from thermal_fusion_ros.cli._options import (
    add_config_options,
    add_source_options,
    check_writable,
    progress,
    read_config,
    read_source,
)
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.files import write_json

if TYPE_CHECKING:
    from thermal_fusion_ros.bags.sinks import Sink
    from thermal_fusion_ros.bags.source import Source
    from thermal_fusion_ros.bags.writer import BagWriter
    from thermal_fusion_ros.config import Config
    from thermal_fusion_ros.replay_report import ReplayReport

HELP = "play a recording through the fusion node (or, with --offline, without ROS)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Source, how to play it, where results go."""
    add_source_options(parser)
    group = parser.add_argument_group("playing")
    group.add_argument("--rate", type=float, default=1.0, help="speed; 0.5 is half of the recorded one")
    group.add_argument("--loop", type=int, default=1, metavar="N", help="play N times")
    group.add_argument(
        "--offline", action="store_true", help="no ROS: every pair, as fast as the machine allows"
    )
    group.add_argument(
        "--clock", action="store_true", help="publish /clock and run the node on it (use_sim_time)"
    )
    group.add_argument("--namespace", default="/", metavar="NS", help="of all topics and of the node")
    group.add_argument(
        "--node", default="", metavar="NAME", help="use this running node instead of an own one"
    )
    group = parser.add_argument_group("results")
    group.add_argument(
        "--record", type=Path, metavar="BAG", help="outputs as a rosbag2 (.mcap, .db3 or folder)"
    )
    group.add_argument("--save", type=Path, metavar="DIR", help="fused pictures")
    group.add_argument("--json", type=Path, metavar="FILE", help="the table, machine-readable")
    add_config_options(parser)


def run(args: argparse.Namespace) -> int:
    """Play, print the table; 2 when nothing could be fused, 130 when interrupted."""
    if not 0 < args.rate < math.inf:
        raise InputError(f"--rate {args.rate:g}: must be a number above 0")
    if args.loop < 1:
        raise InputError(f"--loop {args.loop}: must be at least 1")
    if not args.offline:
        need_ros()
    if args.json:
        check_writable(args.json, "--json")
    config = read_config(args)
    source = read_source(args)

    from thermal_fusion_ros.bags.sinks import BagSink, PictureSink
    from thermal_fusion_ros.bags.writer import BagWriter

    with contextlib.ExitStack() as stack:
        sinks: list[Sink] = [PictureSink(args.save)] if args.save else []
        bag = stack.enter_context(BagWriter(args.record)) if args.record else None
        if args.offline and bag is not None:
            sinks.append(BagSink(bag))
        bar = stack.enter_context(
            progress(source.frame_count and source.frame_count * args.loop, "frame", "replay")
        )
        report = play(args, source, config, sinks=sinks, bag=bag, on_frame=bar.update)
    try:
        return finish(report)  # first: the table is not lost where the file can't be written ...
    finally:
        if args.json:  # ... nor the file where nobody reads the table
            write_json(args.json, report.to_json())


def play(
    args: argparse.Namespace,
    source: Source,
    config: Config,
    *,
    sinks: Sequence[Sink] = (),
    bag: BagWriter | None = None,
    on_frame: Callable[[], object] = lambda: None,
) -> ReplayReport:
    """Play as the options say: over DDS, or offline."""
    if args.offline:
        from thermal_fusion_ros.offline import run_offline
        from thermal_fusion_ros.pipeline import Pipeline

        return run_offline(source, config, Pipeline(config), sinks, loops=args.loop, on_frame=on_frame)
    from thermal_fusion_ros.ros.replay_session import Settings, replay

    settings = Settings(
        rate=args.rate,
        loops=args.loop,
        namespace="/" + args.namespace.strip("/"),
        node=args.node,
        clock=args.clock,
    )
    return replay(source, config, settings, sinks=sinks, bag=bag, on_frame=on_frame)


def finish(report: ReplayReport) -> int:
    """Print what there is to say and return the exit code."""
    from thermal_fusion_ros.cli.main import EXIT_BAD_INPUT, EXIT_INTERRUPTED

    for note in report.notes:
        print(f"thermal-fusion: {note}", file=sys.stderr)
    print(f"{report.source}, {report.mode}:\n{report.table()}")
    if report.interrupted:
        return EXIT_INTERRUPTED
    return EXIT_BAD_INPUT if report.failed or not report.published else 0


def need_ros() -> None:
    """Raise `InputError` with the remedy when ROS 2 is not there."""
    if importlib.util.find_spec("rclpy") is None:
        raise InputError(
            "ROS 2 (rclpy) is not installed here: source /opt/ros/<distro>/setup.bash, or install the package's "
            "ros-wheels extra, or add --offline to run the same pipeline without ROS"
        )
