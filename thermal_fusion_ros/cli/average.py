"""`thermal-fusion average`: the mean of two weight files."""

from __future__ import annotations

import argparse
from pathlib import Path

from thermal_fusion_ros.cli._options import check_writable

HELP = "write the mean of two weight files of `train`"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Two files, how much the second counts, and where to."""
    parser.add_argument("first", metavar="WEIGHTS", help="a file, or the name of weights that ship")
    parser.add_argument("second", metavar="WEIGHTS")
    parser.add_argument(
        "--share", type=float, default=0.5, help="of the second in the mean, 0 to 1 (default 0.5)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="a .safetensors file")


def run(args: argparse.Namespace) -> int:
    """Write the mean and print its path."""
    from thermal_fusion_ros.files import make_folder
    from thermal_fusion_ros.models.checkpoint import average, weights_at

    check_writable(args.out, "--out")
    make_folder(args.out.parent)
    average(weights_at(args.first), weights_at(args.second), args.share, args.out)
    print(args.out)
    return 0
