"""Recall, precision and average precision of detections against labelled boxes, with labels that count neither way.

Greedy matching at IoU 0.5, best score first (Everingham et al., PASCAL VOC, IJCV 2010), with ignored regions as in COCO
(Lin et al., ECCV 2014): what is found there is neither right nor wrong, and nobody is asked for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.geometry.boxes import area, intersection, iou

OVERLAP = 0.5  # IoU from which a box is found
COVERED = 0.5  # share of a detection in an ignored box from which it is ignored too
SMALLEST = 16  # pixels, the longer side; smaller boxes count neither way


@dataclass(frozen=True)
class Picture:
    """One class in one picture: `found` N×4 with `scores` N; `boxes` M×4, of which only those that `count` (M) do."""

    found: NDArray[Any]
    scores: NDArray[Any]
    boxes: NDArray[Any]
    count: NDArray[np.bool_]


@dataclass(frozen=True)
class Curve:
    """Every threshold that tells anything, highest first: `threshold`, `precision` and `recall` (K); `asked`: how many
    boxes there are to find.
    """

    threshold: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    asked: int

    @property
    def average_precision(self) -> float:
        """Area under the curve, precision made monotonic; NaN where there is nothing to find."""
        if not self.asked:
            return float("nan")
        envelope = np.maximum.accumulate(self.precision[::-1])[::-1]
        return float(np.sum(np.diff(self.recall, prepend=0.0) * envelope))

    def at_precision(self, precision: float) -> tuple[float, float] | None:
        """Threshold and recall where recall is highest at this precision or better; None where it is never reached."""
        good = np.flatnonzero(self.precision >= precision)
        return (float(self.threshold[good[-1]]), float(self.recall[good[-1]])) if len(good) else None

    def at_threshold(self, threshold: float) -> tuple[float, float]:
        """Precision and recall of what has at least this score; (1, 0) where nothing has."""
        passed = np.flatnonzero(self.threshold >= threshold)
        return (
            (float(self.precision[passed[-1]]), float(self.recall[passed[-1]])) if len(passed) else (1.0, 0.0)
        )


def curve(pictures: Sequence[Picture]) -> Curve:
    """All pictures together. A box, found or to be found, with the longer side under 16 px counts neither way."""
    scores, right = [], []
    asked = 0
    for picture in pictures:
        outcome, wanted = judge(picture)
        asked += wanted
        scores.append(picture.scores[outcome != 0])
        right.append(outcome[outcome != 0] > 0)
    score = np.concatenate(scores) if scores else np.zeros(0)
    hit = np.concatenate(right) if right else np.zeros(0, bool)
    order = np.argsort(-score, kind="stable")
    score, hit = score[order].astype(np.float64), hit[order]
    hits = np.cumsum(hit)
    last = np.flatnonzero(
        np.diff(score, append=-np.inf) != 0
    )  # of each score: a threshold can't tell twins apart
    return Curve(score[last], hits[last] / (last + 1), hits[last] / max(asked, 1), asked)


def judge(picture: Picture) -> tuple[NDArray[np.int8], int]:
    """What every detection is (+1 right, -1 wrong, 0 neither), and how many boxes there are to find."""
    count = picture.count & (_longer(picture.boxes) >= SMALLEST)
    outcome = np.zeros(len(picture.found), np.int8)
    if not len(picture.found):
        return outcome, int(count.sum())
    overlap = iou(picture.found, picture.boxes)
    covered = intersection(picture.found, picture.boxes) / np.maximum(area(picture.found), 1e-9)[:, None]
    ignored = ((covered >= COVERED) | (overlap >= OVERLAP)) & ~count
    free = count.copy()
    for i in np.argsort(-picture.scores, kind="stable"):
        candidates = np.where(free, overlap[i], 0)
        if len(candidates) and candidates.max() >= OVERLAP:
            free[candidates.argmax()] = False
            outcome[i] = 1
        elif not ignored[i].any() and _longer(picture.found[i : i + 1])[0] >= SMALLEST:
            outcome[i] = -1
    return outcome, int(count.sum())


def _longer(boxes: NDArray[Any]) -> NDArray[Any]:
    sides: NDArray[Any] = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    return sides
