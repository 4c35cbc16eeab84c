"""`python -m benchmark.captions`: what captions say, against the facts of simulated worlds that nothing was fitted on.

The captioner is given the true objects, so this measures the captioner and not the detector. Single pictures are
captioned without the help of earlier ones; drives at one caption per second with it, and with detections that tremble
and now and then are missed. `--fit` fits the measures of light and air again (on training worlds and
on real training pictures taken in clear air) and writes them into the package.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.context import add_folder_options, progress
from benchmark.markdown import table
from thermal_fusion_ros.bags.pictures import match_pictures, read_thermal, read_visible
from thermal_fusion_ros.config import SimulationConfig
from thermal_fusion_ros.detections import Detection
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.language import visibility
from thermal_fusion_ros.language.captioner import LIGHT_WORDS, Caption, Captioner
from thermal_fusion_ros.language.scene import LABELS, Scene, SeenObject, see
from thermal_fusion_ros.sensing.camera import CameraModel
from thermal_fusion_ros.simulation.dataset import DatasetSpec, Sample, SimulatedDataset
from thermal_fusion_ros.simulation.simulator import Simulator
from thermal_fusion_ros.simulation.truth import ObjectTruth
from thermal_fusion_ros.training.depth_data import display

TOLERANCE = 0.15
SMALLEST = 40  # pixels of a 320×240 picture: smaller objects are not fed to the captioner
THIN = 0.9  # air that lets through more visible light on average than this counts as clear
SIZE = {"width": 320, "height": 240}
SHOWN = 12

# Drives: world, condition and seed; a share of the detections is missed, the others are off by a little.
DRIVES = (("street", "day", 71), ("trail", "dusk", 72), ("corridor", "day", 73), ("street", "night", 74),
          ("warehouse", "day", 75))  # fmt: skip
DRIVE_S, MISSED, DEPTH_NOISE, BEARING_NOISE_DEG = 40, 0.1, 0.03, 0.3

# Fitting: simulated training worlds, and real training pictures. Their air is clear; the light is given where known.
FIT_SAMPLES, GAMMA, GAIN, RIDGE, REAL_WEIGHT = 2000, 0.35, 0.15, 1e-3, 2.0
USUAL = (1, 99)  # percentiles between which a measure is believed
REAL_LIGHT = {"llvip": "night", "m3svd_0113_1714": "day", "m3svd_0111_1716": "day"}
NOT_CLEAR = "m3svd_0117_1605"  # real smoke, of changing density: neither fitted nor counted


def true_objects(sample: Sample) -> list[ObjectTruth]:
    """The objects of the captioner's kinds that are large enough to be found."""
    return [o for o in sample.objects if o.label in LABELS and o.pixels >= SMALLEST]


def given(sample: Sample, thermal: NDArray[np.uint8], measured: bool) -> tuple[SeenObject, ...]:
    """The true objects as the captioner gets them, with their exact depth or what `see` makes of the exact map."""
    objects = true_objects(sample)
    boxes = [
        Detection(o.label, (float(o.box[0]), float(o.box[1]), float(o.box[2]), float(o.box[3])))
        for o in objects
    ]
    camera = CameraModel(thermal.shape[1], thermal.shape[0], sample.k)
    seen = see(boxes, thermal, sample.depth, camera=camera, metric=True)
    if measured:
        return seen
    assert len(seen) == len(objects)
    return tuple(
        SeenObject(s.label, s.box, 1.0, o.depth_m, True, 0.0, o.bearing_deg, s.size, s.heat)
        for s, o in zip(seen, objects, strict=True)
    )


def distances(caption: Caption, sample: Sample) -> Iterator[bool]:
    """For every object that a phrase with metres stands for: is its true distance within the tolerance?"""
    truth = {tuple(map(float, o.box)): o for o in true_objects(sample)}
    for phrase in caption.phrases:
        for box in phrase.boxes if phrase.distances_m else ():
            true = truth[box].distance_m
            yield within(phrase.distances_m, true)


