"""Train the cross-attention fusion network on registered pairs; self-supervised, text from labelled objects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.language.vocabulary import load_nouns
from thermal_fusion_ros.models.checkpoint import FusionNetwork, load_fusion, save_fusion, weights_at
from thermal_fusion_ros.models.cross_attention import SEEN, CrossAttentionFusion
from thermal_fusion_ros.training import distributed, loop
from thermal_fusion_ros.training.data import Floats, PairSampler, load_frames, load_pairs
from thermal_fusion_ros.training.fusion_loss import LossSettings, loss_terms, on_device
from thermal_fusion_ros.training.hearing import HearingSettings, Phrases, hearing_terms

# Parts of the network by the names of their parameters; "picture" is the rest. What is "seen" other heads share, and
# "text" does nothing where nothing is said: each can be trained without touching what the others do.
PARTS = {
    "seen": SEEN,
    "text": ("guidance.", "film16.", "up8.film.", "up4.film.", "up2.film.", "relevance."),
}

EVERY = 4  # of the frames of a clip
Objective = Callable[[int], distributed.Terms]  # the terms of the loss, at a step


@dataclass(frozen=True)
class Settings(HearingSettings):
    """Everything that shapes a run; stored with its result."""

    steps: int = 5_000
    batch: int = 6
    crop: int = 192
    learning_rate: float = 1.5e-3
    text: bool = True  # False: the same network that never hears any, to know what listening costs
    learns: str = "all"  # or one of PARTS or "picture", the others staying as they are


def load_teacher(settings: LossSettings) -> FusionNetwork | None:
    """The network whose pictures are learnt from, if any."""
    if not settings.teacher:
        return None
    return load_fusion(weights_at(settings.teacher)).model.to(distributed.device())


def learns_alone(model: nn.Module, part: str) -> None:
    """Let no parameter but those of one of :data:`PARTS`, or of the rest ("picture"), be trained."""
    if part not in (*PARTS, "picture"):
        raise InputError(f"--learns {part}: all, picture, {', '.join(PARTS)}")
    for name, parameter in model.named_parameters():
        its = next((p for p, names in PARTS.items() if name.startswith(names)), "picture")
        parameter.requires_grad_(its == part)


def centred(raw: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Raw CLIP vectors (N×512) -> centred unit vectors and the mean that was taken out."""
    unit = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    mean = unit.mean(0)
    rest = unit - mean
    return (rest / np.linalg.norm(rest, axis=1, keepdims=True)).astype(np.float32), mean.astype(np.float32)


def train(
    data: Path, out: Path, settings: Settings, *, stop_at: int | None = None, checkpoint_every: int = 500
) -> Path:
    """Train, resuming from ``out`` if a run was left there; returns the path of the fp16 weights.

    `stop_at` ends the run early, at that step of the same learning-rate schedule; it can be taken up again.

    Raises :class:`InputError` when `data` is not what data/README.md describes, `out` holds another run, or processes
    can't share a batch.
    """
    distributed.mine(settings.batch)  # before anything is read
    if settings.heard:
        distributed.mine(settings.frames, "--frames")
    names, raw = load_nouns(data / "clip_text")
    vectors, mean = centred(raw)
    nouns = (names, vectors)
    sampler = PairSampler(load_pairs(data), nouns, settings.crop, settings.seed)
    torch.manual_seed(settings.seed)
    model = CrossAttentionFusion()
    model.guidance.mean.copy_(torch.from_numpy(mean))
    if settings.start:
        model.load_state_dict(load_fusion(weights_at(settings.start)).model.state_dict())
    if settings.learns != "all":
        learns_alone(model, settings.learns)
    model.to(distributed.device())
    teacher = load_teacher(settings)
    weights = out / "cross_attention.safetensors"

    def of_pictures(step: int) -> dict[str, Tensor]:
        batch = sampler.batch(step, settings.batch).part(distributed.mine(settings.batch))
        return loss_terms(model, batch if settings.text else batch.without_text(), settings, teacher)

    terms: Objective = of_pictures
    if settings.heard:
        terms = _hearing(model, teacher, data, sampler, nouns, settings)

    def save(average: nn.Module, step: int) -> None:
        assert isinstance(average, CrossAttentionFusion)
        save_fusion(weights, average, names, vectors, {"settings": asdict(settings), "step": step})

    loop.run(model, terms, save, out, settings, stop_at=stop_at, checkpoint_every=checkpoint_every)
    return weights


def _hearing(
    model: CrossAttentionFusion,
    teacher: FusionNetwork | None,
    data: Path,
    sampler: PairSampler,
    nouns: tuple[list[str], Floats],
    settings: Settings,
) -> Objective:
    """The terms of a step, where text is learned from a teacher's; `model` then reads the teacher's codes."""
    if not isinstance(teacher, CrossAttentionFusion) or settings.learns != "text":
        raise InputError("--heard: needs --learns text and, as --teacher, weights of cross_attention")
    model.guidance.load_state_dict(teacher.guidance.state_dict())
    model.guidance.requires_grad_(False)
    clips = PairSampler(load_frames(data, EVERY), nouns, settings.crop, settings.seed + 1)
    if not clips.pairs and settings.frames:
        raise InputError(f"{data}/video: no clips in it; --frames 0 goes without")
    phrases = Phrases(*nouns, settings.seed)

    def terms(step: int) -> dict[str, Tensor]:
        labelled = sampler.batch(step, settings.batch).part(distributed.mine(settings.batch))
        frames = labelled.part(range(0))
        if settings.frames:
            frames = clips.batch(step, settings.frames).part(distributed.mine(settings.frames))
        said = distributed.tensor(phrases(step, settings.phrases, len(labelled.rgb) + len(frames.rgb)))
        return hearing_terms(model, teacher, on_device(labelled), on_device(frames), said, settings)

    return terms
