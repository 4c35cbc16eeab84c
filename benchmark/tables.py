"""`python -m benchmark.tables` re-creates every table in the README, docs/ and the model cards, in place.

A document marks where a table belongs: `<!-- table NAME ARGUMENT... -->` ... `<!-- /table -->`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmark.context import ROOT, WEIGHTS, Context, add_folder_options
from benchmark.depth_tables import depth, ordering
from benchmark.diffusion_tables import ablation, denoising
from benchmark.fusion_tables import by_source, fusion, people
from benchmark.latency_table import latency
from benchmark.markdown import calls, fill
from benchmark.metric_speed import metric_speed
from benchmark.object_tables import objects
from benchmark.pointcloud import pointcloud
from benchmark.precision_table import precision
from benchmark.prompt_table import prompt
from benchmark.registration import registration
from thermal_fusion_ros import config_documents
from thermal_fusion_ros.errors import InputError

TABLES: dict[str, Callable[..., str]] = {
    "fusion": fusion,
    "by-source": by_source,
    "people": people,
    "prompt": prompt,
    "depth": depth,
    "ordering": ordering,
    "denoising": denoising,
    "diffusion": ablation,
    "objects": objects,
    "registration": registration,
    "metric-speed": metric_speed,
    "latency": latency,
    "precision": precision,
    "pointcloud": pointcloud,
}


def documents() -> list[Path]:
    """The README, its further pages and the model cards."""
    paths = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted(WEIGHTS.glob("*.md")))
    return [path for path in paths if path.is_file()]


def make(call: tuple[str, ...], context: Context) -> str:
    """The table that a document asks for by name and arguments."""
    name, *arguments = call
    if name not in TABLES:
        raise InputError(f"no table {name}; there are {', '.join(TABLES)}")
    return TABLES[name](context, *arguments)


def update(paths: Sequence[Path], context: Context, only: Sequence[str] = (), write: bool = True) -> int:
    """Print every table that the documents ask for, put it there, and return how many there were."""
    made: dict[tuple[str, ...], str] = {}
    for path in paths:
        for call in calls(path.read_text(encoding="utf-8")):
            if call not in made and (not only or call[0] in only):
                made[call] = make(call, context)
                print(f"{' '.join(call)}\n\n{made[call]}\n", flush=True)
        # Again: tables take minutes, and somebody may have edited it meanwhile.
        document = path.read_text(encoding="utf-8")
        filled = fill(document, made.get)
        if write and filled != document:
            path.write_text(filled, encoding="utf-8")
            print(f"updated {path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}")
    return len(made)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; bad input is one line and code 2."""
    parser = argparse.ArgumentParser(prog="python -m benchmark.tables", description=__doc__.splitlines()[0])
    parser.add_argument("only", nargs="*", metavar="NAME", help=f"only these tables ({', '.join(TABLES)})")
    parser.add_argument("--dry-run", action="store_true", help="print the tables and change no document")
    add_folder_options(parser, "val/, peers.json, labels/")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="processes")
    args = parser.parse_args(argv)
    try:
        unknown = [name for name in args.only if name not in TABLES]
        if unknown:
            raise InputError(f"no table {unknown[0]}; there are {', '.join(TABLES)}")
        context = Context(args.data, args.work, args.jobs)
        if not update(documents(), context, args.only, write=not args.dry_run) and args.only:
            # No document asks for it: make it all the same.
            for name in args.only:
                print(make((name,), context))
        readme = ROOT / "README.md"
        everything = not args.only and not args.dry_run
        if everything and readme.is_file() and config_documents.BEGIN in readme.read_text(encoding="utf-8"):
            config_documents.main()  # the table of parameters, which needs no measurement
    except InputError as error:
        print(f"benchmark.tables: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
