"""The detector's labels of people in the validation set, read over by eye (val_people_review.json).

People whom it missed, 67 of them or of groups of them, count neither way, and five boxes of its that hold nobody are
asked of nobody. All 102 pairs were gone through, whatever our networks find in them.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from thermal_fusion_ros.geometry.boxes import iou
from thermal_fusion_ros.training.data import Labelled, Pair

REVIEW = Path(__file__).parent / "val_people_review.json"
SAME = 0.8  # IoU of a label and what the review says of it


def reviewed(pair: Pair) -> Pair:
    """The pair without labels that hold nobody, and with regions, of score 0, where people have no label."""
    said = _review().get(pair.name)
    if said is None:
        return pair
    kept = [o for o in pair.objects if o.label != "person" or not _among(o.box, said["wrong"])]
    missed = [Labelled("person", tuple(box), 0.0) for box in said["missing"]]  # type: ignore[arg-type]
    return replace(pair, objects=(*kept, *missed))


def _among(box: tuple[float, ...], others: list[list[float]]) -> bool:
    return bool(len(others)) and bool((iou(np.array([box]), np.array(others, float)) > SAME).any())


@cache
def _review() -> dict[str, dict[str, list[list[float]]]]:
    found: dict[str, dict[str, list[list[float]]]] = json.loads(REVIEW.read_text(encoding="utf-8"))
    return found
