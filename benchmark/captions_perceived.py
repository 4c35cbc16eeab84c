"""`python -m benchmark.captions_perceived`: captions of the whole chain, pixels to words, against the facts.

Objects, depth and metres are the shipped networks' own; only what a rig knows is given: the lens and how high the
camera is. Each simulated picture stands alone, so nothing is steadied over time. Of real pictures nothing is known but
labels: what is named is compared with them, and captions are printed to be read.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmark.captions import (
    LIGHT_WORDS,
    SIZE,
    TOLERANCE,
    add_samples_option,
    held_out,
    real_pairs,
    share,
    within,
)
from benchmark.context import add_folder_options, progress
from benchmark.markdown import table
from thermal_fusion_ros.config import Config
from thermal_fusion_ros.detections import LABELS, Box
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.frames import FramePair, Perception, RgbFrame, ThermalFrame, ThermalKind
from thermal_fusion_ros.geometry.mounting import down_of_pose, tilt_text
from thermal_fusion_ros.language.captioner import Caption, Captioner, Phrase
from thermal_fusion_ros.language.glance import glance
from thermal_fusion_ros.models.objects import iou
from thermal_fusion_ros.pipeline import Pipeline
from thermal_fusion_ros.sensing.camera import CameraModel
from thermal_fusion_ros.simulation.dataset import Sample
from thermal_fusion_ros.simulation.truth import ObjectTruth

SAME = 0.3  # IoU from which what is named is what is there
LEAST_PX = 12  # of an object, to be there at all
SHOWN = 12


def perceive(pipeline: Pipeline, sample: Sample) -> Perception:
    """What the pipeline makes of a simulated pair alone."""
    camera = CameraModel(SIZE["width"], SIZE["height"], sample.k, np.array(sample.distortion), name="rgb")
    mounted = {
        "depth.camera_height_m": sample.camera_height_m,
        "depth.camera_tilt": tilt_text(down_of_pose(sample.base_from_rgb)),
    }
    pipeline.update(pipeline.config.with_values(mounted))
    pipeline.set_rig(None, None, camera)
    pipeline.reset()
    rgb, thermal = RgbFrame(0, sample.rgb), ThermalFrame(0, sample.counts, ThermalKind.COUNTS)
    return pipeline.process(FramePair(rgb, thermal))


def matches(caption: Caption, there: Sequence[ObjectTruth]) -> Iterator[tuple[Phrase, ObjectTruth | None]]:
    """For everything named: the phrase, and what it truly is; None where there is no such thing."""
    for phrase in caption.phrases:
        for box in phrase.boxes:
            yield phrase, _nearest(phrase.noun, box, there)


def _nearest(noun: str, box: Box, there: Sequence[ObjectTruth]) -> ObjectTruth | None:
    alike = [o for o in there if o.label == noun]
    if not alike:
        return None
    overlap = iou(np.array([box]), np.array([o.box for o in alike], float))[0]
    return alike[int(overlap.argmax())] if overlap.max() >= SAME else None


def simulated(pipeline: Pipeline, samples: Sequence[Sample]) -> str:
    """The table by condition, and some of the captions."""
    plain: dict[str, list[bool]] = {}
    about: dict[str, list[bool]] = {}
    honest: dict[str, list[bool]] = {}
    silent: dict[str, int] = {}
    shown = []
    for sample in progress(samples):
        perception = perceive(pipeline, sample)
        caption = Captioner()(glance(sample.rgb, perception)())
        there = [o for o in sample.objects if o.label in LABELS and o.pixels >= LEAST_PX]
        named = list(matches(caption, there))
        for key in (LIGHT_WORDS[sample.facts["time"]], sample.facts["air"], "all"):
            honest.setdefault(key, []).append(all(true is not None for _, true in named))
            for phrase, true in named:
                if true is None:
                    continue
                if not phrase.distances_m:
                    silent[key] = silent.get(key, 0) + 1
                else:
                    kind = about if "about" in phrase.text else plain
                    kind.setdefault(key, []).append(within(phrase.distances_m, true.distance_m))
        if sample.index % max(len(samples) // SHOWN, 1) == 0:
            shown.append(f"- {sample.facts['world']}, {sample.facts['condition']}: “{caption.text}”")
    stated = {key: plain.get(key, []) + about.get(key, []) for key in honest}
    kinds = (honest, stated, plain, about)
    rows = [[key, *(share(kind.get(key, [])) for kind in kinds), str(silent.get(key, 0))] for key in honest]
    head = ["pictures", "captions that name nothing that is not there", f"metres within {TOLERANCE:.0%}"]
    head += ["those without “about”", "those with it", "objects without metres"]
    return table(head, rows) + "\n\n" + "\n".join(shown)


def real(pipeline: Pipeline, data: Path) -> str:
    """Captions of some real validation pictures."""
    lines = []
    for number, (name, _, rgb, thermal) in enumerate(real_pairs(data, "val")):
        pipeline.reset()
        perception = pipeline.process(FramePair(RgbFrame(0, rgb), ThermalFrame(0, thermal, ThermalKind.AGC8)))
        if number % 6 == 0:
            lines.append(f"- {name}: “{Captioner()(glance(rgb, perception)()).text}”")
    return "\n".join(lines)


def main() -> int:
    """Print the tables; bad input is one line and code 2."""
    parser = argparse.ArgumentParser(prog="python -m benchmark.captions_perceived", description=__doc__)
    add_folder_options(parser, "val/")
    add_samples_option(parser)
    args = parser.parse_args()
    try:
        pipeline = Pipeline(Config())
        print(simulated(pipeline, held_out(args)))
        pipeline = Pipeline(Config().with_values({"depth.horizontal_fov_deg": 60.0}))
        print("\nReal pictures; the lens is guessed at 60°, metres come from people and cars.\n")
        print(real(pipeline, args.data))
    except InputError as error:
        print(f"benchmark.captions_perceived: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
