"""Every measure of a fused picture by name: which group it is in, what it means, which way is better."""

from __future__ import annotations

from dataclasses import dataclass

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.evaluation.fusion_metrics import COMMON, METRICS, VARIANTS

COLOUR = ("dE_chroma",)
TARGETS = ("SCR_visible", "SCR_thermal", "SCR_fused")
GROUPS = {"common": COMMON, "variants": VARIANTS, "colour": COLOUR, "targets": TARGETS}


@dataclass(frozen=True)
class Measure:
    """How to read a measure. `of_sources`: it is the same for every fused picture, so there is nothing to rank."""

    meaning: str
    higher_is_better: bool = True
    of_sources: bool = False


MEASURES = {
    **{name: Measure(metric.meaning, metric.higher_is_better) for name, metric in METRICS.items()},
    "dE_chroma": Measure(
        "CIELAB distance of chroma from the visible picture, where that is well lit",
        higher_is_better=False,
    ),
    "SCR_visible": Measure("signal-to-clutter ratio of people in the visible picture", of_sources=True),
    "SCR_thermal": Measure("signal-to-clutter ratio of people in the thermal picture", of_sources=True),
    "SCR_fused": Measure("signal-to-clutter ratio of people in the fused picture"),
}


def parse_metrics(text: str) -> tuple[str, ...]:
    """Metric names of a comma-separated list of names and groups (common, variants, colour, targets, all)."""
    names: list[str] = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        if word == "all":
            names += MEASURES
        elif word in GROUPS:
            names += GROUPS[word]
        elif word in MEASURES:
            names.append(word)
        else:
            raise InputError(f"unknown metric {word}; there are {', '.join([*GROUPS, 'all', *MEASURES])}")
    if not names:
        raise InputError(f"no metric named; there are {', '.join([*GROUPS, 'all', *MEASURES])}")
    return tuple(dict.fromkeys(names))
