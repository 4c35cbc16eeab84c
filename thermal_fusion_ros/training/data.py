"""Registered RGB-thermal pairs for training: crops, augmentation, and text that names what is in them."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.bags.source import open_source
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.models.objects import CLASSES

Image = NDArray[np.uint8]
Floats = NDArray[Any]  # float32; numpy's stubs lose the precision at every step
SOURCES = {"roadscene": 0.4, "m3svd": 0.35, "llvip": 0.25}  # share of each source in a batch
FRAMES = "m3svd_frame"  # how names of frames begin: the clips are of that source
MIN_SCORE = 0.5


@dataclass(frozen=True)
class Labelled:
    """An object: class name and box (x0, y0, x1, y1) in pixels; how sure the label is, and the images that show it."""

    label: str
    box: tuple[float, float, float, float]
    score: float = 1.0
    seen_in: tuple[str, ...] = ("visible", "thermal")


@dataclass(frozen=True)
class Pair:
    """A registered pair: `rgb` H×W×3, `thermal` H×W, uint8, and what is labelled in it."""

    name: str
    rgb: Image
    thermal: Image
    objects: tuple[Labelled, ...]


def load_pairs(root: Path, split: str = "train", min_score: float = MIN_SCORE) -> list[Pair]:
    """Every pair of ``root/split/{vi,ir}`` with the labels of ``root/labels/detections.json`` from `min_score` on."""
    paths = sorted((root / split / "vi").glob("*"))
    if not paths:
        raise InputError(
            f"{root}/{split}/vi: no pictures; point --data at a folder with {split}/vi and {split}/ir"
        )
    labels: dict[str, list[dict[str, Any]]] = {}
    if (root / "labels" / "detections.json").is_file():
        labels = json.loads((root / "labels" / "detections.json").read_text())
    pairs = []
    for path in paths:
        visible = cv2.imread(str(path), cv2.IMREAD_COLOR)
        thermal = cv2.imread(str(root / split / "ir" / path.name), cv2.IMREAD_GRAYSCALE)
        if visible is None or thermal is None or visible.shape[:2] != thermal.shape:
            raise InputError(f"{path}: not a readable pair of pictures of one size")
        found = tuple(
            Labelled(item["label"], tuple(item["box"]), item["score"], tuple(item["seen_in"]))
            for item in labels.get(f"{split}/{path.stem}", [])
            if item["score"] >= min_score
        )
        rgb = np.ascontiguousarray(visible[..., ::-1])
        pairs.append(Pair(path.stem, rgb.astype(np.uint8, copy=False), np.asarray(thermal, np.uint8), found))
    return pairs


def load_frames(root: Path, every: int) -> list[Pair]:
    """Each `every`-th pair of frames of the clips in ``root/video/{visible,infrared}``, which nobody has labelled.

    What they show may be anything: a label without any certainty covers the whole of each.
    """
    pairs = []
    for clip in sorted((root / "video" / "visible").glob("*.mp4")):
        frames = iter(open_source(root / "video", clip=clip.stem))
        for n, (colour, heat) in enumerate(zip(frames, frames, strict=False)):  # of one moment, colour first
            if n % every == 0:
                rgb, thermal = (frame.image.astype(np.uint8, copy=False) for frame in (colour, heat))
                anything = Labelled(CLASSES[0], (0.0, 0.0, thermal.shape[1], thermal.shape[0]), 0.0)
                pairs.append(Pair(f"{FRAMES}_{clip.stem}_{n}", rgb, thermal, (anything,)))
    return pairs


@dataclass(frozen=True)
class Batch:
    """rgb B×3×S×S and thermal B×1×S×S in [0, 1]; text B×512 centred CLIP sums (zero: no text); boost B×1×S×S, the
    thermal contrast that the text asks for; emphasis B×1×S×S, 1 on labelled objects; named B×1×S×S, 1 on those that
    the text names.
    """

    rgb: Floats
    thermal: Floats
    text: Floats
    boost: Floats
    emphasis: Floats
    named: Floats

    def part(self, items: range) -> Batch:
        """Some of its items."""
        return Batch(*(column[list(items)] for column in vars(self).values()))

    def without_text(self) -> Batch:
        """The same pictures, and nothing said about them."""
        nothing = {name: np.zeros_like(getattr(self, name)) for name in ("text", "boost", "named")}
        return replace(self, **nothing)


class PairSampler:
    """Batches that depend on (seed, step) alone, so a resumed run sees the same data as an unbroken one."""

    def __init__(self, pairs: list[Pair], nouns: tuple[list[str], Floats], size: int, seed: int) -> None:
        """`nouns`: names and centred unit vectors (N×512) of the vocabulary; `size`: crop edge in pixels."""
        self.pairs, self.size, self.seed = pairs, size, seed
        self.names, self.vectors = nouns
        self.index = {name: i for i, name in enumerate(self.names)}
        self.groups = by_source(pairs)

    def batch(self, step: int, count: int) -> Batch:
        """The batch of training step `step`: `count` crops."""
        rng = np.random.default_rng((self.seed, step))
        items = [self._sample(any_of(self.groups, rng), rng) for _ in range(count)]
        return Batch(*(np.stack(column) for column in zip(*items, strict=True)))

    def _sample(self, pair: Pair, rng: np.random.Generator) -> tuple[Floats, ...]:
        size = self.size
        height, width = pair.thermal.shape
        scale = max(rng.uniform(0.6, 1.3), (size + 1) / min(height, width))
        colour, heat = (resized(image, scale) for image in (pair.rgb, pair.thermal))
        height, width = heat.shape
        x, y = self._corner(pair, scale, height, width, rng)
        rgb: Floats = colour[y : y + size, x : x + size].astype(np.float32) / 255
        thermal: Floats = heat[y : y + size, x : x + size].astype(np.float32) / 255
        objects = [
            (o.label, tuple(c * scale - d for c, d in zip(o.box, (x, y, x, y), strict=True)))
            for o in pair.objects
        ]
        if rng.random() < 0.5:
            rgb, thermal = rgb[:, ::-1], thermal[:, ::-1]
            objects = [(label, (size - b[2], b[1], size - b[0], b[3])) for label, b in objects]
        rgb, thermal = augment(np.ascontiguousarray(rgb), np.ascontiguousarray(thermal), rng)
        text, named = self._text([label for label, b in objects if _overlaps(b, size)], rng)
        boost, emphasis, where = _boost(thermal, objects, named)
        return rgb.transpose(2, 0, 1), thermal[None], text, boost[None], emphasis[None], where[None]

    def _corner(
        self, pair: Pair, scale: float, height: int, width: int, rng: np.random.Generator
    ) -> tuple[int, int]:
        """Half the crops are anywhere, half hold a labelled object if there is one."""
        size = self.size
        if pair.objects and rng.random() < 0.5:
            box = pair.objects[rng.integers(len(pair.objects))].box
            centre = ((box[0] + box[2]) / 2 * scale, (box[1] + box[3]) / 2 * scale)
            x, y = (c - size / 2 + rng.uniform(-0.3, 0.3) * size for c in centre)
            return int(np.clip(x, 0, width - size)), int(np.clip(y, 0, height - size))
        return int(rng.integers(width - size + 1)), int(rng.integers(height - size + 1))

    def _text(self, present: list[str], rng: np.random.Generator) -> tuple[Floats, set[str]]:
        """A caption as the weighted sum of its nouns' vectors, and the classes it names."""
        zero = np.zeros(self.vectors.shape[1], np.float32)
        draw = rng.random()
        if draw < 0.35:
            return zero, set()
        kinds = sorted(set(present) & set(self.index))
        if kinds and draw < 0.85:
            rng.shuffle(kinds)
            named = kinds[: rng.integers(1, len(kinds) + 1)]
        else:  # something that is not there: text must not invent
            named = [
                self.names[rng.integers(len(self.names))] if rng.random() < 0.5 else str(rng.choice(CLASSES))
            ]
        nouns = list(named)
        if rng.random() < 0.3:  # a caption also says things that matter to no box
            nouns.append(self.names[rng.integers(len(self.names))])
        weights = rng.dirichlet(np.full(len(nouns), 2.0)).astype(np.float32)
        text = (weights[:, None] * self.vectors[[self.index[n] for n in nouns]]).sum(0)
        text += rng.normal(0, rng.uniform(0, 0.25) / np.sqrt(len(text)), len(text)).astype(np.float32)
        return text.astype(np.float32), set(named)


