"""Train a depth network on one kind of picture: visible, infrared, or the fused one that runs online."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.models.checkpoint import (
    FusionNetwork,
    depth_tensors,
    load_depth,
    load_fusion,
    save_depth,
    shipped,
    weights_at,
)
from thermal_fusion_ros.models.depth import STRIDE, DepthNet, assemble, native_size
from thermal_fusion_ros.models.graph import FUSION_STRIDE
from thermal_fusion_ros.models.guidance import CODE_DIM
from thermal_fusion_ros.simulation.dataset import DatasetSpec, SimulatedDataset
from thermal_fusion_ros.training import distributed, loop
from thermal_fusion_ros.training.data import Floats, Image, Pair, load_pairs
from thermal_fusion_ros.training.depth_data import (
    SIZE,
    SMALL_SIZE,
    STORED_HEIGHT,
    STORED_WIDTH,
    DepthBatch,
    DepthSampler,
    RealPicture,
    SimulatedPictures,
    pack,
    shrink,
)
from thermal_fusion_ros.training.depth_loss import trust_in, weighted_mean
from thermal_fusion_ros.training.growing import take_up
from thermal_fusion_ros.training.prefetch import Prefetched
from thermal_fusion_ros.training.standing import cutouts

SPECTRA = ("visible", "infrared", "fused")
FAR = 4.5  # of log depth, canonical unit: about 100 m for a camera at 1.35 m
FARTHEST = 6.0  # nothing is said to be farther, the sky neither
UNSUREST = 1.0  # of log uncertainty
LARGE = 1.0  # of what a scale adds to the one before: bf16 has no digits to spare for +30 and then -30
FAR_OFF = 1.5  # log error from which on an estimate is drawn nearer by its logarithm alone
LIT_NIGHT = "night"
NIGHTS = (LIT_NIGHT, LIT_NIGHT, "day", "smoke")
UNLIT = ("night+unlit", "night+unlit+smoke")  # beside the usual conditions of the simulator
EDGE_SCALES = 6  # fine: sharp steps, flat surfaces; coarse: what stands upright is as far at its top as below
LEAST_STEADY = 0.02  # share of a picture that steadiness looks at once more


@dataclass(frozen=True)
class Settings(loop.LoopSettings):
    """Everything that shapes a run; stored with its result."""

    steps: int = 12_000
    batch: int = 8
    learning_rate: float = 1e-3
    muon: float = 0.02
    small_steps: int = (
        2_500  # first, 0.6 times the size, three times the batch: what a scene is, before its edges
    )
    spectrum: str = "fused"
    samples: int = 3_000  # rendered pictures
    obstacles: int = 4_500  # more of them, of other worlds, with boxes and drums where the rig drives
    facing: int = 1_000  # and more, right before one of these
    nights: int = 0  # and more, every second one a clear night with lamps, two of each world
    lit_nights: int = 1  # how many times as often as others a picture of a clear night with lamps is drawn
    per_world: int = 4  # of them from one world: fewer is more worlds
    worlds: tuple[str, ...] = ("street", "trail", "warehouse", "trail", "street", "corridor")  # in turn
    real: int = 2  # pictures of a batch that are real
    twice: int = (
        0  # the last so many of a batch are seen once more with a little other noise; the real ones are last
    )
    logarithm: float = 0.5
    relative: float = 1.0
    edges: float = 0.2
    sky: float = 0.3
    bounds: float = 0.1
    steady: float = 1.0
    labels: float = 0.6
    teacher: float = 0.3
    counted: int = 200  # batches on which normalisation is measured once more, with the averaged weights


DEFAULTS = {
    "visible": Settings(spectrum="visible"),
    "infrared": Settings(spectrum="infrared"),
    # It starts from the visible one, so it needs no small pictures.
    # It runs online in few digits, so it must not answer to what they lose.
    "fused": Settings(spectrum="fused", start="depth_visible", small_steps=0, batch=9, real=3, twice=4),
}


def train(
    data: Path, out: Path, settings: Settings, *, cache: Path, workers: int = 0, stop_at: int | None = None
) -> Path:
    """Train, resuming from ``out``; returns the path of the fp16 weights. `cache` keeps rendered pictures.

    `workers` processes render, and then as many threads make batches ahead of their steps: a GPU would wait for one.

    The fused network learns, on real pictures, from the visible and the infrared one, whichever is surer: both must be
    among the shipped weights. Raises :class:`InputError` when something is missing.
    """
    if settings.spectrum not in SPECTRA:
        raise InputError(f"spectrum {settings.spectrum!r}: one of {', '.join(SPECTRA)}")
    # Before hours of rendering; what processes can share they can also share threefold, see :func:`composition`.
    distributed.mine(settings.batch - settings.real, "--batch less --real")
    distributed.mine(settings.real, "--real")
    distributed.mine(settings.twice, "--twice")
    whole = load_pairs(data)
    stock = cutouts(whole)
    pairs = [shrink(pair, STORED_WIDTH) for pair in whole]
    specs = worlds_of(settings)
    samples = chain(*(SimulatedDataset(spec, cache).samples(workers) for spec in specs))
    fusion = load_fusion(shipped("cross_attention")).model if settings.spectrum == "fused" else None
    simulated = pack(
        samples,
        sum(spec.count for spec in specs),
        lambda rgb, thermal: picture(settings.spectrum, rgb, thermal, fusion),
        stock,
        settings.seed,
    )
    return train_on(
        simulated, real_pictures(pairs, settings.spectrum, fusion), out, settings, workers, stop_at
    )


def train_on(
    simulated: SimulatedPictures,
    real: list[RealPicture],
    out: Path,
    settings: Settings,
    workers: int = 0,
    stop_at: int | None = None,
) -> Path:
    """:func:`train` with pictures that are made already."""
    shares = [settings.lit_nights if name == LIT_NIGHT else 1 for name in simulated.conditions]
    sampler = DepthSampler(simulated.images, simulated.targets, real, settings.seed, shares)
    torch.manual_seed(settings.seed)
    model = DepthNet(channels=simulated.images.shape[3])
    if settings.start:
        take_up(model, depth_tensors(weights_at(settings.start)))
    model.to(distributed.device())
    path = out / f"depth_{settings.spectrum}.safetensors"

    def batch(step: int) -> DepthBatch:
        simulated, real, size = composition(step, settings)
        twice = len(distributed.mine(settings.twice))
        return sampler.batch(step, distributed.mine(simulated), distributed.mine(real), size, twice)

    batches = Prefetched(batch, settings.steps, workers)

    def terms(step: int) -> dict[str, Tensor]:
        return loss_terms(model, batches(step), settings)

    def save(average: nn.Module, step: int) -> None:
        save_depth(path, average, settings.spectrum, {"settings": asdict(settings), "step": step})

    loop.run(model, terms, save, out, settings, stop_at=stop_at)
    finished = stop_at is None or stop_at >= settings.steps
    if settings.counted and finished and distributed.rank() == 0:
        count_again(path, settings, sampler, workers)
    return path


def count_again(path: Path, settings: Settings, sampler: DepthSampler, workers: int = 0) -> None:
    """Measure batch normalisation of finished weights: that of the run was of its last few batches, and not of the
    averaged weights (Izmailov et al., Averaging Weights Leads to Wider Optima, UAI 2018).
    """
    model = load_depth(path).model.to(distributed.device())
    simulated, real, size = composition(settings.steps, settings)

    def batch(step: int) -> DepthBatch:
        return sampler.batch(step, range(simulated), range(real), size, settings.twice)

    batches = Prefetched(batch, settings.counted, workers)
    update_bn((batches(step).shown() for step in range(settings.counted)), model)
    save_depth(path, model.eval(), settings.spectrum, {"settings": asdict(settings), "step": settings.steps})


def worlds_of(settings: Settings) -> list[DatasetSpec]:
    """What is rendered for a run."""
    plain = DatasetSpec(
        count=settings.samples,
        width=STORED_WIDTH,
        height=STORED_HEIGHT,
        seed=settings.seed,
        per_world=settings.per_world,
        worlds=settings.worlds,
        conditions=(*DatasetSpec.conditions, *UNLIT),
    )
    found = [plain]
    cluttered = replace(plain, seed=settings.seed + 1, obstacles=True)
    if settings.obstacles:
        found.append(replace(cluttered, count=settings.obstacles))
    if settings.facing:
        found.append(replace(cluttered, count=settings.facing, seed=settings.seed + 2, facing=True))
    if settings.nights:
        found.append(
            replace(cluttered, count=settings.nights, seed=settings.seed + 3, per_world=2, conditions=NIGHTS)
        )
    return found


def composition(step: int, settings: Settings) -> tuple[int, int, tuple[int, int]]:
    """How many simulated and real pictures a step has, and of which size."""
    simulated, real = settings.batch - settings.real, settings.real
    if step < settings.small_steps:
        return 3 * simulated, 3 * real, SMALL_SIZE
    return simulated, real, SIZE


def picture(spectrum: str, rgb: Image, thermal: Image, fusion: FusionNetwork | None) -> Image:
    """What the network of `spectrum` reads, H×W×C uint8, of a registered pair H×W×3 and H×W; `fusion` makes `fused`."""
    if spectrum == "visible":
        return rgb
    if spectrum == "infrared":
        return thermal[..., None]
    assert fusion is not None
    return fuse(fusion, rgb, thermal)


def fuse(fusion: FusionNetwork, rgb: Image, thermal: Image, code: Tensor | None = None) -> Image:
    """H×W×3 and H×W, uint8 of any size -> the fused picture H×W×3, uint8, under a guidance code (1×64) or no text."""
    height, width = thermal.shape
    with torch.inference_mode(), distributed.autocast("cpu"):
        fused = fusion(
            as_input(rgb, FUSION_STRIDE),
            as_input(thermal[..., None], FUSION_STRIDE),
            torch.zeros(1, CODE_DIM) if code is None else code,
        )
    image: Image = (fused[0].float().permute(1, 2, 0) * 255 + 0.5).to(torch.uint8).numpy()
    return image[:height, :width]


def real_pictures(pairs: list[Pair], spectrum: str, fusion: FusionNetwork | None) -> list[RealPicture]:
    """Real pairs as the network of `spectrum` sees them, with the teachers' opinion for the fused one."""
    made = (picture(spectrum, p.rgb, p.thermal, fusion) for p in pairs)
    if spectrum != "fused":
        return [RealPicture(image, p.objects) for image, p in zip(made, pairs, strict=True)]
    teachers = [load_depth(shipped(f"depth_{name}")).model for name in ("visible", "infrared")]
    return [
        RealPicture(image, p.objects, surest(teachers, (p.rgb, p.thermal[..., None])), p.rgb)
        for image, p in zip(made, pairs, strict=True)
    ]


