"""Training data for depth: simulated pictures with exact depth, real ones with what their labels say about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thermal_fusion_ros.config import ThermalConfig
from thermal_fusion_ros.frames import ThermalFrame, ThermalKind
from thermal_fusion_ros.models.depth import NATIVE_WIDTH
from thermal_fusion_ros.sensing.thermal import ThermalProcessor
from thermal_fusion_ros.simulation.dataset import Sample
from thermal_fusion_ros.training import distributed, standing
from thermal_fusion_ros.training.data import Floats, Image, Labelled, Pair, resized
from thermal_fusion_ros.training.exposure import a_little_noise, exposed
from thermal_fusion_ros.training.standing import Cutout

SKY, UNKNOWN = np.float16(np.inf), np.float16(np.nan)
SIZE = (240, NATIVE_WIDTH)  # height and width of a training picture; (H, W) below
SMALL_SIZE = (144, 192)  # of the first ones
STORED_WIDTH, STORED_HEIGHT = 400, 300  # of the pictures that windows are cut from
HEIGHT_M = {"person": 1.7, "car": 1.5, "truck": 3.0, "bus": 3.0, "bicycle": 1.6, "motorcycle": 1.5}
NARROWEST = 0.72  # crop width, share of the picture's
NARROWEST_REAL = 0.5  # there are few of them


@dataclass(frozen=True)
class SimulatedPictures:
    """N pictures as arrays: `images` N×H×W×C uint8, `targets` N×H×W float16, see :func:`target`; NaN where nothing is
    known. `conditions` of each, as the simulator names them.
    """

    images: Image
    targets: NDArray[np.float16]
    conditions: tuple[str, ...]


def target(sample: Sample, metres: Floats | None = None) -> NDArray[np.float16]:
    """What :class:`thermal_fusion_ros.models.depth.DepthNet` is to predict, H×W, of the sample's depth or of another;
    infinite where there is only sky.
    """
    metres = sample.depth if metres is None else metres
    unit = unit_m(sample)
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(metres), np.log(metres / unit), SKY).astype(np.float16)


def unit_m(sample: Sample) -> float:
    """Metres of what the networks count depth in, see :mod:`thermal_fusion_ros.models.depth`."""
    return float(sample.camera_height_m * sample.k[0, 0] / sample.rgb.shape[1])


def display(counts: NDArray[np.uint16], config: ThermalConfig | None = None) -> Image:
    """Raw counts H×W as the picture that the pipeline would show, H×W uint8."""
    view = ThermalProcessor(config or ThermalConfig())(ThermalFrame(0, counts, ThermalKind.COUNTS))
    return view.display


def pack(
    samples: Iterable[Sample],
    count: int,
    picture: Callable[[Image, Image], Image],
    stock: Sequence[Cutout] = (),
    seed: int = 0,
) -> SimulatedPictures:
    """`count` samples of registered datasets of one size as arrays, with some of `stock` stood in them.

    `picture` makes of a pair, H×W×3 and H×W, what is to be looked at, H×W×C. There are gigabytes of them: each goes
    into its place at once, and no sample is kept.
    """
    images, targets = np.empty(0, np.uint8), np.empty(0, np.float16)
    conditions = []
    for k, s in enumerate(samples):
        scene = standing.stand(s, display(s.counts), stock, np.random.default_rng((seed, 6, k)))
        image = picture(scene.rgb, scene.thermal)
        if k == 0:
            images = np.empty((count, *image.shape), np.uint8)
            targets = np.empty((count, *image.shape[:2]), np.float16)
        images[k], targets[k] = image, np.where(scene.unsure, UNKNOWN, target(s, scene.metres))
        conditions.append(str(s.facts["condition"]))
    return SimulatedPictures(images, targets, tuple(conditions))


@dataclass(frozen=True)
class DepthBatch:
    """`image` B×C×H×W uint8. The first `len(target)` are simulated: `target` S×1×H×W, infinite: sky, NaN: unknown.

    `boxes`: of real pictures, (index in the batch, x0, y0, x1, y1, metres of height), pixels. `teacher` R×2×H×W:
    log depth and log uncertainty that other networks give for the real pictures, or None. `seed` of what a camera makes
    of them; the last `again` are seen once more, with a little other noise.
    """

    image: Image
    target: Floats
    boxes: tuple[tuple[float, ...], ...]
    teacher: Floats | None
    seed: tuple[int, ...]
    again: int = 0

    def shown(self) -> Tensor:
        """(B + again)×C×H×W in [0, 1], on the device that trains: each picture exposed in its own way."""
        rng = np.random.default_rng(self.seed)
        pictures = exposed(distributed.tensor(self.image), rng)
        return torch.cat([pictures, a_little_noise(pictures[len(pictures) - self.again :], rng)])


@dataclass(frozen=True)
class RealPicture:
    """`image` H×W×C uint8, labelled objects, and `teacher` 2×H×W float16 (log depth, log uncertainty) or None.

    `other`: another picture of the same view and shape, or None; half of the time a mixture of both is shown.
    """

    image: Image
    objects: tuple[Labelled, ...]
    teacher: NDArray[np.float16] | None = None
    other: Image | None = None


def shrink(pair: Pair, width: int) -> Pair:
    """The pair at another width; the same ratio."""
    scale = width / pair.thermal.shape[1]
    rgb, thermal = (resized(image, scale) for image in (pair.rgb, pair.thermal))
    objects = (replace(o, box=tuple(edge * scale for edge in o.box)) for o in pair.objects)  # type: ignore[arg-type]
    return Pair(pair.name, rgb, thermal, tuple(objects))


class DepthSampler:
    """Batches that depend on (seed, step) alone; any process can make its own part of one."""

    def __init__(
        self,
        images: Image,
        targets: NDArray[np.float16],
        real: list[RealPicture],
        seed: int,
        shares: Sequence[int] | int = 1,
    ) -> None:
        """`images` N×H×W×C and `targets` N×H×W of the simulator; `real` pictures of about the same width.

        `shares`: how many times as often as one of share 1 each of `images` is drawn; one number: all alike.
        """
        self.images, self.targets, self.real, self.seed = images, targets, real, seed
        self.lots = np.repeat(np.arange(len(images)), shares)

    def batch(
        self, step: int, simulated: range, real: range, size: tuple[int, int] = SIZE, twice: int = 0
    ) -> DepthBatch:
        """These items of the batch of training step `step`, of `size` (height, width), the last of them `twice`."""
        rendered = [self._simulated(step, k, size) for k in simulated]
        taken = [self._real(step, k, size) for k in real]
        pictures = [item[0] for item in rendered] + [item[0] for item in taken]
        boxes = [(k, *box) for k, item in enumerate(taken, len(rendered)) for box in item[1]]
        teachers = [item[2] for item in taken if item[2] is not None]
        return DepthBatch(
            np.ascontiguousarray(np.stack(pictures).transpose(0, 3, 1, 2)),
            np.array([item[1] for item in rendered], np.float32).reshape(-1, 1, *size),
            tuple(boxes),
            np.stack(teachers).astype(np.float32) if teachers else None,
            (self.seed, step, 3, *simulated[:1], *real[:1]),
            twice,
        )

    def _simulated(self, step: int, item: int, size: tuple[int, int]) -> tuple[Floats, Floats]:
        """A window of a simulated picture, and what is to be predicted there."""
        rng = np.random.default_rng((self.seed, step, item, 2))
        index = int(self.lots[rng.integers(len(self.lots))])
        window = random_window(self.images.shape[1:3], rng)
        flip = rng.random() < 0.5
        depth = cut(self.targets[index].astype(np.float32), window, flip, cv2.INTER_NEAREST, size)
        picture = cut(self.images[index], window, flip, cv2.INTER_AREA, size)
        return picture, depth + np.log(window[2] / self.images.shape[2])

    def _real(
        self, step: int, item: int, size: tuple[int, int]
    ) -> tuple[Floats, list[tuple[float, ...]], Floats | None]:
        """A window of a real picture, its boxes, and its teacher's opinion."""
        rng = np.random.default_rng((self.seed, step, item, 4))
        picture = self.real[int(rng.integers(len(self.real)))]
        window = random_window(picture.image.shape[:2], rng, NARROWEST_REAL)
        flip = rng.random() < 0.5
        image = cut(mixture(picture, rng), window, flip, cv2.INTER_AREA, size)
        boxes = _boxes(picture.objects, window, flip, size)
        if picture.teacher is None:
            return image, boxes, None
        shift = np.log(window[2] / picture.image.shape[1])
        log_depth, log_sigma = (
            cut(layer.astype(np.float32), window, flip, cv2.INTER_LINEAR, size) for layer in picture.teacher
        )
        return image, boxes, np.stack([log_depth + shift, log_sigma])


