"""One self-contained HTML page: tables with ranks, a scatter to click, side-by-side pictures, latency plots.

The page loads nothing from anywhere (its content security policy forbids it), so it can be mailed or archived.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.evaluation import ranking
from thermal_fusion_ros.evaluation.arrays import Picture8
from thermal_fusion_ros.evaluation.catalogue import MEASURES
from thermal_fusion_ros.evaluation.depth_picture import FARTHEST_M, NEAREST_M, coloured, legend
from thermal_fusion_ros.evaluation.latency import LatencyGroup
from thermal_fusion_ros.evaluation.pictures import read_picture
from thermal_fusion_ros.evaluation.ranking import PerImage

# Strong colours for the methods under test, quieter ones for those they are compared with (both colour-blind safe).
_OURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7")
_PEERS = ("#8c8c8c", "#56b4e9", "#e6b800", "#a6761d", "#b2abd2", "#66c2a5", "#7f6a93", "#bdbdbd")


@dataclass(frozen=True)
class Depth:
    """A file of depth, H×W numbers; in metres or without a unit."""

    path: Path
    metric: bool


@dataclass(frozen=True)
class Comparison:
    """What a report shows.

    `ours` and `peers`: scores per picture by method. `pictures`: by picture name, paths by label (visible, thermal,
    method names), in the order of the sheet. `prompts`: the same for pictures (BGR) of one network under several
    prompts. `skipped`: one line for each picture that was left out.
    """

    title: str
    metrics: Sequence[str]
    ours: Mapping[str, PerImage]
    pictures: Mapping[str, Mapping[str, Path | Depth]]
    peers: Mapping[str, PerImage] = field(default_factory=dict)
    latency: Sequence[LatencyGroup] = ()
    skipped: Sequence[str] = ()
    prompts: Mapping[str, Mapping[str, Picture8]] = field(default_factory=dict)


def render(comparison: Comparison, width: int = 320) -> str:
    """The page. Pictures are embedded as JPEG, `width` px wide at most; those of prompts half as wide again.

    Raises :class:`InputError` when the methods share no picture, or a picture can't be read.
    """
    scores = {**comparison.ours, **comparison.peers}
    table = ranking.compare(scores, comparison.metrics)
    colours = [*(_OURS[i % len(_OURS)] for i in range(len(comparison.ours)))]
    colours += [_PEERS[i % len(_PEERS)] for i in range(len(comparison.peers))]
    methods = [
        {"name": name, "colour": colour, "ours": name in comparison.ours}
        for name, colour in zip(scores, colours, strict=True)
    ]
    metrics = [_described(name) for name in comparison.metrics]
    names = sorted(set().union(*scores.values()))
    data = {
        "metrics": metrics,
        "methods": methods,
        "pictures": names,
        "scores": {
            method: {
                name: {
                    metric: round(value, 6) for metric, value in row.items() if metric in comparison.metrics
                }
                for name, row in per_image.items()
            }
            for method, per_image in scores.items()
        },
    }
    sheets, prompts = (
        [
            {"name": name, "images": [_embedded(label, what, widest) for label, what in row.items()]}
            for name, row in sorted(rows.items())
        ]
        for rows, widest in ((comparison.pictures, width), (comparison.prompts, 3 * width // 2))
    )
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(_file("report.html.j2")).render(
        title=comparison.title,
        css=_file("report.css"),
        js=_file("report.js"),
        table=table,
        metrics=metrics,
        methods=methods,
        latency=comparison.latency,
        sheets=sheets,
        prompts=prompts,
        skipped=comparison.skipped,
        data=data,
        number=ranking.rounded,
    )


def _described(metric: str) -> dict[str, Any]:
    measure = MEASURES[metric]
    return {
        "name": metric,
        "meaning": measure.meaning,
        "higher": measure.higher_is_better,
        "ranked": not measure.of_sources,
    }


def _embedded(label: str, what: Path | Depth | Picture8, width: int) -> dict[str, Any]:
    if isinstance(what, Depth):
        picture = _depth_picture(what, width)
    else:
        picture = _shrunk(read_picture(what) if isinstance(what, Path) else what, width)
    ok, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 82])
    if not ok:
        raise InputError(f"{label}: could not be embedded")
    text = base64.b64encode(encoded.tobytes()).decode()
    return {
        "label": label,
        "uri": f"data:image/jpeg;base64,{text}",
        "width": picture.shape[1],
        "height": picture.shape[0],
    }


def _depth_picture(depth: Depth, width: int) -> Picture8:
    """Colours over their legend, BGR; metres of all pictures have the same colours."""
    try:
        values = np.asarray(np.load(depth.path), np.float32)
        ends = (NEAREST_M, FARTHEST_M) if depth.metric else (0.0, 0.0)
        picture = _shrunk(coloured(values, *ends), width)
    except (OSError, ValueError) as error:
        raise InputError(f"{depth.path}: not an array of depth: {error}") from error
    return np.ascontiguousarray(np.vstack([picture, legend(picture.shape[1], *ends)])[..., ::-1])


def _shrunk(picture: Picture8, width: int) -> Picture8:
    if picture.shape[1] <= width:
        return picture
    size = (width, max(1, round(picture.shape[0] * width / picture.shape[1])))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _file(name: str) -> str:
    return (resources.files(__package__) / "page" / name).read_text(encoding="utf-8")
