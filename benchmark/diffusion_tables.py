"""The diffusion model: how well it denoises, and what each part of the fusion method is worth."""

from __future__ import annotations

import dataclasses
import json
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors import safe_open

from benchmark.context import Context
from benchmark.depth_tables import COUNT, FARTHEST_M
from benchmark.markdown import table
from thermal_fusion_ros.evaluation import ranking
from thermal_fusion_ros.evaluation.denoising import noise_errors
from thermal_fusion_ros.evaluation.depth_metrics import score_depth
from thermal_fusion_ros.evaluation.fusion_metrics import COMMON
from thermal_fusion_ros.evaluation.targets import signal_to_clutter
from thermal_fusion_ros.models.checkpoint import load_denoiser, load_depth, load_fusion, shipped
from thermal_fusion_ros.simulation.dataset import DatasetSpec, Sample, SimulatedDataset
from thermal_fusion_ros.training.data import Pair, load_pairs
from thermal_fusion_ros.training.depth_data import display, unit_m
from thermal_fusion_ros.training.diffusion_data import crop
from thermal_fusion_ros.training.stages import diffusion_fusion
from thermal_fusion_ros.training.stages.depth import SPECTRA, fuse, predict

LEVELS = [10, 50, 100, 250, 500, 750, 900, 980]
EDGE = 64  # pixels of the crops that are denoised
# Arguments of `train fusion --model diffusion`. What goes on does so from the first, which is its teacher as well.
MORE = ["--steps", "1300", "--whole", "4", "--muon", "0.008", "--learning-rate", "0.0006", "--ema", "0.99"]
MORE += ["--distil", "20", "--distil-edges", "50"]
SHIPPED = [*MORE, "--depth-loss", "8"]
VARIANTS: dict[str, list[str]] = {
    "1500 steps": [],
    "one noise level (50)": ["--levels", "50"],
    "text never heard": ["--no-text"],
    "depth-driven loss (3)": ["--depth-loss", "3"],
    "1300 steps more, the first 1500's pictures as teacher": MORE,
    "and depth-driven loss (8): what ships": SHIPPED,
}


def denoising(context: Context) -> str:
    """Error of the predicted noise on validation pairs, whole and in part; noise has a variance of 1."""
    known, _ = _crops(load_pairs(context.data), 4)
    images, zooms = _crops(load_pairs(context.data, "val"), 1)
    rows = noise_errors(load_denoiser(shipped("diffusion")), known, images, zooms, LEVELS)
    columns = [field.name for field in dataclasses.fields(rows[0])]
    lines = [[str(row.level), *(f"{getattr(row, name):.3g}" for name in columns[1:])] for row in rows]
    heads = ["noise level", "diffusion model", "predict zero", "scaled input", "Wiener filter"]
    return table(heads, lines)


def _crops(pairs: list[Pair], each: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    images, zooms = zip(*(crop(pair, EDGE, rng) for pair in pairs for _ in range(each)), strict=True)
    return torch.from_numpy(np.stack(images)), torch.tensor(zooms)


def ablation(context: Context) -> str:
    """What each part is worth: variants trained with the same seed and data, from one diffusion model.

    Trains what has not been trained, into `work`/ablation.
    """
    rows = []
    for name, options in VARIANTS.items():
        weights = _trained(context, options)
        scores = context.scores(_fused(context, weights)).mean
        cells = [*(ranking.rounded(scores[metric]) for metric in COMMON)]
        rows.append([name, *cells, *(f"{x:.3f}" for x in depth_seen(context, weights))])
        if options == SHIPPED:
            gain = people_gain(context, weights)
    budget = diffusion_fusion.Settings()
    heads = ["diffusion fusion", *COMMON, *(f"AbsRel night, {name} net" for name in SPECTRA)]
    return (
        f"{table(heads, rows)}\n\nEach: {budget.steps} steps (and {MORE[1]} more, of {MORE[3]} whole pictures, "
        f"where it says so) of {budget.batch} crops of {budget.crop} pixels and {budget.whole} whole pictures, "
        f"seed {budget.seed}. AbsRel: depth in the fused picture, held-out simulated worlds at night. Text: people "
        f"that the prompt names stand out {100 * gain:+.1f} % more (median of SCR) in what ships than with text off."
    )


def _trained(context: Context, options: list[str]) -> Path:
    """Weights of a variant; one of them ships."""
    if options == SHIPPED:
        return shipped("diffusion")
    name = "-".join(options).replace("--", "").replace(".", "_") or "head"
    path = context.work / "ablation" / name / "diffusion.safetensors"
    budget = diffusion_fusion.Settings().steps
    steps = int(options[options.index("--steps") + 1]) if "--steps" in options else budget
    if not path.is_file() or _about(path)["step"] < steps:
        where = ["--data", context.data, "--out", path.parent, "--cache", context.work / "simulated"]
        start = ["--diffusion", shipped("diffusion")]
        if options == MORE:
            first = _trained(context, [])
            start += ["--start", first, "--teacher", first]
        context.command("train", "fusion", "--model", "diffusion", *map(str, where + start), *options)
    return path


def _about(path: Path) -> dict[str, int]:
    with safe_open(path, framework="pt") as file:
        about: dict[str, int] = json.loads(file.metadata()["about"])
    return about


def _fused(context: Context, weights: Path) -> Path:
    """Fused pictures of the validation set."""
    folder = context.work / "fused" / f"diffusion-{weights.parent.name}"
    folder.mkdir(parents=True, exist_ok=True)
    model = load_fusion(weights).model
    for pair in load_pairs(context.data, "val"):
        cv2.imwrite(str(folder / f"{pair.name}.png"), fuse(model, pair.rgb, pair.thermal)[..., ::-1])
    return folder


def depth_seen(context: Context, weights: Path) -> list[float]:
    """AbsRel on fused pictures of simulated nights, no scaling, of the visible depth network, the infrared one (luma)
    and the fused one.
    """
    model = load_fusion(weights).model
    networks = {name: load_depth(shipped(f"depth_{name}")).model for name in SPECTRA}
    errors = []
    for sample in _nights(context):
        image = fuse(model, sample.rgb, display(sample.counts))
        unit = unit_m(sample)
        near = np.isfinite(sample.depth) & (sample.depth < FARTHEST_M)
        if near.any():
            luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
            metres = (
                np.exp(predict(network, luma if name == "infrared" else image)[0]) * unit
                for name, network in networks.items()
            )
            errors.append([score_depth(m, sample.depth, near)["AbsRel"] for m in metres])
    return [float(error) for error in np.mean(errors, axis=0)]


@cache
def _nights(context: Context) -> list[Sample]:
    dataset = SimulatedDataset(DatasetSpec(count=COUNT, split="val"), context.work / "simulated")
    return [s for s in dataset.samples(context.jobs) if s.facts["time"] == "night"]


def people_gain(context: Context, weights: Path) -> float:
    """Median change of people's contrast when the prompt names them."""
    loaded = load_fusion(weights)
    code = torch.from_numpy(loaded.vocabulary.code("person"))[None]
    changes = []
    for pair in load_pairs(context.data, "val"):
        boxes = context.people.get(pair.name, [])
        plain, named = (
            signal_to_clutter(
                cv2.cvtColor(fuse(loaded.model, pair.rgb, pair.thermal, c), cv2.COLOR_RGB2GRAY), boxes
            )
            if boxes
            else None
            for c in (None, code)
        )
        if plain:
            changes.append((named or 0.0) / plain - 1)
    return float(np.median(changes))