def mixture(picture: RealPicture, rng: np.random.Generator) -> Image:
    """Its image, half of the time mixed with the other."""
    if picture.other is None or rng.random() < 0.5:
        return picture.image
    share = float(rng.random())
    return np.asarray(cv2.addWeighted(picture.image, share, picture.other, 1 - share, 0), np.uint8)


def random_window(
    shape: tuple[int, ...],
    rng: np.random.Generator,
    narrowest: float = NARROWEST,
    size: tuple[int, int] = SIZE,
) -> tuple[int, int, int, int]:
    """x, y, width, height of a random crop of the ratio of `size`; `narrowest`: least share of the picture's width."""
    height, width = shape[:2]
    widest = min(width, int(height * size[1] / size[0]))
    across = int(widest * rng.uniform(narrowest, 1.0))
    down = int(across * size[0] / size[1])
    return int(rng.integers(width - across + 1)), int(rng.integers(height - down + 1)), across, down


def cut(
    image: NDArray[np.generic], window: tuple[int, int, int, int], flip: bool, how: int, size: tuple[int, int]
) -> Floats:
    """A window (x, y, width, height) of a picture at `size`, mirrored or not; `how`: OpenCV's interpolation."""
    x, y, across, down = window
    part = np.ascontiguousarray(image[y : y + down, x : x + across])
    part = cv2.resize(part, size[::-1], interpolation=how).reshape(*size, *image.shape[2:])
    return part[:, ::-1] if flip else part


def _boxes(
    objects: tuple[Labelled, ...], window: tuple[int, int, int, int], flip: bool, size: tuple[int, int]
) -> list[tuple[float, ...]]:
    """Objects of known height that are wholly inside the crop, x0 y0 x1 y1 metres."""
    x, y, across, _ = window
    height, width = size
    scale = width / across
    found: list[tuple[float, ...]] = []
    for o in objects:
        x0, y0, x1, y1 = ((edge - origin) * scale for edge, origin in zip(o.box, (x, y, x, y), strict=True))
        inside = x0 > 1 and y0 > 1 and x1 < width - 1 and y1 < height - 1
        if o.label in HEIGHT_M and inside and y1 - y0 > height / 32:
            if flip:
                x0, x1 = width - x1, width - x0
            found.append((x0, y0, x1, y1, HEIGHT_M[o.label]))
    return found
