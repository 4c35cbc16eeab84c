"""`thermal-fusion demo`: a simulated night street in smoke, through the fusion node, into a report with pictures."""

from __future__ import annotations

import argparse
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from thermal_fusion_ros.cli._options import add_config_options, check_writable, progress, read_config
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.geometry.mounting import down_of_pose, tilt_text

if TYPE_CHECKING:
    from thermal_fusion_ros.config import Config
    from thermal_fusion_ros.simulation.rig import Rig

HELP = "a night street in smoke -> fusion node over DDS -> report with pictures"
_ROWS = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the report goes, and how long the clip is."""
    parser.add_argument(
        "--out", type=Path, default=Path("demo-report"), metavar="DIR", help="the report's folder"
    )
    parser.add_argument("--seconds", type=float, default=6.0, help="length of the clip")
    parser.add_argument(
        "--seed", type=int, default=1, help="of the scene; the same seed gives the same pixels"
    )
    parser.add_argument("--offline", action="store_true", help="no ROS: the same pipeline, every pair")
    parser.add_argument(
        "--namespace", default="", metavar="NS", help="of all topics (default: one of its own)"
    )
    add_config_options(parser)


def known_rig(rig: Rig, config: Config) -> dict[str, object]:
    """What somebody who has built the rig would tell the node, where the command line says nothing else."""
    position, quaternion = rig.calibration().pose
    pose = " ".join(f"{value:.6f}" for value in (*position, *quaternion))
    known = {
        "registration.thermal_in_rgb": pose,
        "depth.camera_height_m": float(rig.base_from_rgb[2, 3]),
        "depth.camera_tilt": tilt_text(down_of_pose(rig.base_from_rgb)),
    }
    return {name: value for name, value in known.items() if not config.get(name)}


def run(args: argparse.Namespace) -> int:
    """Make the clip, play it, write the report and print its path last."""
    from thermal_fusion_ros.cli.replay import finish, need_ros, play

    if not 0 < args.seconds < math.inf:
        raise InputError(f"--seconds {args.seconds:g}: must be a number above 0")
    check_writable(args.out / "report.md", "--out")
    if not args.offline:
        need_ros()
    config = read_config(args)
    if (
        config.thermal.kind == "auto"
    ):  # 16-bit pixels do not say that they are temperatures; the simulator knows
        config = config.with_values({"thermal.kind": "tlinear"})

    from thermal_fusion_ros.bags.source import Loaded
    from thermal_fusion_ros.demo.report import Highlights, make_rows, write_report
    from thermal_fusion_ros.simulation import demo_source

    # Two cameras with two lenses, side by side: thermal has to be brought into the RGB view first.
    clip = demo_source(args.seconds, args.seed, keep_truth=False, quality="live")
    config = config.with_values(known_rig(clip.simulator.rig, config))
    with progress(clip.frame_count, "frame", "rendering") as bar:
        source = Loaded(clip, on_frame=bar.update)
    stamps = sorted({frame.stamp_ns for frame in source})
    moments = [stamps[len(stamps) * (2 * row + 1) // (2 * _ROWS)] for row in range(_ROWS)]
    highlights = Highlights(moments)
    # A namespace of its own keeps the demo apart from a robot, or another demo, on the same network.
    namespace = args.namespace or f"/demo_{os.getpid()}"
    options = argparse.Namespace(
        offline=args.offline, rate=1.0, loop=1, clock=False, node="", namespace=namespace
    )
    with progress(source.frame_count, "frame", "playing") as bar:
        report = play(options, source, config, sinks=[highlights], on_frame=bar.update)
    write_report(args.out, report, make_rows(source.loaded, highlights, config.thermal))
    code = finish(report)
    sys.stdout.flush()
    print(args.out.resolve())
    return code
