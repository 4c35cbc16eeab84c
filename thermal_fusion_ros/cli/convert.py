"""`thermal-fusion convert`: any source as a rosbag2."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from thermal_fusion_ros.cli._options import add_source_options, progress, read_source

HELP = "write a recording (bag, video pair or folder pair) as a rosbag2"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Source, file and form."""
    add_source_options(parser)
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="FILE.mcap or FILE.db3 for one file; another name makes a bag folder",
    )
    parser.add_argument("--storage", choices=["mcap", "sqlite3"], default="mcap", help="of a bag folder")
    parser.add_argument("--compressed", action="store_true", help="JPEG colour and PNG thermal (lossless)")


def run(args: argparse.Namespace) -> int:
    """Write the bag; what can't be read is named and left out."""
    source = read_source(args)

    from thermal_fusion_ros.bags.writer import BagWriter, write_frame

    written = 0
    try:
        with (
            BagWriter(args.out, args.storage) as writer,
            progress(source.frame_count, "frame", "writing") as bar,
        ):
            for arrival in source.arrivals():
                write_frame(writer, source, arrival, compressed=args.compressed)
                written += 1
                bar.update()
    finally:
        for problem in source.problems:
            print(f"thermal-fusion: {problem}", file=sys.stderr)
    print(f"{written} frames written to {args.out}")
    return 0
