"""Train the fusion head on a frozen diffusion model, judged by the picture and by the depth that is seen in it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.language.vocabulary import load_nouns
from thermal_fusion_ros.models.checkpoint import (
    load_denoiser,
    load_depth,
    load_fusion,
    save_fusion,
    shipped,
    weights_at,
)
from thermal_fusion_ros.models.diffusion import LEVELS
from thermal_fusion_ros.models.diffusion_fusion import NOISE_LEVELS, DiffusionFusion
from thermal_fusion_ros.models.guidance import CLIP_DIM
from thermal_fusion_ros.simulation.dataset import SimulatedDataset
from thermal_fusion_ros.training import distributed, loop, whole_pictures
from thermal_fusion_ros.training.data import PairSampler, load_pairs
from thermal_fusion_ros.training.depth_loss import DepthJudge
from thermal_fusion_ros.training.fusion_loss import LossSettings, Tensors, fuse, loss_terms, picture_terms
from thermal_fusion_ros.training.stages import depth
from thermal_fusion_ros.training.stages.fusion import centred, load_teacher
from thermal_fusion_ros.training.whole_pictures import WholeBatch, WholeSampler


@dataclass(frozen=True)
class Settings(LossSettings):
    """Everything that shapes a run; stored with its result."""

    steps: int = 1_500
    batch: int = 4  # crops
    crop: int = 192
    learning_rate: float = 1.5e-3
    muon: float = 0.02
    ema: float = 0.995
    difference: float = 0.23
    steepness: float = 1.075  # of edges, against the steeper source's
    text: bool = True
    levels: tuple[int, ...] = NOISE_LEVELS
    whole: int = 2  # whole pictures in a batch, with a reference depth
    whole_weight: float = 0.3  # of their fusion terms
    depth: float = 0.0  # of the depth-driven loss; models/weights/diffusion.md says what it costs and brings
    samples: int = 3_000  # rendered pictures, those that the depth networks were trained on
    real: int = 120  # real pairs that have a reference depth


def train(
    data: Path,
    out: Path,
    settings: Settings,
    *,
    diffusion: Path,
    cache: Path,
    workers: int = 0,
    stop_at: int | None = None,
    checkpoint_every: int = 250,
) -> Path:
    """Train, resuming from ``out``; returns the path of the fp16 weights, the diffusion model's among them.

    `diffusion`: weights of the stage of that name, or of this one; `cache` keeps rendered pictures. The visible and the
    infrared depth network must be among the shipped weights.

    Raises :class:`InputError` when something is missing, `out` holds another run, or processes can't share a batch.
    """
    wrong = [level for level in settings.levels if not 0 <= level < LEVELS]
    if wrong or not settings.levels:
        raise InputError(
            f"--levels {' '.join(map(str, settings.levels))}: noise levels from 0 to {LEVELS - 1}"
        )
    distributed.mine(settings.batch)  # before anything is rendered
    distributed.mine(settings.whole, "--whole")
    names, raw = load_nouns(data / "clip_text")
    vectors, mean = centred(raw)
    pairs = load_pairs(data)
    sampler = PairSampler(pairs, (names, vectors), settings.crop, settings.seed)
    networks = [load_depth(shipped(f"depth_{spectrum}")).model for spectrum in ("visible", "infrared")]
    judged = replace(
        depth.DEFAULTS["visible"], samples=settings.samples, obstacles=0, facing=0, seed=settings.seed
    )
    worlds = depth.worlds_of(judged) if settings.samples else []
    wholes = WholeSampler(
        [
            whole_pictures.simulated(sample)
            for spec in worlds
            for sample in SimulatedDataset(spec, cache).samples(workers)
            if sample.facts["time"] == "night"  # when fusion is for something
        ],
        [whole_pictures.real(pair, networks) for pair in pairs[:: -(-len(pairs) // settings.real)]],
        settings.seed,
    )
    judge = DepthJudge(*networks)
    torch.manual_seed(settings.seed)
    model = DiffusionFusion(settings.levels)
    model.denoiser.load_state_dict(load_denoiser(diffusion).state_dict())
    model.guidance.mean.copy_(torch.from_numpy(mean))
    if settings.start:
        model.load_state_dict(load_fusion(weights_at(settings.start)).model.state_dict())
    model.to(distributed.device())
    teacher = load_teacher(settings)
    path = out / "diffusion.safetensors"

    def terms(step: int) -> dict[str, Tensor]:
        batch = sampler.batch(step, settings.batch).part(distributed.mine(settings.batch))
        batch = batch if settings.text else batch.without_text()
        found = loss_terms(model, batch, settings, teacher, channels=True, steepness=settings.steepness)
        if settings.whole:
            whole = wholes.batch(step, settings.whole, distributed.mine(settings.whole))
            found |= whole_terms(model, judge, whole, settings)
        return found

    def save(average: nn.Module, step: int) -> None:
        assert isinstance(average, DiffusionFusion)
        save_fusion(path, average, names, vectors, {"settings": asdict(settings), "step": step})

    loop.run(model, terms, save, out, settings, stop_at=stop_at, checkpoint_every=checkpoint_every)
    return path


def whole_terms(
    model: DiffusionFusion, judge: DepthJudge, batch: WholeBatch, settings: Settings
) -> dict[str, Tensor]:
    """Weighted terms of whole pictures: how they look, and what is seen in them of depth."""
    rgb, thermal, reference, trust, exact = (distributed.tensor(x) for x in vars(batch).values())
    nothing = torch.zeros_like(thermal)
    silent = torch.zeros((len(rgb), CLIP_DIM), device=rgb.device)
    tensors = Tensors(rgb, thermal, silent, nothing, nothing, nothing)
    fused, relevance = fuse(model, tensors)
    looks = picture_terms(fused, relevance, tensors, settings, channels=True, steepness=settings.steepness)
    terms = {"whole": settings.whole_weight * sum(looks.values(), torch.zeros((), device=rgb.device))}
    if settings.depth:
        terms["depth"] = settings.depth * judge(fused, reference, trust, exact)
    return terms
