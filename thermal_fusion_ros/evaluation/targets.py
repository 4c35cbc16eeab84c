"""How well people stand out from what surrounds them: signal-to-clutter ratio of labelled boxes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.evaluation.arrays import GreyImage, Mask

LABEL = "person"
SMALLEST_SCORE = 0.5  # of the detector; below it labels are too often wrong
SMALLEST_SIDE = 6  # px; a smaller box has too few pixels for a mean
_FLATTEST_CLUTTER = 1.0  # grey level; quantisation alone gives about 0.3


@dataclass(frozen=True)
class Box:
    """Half-open pixel rectangle."""

    left: int
    top: int
    right: int
    bottom: int


def signal_to_clutter(image: GreyImage, boxes: Sequence[Box]) -> float | None:
    """Mean over the boxes of |mean in the box - mean around it| / deviation around it, of a grey image (H, W).

    Around is a band of half the box's shorter side (at least 4 px), without the other boxes. The deviation is
    taken as at least one grey level, so that a flat surrounding gives a finite ratio. Boxes are clipped to the
    image; one with a side under 6 px, or with nothing around it, doesn't count. None when no box counts.

    Gao, Meng, Yang, Wang, Zhou, Hauptmann: Infrared patch-image model for small target detection in a single
    image. IEEE Trans. Image Processing 22, 2013 (the local form of SCR).
    """
    taken = np.zeros(image.shape, dtype=np.bool_)
    for box in boxes:
        taken[_slices(box, image.shape)] = True
    ratios = [ratio for box in boxes if (ratio := _one(image, box, taken)) is not None]
    return float(np.mean(ratios)) if ratios else None


def _one(image: GreyImage, box: Box, taken: Mask) -> float | None:
    inside = image[_slices(box, image.shape)]
    if min(inside.shape) < SMALLEST_SIDE:
        return None
    width = max(4, min(box.right - box.left, box.bottom - box.top) // 2)
    around = Box(box.left - width, box.top - width, box.right + width, box.bottom + width)
    region = _slices(around, image.shape)
    clutter = image[region][~taken[region]]
    if clutter.size < SMALLEST_SIDE * SMALLEST_SIDE:
        return None
    return abs(float(inside.mean() - clutter.mean())) / max(float(clutter.std()), _FLATTEST_CLUTTER)


def _slices(box: Box, shape: tuple[int, ...]) -> tuple[slice, slice]:
    height, width = shape
    rows = slice(min(max(box.top, 0), height), min(max(box.bottom, 0), height))
    return rows, slice(min(max(box.left, 0), width), min(max(box.right, 0), width))


def read_people(path: Path) -> dict[str, list[Box]]:
    """People's boxes by picture name, from `{"split/NAME": [{"label", "score", "box": [x0, y0, x1, y1]}]}`.

    Only labels `person` of score 0.5 or more. Raises :class:`InputError` for a file of another form, or in which
    two splits have a picture of one name.
    """
    try:
        content: Mapping[str, Sequence[Mapping[str, Any]]] = json.loads(path.read_text(encoding="utf-8"))
        people: dict[str, list[Box]] = {}
        for key, labels in content.items():
            name = key.rsplit("/", 1)[-1]
            if name in people:
                raise InputError(f"{path}: two splits have a picture {name}; keep one of them in the file")
            wanted = [x for x in labels if x["label"] == LABEL and x["score"] >= SMALLEST_SCORE]
            people[name] = [Box(*(round(float(edge)) for edge in label["box"])) for label in wanted]
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f'{path}: not a label file ({{"split/NAME": [{{"label", "score", "box": [x0, y0, x1, y1]}}]}})'
        ) from error
    return people