def by_source(pairs: list[Pair]) -> dict[str, list[Pair]]:
    """Pairs of every source there is."""
    groups = {s: [p for p in pairs if p.name.startswith(s)] for s in SOURCES}
    return {s: g for s, g in groups.items() if g} or {"all": pairs}


def any_of(groups: dict[str, list[Pair]], rng: np.random.Generator) -> Pair:
    """A pair of a source drawn by its share of the batch."""
    share = np.array([SOURCES.get(s, 1.0) for s in groups])
    group = list(groups.values())[rng.choice(len(share), p=share / share.sum())]
    return group[rng.integers(len(group))]


def resized(image: Image, scale: float) -> Image:
    """The picture, so many times as large."""
    return np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


def _overlaps(box: tuple[float, ...], size: int) -> bool:
    x0, y0, x1, y1 = box
    inside = max(0.0, min(x1, size) - max(x0, 0)) * max(0.0, min(y1, size) - max(y0, 0))
    return inside > 0.4 * (x1 - x0) * (y1 - y0)


def augment(rgb: Floats, thermal: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Darker nights, smoke, and other thermal contrasts than the recordings hold."""
    if rng.random() < 0.2:
        rgb = rgb * rng.uniform(0.15, 0.7) + rng.normal(0, rng.uniform(0, 0.02), rgb.shape)
    if rng.random() < 0.12:
        density = np.clip(smooth_field(thermal.shape, rng) * rng.uniform(0.6, 1.4), 0, 0.97)[..., None]
        rgb = rgb * (1 - density) + rng.uniform(0.4, 0.9) * density
    if rng.random() < 0.3:
        middle = thermal.mean()
        thermal = middle + (thermal - middle) * rng.uniform(0.5, 1.2) + rng.uniform(-0.15, 0.1)
    if rng.random() < 0.15:
        thermal = thermal + rng.normal(0, rng.uniform(0, 0.02), thermal.shape)
    return np.clip(rgb, 0, 1).astype(np.float32), np.clip(thermal, 0, 1).astype(np.float32)


def smooth_field(shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    """About 0 to 1, changing slowly over a picture H×W."""
    coarse = rng.random((3, 3)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC))


def _boost(
    thermal: Floats, objects: list[tuple[str, tuple[float, ...]]], named: set[str]
) -> tuple[Floats, Floats, Floats]:
    """Thermal contrast of every named object against the ring around it, where labelled objects are, and the named."""
    size = thermal.shape[0]
    boost, emphasis, where = (np.zeros_like(thermal) for _ in range(3))
    for label, (x0, y0, x1, y1) in objects:
        px, py = 0.35 * (x1 - x0) + 2, 0.2 * (y1 - y0) + 2
        outer = np.clip([x0 - px, y0 - py, x1 + px, y1 + py], 0, size).astype(int)
        inner = np.clip([x0, y0, x1, y1], 0, size).astype(int)
        if inner[2] - inner[0] < 3 or inner[3] - inner[1] < 3:
            continue
        at_inner = np.s_[inner[1] : inner[3], inner[0] : inner[2]]
        at_outer = np.s_[outer[1] : outer[3], outer[0] : outer[2]]
        emphasis[at_inner] = 1
        if label not in named:
            continue
        where[at_inner] = 1
        ring = np.ones(thermal[at_outer].shape, bool)
        ring[inner[1] - outer[1] : inner[3] - outer[1], inner[0] - outer[0] : inner[2] - outer[0]] = False
        if not ring.any():
            continue
        background = float(np.median(thermal[at_outer][ring]))
        boost[at_inner] = thermal[at_inner] - background
    sigma = 1.0 + size / 192
    edge = cv2.GaussianBlur((boost != 0).astype(np.float32), (0, 0), sigma)
    emphasis, where = (np.asarray(cv2.GaussianBlur(m, (0, 0), sigma), np.float32) for m in (emphasis, where))
    return (boost * edge).astype(np.float32), emphasis, where
