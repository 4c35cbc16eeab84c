"""People cut out of real pairs and put into other real pairs: a few scenes, many more meetings of people and places.

Dwibedi et al., Cut, Paste and Learn, ICCV 2017. As there, pieces of background are pasted in the same way, so that
the seam around a patch says nothing about what is in it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.geometry.boxes import area, intersection
from thermal_fusion_ros.training.data import MIN_SCORE, Floats, Image, Labelled, Pair

PASTED = "person"
TALL, TALLEST = 28, 0.45  # of a cut-out: pixels at least, share of the picture's height at most
MARGIN = 0.12  # of its height, around the box: where the patch fades out
SHARE = 0.5  # of real pictures that get patches
MOST = 3  # people in one; as many pieces of background
SIZES = (0.6, 1.5)  # times its share of its own picture's height
STRETCH = 0.15  # deviation of the logarithm of their height: people seen from above are shorter
WARMTH = (0.4, 1.2)  # times its thermal contrast
COLD = 0.1  # share of people who are colder than what is around them: sun-warmed ground
CLEAR = 0.05  # share of a box that may be covered: of who is cut out, and of what a patch lands on
DARKNESS = 10  # grey levels that a dark place still has
LIT = (0.15, 1.5)  # limits of what light does to contrast


@dataclass(frozen=True)
class Patch:
    """`four` H×W×4 uint8 (red, green, blue, thermal); `label` as in the picture it comes from, or nothing.
    `edge`: pixels around the box. `share`: the box's height over that of the picture it was cut from.
    """

    four: Image
    label: Labelled | None
    edge: int
    share: float


def patches(pairs: list[Pair], rng: np.random.Generator) -> list[tuple[Patch, Patch]]:
    """Every person who can be cut out, and beside each a piece of ground where nobody is."""
    found = []
    for pair, o, patch in alone(pairs, (PASTED,)):
        height, width = pair.thermal.shape
        for _ in range(20):
            tall, wide = o.box[3] - o.box[1], o.box[2] - o.box[0]
            x, y = rng.uniform(0, width - wide), rng.uniform(0, height - tall)
            ground = (x, y, x + wide, y + tall)
            if _covered(_boxes(pair), np.array([ground])) == 0:
                found.append((patch, _cut(pair, ground, None)))
                break
    return found


def alone(pairs: list[Pair], labels: Collection[str]) -> Iterator[tuple[Pair, Labelled, Patch]]:
    """Whoever of these `labels` stands alone and is labelled for sure, cut out of its pair."""
    for pair in pairs:
        boxes = _boxes(pair)
        for index, o in enumerate(pair.objects):
            if o.label not in labels or not _fit_to_cut(o, pair.thermal.shape[0]):
                continue
            if _covered(boxes[index : index + 1], np.delete(boxes, index, axis=0)) <= CLEAR:
                yield pair, o, _cut(pair, o.box, o)


def paste(pair: Pair, stock: list[tuple[Patch, Patch]], rng: np.random.Generator) -> Pair:
    """The pair with some patches in it, where nothing is labelled, and their labels; now and then as it is."""
    if not stock or rng.random() >= SHARE:
        return pair
    pair = replace(pair, rgb=pair.rgb.copy(), thermal=pair.thermal.copy())
    for _ in range(rng.integers(1, MOST + 1)):
        for patch in stock[rng.integers(len(stock))]:
            pair = _put(pair, patch, rng)
    return pair


def _put(pair: Pair, patch: Patch, rng: np.random.Generator) -> Pair:
    """Into the pair's own arrays; where there is no room, nothing happens."""
    height, width = pair.thermal.shape
    across = patch.share * height / (patch.four.shape[0] - 2 * patch.edge) * float(rng.uniform(*SIZES))
    down = across * float(np.exp(rng.normal(0, STRETCH)))
    rows, columns = round(down * patch.four.shape[0]), round(across * patch.four.shape[1])
    if not (4 <= rows < height and 4 <= columns < width):
        return pair
    four = np.asarray(cv2.resize(patch.four, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)
    if rng.random() < 0.5:
        four = np.ascontiguousarray(four[:, ::-1])
    x, y = across * patch.edge, down * patch.edge
    top, left = int(rng.integers(height - rows)), int(rng.integers(width - columns))
    box = (left + x, top + y, left + columns - x, top + rows - y)
    whole = np.array([[left, top, left + columns, top + rows]])
    if _covered(_boxes(pair), whole) > CLEAR:
        return pair
    shown = _fade(rows, columns, max(1, int(min(x, y))))
    around = shown < 0.5
    where = np.s_[top : top + rows, left : left + columns]
    warmth = float(rng.uniform(*WARMTH)) * (-1 if rng.random() < COLD else 1)
    for image, layers, contrast in (
        (pair.rgb, four[..., :3], 1.0),
        (pair.thermal[..., None], four[..., 3:], warmth),
    ):
        blend(image[where], layers, shown, around, contrast)
    if patch.label is None:
        return pair
    return replace(pair, objects=(*pair.objects, replace(patch.label, box=box)))


def blend(
    place: Image, layers: Image, shown: Floats, around: NDArray[np.bool_], contrast: float, lit: bool = False
) -> None:
    """Put `layers` into `place`, a view of a picture, both H×W×C, as far as they are `shown` (H×W, 0 to 1): as bright
    `around` them (H×W) as it is there. `lit`: with less contrast where there is less light, and more where more.
    """
    there = place.astype(np.float32)
    here, own = np.median(there[around], axis=0), np.median(layers[around], axis=0)
    if lit:
        contrast *= float(np.clip((here.mean() + DARKNESS) / (own.mean() + DARKNESS), *LIT))
    adapted = here + contrast * (layers - own)
    place[:] = np.rint(np.clip(there + (adapted - there) * shown[..., None], 0, 255))


def _cut(pair: Pair, box: tuple[float, ...], label: Labelled | None) -> Patch:
    """With a margin of the same width on every side; what is outside the picture is mirrored."""
    four = np.dstack([pair.rgb, pair.thermal])
    x0, y0, x1, y1 = (max(0, round(edge)) for edge in box)
    edge = round(MARGIN * (y1 - y0))
    wide = np.pad(four, ((edge, edge), (edge, edge), (0, 0)), mode="reflect")
    return Patch(wide[y0 : y1 + 2 * edge, x0 : x1 + 2 * edge].copy(), label, edge, (y1 - y0) / len(four))


def _fade(rows: int, columns: int, edge: int) -> Floats:
    """1 in the box, 0 at the rim, smooth between."""
    inside = np.zeros((rows, columns), np.float32)
    half = max(1, edge // 2)
    inside[half : rows - half, half : columns - half] = 1
    return np.asarray(
        cv2.blur(inside, (2 * half + 1, 2 * half + 1), borderType=cv2.BORDER_CONSTANT), np.float32
    )


def _fit_to_cut(o: Labelled, height: int) -> bool:
    tall = o.box[3] - o.box[1]
    sure = "thermal" in o.seen_in and o.score >= MIN_SCORE
    return sure and TALL <= tall <= TALLEST * height


def _boxes(pair: Pair) -> Floats:
    return np.array([o.box for o in pair.objects], float).reshape(-1, 4)


def _covered(boxes: Floats, by: Floats) -> float:
    """The largest share of any box that one of the others covers; 0 where there are none."""
    shares = intersection(boxes, by) / np.maximum(area(boxes)[:, None], 1e-9)
    return float(shares.max(initial=0.0))
