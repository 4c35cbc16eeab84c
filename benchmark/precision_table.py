"""How far the engine that would run here is from the same graph in eager torch and single precision, on real frames."""

from __future__ import annotations

import cv2
import numpy as np

from benchmark.context import Context
from benchmark.markdown import table
from thermal_fusion_ros.config import Config
from thermal_fusion_ros.models.guidance import CODE_DIM
from thermal_fusion_ros.pipeline import Pipeline, Prepared
from thermal_fusion_ros.training.data import load_pairs

HEIGHT, WIDTH = 480, 640
EVERY = 6  # pictures of the validation set
LARGEST = ("fused, of 255", "depth that is sure enough to be published, %", "depth, %")


def precision(context: Context) -> str:
    """Largest error of a pixel by frame: the median, the worst and the second worst of the frames."""
    config = Config()
    pipeline = Pipeline(config)
    reference = config.with_values({"engine.backend": "torch", "engine.precision": "f32"})
    ours, eager = (Prepared(pipeline.graph, HEIGHT, WIDTH, c) for c in (config, reference))
    code = np.zeros(CODE_DIM, np.float32)
    found: dict[str, list[float]] = {name: [] for name in (*LARGEST, "depth, % in the mean")}
    for pair in load_pairs(context.data, "val")[::EVERY]:
        rgb, thermal = (
            np.asarray(cv2.resize(i, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), np.uint8)
            for i in (pair.rgb, pair.thermal)
        )
        wanted = {name: output.astype(np.float32) for name, output in eager.run(rgb, thermal, code).items()}
        got = {name: output.astype(np.float32) for name, output in ours.run(rgb, thermal, code).items()}
        depth = 100 * np.abs(got["depth"] / wanted["depth"] - 1)
        published = wanted["sigma"] <= config.depth.most_uncertain
        largest = (np.abs(got["fused"] - wanted["fused"]).max(), depth[published].max(initial=0), depth.max())
        for name, error in zip(LARGEST, largest, strict=True):
            found[name].append(float(error))
        found["depth, % in the mean"].append(float(depth.mean()))
    rows = [
        [name, *(f"{value:.2g}" for value in (np.median(errors), *np.sort(errors)[:-3:-1]))]
        for name, errors in found.items()
    ]
    frames = len(found[LARGEST[0]])
    return (
        f"{table(['largest error', 'median frame', 'worst frame', 'second worst'], rows)}\n\n"
        f"{ours.engine.name} against eager torch in f32, {frames} frames of the validation set at {WIDTH}×{HEIGHT}."
    )
