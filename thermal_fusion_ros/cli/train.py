"""`thermal-fusion train STAGE`: reproduce the weights that ship with the package."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

HELP = "train a network (stages: fusion, depth); resumes a run left in --out"
SETTINGS = ("steps", "small_steps", "batch", "crop", "samples", "per_world", "seed", "spectrum", "text")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One flag per training setting; the defaults made the shipped weights."""
    parser.add_argument("stage", choices=["fusion", "depth"])
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with train/{vi,ir}, labels/, clip_text/"
    )
    parser.add_argument("--out", type=Path, help="checkpoints, log and weights (default runs/STAGE)")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--stop-at", type=int, metavar="STEP", help="end early, on the same schedule")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--crop", type=int, help="fusion: crop edge in pixels, a multiple of 16")
    parser.add_argument(
        "--no-text", dest="text", action="store_const", const=False, help="fusion: never say anything"
    )
    parser.add_argument(
        "--spectrum",
        choices=["visible", "infrared", "fused"],
        help="depth: what the network reads (default fused, which needs the other two)",
    )
    parser.add_argument("--small-steps", type=int, help="depth: how many of the steps see small pictures")
    parser.add_argument("--samples", type=int, help="depth: pictures to render")
    parser.add_argument("--per-world", type=int, help="depth: pictures of one world; fewer is more worlds")
    parser.add_argument(
        "--cache", type=Path, default=Path("runs/simulated"), help="depth: where rendered pictures are kept"
    )
    parser.add_argument("--workers", type=int, default=0, help="depth: processes that render")


def run(args: argparse.Namespace) -> int:
    """Train and print the path of the weights."""
    from thermal_fusion_ros.errors import InputError
    from thermal_fusion_ros.training.stages import depth, fusion

    defaults: Any = fusion.Settings()
    if args.stage == "depth":
        defaults = depth.DEFAULTS[args.spectrum or "fused"]
    given = {name: getattr(args, name) for name in SETTINGS if getattr(args, name) is not None}
    foreign = sorted(set(given) - {field.name for field in dataclasses.fields(defaults)})
    if foreign:
        option = foreign[0].replace("_", "-")
        raise InputError(f"--{option} is not a setting of the stage {args.stage}")
    settings = dataclasses.replace(defaults, **given)
    if args.stage == "fusion":
        weights = fusion.train(args.data, args.out or Path("runs/fusion"), settings, stop_at=args.stop_at)
    else:
        out = args.out or Path(f"runs/depth_{settings.spectrum}")
        weights = depth.train(
            args.data, out, settings, cache=args.cache, workers=args.workers, stop_at=args.stop_at
        )
    print(weights)
    return 0
