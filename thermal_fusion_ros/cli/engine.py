"""`thermal-fusion engine`: build engines ahead of time, export the network, look after the cache."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from thermal_fusion_ros.cli._options import add_config_options, check_writable, read_config
from thermal_fusion_ros.cli.bench import parse_size
from thermal_fusion_ros.errors import InputError

if TYPE_CHECKING:
    from thermal_fusion_ros.config import Config

HELP = "build the engine before the robot starts, export ONNX, list or clear the cache"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One sub-command per task."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    build = actions.add_parser(
        "build", help="build and check the engine that the node would use, and keep it"
    )
    build.add_argument("--backend", help="auto, tensorrt, openvino or torch (default: engine.backend)")
    export = actions.add_parser("export", help="write the network as ONNX, for trtexec on a Jetson")
    export.add_argument("--onnx", type=Path, required=True, metavar="FILE")
    for action in (build, export):
        action.add_argument("--size", default="640x480", metavar="WxH", help="of the RGB image, in pixels")
        add_config_options(action)
    actions.add_parser("list", help="what is in the cache")
    actions.add_parser("clear", help="empty the cache")


def run(args: argparse.Namespace) -> int:
    """Do what was asked."""
    if args.action in ("list", "clear"):
        return _cache(clear=args.action == "clear")
    width, height = parse_size(args.size)
    if args.action == "export":
        return _export(read_config(args), height, width, args.onnx)
    config = read_config(args)
    if args.backend:
        config = config.with_values({"engine.backend": args.backend})
    return _build(config, height, width)


def _build(config: Config, height: int, width: int) -> int:
    import logging

    from thermal_fusion_ros.engine.cache import default_root
    from thermal_fusion_ros.models.graph import padded
    from thermal_fusion_ros.pipeline import Pipeline

    logging.basicConfig(format="%(message)s")
    logging.getLogger("thermal_fusion_ros.engine").setLevel(logging.INFO)
    pipeline = Pipeline(config)
    begun = time.monotonic()
    pipeline.prepare(height, width)
    taken = time.monotonic() - begun
    rows, columns = padded(height, width, pipeline.graph.stride)
    print(f"{pipeline.engine_name} for {columns}x{rows}, ready after {taken:.1f} s, kept in {default_root()}")
    wanted = config.engine.backend
    return 0 if wanted == "auto" or pipeline.engine_name.startswith(wanted) else 1


def _export(config: Config, height: int, width: int, path: Path) -> int:
    from thermal_fusion_ros.engine.onnx_export import export_onnx
    from thermal_fusion_ros.engine.torch_backend import TYPES
    from thermal_fusion_ros.models.graph import padded
    from thermal_fusion_ros.pipeline import Pipeline

    check_writable(path, "--onnx")
    graph = Pipeline(config).graph
    rows, columns = padded(height, width, graph.stride)
    precision = "f16" if config.engine.precision == "auto" else config.engine.precision
    checked = export_onnx(graph, path, rows, columns, TYPES[precision])
    agreed = "agrees with torch" if checked else "not checked: onnxruntime is not installed"
    print(f"{path}: {columns}x{rows}, {precision}, {path.stat().st_size / 1e6:.1f} MB, {agreed}")
    print(f"on the Jetson: trtexec --onnx={path.name} --stronglyTyped --saveEngine={path.stem}.engine")
    return 0


def _cache(*, clear: bool) -> int:
    from thermal_fusion_ros.engine.cache import EngineCache

    cache = EngineCache()
    entries = list(cache.entries())
    for entry in entries:
        facts = {name: value for name, value in entry.key.facts.items() if name != "graph"}
        about = ", ".join(f"{name} {value}" for name, value in facts.items())
        print(f"{entry.key.backend}: {entry.size / 1e6:.1f} MB, {about}")
    size = sum(entry.size for entry in entries) / 1e6
    if clear:
        try:
            cache.clear()
        except OSError as error:
            raise InputError(f"{cache.root}: not removed: {error.strerror}") from error
    print(f"{cache.root}: {len(entries)} entries, {size:.1f} MB{', removed' if clear else ''}")
    return 0
