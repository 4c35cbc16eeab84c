"""Mean metrics of several methods side by side, with the rank of each method per metric."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.evaluation.catalogue import MEASURES

PerImage = Mapping[str, Mapping[str, float]]  # picture name -> metric -> value


@dataclass(frozen=True)
class Table:
    """Rows are methods, columns metrics; means and ranks are by [method][metric].

    Rank 1 is best, and equal means share a rank.
    """

    metrics: tuple[str, ...]
    pictures: int
    means: dict[str, dict[str, float]]
    ranks: dict[str, dict[str, int]]

    def mean_rank(self, method: str) -> float:
        """Mean over the metrics in which the method is ranked; NaN if there are none."""
        ranks = self.ranks[method].values()
        return sum(ranks) / len(ranks) if ranks else math.nan


def mean_of(per_image: PerImage, names: Sequence[str] | None = None) -> dict[str, float]:
    """Mean of each metric over the pictures that have it (all of them, or those named)."""
    values: dict[str, list[float]] = {}
    for name in per_image if names is None else names:
        for metric, value in per_image[name].items():
            values.setdefault(metric, []).append(value)
    return {metric: math.fsum(column) / len(column) for metric, column in values.items()}


def compare(methods: Mapping[str, PerImage], metrics: Sequence[str]) -> Table:
    """Means over the pictures that every method has, and ranks.

    A method is unranked in a metric that it lacks. Raises :class:`InputError` when the methods share no picture.
    """
    shared = set.intersection(*(set(per_image) for per_image in methods.values()))
    if not shared:
        raise InputError(f"{', '.join(methods)} have no picture in common, so they can't be compared")
    names = sorted(shared)
    means = {
        method: {metric: value for metric, value in mean_of(per_image, names).items() if metric in metrics}
        for method, per_image in methods.items()
    }
    ranks: dict[str, dict[str, int]] = {method: {} for method in methods}
    for metric in metrics:
        measure = MEASURES[metric]
        sign = 1.0 if measure.higher_is_better else -1.0
        scores = {method: sign * row[metric] for method, row in means.items() if metric in row}
        if len(scores) < 2 or measure.of_sources:
            continue
        for method, value in scores.items():
            ranks[method][metric] = 1 + sum(other > value for other in scores.values())
    return Table(tuple(metrics), len(names), means, ranks)


def read_peers(path: Path) -> dict[str, PerImage]:
    """Per-picture metrics by method of a file like `{"methods": {NAME: {"per_image": {...}}}}`."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {name: method["per_image"] for name, method in content["methods"].items()}
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f'{path}: not a table of peers ({{"methods": {{NAME: {{"per_image": ...}}}}}})'
        ) from error


def as_text(table: Table, ranked: bool = True) -> str:
    """The table for a terminal."""
    return "\n".join("  ".join(row).rstrip() for row in _aligned(_cells(table, ranked)))


def as_markdown(table: Table, ranked: bool = True) -> str:
    """The table for a README or a model card."""
    header, *rows = _cells(table, ranked)
    return markdown_table(header, rows)


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table whose first column is text and whose others are right-aligned."""
    head, *body = _aligned([header, *rows])
    rule = ["-" * len(head[0]), *("-" * (len(cell) - 1) + ":" for cell in head[1:])]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, rule, *body])


def _aligned(rows: list[Sequence[str]]) -> list[list[str]]:
    """Cells of a column at one width, the first column to the left."""
    first, *others = (max(map(len, column)) for column in zip(*rows, strict=True))
    return [
        [row[0].ljust(first), *(cell.rjust(width) for cell, width in zip(row[1:], others, strict=True))]
        for row in rows
    ]


def _cells(table: Table, ranked: bool) -> list[Sequence[str]]:
    """Header and rows."""
    rows: list[Sequence[str]] = [["method", *table.metrics, *(["mean rank"] if ranked else [])]]
    for method, means in table.means.items():
        cells = [method]
        for metric in table.metrics:
            if metric not in means:
                cells.append("–")
            elif metric in table.ranks[method] and ranked:
                cells.append(f"{rounded(means[metric])} ({table.ranks[method][metric]})")
            else:
                cells.append(rounded(means[metric]))
        if ranked:
            cells.append(f"{table.mean_rank(method):.2f}" if table.ranks[method] else "–")
        rows.append(cells)
    return rows


def rounded(value: float) -> str:
    """Three significant decimals, two from 10 on."""
    return f"{value:.2f}" if abs(value) >= 10 else f"{value:.3f}"