def within(stated: Sequence[float], true: float) -> bool:
    """Whether the distance, or the range, that was stated is right within the tolerance."""
    return stated[0] * (1 - TOLERANCE) <= true <= stated[-1] * (1 + TOLERANCE)


def all_there(caption: Caption, sample: Sample) -> bool:
    """Whether every phrase names no more than there is of its kind on its side (straight ahead counts for both)."""
    for phrase in caption.phrases:
        side = -1 if "right" in phrase.text else 1 if "left" in phrase.text else 0
        there = [o for o in true_objects(sample) if o.label == phrase.noun and side * o.bearing_deg >= 0]
        if phrase.count > len(there):
            return False
    return True


def simulated(samples: Sequence[Sample]) -> str:
    """Tables of the whole held-out set."""
    stated: dict[bool, list[bool]] = {False: [], True: []}
    honest: list[bool] = []
    words: list[int] = []
    light: Counter[tuple[str, str]] = Counter()
    air: Counter[tuple[str, str]] = Counter()
    shown = []
    for sample in progress(samples):
        thermal = display(sample.counts)
        seen = visibility.look(sample.rgb, thermal)
        for measured in (False, True):
            scene = Scene(0, given(sample, thermal, measured), seen)
            caption = Captioner()(scene)
            stated[measured] += distances(caption, sample)
            if not measured:
                honest.append(all_there(caption, sample))
                words.append(len(caption.text.split()))
                light[LIGHT_WORDS[sample.facts["time"]], caption.light or "(none)"] += 1
                air[_air(sample), caption.air or "(none)"] += 1
                if sample.index % max(len(samples) // SHOWN, 1) == 0:
                    shown.append(f"- {sample.facts['world']}, {sample.facts['condition']}: “{caption.text}”")
    rows = [
        [f"stated distances within {TOLERANCE:.0%}, given the objects' depth", share(stated[False])],
        [
            f"stated distances within {TOLERANCE:.0%}, depth taken from the exact map by box",
            share(stated[True]),
        ],
        ["captions that name no object that is not there", share(honest)],
        ["most words in a caption", str(max(words))],
    ]
    parts = [
        table(["captions", ""], rows),
        f"Light: fact (rows) and word.\n\n{_confusion(light, [*LIGHT_WORDS.values(), '(none)'])}",
        f"Air: fact (rows; *thin* lets more than {THIN:.0%} of the light through) and word.\n\n"
        + _confusion(air, ["(none)", "fog", "smoke", "smoke or fog"]),
        "\n".join(shown),
    ]
    return "\n\n".join(parts)


def driven() -> str:
    """Table of whole drives, in which objects come, go and are missed."""
    there: list[bool] = []
    stated: list[bool] = []
    changes = 0
    for world, condition, seed in progress(DRIVES):
        config = SimulationConfig(
            world=world, condition=condition, seed=seed, width=SIZE["width"], height=SIZE["height"], quality="live"
        )  # fmt: skip
        simulator, captioner, rng, last = Simulator(config), Captioner(), np.random.default_rng(seed), ""
        who: dict[tuple[float, ...], int] = {}
        for second in range(1, DRIVE_S):
            truth = simulator.rgb(float(second)).truth
            assert truth is not None
            seen = []
            for o in truth.objects:
                if o.label in LABELS and o.pixels >= SMALLEST and rng.uniform() >= MISSED:
                    seen.append(_trembling(o, rng))
                    who[seen[-1].box] = o.instance
            caption = captioner(Scene(second * 10**9, tuple(seen), width=SIZE["width"]))
            now = {o.instance: o for o in truth.objects}
            named = [(phrase, now.get(who[box])) for phrase in caption.phrases for box in phrase.boxes]
            there.append(all(o is not None for _, o in named))
            stated += [
                within(p.distances_m, o.distance_m) for p, o in named if o is not None and p.distances_m
            ]
            changes += caption.text != last
            last = caption.text
    rows = [
        [f"stated distances within {TOLERANCE:.0%}", share(stated)],
        ["captions that name no object that is out of sight", share(there)],
        ["captions unlike the one before (the robot drives)", f"{changes / len(there):.0%}"],
    ]
    return table(["drives", ""], rows)


def _trembling(o: ObjectTruth, rng: np.random.Generator) -> SeenObject:
    x0, y0, x1, y1 = (float(v + rng.uniform(-0.5, 0.5)) for v in o.box)
    return SeenObject(
        o.label,
        (x0, y0, x1, y1),
        score=float(rng.uniform(0.4, 0.95)),
        depth=float(o.depth_m * (1 + rng.normal(0, DEPTH_NOISE))),
        metric=True,
        sigma=DEPTH_NOISE,
        bearing_deg=float(o.bearing_deg + rng.normal(0, BEARING_NOISE_DEG)),
        size=(x1 - x0) * (y1 - y0) / (SIZE["width"] * SIZE["height"]),
        heat=0.2 if o.label == "person" else 0.0,
    )


def real(data: Path) -> str:
    """What is said about real validation pictures, all taken in air clear enough, by data set."""
    rows: dict[str, Counter[str]] = {}
    for name, source, rgb, thermal in real_pairs(data, "val"):
        caption = Captioner()(Scene(0, (), visibility.look(rgb, thermal)))
        group = source + {"D": " day", "N": " night"}.get(name[-1], "") if source == "MSRS" else source
        rows.setdefault(group, Counter()).update(
            [caption.light or "no light word", caption.air or "no air word"]
        )
    columns = [*LIGHT_WORDS.values(), "no light word", "fog", "smoke", "smoke or fog", "no air word"]
    return table(
        ["data set", *columns],
        [[name, *(str(row[c]) for c in columns)] for name, row in sorted(rows.items())],
    )


def fit(samples: Sequence[Sample], data: Path) -> dict[str, object]:
    """The table that :mod:`visibility` reads: two ridge-penalised multinomial logistic regressions."""
    x: list[NDArray[np.float32]] = []
    light: list[int] = []
    air: list[int] = []
    weight: list[float] = []

    def add(
        rgb: NDArray[np.uint8], thermal: NDArray[np.uint8], a_light: int, an_air: int, a_weight: float
    ) -> None:
        rng = np.random.default_rng(len(x))
        for picture in (rgb, _other_exposure(rgb, rng)):
            x.append(visibility.measure(picture, thermal))
            light.append(a_light)
            air.append(an_air)
            weight.append(a_weight)

    for sample in progress(samples):
        kind = _air(sample)
        an_air = visibility.AIR.index(kind) if kind in visibility.AIR else 0
        add(sample.rgb, display(sample.counts), visibility.LIGHT.index(sample.facts["time"]), an_air, 1.0)
    for name, _, rgb, thermal in real_pairs(data, "train"):
        if not name.startswith(NOT_CLEAR):
            known = next((word for start, word in REAL_LIGHT.items() if name.startswith(start)), None)
            add(rgb, thermal, -1 if known is None else visibility.LIGHT.index(known), 0, REAL_WEIGHT)
    low, high = np.percentile(np.stack(x), USUAL, axis=0)
    inside = np.clip(np.stack(x), low, high)
    return {
        "measures": list(visibility.MEASURES),
        "low": np.round(low, 4).tolist(),
        "high": np.round(high, 4).tolist(),
        "light": _regress(inside, np.array(light), np.array(weight)),
        "air": _regress(inside, np.array(air), np.array(weight)),
    }


def _regress(x: NDArray[np.float32], y: NDArray[np.int_], weight: NDArray[np.float64]) -> dict[str, object]:
    """Weights (measures×classes) and bias; rows with a negative class are left out."""
    from scipy.optimize import minimize

    known = y >= 0
    values, y, weight = x[known].astype(np.float64), y[known], weight[known] / weight[known].sum()
    mean, spread = values.mean(0), values.std(0)
    values = (values - mean) / spread
    hot = np.eye(y.max() + 1)[y]
    shape = (values.shape[1], hot.shape[1])

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        w, b = flat[: -shape[1]].reshape(shape), flat[-shape[1] :]
        z = values @ w + b
        z -= z.max(1, keepdims=True)
        p = np.exp(z)
        p /= p.sum(1, keepdims=True)
        slope = weight[:, None] * (p - hot)
        gradient = np.concatenate([(values.T @ slope + 2 * RIDGE * w).ravel(), slope.sum(0)])
        return float(-(weight * np.log((p * hot).sum(1) + 1e-12)).sum() + RIDGE * (w**2).sum()), gradient

    best = minimize(loss, np.zeros(shape[0] * shape[1] + shape[1]), jac=True, method="L-BFGS-B").x
    w = best[: -shape[1]].reshape(shape) / spread[:, None]
    b = best[-shape[1] :] - mean @ w
    return {"weight": np.round(w, 4).tolist(), "bias": np.round(b, 4).tolist()}


def _other_exposure(rgb: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The picture of a camera with another exposure and film curve: brightness alone must not tell day from night."""
    curve = (np.arange(256) / 255) ** np.exp(rng.uniform(-GAMMA, GAMMA)) * np.exp(rng.uniform(-GAIN, GAIN))
    return np.clip(255 * curve, 0, 255).astype(np.uint8)[rgb]


def _air(sample: Sample) -> str:
    kind: str = sample.facts["air"]
    return f"{kind}, thin" if kind != "clear" and sample.facts["mean_transmission"] >= THIN else kind


def real_pairs(data: Path, split: str) -> Iterator[tuple[str, str, NDArray[np.uint8], NDArray[np.uint8]]]:
    """Name, data set, visible and thermal picture."""
    manifest = data / "manifest.json"
    if not manifest.is_file():
        raise InputError(f"no {manifest}; say where the recorded data is with --data")
    source = {e["name"]: e["source"] for e in json.loads(manifest.read_text()) if e["split"] == split}
    pairs, _ = match_pictures(data / split / "vi", data / split / "ir")
    for pair in progress(pairs):
        name = pair.visible.stem
        yield name, source[name], read_visible(pair.visible), read_thermal(pair.thermal).astype(np.uint8)


def share(those: Sequence[bool]) -> str:
    """`97.5% of 240`."""
    return f"{np.mean(those):.1%} of {len(those)}" if those else "none"


def _confusion(counts: Counter[tuple[str, str]], columns: Sequence[str]) -> str:
    facts = sorted({fact for fact, _ in counts})
    return table(
        ["fact", *columns], [[fact, *(str(counts[fact, word]) for word in columns)] for fact in facts]
    )


def add_samples_option(parser: argparse.ArgumentParser) -> None:
    """How many pictures :func:`held_out` has."""
    parser.add_argument("--samples", type=int, default=240, metavar="N", help="held-out pictures (240)")


def held_out(args: argparse.Namespace) -> SimulatedDataset:
    """Pictures of worlds that nothing was fitted on."""
    spec = DatasetSpec(count=args.samples, seed=5, split="val", per_world=6, **SIZE)
    return SimulatedDataset(spec, args.work / "simulated")


def main() -> int:
    """Print the tables; bad input is one line and code 2."""
    parser = argparse.ArgumentParser(prog="python -m benchmark.captions", description=__doc__)
    add_folder_options(parser, "train/ and val/")
    add_samples_option(parser)
    parser.add_argument("--fit", action="store_true", help="fit the measures of light and air first")
    args = parser.parse_args()
    try:
        if args.fit:
            training = SimulatedDataset(
                DatasetSpec(count=FIT_SAMPLES, split="train", **SIZE), args.work / "simulated"
            )
            fitted = json.dumps(fit(training, args.data), indent=1)
            visibility.MODEL.write_text(fitted + "\n", encoding="utf-8")
            visibility.model.cache_clear()
        print(simulated(held_out(args)))
        print(f"\n{driven()}")
        print(f"\nReal pictures.\n\n{real(args.data)}")
    except InputError as error:
        print(f"benchmark.captions: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
