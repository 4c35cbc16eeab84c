"""What `evaluate` and `report` share: which folders to score, and by which metrics."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from thermal_fusion_ros.errors import InputError

if TYPE_CHECKING:
    from thermal_fusion_ros.evaluation.ranking import PerImage
    from thermal_fusion_ros.evaluation.scoring import Scores


def add_scoring_options(parser: argparse.ArgumentParser) -> None:
    """The sources, one or more folders of fused pictures, the metrics, and what to compare with."""
    parser.add_argument(
        "--visible", type=Path, required=True, metavar="DIR", help="pictures of the visible camera"
    )
    parser.add_argument(
        "--thermal", type=Path, required=True, metavar="DIR", help="pictures of the thermal camera"
    )
    parser.add_argument(
        "--fused",
        required=True,
        action="append",
        metavar="[NAME=]DIR",
        help="fused pictures, grey or colour, matched by name; repeat it to compare several methods",
    )
    parser.add_argument(
        "--metrics",
        default="common",
        metavar="LIST",
        help="names or groups, separated by commas: common (default), variants, colour, targets, all",
    )
    parser.add_argument(
        "--labels", type=Path, metavar="FILE", help="boxes of people; adds their contrast (SCR)"
    )
    parser.add_argument(
        "--peers", type=Path, metavar="FILE", help="published methods' scores; adds ranks among them"
    )
    parser.add_argument(
        "--peer-pictures",
        type=Path,
        metavar="DIR",
        help="folder of folders METHOD/ with the peers' pictures; adds what --peers lacks",
    )
    parser.add_argument(
        "--jobs", type=int, default=_processors(), metavar="N", help="processes (default: %(default)s)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def read_peers(args: argparse.Namespace) -> dict[str, PerImage]:
    """Scores per picture of the methods of `--peers`."""
    from thermal_fusion_ros.evaluation import ranking

    return ranking.read_peers(args.peers) if args.peers else {}


def peer_folders(args: argparse.Namespace, peers: Mapping[str, object]) -> dict[str, Path]:
    """Folders of `--peer-pictures` that are named like a method of `--peers`."""
    if not args.peer_pictures:
        return {}
    if not args.peer_pictures.is_dir():
        raise InputError(f"--peer-pictures: no folder {args.peer_pictures}")
    return {name: args.peer_pictures / name for name in peers if (args.peer_pictures / name).is_dir()}


def complete_peers(
    args: argparse.Namespace, peers: Mapping[str, PerImage], metrics: list[str]
) -> dict[str, PerImage]:
    """The peers with the metrics that `--peers` lacks, scored from their pictures where there are any."""
    completed = dict(peers)
    for name, folder in peer_folders(args, peers).items():
        published = peers[name]
        missing = [metric for metric in metrics if not any(metric in row for row in published.values())]
        if missing:
            added = score_methods(args, {name: folder}, missing)[name].per_image
            completed[name] = {
                picture: {**row, **added.get(picture, {})} for picture, row in published.items()
            }
    return completed


def read_metrics(args: argparse.Namespace) -> list[str]:
    """Metrics of `--metrics`; `--labels` adds those that need it, and `all` is all that can be had without it."""
    from thermal_fusion_ros.evaluation import catalogue

    metrics = list(catalogue.parse_metrics(args.metrics))
    if args.labels:
        metrics += [name for name in catalogue.TARGETS if name not in metrics]
    elif "all" in args.metrics.split(","):
        metrics = [name for name in metrics if name not in catalogue.TARGETS]
    return metrics


def read_methods(args: argparse.Namespace, taken: Mapping[str, object]) -> dict[str, Path]:
    """Folders of `--fused` by method name, which must not be among those `taken`."""
    methods: dict[str, Path] = {}
    for argument in args.fused:
        name, equals, folder = argument.partition("=")
        if not equals or Path(argument).is_dir():  # a folder's own name may have an equals sign
            name, folder = Path(argument).resolve().name, argument
        if name in methods or name in taken:
            raise InputError(f"--fused {argument}: {name} is taken; name this one, as in --fused other=DIR")
        methods[name] = Path(folder)
    return methods


def score_methods(
    args: argparse.Namespace, methods: Mapping[str, Path], metrics: list[str]
) -> dict[str, Scores]:
    """Score every method with a progress bar, and say on stderr what had to be skipped and why."""
    from tqdm import tqdm

    from thermal_fusion_ros.evaluation import scoring, targets

    if args.jobs < 1:
        raise InputError(f"--jobs {args.jobs}: give 1 or more")
    people = targets.read_people(args.labels) if args.labels else None
    results: dict[str, Scores] = {}
    for name, folder in methods.items():

        def bar(outcomes: Iterator[object], total: int, name: str = name) -> Iterator[object]:
            yield from tqdm(outcomes, total=total, desc=name, unit="picture", disable=args.quiet or None)

        results[name] = scoring.score_folders(
            args.visible, args.thermal, folder, metrics, people=people, jobs=args.jobs, progress=bar
        )
        for item in results[name].skipped:
            print(f"thermal-fusion: {name}: skipped {item.name}: {item.why}", file=sys.stderr)
        if not results[name].per_image:
            print(f"thermal-fusion: {name}: no picture could be scored", file=sys.stderr)
    return results


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
