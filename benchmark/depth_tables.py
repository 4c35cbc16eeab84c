"""Depth networks on held-out simulated worlds, and what they say about labelled objects in real pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from benchmark.context import Context
from benchmark.markdown import table
from benchmark.review import reviewed
from thermal_fusion_ros.evaluation.depth_metrics import score_depth
from thermal_fusion_ros.models.checkpoint import load_depth, load_fusion, shipped
from thermal_fusion_ros.simulation.dataset import DatasetSpec, Sample, SimulatedDataset
from thermal_fusion_ros.training.data import Labelled, Pair, load_pairs
from thermal_fusion_ros.training.depth_data import STORED_WIDTH, display, shrink, unit_m
from thermal_fusion_ros.training.stages.depth import SPECTRA, picture, predict

COUNT, COUNT_UNLIT = 288, 96  # pictures, from 24 and 8 worlds that no training has seen
UNLIT = "night+unlit"
NO_LAMP = "night without a lamp"
GROUPS = ("day", "night", "smoke", "all", NO_LAMP)
FARTHEST_M = 80.0
EDGE = 0.01  # of the picture's size: a box that ends closer to its edge is cut by it
TALLER = 1.5  # ratio of heights from which two objects of a class must be told apart
Depth = NDArray[np.float32]


def depth(context: Context) -> str:
    """AbsRel in metres, no scaling per picture: the camera's height is known, as on a robot. Held-out worlds."""
    rows: dict[str, dict[str, list[float]]] = {s: {} for s in SPECTRA}
    for sample in worlds(context):
        near = np.isfinite(sample.depth) & (sample.depth < FARTHEST_M)
        if not near.any():
            continue
        for spectrum, metres in estimates(sample):
            score = score_depth(metres, sample.depth, near)["AbsRel"]
            for group in groups(sample):
                rows[spectrum].setdefault(group, []).append(score)
    errors = {s: {name: float(np.mean(rows[s][name])) for name in GROUPS} for s in SPECTRA}
    lines = [[s, *(f"{errors[s][name]:.3f}" for name in GROUPS)] for s in SPECTRA]
    gains = {name: 1 - errors["fused"][name] / errors["visible"][name] for name in GROUPS}
    lines.append(["fused better than visible by", *(f"{100 * gains[name]:.0f} %" for name in GROUPS)])
    return table(["AbsRel", *GROUPS], lines)


def worlds(context: Context) -> Iterator[Sample]:
    """Pictures of the usual conditions, and then of nights without a lamp."""
    usual = DatasetSpec(count=COUNT, split="val")
    for spec in (usual, replace(usual, count=COUNT_UNLIT, conditions=(UNLIT,))):
        yield from SimulatedDataset(spec, context.work / "simulated").samples(context.jobs)


def groups(sample: Sample) -> list[str]:
    """Rows of the table that a picture belongs to."""
    time, air = sample.facts["time"], sample.facts["air"]
    if sample.facts["condition"] == UNLIT:
        return [NO_LAMP]
    found = ["all"]
    if air == "clear" and time in ("day", "night"):
        found.append(time)
    if air == "smoke":
        found.append("smoke")
    return found


def estimates(sample: Sample) -> Iterator[tuple[str, Depth]]:
    """Metres H×W of every network."""
    unit = unit_m(sample)
    heat = display(sample.counts)
    for spectrum in SPECTRA:
        image = picture(spectrum, sample.rgb, heat, _fusion())
        yield spectrum, np.exp(predict(_network(spectrum), image)[0]) * unit


def ordering(context: Context) -> str:
    """Share of labelled pairs (same class, one 1.5 times as tall in the picture) that depth puts in the right order;
    and of those whose labels, read over by eye, hold what they say.
    """
    right: dict[str, list[bool]] = {s: [] for s in SPECTRA}
    sound: list[bool] = []
    for pair in load_pairs(context.data, "val"):
        found = list(comparable(pair))
        if not found:
            continue
        held = reviewed(pair).objects
        sound += [near in held and far in held for near, far in found]
        small = shrink(pair, STORED_WIDTH)
        scale = STORED_WIDTH / pair.thermal.shape[1]
        for spectrum in SPECTRA:
            image = picture(spectrum, small.rgb, small.thermal, _fusion())
            log_depth = predict(_network(spectrum), image)[0]
            right[spectrum] += [
                bool(_inside(log_depth, near, scale) < _inside(log_depth, far, scale)) for near, far in found
            ]
    rows = []
    for spectrum in SPECTRA:
        truly = np.array(right[spectrum])[sound]
        rows.append(
            [spectrum, str(len(sound)), _percent(np.array(right[spectrum])), str(len(truly)), _percent(truly)]
        )
    return table(["network", "pairs", "right order", "pairs, labels read over", "right order"], rows)


def _percent(right: NDArray[np.bool_]) -> str:
    return f"{100 * right.mean():.1f} %"


def comparable(pair: Pair) -> Iterator[tuple[Labelled, Labelled]]:
    """(nearer, farther) of a class: wholly in the picture, not hidden by another label, heights 1.5 times apart."""
    height, width = pair.thermal.shape
    across, down = EDGE * width, EDGE * height
    whole = [
        o
        for o in pair.objects
        if o.box[0] > across and o.box[1] > down and o.box[2] < width - across and o.box[3] < height - down
    ]
    free = [o for o in whole if all(o is p or _share(o, p) < 0.1 for p in pair.objects)]
    for a, b in combinations(free, 2):
        near, far = (a, b) if _height(a) > _height(b) else (b, a)
        if a.label == b.label and a.label in ("person", "car") and _height(near) >= TALLER * _height(far):
            yield near, far


def _height(o: Labelled) -> float:
    return o.box[3] - o.box[1]


def _share(a: Labelled, b: Labelled) -> float:
    """Share of box `a` that box `b` covers."""
    across = min(a.box[2], b.box[2]) - max(a.box[0], b.box[0])
    down = min(a.box[3], b.box[3]) - max(a.box[1], b.box[1])
    return max(across, 0) * max(down, 0) / ((a.box[2] - a.box[0]) * _height(a))


def _inside(image: Depth, o: Labelled, scale: float) -> float:
    """Median over the middle of a box."""
    x0, y0, x1, y1 = (edge * scale for edge in o.box)
    width, height = x1 - x0, y1 - y0
    left, right = int(x0 + 0.3 * width), int(np.ceil(x1 - 0.3 * width))
    top, bottom = int(y0 + 0.2 * height), int(np.ceil(y1 - 0.2 * height))
    return float(np.median(image[top : max(bottom, top + 1), left : max(right, left + 1)]))


@cache
def _network(spectrum: str):  # type: ignore[no-untyped-def]
    return load_depth(shipped(f"depth_{spectrum}")).model


@cache
def _fusion():  # type: ignore[no-untyped-def]
    return load_fusion(shipped("cross_attention")).model
