"""Reads the latencies that `bench --json` and `replay --json` save, and lays them out as bars."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thermal_fusion_ros.errors import InputError

FRAME_AT_30_HZ = 1000.0 / 30.0


@dataclass(frozen=True)
class Bar:
    """One latency, in ms and in per cent of the plot's width; `tail_percent` is from the median to the p99."""

    label: str
    median: float
    p99: float | None
    median_percent: float
    tail_percent: float


@dataclass(frozen=True)
class LatencyGroup:
    """Bars that share a scale. `frame_at_30_hz` is where 33 ms lies, in per cent; None outside the plot."""

    title: str
    bars: tuple[Bar, ...]
    frame_at_30_hz: float | None


def read_latency(path: Path) -> LatencyGroup:
    """The latencies of a file saved by `bench --json` (per backend: engine, frame) or `replay --json`.

    Raises :class:`InputError` for a file of another form.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        measured = _measured(content)
        if not measured:
            raise InputError(f"{path}: holds no latencies")
        title = path.stem
        if isinstance(machine := content.get("machine"), Mapping):
            title += "".join(f", {value}" for value in machine.values() if isinstance(value, str))
        return _group(title, measured)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not a file of bench --json or replay --json") from error


def _measured(content: Mapping[str, Any]) -> list[tuple[str, float, float | None]]:
    found = []
    for backend, results in content.get("backends", {}).items():
        for key, word in (("engine_ms", "engine"), ("frame_ms", "frame")):
            if isinstance(results.get(key), Mapping):
                found.append(_one(f"{backend}, {word}", results[key]))
    if "latency_ms" in content:
        found.append(_one("sensor stamp to fused picture", content["latency_ms"]))
    return found


def _one(label: str, values: Mapping[str, Any]) -> tuple[str, float, float | None]:
    p99 = values.get("p99")
    return label, float(values["median"]), None if p99 is None else float(p99)


def _group(title: str, measured: list[tuple[str, float, float | None]]) -> LatencyGroup:
    longest = max(max(median, p99 or 0.0) for _, median, p99 in measured) or 1.0
    scale = 96.0 / longest  # a little air to the right
    bars = tuple(
        Bar(
            label,
            median,
            p99,
            round(median * scale, 3),
            round(max((p99 if p99 is not None else median) - median, 0.0) * scale, 3),
        )
        for label, median, p99 in measured
    )
    at = FRAME_AT_30_HZ * scale
    return LatencyGroup(title, bars, round(at, 3) if at <= 100.0 else None)
