"""What a prompt does to the people of the validation set."""

from __future__ import annotations

import numpy as np
import torch

from benchmark.context import Context
from benchmark.markdown import table
from thermal_fusion_ros.evaluation.targets import signal_to_clutter
from thermal_fusion_ros.models.checkpoint import load_fusion, shipped
from thermal_fusion_ros.training.data import load_pairs
from thermal_fusion_ros.training.stages.depth import fuse

PROMPTS = ("person", "car")
GREY = np.array([0.299, 0.587, 0.114])


def prompt(context: Context) -> str:
    """Contrast (signal-to-clutter ratio) of labelled people under a prompt, against none, picture by picture."""
    weights = load_fusion(shipped("cross_attention"))
    change: dict[str, list[float]] = {words: [] for words in PROMPTS}
    for pair in load_pairs(context.data, "val"):
        boxes = context.people.get(pair.name, [])
        scores = {}
        for words in ("", *PROMPTS) if boxes else ():
            code = torch.from_numpy(weights.vocabulary.code(words))[None]
            scores[words] = signal_to_clutter(fuse(weights.model, pair.rgb, pair.thermal, code) @ GREY, boxes)
        plain = scores.get("")
        if plain is not None:
            for words in PROMPTS:
                change[words].append(float(scores[words] or 0.0) / plain - 1)
    rows = []
    for words, values in change.items():
        low, middle, high = (f"{100 * q:+.1f} %" for q in np.quantile(values, (0.25, 0.5, 0.75)))
        rows.append([f"`{words}`", str(len(values)), low, middle, high])
    return table(["prompt", "pictures", "lower quartile", "median", "upper quartile"], rows)
