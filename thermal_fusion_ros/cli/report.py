"""`thermal-fusion report`: one HTML page with tables, ranks, a scatter to click and side-by-side pictures."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from thermal_fusion_ros.cli import _scoring
from thermal_fusion_ros.cli._options import check_writable
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.files import make_folder, write_whole

if TYPE_CHECKING:
    from thermal_fusion_ros.evaluation.arrays import Picture8
    from thermal_fusion_ros.evaluation.report import Depth

HELP = "one self-contained HTML page that compares fused pictures, by numbers and by eye"
EXIT_SOME_SKIPPED = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `thermal-fusion report`."""
    _scoring.add_scoring_options(parser)
    parser.add_argument(
        "--bench",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="latencies saved by bench --json or replay --json; repeatable",
    )
    parser.add_argument(
        "--title", default="RGB-thermal fusion", help="heading of the page (default: %(default)s)"
    )
    parser.add_argument(
        "--width",
        type=int,
        default=320,
        metavar="PX",
        help="width of the embedded pictures (default: %(default)s)",
    )
    parser.add_argument(
        "--prompts",
        default="",
        metavar="LIST",
        help="e.g. 'person,car': also fuse some of the pairs without a prompt and with each of these, side by side",
    )
    parser.add_argument(
        "--prompt-pictures", type=int, default=6, metavar="N", help="how many pairs (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the page, e.g. report.html")


def run(args: argparse.Namespace) -> int:
    """Score, draw and write the page; return 2 when any picture had to be skipped."""
    from thermal_fusion_ros.evaluation import latency, report

    if args.prompt_pictures < 1:
        raise InputError(f"--prompt-pictures {args.prompt_pictures}: give 1 or more")
    if args.width < 32:
        raise InputError(f"--width {args.width}: give 32 or more")
    check_writable(args.out, "--out")
    peers = _scoring.read_peers(args)
    methods = _scoring.read_methods(args, taken=peers)
    bench = [latency.read_latency(path) for path in args.bench]
    metrics = _scoring.read_metrics(args)
    results = _scoring.score_methods(args, methods, metrics)
    ours = {name: result.per_image for name, result in results.items() if result.per_image}
    if not ours:
        raise InputError("no picture could be scored, so there is nothing to report")
    skipped = [
        f"{name}: {item.name}: {item.why}" for name, result in results.items() for item in result.skipped
    ]
    page = report.render(
        report.Comparison(
            title=args.title,
            metrics=metrics,
            ours=ours,
            peers=_scoring.complete_peers(args, peers, metrics),
            pictures=_pictures(
                args, {name: methods[name] for name in ours}, peers, set().union(*ours.values())
            ),
            latency=bench,
            skipped=skipped,
            prompts=_prompts(args, sorted(set().union(*ours.values()))),
        ),
        args.width,
    )
    make_folder(args.out.parent)
    write_whole(args.out, page.encode())
    print(f"{args.out}: {len(page) / 1e6:.1f} MB, open it in a browser")
    return EXIT_SOME_SKIPPED if skipped else 0


def _pictures(
    args: argparse.Namespace, methods: Mapping[str, Path], peers: Mapping[str, object], names: set[str]
) -> dict[str, dict[str, Path | Depth]]:
    """What is shown by picture name and label, in the order of the sheet; what a method lacks is left out there."""
    from thermal_fusion_ros.evaluation import folders, report

    places = {
        "visible": args.visible,
        "thermal": args.thermal,
        **methods,
        **_scoring.peer_folders(args, peers),
    }
    listings = {label: folders.list_pictures(label, folder) for label, folder in places.items()}
    depths = {label: folders.list_depths(folder) for label, folder in methods.items()}
    sheets: dict[str, dict[str, Path | Depth]] = {}
    for name in sorted(names):
        sheet = sheets.setdefault(name, {})
        for label, paths in listings.items():
            if name in paths:
                sheet[label] = paths[name][0]
            if name in depths.get(label, {}):
                sheet[f"{label}, depth"] = report.Depth(*depths[label][name])
    return sheets


def _prompts(args: argparse.Namespace, names: list[str]) -> dict[str, dict[str, Picture8]]:
    """The pictures of `--prompts`: of pairs with labelled people where there are labels, evenly spread."""
    prompts = [words.strip() for words in args.prompts.split(",") if words.strip()]
    if not prompts:
        return {}
    from tqdm import tqdm

    from thermal_fusion_ros.bags.pictures import match_pictures
    from thermal_fusion_ros.evaluation import targets
    from thermal_fusion_ros.evaluation.prompt_pictures import evenly, prompt_pictures

    people = targets.read_people(args.labels) if args.labels else {}
    pairs = {pair.name: pair for pair in match_pictures(args.visible, args.thermal)[0]}
    chosen = [
        pairs[name] for name in evenly([n for n in names if people.get(n)] or names, args.prompt_pictures)
    ]
    made = prompt_pictures(chosen, prompts, people)
    return dict(tqdm(made, total=len(chosen), desc="prompts", unit="pair", disable=args.quiet or None))
