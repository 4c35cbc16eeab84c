"""`thermal-fusion calibrate`: intrinsics and extrinsics of an RGB-thermal rig from views of a board."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from thermal_fusion_ros.cli._options import check_writable
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.files import write_json

if TYPE_CHECKING:
    from thermal_fusion_ros.calibration.views import BoardView

HELP = "calibrate both cameras and the transform between them from synchronised views of a board"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `thermal-fusion calibrate`."""
    source = parser.add_argument_group("views: two folders, or a recording")
    source.add_argument(
        "source", nargs="?", type=Path, metavar="SOURCE", help="rosbag2, or any other recording"
    )
    source.add_argument("--visible", type=Path, metavar="DIR", help="RGB pictures")
    source.add_argument(
        "--thermal", type=Path, metavar="DIR", help="thermal pictures, same names, 8 or 16 bit"
    )
    source.add_argument("--rgb-topic", default="", help="colour images of a bag (found by default)")
    source.add_argument("--thermal-topic", default="", help="thermal images of a bag (found by default)")
    source.add_argument(
        "--every",
        type=float,
        default=1.0,
        metavar="S",
        help="seconds between views of a recording (default 1)",
    )
    source.add_argument(
        "--thermal-offset",
        type=float,
        default=0.0,
        metavar="S",
        help="how late a recording's thermal camera stamps (see sync.thermal_offset_s)",
    )
    board = parser.add_argument_group("board")
    board.add_argument(
        "--board",
        default="checkerboard",
        help="checkerboard | circles | acircles | charuco (its corners are less accurate before OpenCV 5)",
    )
    board.add_argument("--corners", required=True, metavar="CxR", help="inner corners, or circles: 9x6")
    board.add_argument(
        "--square", type=float, required=True, metavar="METRES", help="distance between points"
    )
    board.add_argument("--marker", type=float, default=0.0, metavar="METRES", help="marker side of a ChArUco")
    board.add_argument("--dictionary", default="DICT_5X5_100", help="markers of a ChArUco (OpenCV's name)")
    lens = parser.add_argument_group("lenses: plumb_bob | rational_polynomial | equidistant")
    lens.add_argument("--rgb-model", default="plumb_bob", metavar="MODEL")
    lens.add_argument("--thermal-model", default="plumb_bob", metavar="MODEL")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="YAML files and overlay pictures"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="save errors per view and overall")
    parser.add_argument("--no-overlays", action="store_true", help="write no pictures")


def run(args: argparse.Namespace) -> int:
    """Find, solve, write, print."""
    from tqdm import tqdm

    from thermal_fusion_ros.calibration import report
    from thermal_fusion_ros.calibration.board import Board, parse_corners

    check_writable(args.out / report.RIG_FILE, "--out")
    if args.json:
        check_writable(args.json, "--json")
    board = Board(args.board, *parse_corners(args.corners), args.square, args.marker, args.dictionary)
    problems: list[str] = []
    views = tqdm(_views(args, problems), desc="finding the board", unit=" views", disable=None)
    outcome = report.calibrate(
        board, views, rgb_model=args.rgb_model, thermal_model=args.thermal_model, problems=problems
    )
    paths = report.save(outcome, args.out)
    if args.json:
        write_json(args.json, outcome.to_dict())
    print(report.to_text(outcome))
    if not args.no_overlays:
        count = report.save_overlays(outcome, _views(args, []), args.out)
        print(f"{count} overlay pictures in {args.out / 'overlays'}")
    print("\n".join(str(path) for path in paths))
    return 0


def _views(args: argparse.Namespace, problems: list[str]) -> Iterator[BoardView]:
    from thermal_fusion_ros.bags.source import open_source
    from thermal_fusion_ros.calibration.views import views_from_folders, views_from_source

    if args.source and not (args.visible or args.thermal):
        source = open_source(args.source, rgb_topic=args.rgb_topic, thermal_topic=args.thermal_topic)
        return views_from_source(source, args.every, problems, args.thermal_offset)
    if args.source or not (args.visible and args.thermal):
        raise InputError("give either SOURCE, or both --visible and --thermal")
    return views_from_folders(args.visible, args.thermal, problems)
