"""Training data for objects: real pairs with a detector's labels, simulated ones with exact boxes, as grids of targets.

Labels that may be wrong, and objects that nobody could see, are neither asked for nor forbidden: their cells don't
count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.models.objects import CLASSES, STRIDE
from thermal_fusion_ros.simulation.dataset import Sample
from thermal_fusion_ros.simulation.truth import ObjectTruth
from thermal_fusion_ros.training import pasting
from thermal_fusion_ros.training.data import (
    MIN_SCORE,
    Floats,
    Image,
    Labelled,
    Pair,
    any_of,
    augment,
    by_source,
    resized,
    smooth_field,
)
from thermal_fusion_ros.training.depth_data import display
from thermal_fusion_ros.training.exposure import expose
from thermal_fusion_ros.training.standing import Cutout, hidden, stand

SIZE = (288, 384)  # height and width of a training picture
SMALLEST = 12  # pixels, the longer side of a box that is worth finding
GREY = 128  # a picture that is not there; zero to the network
NO_VISIBLE, NO_THERMAL = 0.12, 0.2  # shares of pictures without that half; light alone shows less of people
THROUGH = 0.25  # of an object's light that must come through the air for anybody to see it
TINTED = 0.3  # share of visible pictures under lamps of another colour
SHADED = 0.3  # share of visible pictures that are dark in places, as beside a lamp
UNEVEN = 0.3  # share of pictures whose ground is given another warmth
DETAILED = 0.4  # share of thermal pictures whose detail is brought out
BESIDE = 0.25  # share of real pairs that stand beside another one in one picture
TURNED = 0.5  # share of pictures that are turned and stretched
STEEPEST, STRETCH, SHEAR = np.radians(8), 0.15, 0.1  # of those: half ranges of angle, log stretch, shear
BOTH = ("visible", "thermal")
SIMULATED = "simulated"  # how names of rendered pairs begin
_MARGIN = 0.65  # a picture may be so much smaller than the canvas
_LARGEST = 1.4  # times its own size
_SPREAD = 1 / 7  # of a box: deviation of the Gaussian that says where its middle is
_NARROWEST = 0.55  # cells, that deviation at least
_INSIDE = 0.2  # of the Gaussian: cells that say where the edges are


@dataclass(frozen=True)
class ObjectBatch:
    """rgb B×3×H×W, thermal B×1×H×W in [0, 1]; all others at 1/8: `middle` B×7×h×w, 1 in the middle of objects, falling
    off around it; `counts` B×7×h×w, 0 where nothing is asked; `edges` B×4×h×w in strides, with `weight` B×1×h×w.
    `complete` B×1×1×1: 1 where nothing is missing among the labels.
    """

    rgb: Floats
    thermal: Floats
    middle: Floats
    counts: Floats
    edges: Floats
    weight: Floats
    complete: Floats

    def part(self, items: range) -> ObjectBatch:
        """Some of its items."""
        return ObjectBatch(*(column[list(items)] for column in vars(self).values()))


def simulated_pair(
    sample: Sample, stock: Sequence[Cutout] = (), rng: np.random.Generator | None = None
) -> Pair:
    """A rendered sample as a pair, with some of `stock` in it; what the air hides from a camera is not `seen_in` its
    picture.

    What is hardly visible at all has score 0, and so have machines that are no class of ours.
    """
    scene = stand(sample, display(sample.counts), stock, rng or np.random.default_rng(0))
    heat = {o.instance: o for o in sample.thermal_objects}
    objects = []
    for o in sample.objects:
        found = o.visible_share > 0.3 and o.pixels > 60 and o.label in CLASSES
        seen = {"visible": o, "thermal": heat.get(o.instance)}
        objects.append(
            Labelled(
                o.label,
                tuple(float(edge) for edge in o.box),  # type: ignore[arg-type]
                1.0 if found and not hidden(o.box, scene.body) else 0.0,
                tuple(name for name, there in seen.items() if there is not None and _shows(there)),
            )
        )
    return Pair(f"{SIMULATED}_{sample.index}", scene.rgb, scene.thermal, (*objects, *scene.objects))


def _shows(o: ObjectTruth) -> bool:
    return o.transmission > THROUGH


class ObjectSampler:
    """Batches that depend on (seed, step) alone."""

    def __init__(
        self, real: list[Pair], simulated: list[Pair], seed: int, size: tuple[int, int] = SIZE
    ) -> None:
        """Pairs with all their labels, uncertain ones too."""
        self.groups, self.simulated, self.seed, self.size = by_source(real), simulated, seed, size
        self.stock = pasting.patches(real, np.random.default_rng((seed, 5)))

    def batch(self, step: int, real: int, simulated: int) -> ObjectBatch:
        """The batch of training step `step`: so many pictures of each kind."""
        rng = np.random.default_rng((self.seed, step, 3))
        pairs = [self._real(rng) for _ in range(real)]
        pairs += [self.simulated[rng.integers(len(self.simulated))] for _ in range(simulated)]
        items = [self._sample(pair, rng) for pair in pairs]
        return ObjectBatch(*(np.stack(column) for column in zip(*items, strict=True)))

    def _real(self, rng: np.random.Generator) -> Pair:
        pair = pasting.paste(any_of(self.groups, rng), self.stock, rng)
        if rng.random() >= BESIDE:
            return pair
        return beside(pair, any_of(self.groups, rng))

    def _sample(self, pair: Pair, rng: np.random.Generator) -> tuple[Floats, ...]:
        height, width = self.size
        fit = max(height / pair.thermal.shape[0], width / pair.thermal.shape[1])
        scale = float(np.exp(rng.uniform(np.log(_MARGIN * fit), np.log(max(_LARGEST, fit)))))
        colour, heat = (resized(image, scale) for image in (pair.rgb, pair.thermal))
        boxes = np.array([o.box for o in pair.objects], np.float32).reshape(-1, 4) * scale
        if rng.random() < TURNED:
            colour, heat, boxes = turned(colour, heat, boxes, rng)
        slack = np.array(heat.shape) - self.size  # negative: room around the picture
        top, left = (int(rng.integers(min(0, s), max(0, s) + 1)) for s in slack)
        rgb: Floats = expose(_placed(colour, top, left, self.size), rng)
        thermal: Floats = expose(_placed(heat[..., None], top, left, self.size), rng)[..., 0]
        rgb, thermal = augment(rgb, thermal, rng)
        if rng.random() < TINTED:
            lamp = np.exp(rng.normal(0, 0.3, 3)).astype(np.float32)
            rgb = np.clip(rgb * (lamp / lamp.mean()), 0, 1)
        missing = rng.random()
        no_visible, no_thermal = missing < NO_VISIBLE, missing >= 1 - NO_THERMAL
        if not no_thermal and rng.random() < SHADED:  # not where light is all there is
            rgb = shaded(rgb, rng)
        if rng.random() < UNEVEN:  # sun-warmed ground is as bright as people
            warmth = smooth_field(thermal.shape, rng) * np.float32(rng.uniform(-0.3, 0.5))
            thermal = np.clip(thermal + warmth, 0, 1)
        if rng.random() < DETAILED:
            thermal = detailed(thermal, rng)
        shown: tuple[str, ...] = BOTH
        if no_visible:
            rgb, shown = np.full_like(rgb, GREY / 255), BOTH[1:]
        elif no_thermal:
            thermal, shown = np.full_like(thermal, GREY / 255), BOTH[:1]
        boxes -= np.array([left, top, left, top], np.float32)
        if rng.random() < 0.5:
            rgb, thermal = rgb[:, ::-1], thermal[:, ::-1]
            boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
        sure = np.array([certain(o, shown) for o in pair.objects], bool)
        grids = targets([o.label for o in pair.objects], boxes, sure, self.size)
        complete = np.full((1, 1, 1), pair.name.startswith(SIMULATED), np.float32)
        rgb, thermal = (np.ascontiguousarray(x) for x in (rgb.transpose(2, 0, 1), thermal[None]))
        return rgb, thermal, *grids, complete


def beside(left: Pair, right: Pair) -> Pair:
    """Two pairs as one, of the height of the left one: nothing is known by the place where it always is."""
    scale = left.thermal.shape[0] / right.thermal.shape[0]
    shift = left.thermal.shape[1]
    size = (round(scale * right.thermal.shape[1]), left.thermal.shape[0])
    rgb, thermal = (
        np.concatenate([a, cv2.resize(b, size, interpolation=cv2.INTER_AREA)], axis=1)
        for a, b in ((left.rgb, right.rgb), (left.thermal, right.thermal))
    )
    moved = (
        replace(
            o,
            box=tuple(
                scale * edge + offset for edge, offset in zip(o.box, (shift, 0, shift, 0), strict=True)
            ),
        )
        for o in right.objects
    )
    return Pair(left.name, rgb, thermal, (*left.objects, *moved))


def turned(
    rgb: Image, thermal: Image, boxes_N4: Floats, rng: np.random.Generator
) -> tuple[Image, Image, Floats]:
    """Turned, stretched and sheared about the middle, as by another mounting; a box bounds the ellipse in it."""
    height, width = thermal.shape
    angle, stretch, shear = rng.uniform(-1, 1, 3) * (STEEPEST, STRETCH, SHEAR)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn = turn @ [[np.exp(stretch), shear], [0, np.exp(-stretch)]]
    middle = np.array([width - 1, height - 1]) / 2
    matrix = np.column_stack([turn, middle - turn @ middle])
    rgb, thermal = (
        np.asarray(cv2.warpAffine(image, matrix, (width, height), borderValue=(GREY,) * 3), np.uint8)
        for image in (rgb, thermal)
    )
    centres, halves = (boxes_N4[:, 2:] + boxes_N4[:, :2]) / 2, (boxes_N4[:, 2:] - boxes_N4[:, :2]) / 2
    centres = centres @ turn.T + matrix[:, 2]
    halves = np.sqrt(halves**2 @ (turn.T**2))
    return rgb, thermal, np.concatenate([centres - halves, centres + halves], axis=1).astype(np.float32)


def shaded(rgb: Floats, rng: np.random.Generator) -> Floats:
    """Dark in places, so that what stands there shows in the thermal picture alone; H×W×3 in [0, 1]."""
    light = np.clip(rng.uniform(0.2, 1.2) - rng.uniform(0.7, 1.7) * smooth_field(rgb.shape[:2], rng), 0.03, 1)
    noise = rng.standard_normal(rgb.shape, np.float32) * np.float32(rng.uniform(0, 0.015))
    return np.asarray(np.clip(rgb * light[..., None] + noise, 0, 1), np.float32)


def detailed(thermal_HW: Floats, rng: np.random.Generator) -> Floats:
    """As a camera shows it that brings out detail: less of what is warm over a wide area, more of the rest."""
    size = 2 * round(float(np.exp(rng.uniform(np.log(5), np.log(60))))) + 1
    wide = cv2.blur(cv2.blur(thermal_HW, (size, size)), (size, size))
    kept = thermal_HW - np.float32(rng.uniform(0.3, 1.0)) * wide
    kept = np.float32(rng.uniform(1.0, 2.5)) * (kept - kept.mean()) + np.float32(rng.uniform(0.2, 0.5))
    return np.clip(kept, 0, 1)


def certain(o: Labelled, shown: tuple[str, ...] = BOTH) -> bool:
    """Whether the label can be believed, for someone who is shown these pictures; two that agree count more."""
    enough = o.score >= MIN_SCORE or (o.score > 0 and len(o.seen_in) == 2)
    return enough and bool(set(shown) & set(o.seen_in))


def targets(
    labels: list[str], boxes: Floats, sure: NDArray[np.bool_], size: tuple[int, int]
) -> tuple[Floats, Floats, Floats, Floats]:
    """`middle`, `counts`, `edges` and `weight` (see :class:`ObjectBatch`) of a picture of `size` with these boxes, N×4.

    Boxes may reach out of the picture; one that is mostly outside, or tiny, or not sure, doesn't count.
    """
    height, width = size[0] // STRIDE, size[1] // STRIDE
    y, x = (np.arange(n, dtype=np.float32) + 0.5 for n in (height, width))
    middle = np.zeros((len(CLASSES), height, width), np.float32)
    counts = np.ones_like(middle)
    edges, weight = np.zeros((4, height, width), np.float32), np.zeros((1, height, width), np.float32)
    inside = np.clip(boxes, 0, [size[1], size[0]] * 2)
    sides, full = inside[:, 2:] - inside[:, :2], boxes[:, 2:] - boxes[:, :2]
    fair = (sides.prod(1) > 0.35 * full.prod(1)) & (sides.max(1) >= SMALLEST)
    order = np.argsort(-sides.prod(1))  # the smaller one is in front
    for i in order:
        x0, y0, x1, y1 = inside[i] / STRIDE
        if sides[i].min() <= 0 or (sure[i] and fair[i]):
            continue
        counts[:, int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))] = 0
    for i in order:
        if not (sure[i] and fair[i]):
            continue
        x0, y0, x1, y1 = inside[i] / STRIDE
        cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
        sx, sy = (max(_NARROWEST, _SPREAD * side) for side in (x1 - x0, y1 - y0))
        # Measured from the cell that holds the middle, so that this one is 1.
        nearest_x, nearest_y = np.floor([cx, cy]) + 0.5
        bump = np.exp(
            -0.5 * (((y - nearest_y) / sy)[:, None] ** 2 + ((x - nearest_x) / sx)[None, :] ** 2)
        ).astype(np.float32)
        layer = CLASSES.index(labels[i])
        middle[layer] = np.maximum(middle[layer], np.where(bump > 0.02, bump, 0))
        counts[layer][bump > _INSIDE] = 1
        mine = (bump > _INSIDE) & (bump >= weight[0])
        weight[0][mine] = bump[mine]
        reach = np.broadcast_arrays(x[None] - x0, y[:, None] - y0, x1 - x[None], y1 - y[:, None])
        edges[:, mine] = np.stack(reach)[:, mine]
    return middle, counts, edges, weight


def _placed(image: Image, top: int, left: int, size: tuple[int, int]) -> Image:
    """The part of the picture from (top, left) on, on a grey canvas; negative: it begins so much later."""
    canvas = np.full((*size, *image.shape[2:]), GREY, np.uint8)
    part = image[max(0, top) :, max(0, left) :][: size[0] + min(0, top), : size[1] + min(0, left)]
    y, x = max(0, -top), max(0, -left)
    canvas[y : y + part.shape[0], x : x + part.shape[1]] = part
    return canvas
