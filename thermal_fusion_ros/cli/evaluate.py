"""`thermal-fusion evaluate`: the field's fusion metrics of folders of pictures, ranked among other methods."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from thermal_fusion_ros.errors import InputError

if TYPE_CHECKING:
    from thermal_fusion_ros.evaluation import ranking
    from thermal_fusion_ros.evaluation.scoring import Scores

HELP = "Score fused pictures against their visible and thermal sources."
EXIT_SOME_SKIPPED = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `thermal-fusion evaluate`."""
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
        "--json", type=Path, metavar="FILE", help="save means, scores per picture, what was skipped"
    )
    parser.add_argument(
        "--jobs", type=int, default=_processors(), metavar="N", help="processes (default: %(default)s)"
    )
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(args: argparse.Namespace) -> int:
    """Print the table, save the scores, and return 2 when any picture had to be skipped."""
    from thermal_fusion_ros.evaluation import ranking, scoring, targets

    if args.jobs < 1:
        raise InputError(f"--jobs {args.jobs}: give 1 or more")
    metrics = list(scoring.parse_metrics(args.metrics))
    people = targets.read_people(args.labels) if args.labels else None
    if people is not None:
        metrics += [name for name in scoring.TARGETS if name not in metrics]
    elif "all" in args.metrics.split(","):
        metrics = [name for name in metrics if name not in scoring.TARGETS]
    peers = ranking.read_peers(args.peers) if args.peers else {}

    results: dict[str, Scores] = {}
    for name, folder in _methods(args.fused, peers).items():

        def bar(outcomes: Iterator[object], total: int, name: str = name) -> Iterator[object]:
            from tqdm import tqdm

            yield from tqdm(outcomes, total=total, desc=name, unit="picture", disable=args.quiet or None)

        results[name] = scoring.score_folders(
            args.visible, args.thermal, folder, metrics, people=people, jobs=args.jobs, progress=bar
        )
        for item in results[name].skipped:
            print(f"thermal-fusion: {name}: skipped {item.name}: {item.why}", file=sys.stderr)
    if args.json:
        _save(args.json, results)
    _print_table(results, peers, metrics, args.markdown)
    return EXIT_SOME_SKIPPED if any(result.skipped for result in results.values()) else 0


def _methods(arguments: list[str], peers: dict[str, ranking.PerImage]) -> dict[str, Path]:
    methods: dict[str, Path] = {}
    for argument in arguments:
        name, equals, folder = argument.partition("=")
        if not equals or Path(argument).is_dir():  # a folder's own name may have an equals sign
            name, folder = Path(argument).resolve().name, argument
        if name in methods or name in peers:
            raise InputError(f"--fused {argument}: {name} is taken; name this one, as in --fused other=DIR")
        methods[name] = Path(folder)
    return methods


def _save(path: Path, results: dict[str, Scores]) -> None:
    contents = {name: result.as_dict() for name, result in results.items()}
    content = next(iter(contents.values())) if len(contents) == 1 else {"methods": contents}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1, allow_nan=False), encoding="utf-8")
    except OSError as error:
        raise InputError(f"--json {path}: {error.strerror or error}") from error


def _print_table(
    results: dict[str, Scores], peers: dict[str, ranking.PerImage], metrics: list[str], markdown: bool
) -> None:
    from thermal_fusion_ros.evaluation import ranking

    methods = {**peers, **{name: result.per_image for name, result in results.items() if result.per_image}}
    for name in [name for name, result in results.items() if not result.per_image]:
        print(f"thermal-fusion: {name}: no picture could be scored", file=sys.stderr)
    if len(methods) == len(peers):
        return
    ranked = len(methods) > 1
    table = ranking.compare(methods, metrics)
    print(ranking.as_markdown(table, ranked) if markdown else ranking.as_text(table, ranked))
    note = f"mean over {table.pictures} picture{'s' if table.pictures != 1 else ''}"
    if ranked:
        note += " that every method has; in brackets the rank, 1 is best"
    print(f"\n{note}")


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
