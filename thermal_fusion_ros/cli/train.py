"""`thermal-fusion train STAGE`: reproduce the weights that ship with the package."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

HELP = "train a network (stages: fusion); resumes a run left in --out"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One flag per training setting, with the defaults that made the shipped weights."""
    parser.add_argument("stage", choices=["fusion"])
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with train/{vi,ir}, labels/, clip_text/"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/fusion"), help="checkpoints, log and weights")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--stop-at", type=int, metavar="STEP", help="end early, on the same schedule")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--crop", type=int, help="crop edge in pixels, a multiple of 16")
    parser.add_argument("--seed", type=int)


def run(args: argparse.Namespace) -> int:
    """Train and print the path of the weights."""
    from thermal_fusion_ros.training.stages import fusion

    given = {
        name: getattr(args, name)
        for name in ("steps", "batch", "crop", "seed")
        if getattr(args, name) is not None
    }
    print(
        fusion.train(
            args.data, args.out, dataclasses.replace(fusion.Settings(), **given), stop_at=args.stop_at
        )
    )
    return 0