def surest(networks: list[DepthNet], images: tuple[Image, ...]) -> NDArray[np.float16]:
    """Log depth and log uncertainty 2×H×W, per pixel those of the network that is surer."""
    answers = [np.stack(predict(network, image)) for network, image in zip(networks, images, strict=True)]
    choice = np.argmin([a[1] for a in answers], axis=0)
    return np.choose(choice[None], answers).astype(np.float16)


@torch.inference_mode()
def predict(network: DepthNet, image: Image) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Log depth and log uncertainty, H×W, of a picture H×W×C uint8 of any size."""
    height, width = image.shape[:2]
    rows, columns = native_size(height, width)
    how = cv2.INTER_AREA if columns < width else cv2.INTER_LINEAR
    small = cv2.resize(image, (columns, rows), interpolation=how).reshape(rows, columns, -1)
    answer = network.eval()(as_input(small.astype(np.uint8, copy=False), STRIDE))
    log_depth, log_sigma = (cv2.resize(x[0, 0].float().numpy(), (width, height)) for x in answer)
    return np.asarray(log_depth, np.float32), np.asarray(log_sigma, np.float32)


def as_input(image: Image, stride: int) -> Tensor:
    """H×W×C uint8 as 1CHW in [0, 1], mirrored at the bottom and the right to multiples of `stride`."""
    height, width = image.shape[:2]
    padded = np.pad(image, ((0, -height % stride), (0, -width % stride), (0, 0)), mode="reflect")
    return torch.from_numpy(padded)[None].permute(0, 3, 1, 2).float() / 255


def loss_terms(model: DepthNet, batch: DepthBatch, settings: Settings) -> dict[str, Tensor]:
    """Every weighted term of the loss of one batch."""
    shown = batch.shown().to(memory_format=torch.channels_last)
    with distributed.autocast():
        scales = model.scales(shown)
    scales = [scale.float() for scale in scales]
    log_depth, log_sigma = assemble(scales)
    terms: dict[str, Tensor] = {}
    if batch.again:
        log_depth, once_more = log_depth[: -batch.again], log_depth[-batch.again :]
        log_sigma = log_sigma[: -batch.again]
        terms["steady"] = settings.steady * unsteadiness(log_depth[-batch.again :], once_more)
    target = distributed.tensor(batch.target)
    count = len(target)
    terms |= simulated_terms(log_depth[:count], log_sigma[:count].clamp(-5, UNSUREST), target, settings)
    terms["bounds"] = settings.bounds * beyond_bounds(scales, log_depth, log_sigma)
    terms["labels"] = settings.labels * label_loss(log_depth, batch.boxes)
    if batch.teacher is not None:
        opinion = distributed.tensor(batch.teacher)
        weight = trust_in(opinion[:, 1:])
        difference = log_depth[count:] - opinion[:, :1]
        difference = difference - weighted_mean(difference, weight)  # believed up to a factor
        terms["teacher"] = settings.teacher * (difference.abs() * weight).mean()
    return terms


def simulated_terms(
    log_depth: Tensor, log_sigma: Tensor, target: Tensor, settings: Settings
) -> dict[str, Tensor]:
    """Terms of pictures with exact depth, all S1HW (NaN: not known): absolute error of the logarithm and of depth
    itself, likelihood, edges, sky.

    Where a pixel may be a leaf or what is far behind it, the relative error asks for the nearer of the two: to run into
    a leaf that was said to be far is worse than the other way round.
    """
    known = torch.isfinite(target)
    safe = torch.where(known, target, torch.zeros_like(target))
    weight = known.float()
    total = weight.sum().clamp_min(1)
    error = (log_depth - safe) * weight
    relative = torch.expm1(error.clamp(max=FAR_OFF)).abs() * weight
    absolute = error.abs()
    likelihood = (absolute.detach() * torch.exp(-log_sigma) + log_sigma) * weight
    edges = torch.zeros((), device=error.device)
    for _ in range(EDGE_SCALES):  # differences of neighbours, 1, 2, 4, ... 32 pixels apart
        for axis in (2, 3):
            both = weight.narrow(axis, 1, weight.shape[axis] - 1) * weight.narrow(
                axis, 0, weight.shape[axis] - 1
            )
            edges = edges + (torch.diff(error, dim=axis).abs() * both).sum() / both.sum().clamp_min(1)
        error, weight = error[..., ::2, ::2], weight[..., ::2, ::2]
    beyond = torch.relu(FAR - log_depth) * torch.isposinf(target).float()
    return {
        "logarithm": settings.logarithm * absolute.sum() / total,
        "relative": settings.relative * relative.sum() / total,
        "likelihood": 0.3 * likelihood.sum() / total,
        "edges": settings.edges * edges,
        "sky": settings.sky * beyond.mean(),
    }


def beyond_bounds(scales: list[Tensor], log_depth: Tensor, log_sigma: Tensor) -> Tensor:
    """How far estimates, and what each scale adds to them, are larger than there is any need for."""
    excess = [torch.relu(scale.abs() - LARGE).mean() for scale in scales[1:]]
    excess += [torch.relu(log_depth - FARTHEST).mean(), torch.relu(log_sigma - UNSUREST).mean()]
    return torch.stack(excess).sum()


def unsteadiness(first: Tensor, second: Tensor) -> Tensor:
    """How far two estimates of the same pictures are apart, B1HW each; where they are farthest apart counts more."""
    apart = (first - second).abs().flatten(1)
    farthest = apart.topk(max(1, int(LEAST_STEADY * apart.shape[1])), dim=1).values
    return apart.mean() + 0.3 * farthest.mean()


def label_loss(log_depth: Tensor, boxes: tuple[tuple[float, ...], ...]) -> Tensor:
    """What labelled objects of known height say: the ratios of their distances, the ground at their feet, and that
    what is seen above their heads is behind them.
    """
    if not boxes:
        return torch.zeros((), device=log_depth.device)
    index, x0, y0, x1, y1, metres = np.array(boxes, np.float32).T
    width, height = x1 - x0, y1 - y0
    pictures = log_depth[torch.from_numpy(index.astype(np.int64)), 0]
    own = _means(pictures, x0 + 0.3 * width, y0 + 0.2 * height, x1 - 0.3 * width, y1 - 0.2 * height)
    feet = _means(pictures, x0, y1 + 0.01 * height, x1, y1 + 0.06 * height + 1)
    above = _means(pictures, x0, y0 - 0.15 * height - 1, x1, y0 - 0.05 * height)
    losses = [0.5 * (feet - own).abs(), 0.5 * torch.relu(own - above)]
    # depth = metres * f / height: the same unknown factor for all objects of a picture
    scaled = own - distributed.tensor(np.log(metres / height))
    together = np.flatnonzero(np.diff(index) == 0)  # with the next one, in the same picture
    losses.append((scaled[together] - scaled[together + 1]).abs())
    return torch.cat(losses).mean()


def _means(pictures: Tensor, x0: Floats, y0: Floats, x1: Floats, y1: Floats) -> Tensor:
    """Mean of each of the pictures N×H×W over its own rectangle, N."""
    height, width = pictures.shape[1:]
    left, top = (np.clip(edge.astype(np.int64), 0, most - 1) for edge, most in ((x0, width), (y0, height)))
    right = np.clip(x1.astype(np.int64) + 1, left + 1, width)
    bottom = np.clip(y1.astype(np.int64) + 1, top + 1, height)
    columns, rows = np.arange(width), np.arange(height)
    across = (columns >= left[:, None]) & (columns < right[:, None])
    down = (rows >= top[:, None]) & (rows < bottom[:, None])
    shares = ((inside / inside.sum(1, keepdims=True)).astype(np.float32) for inside in (down, across))
    weights = (distributed.tensor(share) for share in shares)
    return torch.einsum("nhw,nh,nw->n", pictures, *weights)
