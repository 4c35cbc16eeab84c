"""What the object head finds on the validation set: from the pair, and from either picture alone.

The labels are a detector's. Beside what they give as they are stands what they give read over by eye (review.py).
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from benchmark.context import Context
from benchmark.markdown import table
from benchmark.review import reviewed
from thermal_fusion_ros.detections import Detection
from thermal_fusion_ros.evaluation.detection import Curve, Picture, curve
from thermal_fusion_ros.models.checkpoint import load_fusion, load_objects, shipped
from thermal_fusion_ros.models.cross_attention import CrossAttentionFusion
from thermal_fusion_ros.models.objects import MIN_SCORE
from thermal_fusion_ros.training.data import MIN_SCORE as SURE
from thermal_fusion_ros.training.data import Pair, load_pairs
from thermal_fusion_ros.training.object_data import GREY
from thermal_fusion_ros.training.stages.objects import detect

LOWEST = 0.02  # score that is looked at at all
PRECISION = 0.8
MISSED = 0.0  # score, in the labels read over, of those whom the labels miss
DARK = 70  # mean of the visible picture's luma, 0..255, below which it counts as dark
LUMA = np.array([0.299, 0.587, 0.114])
Found = dict[str, list[Detection]]
SHOWN = ("pair", "visible alone", "thermal alone")


def objects(context: Context) -> str:
    """People by condition and by source, cars: average precision, and recall where precision is 0.8."""
    pairs = load_pairs(context.data, "val", min_score=0.0)
    again = [reviewed(pair) for pair in pairs]
    return "\n\n".join(
        [
            _table(context, pairs, ("person", "car")),
            f"IoU 0.5. {_threshold(context, pairs)} {_best_possible(pairs, again)}",
            "The same with the labels of people read over by eye (`benchmark/val_people_review.json`: whom the labels "
            "miss counts neither way, and boxes with nobody in them are not asked for):",
            _table(context, again, ("person",)),
            f"{_threshold(context, again)} {_every_label(context, pairs, again)}",
        ]
    )


def _table(context: Context, pairs: list[Pair], labels: tuple[str, ...]) -> str:
    groups = {
        "people": ("person", pairs),
        "people, bright": ("person", [pair for pair in pairs if not _dark(pair)]),
        "people, dark": ("person", [pair for pair in pairs if _dark(pair)]),
    }
    for source in sorted(set(context.sources.values())):
        of_source = [pair for pair in pairs if context.sources[pair.name] == source]
        groups[f"people, {source}"] = ("person", of_source)
    groups["cars"] = ("car", pairs)
    rows = []
    for name, (label, chosen) in groups.items():
        if label not in labels:
            continue
        curves = [measure(chosen, _find(context, shown), label) for shown in SHOWN]
        rows.append([name, str(curves[0].asked)])
        rows[-1] += [f"{100 * c.average_precision:.1f}" for c in curves]
        rows[-1] += [_recall(c) for c in curves]
    header = ["", "labelled", *(f"AP, {s}" for s in SHOWN), *(f"recall, {s}" for s in SHOWN)]
    return table(header, rows)


def _threshold(context: Context, pairs: list[Pair]) -> str:
    precision, recall = measure(pairs, _find(context, "pair"), "person").at_threshold(MIN_SCORE)
    return (
        f"Recall is that at the threshold where precision is {PRECISION}; at the default one ({MIN_SCORE}) people are "
        f"found in the pair with precision {precision:.2f}, recall {recall:.2f}."
    )


def _best_possible(pairs: list[Pair], again: list[Pair]) -> str:
    """What the labels as they are would say of somebody who makes no mistake."""
    everybody = {
        pair.name: [
            Detection(o.label, o.box, 1.0)
            for o in pair.objects
            if o.label == "person" and (o.score >= SURE or o.score == MISSED)
        ]
        for pair in again
    }
    precision, recall = measure(pairs, everybody, "person").at_threshold(1.0)
    return (
        "By these labels, a detector that found exactly those people who are there would have precision "
        f"{precision:.2f} at recall {recall:.2f}."
    )


def _every_label(context: Context, pairs: list[Pair], again: list[Pair]) -> str:
    """Recall of the labels as they are, where finding somebody whom they miss is no mistake."""
    fair = [
        replace(pair, objects=(*pair.objects, *(o for o in read.objects if o.score == MISSED)))
        for pair, read in zip(pairs, again, strict=True)
    ]
    result = measure(fair, _find(context, "pair"), "person")
    return f"Of all {result.asked} labels, those with nobody in them included, {_recall(result)} are found there."


def measure(pairs: list[Pair], found: Found, label: str) -> Curve:
    """Detections of one class against its labels; labels that are not sure count neither way."""
    pictures = []
    for pair in pairs:
        mine = [d for d in found[pair.name] if d.label == label]
        labels = [o for o in pair.objects if o.label == label]
        pictures.append(
            Picture(
                np.array([d.box for d in mine], float).reshape(-1, 4),
                np.array([d.score for d in mine], float),
                np.array([o.box for o in labels], float).reshape(-1, 4),
                np.array([o.score >= SURE for o in labels], bool),
            )
        )
    return curve(pictures)


@cache
def _find(context: Context, shown: str) -> Found:
    """Detections by picture; what is not shown is grey, as in training."""
    fusion = load_fusion(shipped("cross_attention")).model
    assert isinstance(fusion, CrossAttentionFusion)
    head = load_objects(shipped("objects")).model
    found = {}
    for pair in load_pairs(context.data, "val", min_score=0.0):
        rgb = np.full_like(pair.rgb, GREY) if shown == "thermal alone" else pair.rgb
        thermal = np.full_like(pair.thermal, GREY) if shown == "visible alone" else pair.thermal
        found[pair.name] = detect(fusion, head, rgb, thermal, LOWEST)
    return found


def _dark(pair: Pair) -> bool:
    return float((pair.rgb @ LUMA).mean()) < DARK


def _recall(result: Curve) -> str:
    best = result.at_precision(PRECISION)
    return "0.00" if best is None else f"{best[1]:.2f}"
