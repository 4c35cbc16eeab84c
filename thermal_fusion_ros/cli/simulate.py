"""`thermal-fusion simulate`: a rosbag2 of the simulated rig with ground truth."""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path

from thermal_fusion_ros.cli._options import add_config_options, progress, read_config
from thermal_fusion_ros.errors import InputError

HELP = "write a rosbag2 of a simulated RGB-thermal rig with exact ground truth"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """File, length and scene."""
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE.mcap", help="the recording (.mcap or .db3)"
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="length of the recording")
    parser.add_argument("--seed", type=int, help="layout, actors, noise; the same seed gives the same bytes")
    parser.add_argument("--world", help="street, trail, corridor or warehouse")
    parser.add_argument("--condition", help="e.g. day, night+smoke, dusk+fog, glare")
    parser.add_argument(
        "--truth",
        choices=["png", "raw", "none"],
        default="png",
        help="form of the ground-truth pictures: 16-bit PNG (default), 32-bit float, or no ground truth",
    )
    parser.add_argument(
        "--jobs", type=int, default=0, help="processes that render; 0: one per core, at most 4"
    )
    add_config_options(parser)


def run(args: argparse.Namespace) -> int:
    """Render and write."""
    if not (math.isfinite(args.seconds) and args.seconds > 0):
        raise InputError(f"--seconds {args.seconds:g}: must be above 0")
    if args.jobs < 0:
        raise InputError(f"--jobs {args.jobs}: must not be negative")
    named = {
        "simulation.seed": args.seed,
        "simulation.world": args.world,
        "simulation.condition": args.condition,
    }
    config = read_config(args).with_values({k: v for k, v in named.items() if v is not None})

    from thermal_fusion_ros.bags.writer import BagWriter
    from thermal_fusion_ros.simulation.recording import write_bag
    from thermal_fusion_ros.simulation.simulator import Simulator

    simulator = Simulator(config.simulation)
    cores = min(os.cpu_count() or 1, 4)
    # A process costs a few seconds to start: short recordings are done sooner without.
    jobs = args.jobs or (cores if simulator.frame_count(args.seconds) >= 40 else 1)
    with (
        BagWriter(args.out) as writer,
        progress(simulator.frame_count(args.seconds), "frame", "rendering") as bar,
    ):
        count = write_bag(writer, simulator, args.seconds, args.truth, bar.update, jobs)
    print(f"{count} frames written to {args.out}")
    return 0
