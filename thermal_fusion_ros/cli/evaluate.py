"""`thermal-fusion evaluate`: the field's fusion metrics of folders of pictures, ranked among other methods."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from thermal_fusion_ros.cli import _scoring
from thermal_fusion_ros.cli._options import check_writable
from thermal_fusion_ros.files import write_json

if TYPE_CHECKING:
    from thermal_fusion_ros.evaluation.ranking import PerImage
    from thermal_fusion_ros.evaluation.scoring import Scores

HELP = "score fused pictures against their visible and thermal sources"
EXIT_SOME_SKIPPED = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `thermal-fusion evaluate`."""
    _scoring.add_scoring_options(parser)
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="save means, scores per picture, what was skipped"
    )
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")


def run(args: argparse.Namespace) -> int:
    """Print the table, save the scores, and return 2 when any picture had to be skipped."""
    if args.json:
        check_writable(args.json, "--json")
    peers = _scoring.read_peers(args)
    methods = _scoring.read_methods(args, taken=peers)
    metrics = _scoring.read_metrics(args)
    results = _scoring.score_methods(args, methods, metrics)
    try:  # the table first: it is not lost where the file can't be written ...
        _print_table(results, _scoring.complete_peers(args, peers, metrics), metrics, args.markdown)
    finally:
        if args.json:  # ... nor the file where peers can't be scored, or nobody reads the table
            _save(args.json, results)
    return EXIT_SOME_SKIPPED if any(result.skipped for result in results.values()) else 0


def _save(path: Path, results: Mapping[str, Scores]) -> None:
    contents = {name: result.as_dict() for name, result in results.items()}
    write_json(path, next(iter(contents.values())) if len(contents) == 1 else {"methods": contents})


def _print_table(
    results: Mapping[str, Scores], peers: Mapping[str, PerImage], metrics: list[str], markdown: bool
) -> None:
    from thermal_fusion_ros.evaluation import ranking

    scored = {name: result.per_image for name, result in results.items() if result.per_image}
    if not scored:
        return
    ranked = len(scored) + len(peers) > 1
    table = ranking.compare({**peers, **scored}, metrics)
    print(ranking.as_markdown(table, ranked) if markdown else ranking.as_text(table, ranked))
    note = f"mean over {table.pictures} picture{'s' if table.pictures != 1 else ''}"
    if ranked:
        note += " that every method has; in brackets the rank, 1 is best"
    print(f"\n{note}")
