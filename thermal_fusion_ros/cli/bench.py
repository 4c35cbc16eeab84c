"""`thermal-fusion bench`: how long a frame takes on this machine, per backend."""

from __future__ import annotations

import argparse
from pathlib import Path

from thermal_fusion_ros.cli._options import add_config_options, progress, read_config, write_json
from thermal_fusion_ros.errors import InputError

HELP = "time the frame path, all backends side by side"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Size, length, where the numbers go."""
    parser.add_argument("--size", default="640x480", metavar="WxH", help="of both images, in pixels")
    parser.add_argument("--frames", type=int, default=60, help="timed frames per backend")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the numbers, machine-readable")
    add_config_options(parser)


def run(args: argparse.Namespace) -> int:
    """Measure and print the table."""
    width, height = parse_size(args.size)
    if args.frames < 1:
        raise InputError(f"--frames {args.frames}: must be at least 1")
    config = read_config(args)

    from thermal_fusion_ros.evaluation import benchmark

    with progress(args.frames + 3, "frame", "bench") as bar:
        result = benchmark.run(config, height, width, args.frames, on_frame=bar.update)
    baseline = result["backends"].get("torch-eager")
    print(f"{'backend':24} {'engine ms':>10} {'p99':>8} {'frame ms':>10} {'p99':>8} {'against eager':>14}")
    for backend in result["backends"].values():
        ratio = baseline["engine_ms"]["median"] / backend["engine_ms"]["median"] if baseline else float("nan")
        numbers = [backend[key][which] for key in ("engine_ms", "frame_ms") for which in ("median", "p99")]
        print("{:24} {:10.1f} {:8.1f} {:10.1f} {:8.1f} {:13.1f}x".format(backend["engine"], *numbers, ratio))
    for reason in result["unavailable"].values():
        print(f"not here: {reason}")
    print(", ".join(f"{key} {value}" for key, value in result["machine"].items()), f", {args.size}", sep="")
    if args.json:
        write_json(args.json, result)
    return 0


def parse_size(text: str) -> tuple[int, int]:
    """`640x480` -> (640, 480)."""
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdigit() for part in parts) or min(map(int, parts)) < 32:
        raise InputError(f"--size {text}: write it as WIDTHxHEIGHT, at least 32 pixels each")
    return int(parts[0]), int(parts[1])
