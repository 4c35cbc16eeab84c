"""Where a benchmark finds its data and keeps what it makes; expensive results are made once and shared by tables."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from thermal_fusion_ros.config import parameters
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.evaluation import catalogue, ranking, scoring
from thermal_fusion_ros.evaluation.ranking import PerImage
from thermal_fusion_ros.evaluation.scoring import Scores
from thermal_fusion_ros.evaluation.targets import Box, read_people

ROOT = Path(__file__).resolve().parent.parent
Item = TypeVar("Item")
WEIGHTS = ROOT / "thermal_fusion_ros" / "models" / "weights"


def add_folder_options(parser: argparse.ArgumentParser, data: str) -> None:
    """`--data`, which holds what `data` says, and `--work`."""
    default = Path(os.environ.get("TFR_DATA") or ROOT.parent / "shared" / "data")
    parser.add_argument("--data", type=Path, default=default, metavar="DIR", help=f"data with {data}")
    work = ROOT / "runs" / "benchmark"
    parser.add_argument("--work", type=Path, default=work, metavar="DIR", help="for what is made")


def progress(items: Sequence[Item]) -> Iterator[Item]:
    """`items`, with a bar on a terminal."""
    return iter(tqdm(items, unit=" pairs", disable=None))


@dataclass(frozen=True)
class Context:
    """`data` holds val/, peers.json, peers/ and labels/; fused pictures and raw numbers go to `work`."""

    data: Path
    work: Path
    jobs: int

    @cached_property
    def networks(self) -> list[str]:
        """The fusion networks that ship with weights."""
        choices = next(p.spec.choices for p in parameters() if p.name == "fusion.model")
        return [name for name in choices if (WEIGHTS / f"{name}.safetensors").is_file()]

    @cached_property
    def visible(self) -> Path:
        """Visible pictures of the validation set."""
        return self._existing(self.data / "val" / "vi")

    @cached_property
    def thermal(self) -> Path:
        """Thermal pictures of the validation set."""
        return self._existing(self.data / "val" / "ir")

    @cached_property
    def peers(self) -> dict[str, PerImage]:
        """Published methods' scores per picture."""
        return ranking.read_peers(self.data / "peers.json")

    @cached_property
    def peer_pictures(self) -> dict[str, Path]:
        """Folders of the published methods' fused pictures."""
        folder = self.data / "peers"
        return (
            {path.name: path for path in sorted(folder.iterdir()) if path.is_dir()} if folder.is_dir() else {}
        )

    @cached_property
    def sources(self) -> dict[str, str]:
        """Data set of every validation picture."""
        entries = json.loads((self.data / "manifest.json").read_text(encoding="utf-8"))
        return {entry["name"]: entry["source"] for entry in entries if entry["split"] == "val"}

    @cached_property
    def people(self) -> dict[str, list[Box]]:
        """Boxes of people by name of the picture."""
        return read_people(self.data / "labels" / "detections.json")

    def fused(self, network: str) -> Path:
        """Folder of a network's pictures of the validation set, made by `thermal-fusion fuse` when first asked for."""
        if network not in self.networks:
            raise InputError(
                f"no network {network} with weights; there are {', '.join(self.networks) or 'none'}"
            )
        return _fuse(self, network)

    def scores(self, folder: Path) -> Scores:
        """All measures of a folder of fused pictures but the slow FMI; what can't be scored is an error here."""
        return _score(self, folder)

    def command(self, *arguments: str) -> None:
        """Run `thermal-fusion ARGUMENTS` as a user would; its failure is ours."""
        process = subprocess.run(
            [sys.executable, "-m", "thermal_fusion_ros.cli.main", *arguments], cwd=ROOT, check=False
        )
        if process.returncode:
            raise InputError(f"thermal-fusion {arguments[0]} ended with code {process.returncode}; see above")

    @staticmethod
    def _existing(folder: Path) -> Path:
        if not folder.is_dir():
            raise InputError(f"no folder {folder}; say where the validation set is with --data")
        return folder


@cache
def _fuse(context: Context, network: str) -> Path:
    folder = context.work / "fused" / network
    sources = ("--visible", str(context.visible), "--thermal", str(context.thermal))
    context.command("fuse", *sources, "--out", str(folder), "--model", network)
    return folder


@cache
def _score(context: Context, folder: Path) -> Scores:
    metrics = [name for name in catalogue.MEASURES if name != "FMI_pixel"]
    scores = scoring.score_folders(
        context.visible, context.thermal, folder, metrics, people=context.people, jobs=context.jobs
    )
    if scores.skipped:
        raise InputError(f"{folder}: {scores.skipped[0].name}: {scores.skipped[0].why}")
    return scores
