"""`thermal-fusion reconstruct`: a coloured mesh of what a recording shows."""

from __future__ import annotations

import argparse
import sys
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
    from thermal_fusion_ros.config import Config
    from thermal_fusion_ros.geometry.reconstruction import Reconstruction

PICTURE_PX = (1120, 840)

HELP = "a coloured mesh (PLY) and a picture of it from a recording with poses, or without"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Source, grid, colour, poses, results."""
    add_source_options(parser)
    group = parser.add_argument_group("bag with depth")
    group.add_argument(
        "--depth-topic", default="", help="32FC1 metres or 16UC1 millimetres (found by default)"
    )
    group.add_argument("--fused-topic", default="", help="fused pictures (found by default, else fused here)")
    group.add_argument(
        "--temperature-topic", default="", help="32FC1 kelvin, or 16 bit with thermal.resolution_k"
    )
    group = parser.add_argument_group("poses")
    group.add_argument(
        "--poses",
        choices=["auto", "tf", "odometry", "rgbd"],
        default="auto",
        help="auto: TF, else the odometry topic, else RGB-D odometry on the pictures",
    )
    group.add_argument("--odometry-topic", default="", metavar="TOPIC", help="nav_msgs/Odometry to use")
    group.add_argument(
        "--world-frame",
        default="",
        metavar="FRAME",
        help="frame of the mesh (map, world, odom, or TF's root)",
    )
    group = parser.add_argument_group("metres, for recordings without a depth topic")
    group.add_argument("--camera-height", type=float, metavar="M", help="depth.camera_height_m")
    group.add_argument("--rig", type=Path, metavar="FILE", help="rig file of `calibrate` (registration.rig)")
    group = parser.add_argument_group("surface")
    group.add_argument(
        "--voxel", type=float, default=0.05, metavar="M", help="edge of a voxel (default 0.05)"
    )
    group.add_argument("--max-depth", type=float, default=10.0, metavar="M", help="depth used (default 10)")
    group.add_argument("--every", "--stride", type=int, default=1, metavar="N", help="use every N-th frame")
    group.add_argument("--colour", choices=["fused", "rgb", "temperature"], help="default: fused, else rgb")
    group = parser.add_argument_group("results")
    group.add_argument(
        "--out", type=Path, required=True, metavar="FILE.ply", help="mesh; its picture is FILE.png"
    )
    group.add_argument("--json", type=Path, metavar="FILE", help="counts, machine-readable")
    add_config_options(parser)


def run(args: argparse.Namespace) -> int:
    """Integrate and write; 130 when interrupted, with what was integrated."""
    if args.out.suffix != ".ply":
        raise InputError(f"--out {args.out}: name it FILE.ply")
    if args.every < 1:
        raise InputError(f"--every {args.every}: must be at least 1")
    picture = args.out.with_suffix(".png")
    for path in (args.out, picture):
        check_writable(path, "--out")
    if args.json:
        check_writable(args.json, "--json")
    from thermal_fusion_ros.bags.pictures import write_picture
    from thermal_fusion_ros.files import make_folder
    from thermal_fusion_ros.geometry.reconstruction import Grid, reconstruct
    from thermal_fusion_ros.geometry.reconstruction_input import open_input
    from thermal_fusion_ros.geometry.reconstruction_mesh import write_ply
    from thermal_fusion_ros.geometry.reconstruction_poses import PoseOptions
    from thermal_fusion_ros.geometry.reconstruction_render import render

    grid = Grid(args.voxel, args.max_depth)
    poses = PoseOptions(args.poses, args.odometry_topic, args.world_frame, args.max_depth)
    given = open_input(
        args.source,
        _config(args),
        poses,
        open_pairs=lambda: read_source(args),
        colour=args.colour or "",
        every=args.every,
        depth_topic=args.depth_topic,
        rgb_topic=args.rgb_topic,
        thermal_topic=args.thermal_topic,
        fused_topic=args.fused_topic,
        temperature_topic=args.temperature_topic,
    )
    make_folder(args.out.parent)
    try:
        with progress(given.frames.count, "frame", "integrating") as bar:
            made = reconstruct(given.frames, given.choose_poses, grid, bar.update)
        made.notes += given.notes()
    finally:
        for problem in given.frames.problems:
            print(f"thermal-fusion: {problem}", file=sys.stderr)
    write_ply(args.out, made.mesh)
    caption = _caption(args.source.name, made)
    write_picture(picture, render(made.mesh, made.path, caption, made.shown_k, PICTURE_PX))
    if args.json:
        files = {"mesh": str(args.out), "picture": str(picture)}
        settings = {"voxel_m": args.voxel, "max_depth_m": args.max_depth}
        report = {"source": str(args.source), "depth": given.depth, "colour": given.colour}
        write_json(args.json, {**report, **settings, **made.to_json(), **files})
    return _finish(made, given.colour, args.out, picture)


def _config(args: argparse.Namespace) -> Config:
    named = {"depth.camera_height_m": args.camera_height, "registration.rig": args.rig and str(args.rig)}
    return read_config(args).with_values({name: value for name, value in named.items() if value is not None})


def _caption(source: str, made: Reconstruction) -> str:
    low, high = made.mesh.extent
    size = " x ".join(f"{edge:.1f}" for edge in high - low)
    return f"{source}: {made.used} frames, {size} m, {len(made.mesh.triangles):,} triangles"


def _finish(made: Reconstruction, colour: str, mesh: Path, picture: Path) -> int:
    """Say what was done and return the exit code."""
    from thermal_fusion_ros.cli.main import EXIT_INTERRUPTED

    for note in made.notes:
        print(f"thermal-fusion: {note}", file=sys.stderr)
    left_out = ", ".join(f"{reason} {count}" for reason, count in made.skipped.most_common())
    poses = f"{made.poses.kind} {made.poses.topic}".rstrip()
    print(
        f"{made.used} of {made.frames_in} frames used{f' ({left_out})' if left_out else ''}, "
        f"poses: {poses} in {made.poses.world_frame}, {made.path_m:.1f} m, colour: {colour}"
    )
    print(f"{len(made.mesh.vertices)} vertices, {len(made.mesh.triangles)} triangles: {mesh}, {picture}")
    if made.interrupted:
        print("thermal-fusion: interrupted; this is what was integrated", file=sys.stderr)
        return EXIT_INTERRUPTED
    return 0
