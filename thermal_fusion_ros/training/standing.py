"""People and cars cut out of real pairs and stood on the ground of simulated pictures, at a distance that is known.

What they look like the simulator can't tell, how far they are no real picture. They are as large as they would be
there, lit as the place is, dimmed by the air, behind what is nearer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.sensing.camera import CameraModel
from thermal_fusion_ros.simulation.dataset import Sample
from thermal_fusion_ros.training import pasting
from thermal_fusion_ros.training.data import Floats, Image, Labelled, Pair

HEIGHT_M = {"person": (1.55, 1.85), "car": (1.4, 1.65)}
SHARE = 0.6  # of the pictures that anybody is put into
MOST = 4  # of them in one picture
TRIED = 400  # pixels that are asked whether they are ground
LEVEL = (0.06, 0.01)  # metres, and share of the distance, that ground may be off the plane
LEAST, LARGEST = 10, 0.75  # pixels, and share of the picture's height
ENLARGED = 1.6  # times its own size at most: nobody is known by being blurred
LIGHT, WARMTH = (0.75, 1.2), (0.5, 1.2)  # times the contrast that a cut-out has
SEEN_BY_HEAT = 0.3  # power of visible transmission that thermal light has
ROUNDS = 4  # of GrabCut
CORE = 0.3  # of the ellipse within its box, that is surely it
ALIKE = 0.96  # correlation with the one before
FILLED = {"person": (0.25, 0.8), "car": (0.45, 0.95)}  # of its box, by a silhouette that can be one
HIDDEN = 0.4  # of a box, by those who stand before it, from which on nobody need find it
FAINT = 5.0  # grey levels that somebody must change in a picture, to be seen in it


@dataclass(frozen=True)
class Cutout:
    """`four` H×W×4 uint8 (red, green, blue, thermal), `inside` H×W, 1 where it is, with a margin of `edge` pixels."""

    label: str
    four: Image
    inside: Floats
    edge: int


@dataclass
class Scene:
    """A rendered pair that people and cars are put into: `rgb` H×W×3, `thermal` H×W (as displayed), `metres` H×W (NaN:
    sky), `unsure` H×W, where nobody knows how far it is, along outlines. `objects`: who has been put there, the later
    before the earlier; `body` H×W: pixels that they cover.
    """

    rgb: Image
    thermal: Image
    metres: Floats
    unsure: NDArray[np.bool_]
    body: NDArray[np.bool_]
    objects: list[Labelled] = field(default_factory=list)


def hidden(box: tuple[float, ...], body: NDArray[np.bool_]) -> bool:
    """Whether what covers the pixels `body`, H×W, covers too much of the box for anybody to find what is in it."""
    left, top, right, bottom = (max(0, round(edge)) for edge in box)
    part = body[top:bottom, left:right]
    return part.size > 0 and bool(part.mean() > HIDDEN)


def cutouts(pairs: list[Pair]) -> list[Cutout]:
    """Everybody in real pairs whose outline is found (Rother et al., GrabCut, SIGGRAPH 2004)."""
    found, last = [], np.zeros((12, 12), np.float32)
    for _, o, patch in pasting.alone(pairs, HEIGHT_M):
        edge = patch.edge
        before, last = last, _thumbnail(patch.four)
        if float((before * last).sum()) > ALIKE:  # frames of one video
            continue
        inside = _silhouette(patch.four, edge)
        least, most = FILLED[o.label]
        if least < inside[edge:-edge, edge:-edge].mean() < most:
            found.append(Cutout(o.label, patch.four, inside, edge))
    return found


def _silhouette(four: Image, edge: int) -> Floats:
    """1 inside, 0 outside, of what fills the picture but for its margin."""
    rows, columns = four.shape[:2]
    red, green, blue, heat = (four[..., k].astype(np.int16) for k in range(4))
    seen = np.dstack([heat, green, np.clip(128 + (red - blue) // 2, 0, 255)]).astype(np.uint8)
    y, x = (np.abs(np.linspace(-1, 1, n)) * n / (n - 2 * edge) for n in (rows, columns))
    away = np.hypot(y[:, None], x[None])  # 1: on the ellipse within the box
    mask = np.where(np.maximum(y[:, None], x[None]) > 1, cv2.GC_BGD, cv2.GC_PR_BGD).astype(np.uint8)
    mask[away < 1] = cv2.GC_PR_FGD
    mask[away < CORE] = cv2.GC_FGD
    cv2.setRNGSeed(0)
    cv2.grabCut(seen, mask, (0, 0, 1, 1), np.zeros((1, 65)), np.zeros((1, 65)), ROUNDS, cv2.GC_INIT_WITH_MASK)
    found = ((mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD)).astype(np.uint8)
    parts = cv2.connectedComponents(found)[1]
    return (parts == parts[rows // 2, columns // 2]).astype(np.float32)


def _thumbnail(four: Image) -> Floats:
    """To tell by whether two are as good as the same."""
    small = cv2.resize(four[..., 3], (12, 12), interpolation=cv2.INTER_AREA).astype(np.float32)
    small -= small.mean()
    return np.asarray(small / (np.linalg.norm(small) + 1), np.float32)


def stand(sample: Sample, thermal: Image, stock: Sequence[Cutout], rng: np.random.Generator) -> Scene:
    """The sample, and its `thermal` picture as displayed, with some of `stock` in it; now and then as they are."""
    nobody = np.zeros((2, *thermal.shape), bool)
    scene = Scene(sample.rgb.copy(), thermal.copy(), sample.depth.copy(), *nobody)
    labels = [label for label in HEIGHT_M if any(c.label == label for c in stock)]
    if stock and rng.random() < SHARE:
        for foot in ground(sample, rng)[: int(rng.integers(1, MOST + 1))]:
            label = labels[int(rng.integers(len(labels)))]
            alike = [c for c in stock if c.label == label]
            _stand_at(scene, sample, alike[int(rng.integers(len(alike)))], foot, rng)
    return scene


def ground(sample: Sample, rng: np.random.Generator) -> NDArray[np.intp]:
    """Some pixels (row, column), N×2, in which the level ground is seen; as many near as far ones."""
    height, width = sample.depth.shape
    rows, columns = rng.integers(height, size=TRIED), rng.integers(width, size=TRIED)
    metres = sample.depth[rows, columns].astype(np.float64)
    ahead = _camera(sample).unproject(np.stack([columns, rows], axis=1)) * metres[:, None]
    level = ahead @ sample.base_from_rgb[2, :3] + sample.base_from_rgb[2, 3]
    found = np.flatnonzero(np.isfinite(metres) & (np.abs(level) < LEVEL[0] + LEVEL[1] * metres))
    if not len(found):
        return np.empty((0, 2), np.intp)
    steps = np.floor(2 * np.log2(metres[found]))
    chance = 1 / np.array([(steps == step).sum() for step in steps])
    found = rng.choice(found, size=MOST, p=chance / chance.sum())
    return np.stack([rows[found], columns[found]], axis=1)


def _stand_at(
    scene: Scene, sample: Sample, cutout: Cutout, foot: NDArray[np.intp], rng: np.random.Generator
) -> None:
    """Into the scene, if it fits there."""
    height, width = scene.thermal.shape
    row, column = (int(n) for n in foot)
    metres = float(scene.metres[row, column])
    own = cutout.four.shape[0] - 2 * cutout.edge
    tall = float(rng.uniform(*HEIGHT_M[cutout.label])) * _pixels_per_metre(sample, row, column, metres)
    if not LEAST <= tall <= min(LARGEST * height, ENLARGED * own):
        return
    four, inside = _sized(cutout, tall / own, rng)
    rows, columns = inside.shape
    top, left = row + round(tall * cutout.edge / own) - rows + 1, column - columns // 2
    part = np.s_[max(0, -top) : min(rows, height - top), max(0, -left) : min(columns, width - left)]
    where = np.s_[max(0, top) : min(height, top + rows), max(0, left) : min(width, left + columns)]
    behind = ~(scene.metres[where] < 0.97 * metres)
    if behind.mean() < 0.5:
        return
    clear = float(sample.transmission[row, column]) / 255
    light = clear * float(rng.uniform(*LIGHT))
    warmth = clear**SEEN_BY_HEAT * float(rng.uniform(*WARMTH))
    shown = inside[part] * behind
    around = shown < 0.1
    body = (inside[part] > 0.5) & behind
    seen_in = []
    if around.any():
        for name, place, layers, contrast, lit in (
            ("visible", scene.rgb[where], four[part][..., :3], light, True),
            ("thermal", scene.thermal[where][..., None], four[part][..., 3:], warmth, False),
        ):
            before = place.astype(np.float32)
            pasting.blend(place, layers, shown, around, contrast, lit=lit)
            if body.any() and float(np.abs(place - before)[body].mean()) > FAINT:
                seen_in.append(name)
    outline = cv2.dilate(inside, np.ones((3, 3)))[part] - cv2.erode(inside, np.ones((3, 3)))[part] > 0.5
    scene.unsure[where] = np.where(outline & behind, True, scene.unsure[where] & ~body)
    scene.metres[where] = np.where(body, np.float32(metres), scene.metres[where])
    edge = tall * cutout.edge / own
    box = (left + edge, top + edge, left + columns - edge, top + rows - edge)
    whole = np.zeros_like(scene.body)
    whole[where] = body
    scene.objects = [replace(o, score=0.0) if hidden(o.box, whole) else o for o in scene.objects]
    scene.objects.append(Labelled(cutout.label, box, 1.0, tuple(seen_in)))
    scene.body |= whole


def _sized(cutout: Cutout, scale: float, rng: np.random.Generator) -> tuple[Image, Floats]:
    """Its pictures and its soft silhouette, mirrored or not."""
    size = tuple(max(1, round(scale * n)) for n in cutout.four.shape[1::-1])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    four, inside = (cv2.resize(x, size, interpolation=how) for x in (cutout.four, cutout.inside))
    if rng.random() < 0.5:
        four, inside = four[:, ::-1], inside[:, ::-1]
    return np.ascontiguousarray(four, np.uint8), np.ascontiguousarray(inside, np.float32)


def _pixels_per_metre(sample: Sample, row: int, column: int, metres: float) -> float:
    """How tall a metre is that stands there; NaN where no lens shows it."""
    camera = _camera(sample)
    foot = metres * camera.unproject(np.array([[column, row]]))
    top = camera.project(foot + sample.base_from_rgb[2, :3])
    return float(row - top[0, 1])


def _camera(sample: Sample) -> CameraModel:
    height, width = sample.depth.shape
    return CameraModel(width, height, sample.k, np.array(sample.distortion))
