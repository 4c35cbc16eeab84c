"""`thermal-fusion bench`: how long a frame takes on this machine, per backend."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from thermal_fusion_ros.cli._options import (
    add_config_options,
    check_writable,
    progress,
    read_config,
)
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.files import write_json

SIZES = "320x240,480x360,640x480,800x600,1024x768,1280x1024"
HELP = "time the frame path, all backends side by side"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Size, length, where the numbers go."""
    parser.add_argument("--size", default="640x480", metavar="WxH", help="of both images, in pixels")
    parser.add_argument(
        "--sizes",
        nargs="?",
        const=SIZES,
        metavar="WxH,WxH",
        help=f"also a table over these sizes (default {SIZES})",
    )
    parser.add_argument("--frames", type=int, default=60, help="timed frames per backend")
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="the numbers, machine-readable, and beside them a plot (.png)",
    )
    add_config_options(parser)


def run(args: argparse.Namespace) -> int:
    """Measure and print the table."""
    width, height = parse_size(args.size)
    if args.frames < 1:
        raise InputError(f"--frames {args.frames}: must be at least 1")
    if args.json:
        for path in (args.json, args.json.with_suffix(".png")):
            check_writable(path, "--json")
    config = read_config(args)

    from thermal_fusion_ros.evaluation import benchmark

    sizes = [parse_size(size) for size in args.sizes.split(",")] if args.sizes else []
    with progress(args.frames * (1 + len(sizes)), "frame", "bench") as bar:
        result = benchmark.run(config, height, width, args.frames, on_frame=bar.update)
        if sizes:
            result["sizes"] = benchmark.run_sizes(config, sizes, args.frames, on_frame=bar.update)
    print(
        f"{'backend':24} {'engine ms':>10} {'p99':>8} {'frame ms':>10} {'p99':>8} {'against eager':>14} "
        f"{'floor ms':>9} {'RSS MB':>7}"
    )
    for backend in result["backends"].values():
        ratio, floor = (backend.get(key) or float("nan") for key in ("against_eager", "floor_ms"))
        numbers = [backend[key][which] for key in ("engine_ms", "frame_ms") for which in ("median", "p99")]
        print(
            "{:24} {:10.1f} {:8.1f} {:10.1f} {:8.1f} {:13.1f}x {:9.2f} {:+7.0f}".format(
                backend["engine"], *numbers, ratio, floor, backend["rss_growth_mb"]
            )
        )
    for backend in result["backends"].values():
        stages = ", ".join(f"{stage} {ms['median']:.1f}" for stage, ms in backend["stage_ms"].items())
        print(f"{backend['engine']}, ms: {stages}; frame / engine {backend['frame_against_engine']:.2f}")
    for device, peaks in result["peaks"].items():
        print(f"peaks of the {device}: " + ", ".join(f"{key} {value}" for key, value in peaks.items()))
    for reason in result["unavailable"].values():
        print(f"not here: {reason}")
    print(", ".join(f"{key} {value}" for key, value in result["machine"].items()), f", {args.size}", sep="")
    _print_sizes(result.get("sizes", []))
    if args.json:
        from thermal_fusion_ros.bags.pictures import write_picture
        from thermal_fusion_ros.evaluation.bench_plot import plot

        write_json(args.json, result)
        write_picture(args.json.with_suffix(".png"), plot(result))
    return 0


def _print_sizes(results: list[dict[str, Any]]) -> None:
    """One line per size and backend."""
    if results:
        print(
            f"\n{'size':>10} {'backend':24} {'GFLOP':>7} {'engine ms':>10} {'frame ms':>10} {'ms/Mpixel':>10}"
        )
    for result in results:
        size, pixels = f"{result['width']}x{result['height']}", result["width"] * result["height"] / 1e6
        for backend in result["backends"].values():
            engine, frame = (backend[key]["median"] for key in ("engine_ms", "frame_ms"))
            print(
                f"{size:>10} {backend['engine']:24} {backend['gflop']:7.2f} {engine:10.1f} {frame:10.1f} "
                f"{engine / pixels:10.1f}"
            )


def parse_size(text: str) -> tuple[int, int]:
    """`640x480` -> (640, 480)."""
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdigit() for part in parts) or min(map(int, parts)) < 32:
        raise InputError(f"--size {text}: write it as WIDTHxHEIGHT, at least 32 pixels each")
    return int(parts[0]), int(parts[1])
