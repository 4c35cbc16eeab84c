"""Train the cross-attention fusion network on registered pairs; self-supervised, text from labelled objects."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from thermal_fusion_ros.language.vocabulary import load_nouns
from thermal_fusion_ros.models.checkpoint import save_fusion
from thermal_fusion_ros.models.colour import to_luma_chroma
from thermal_fusion_ros.models.cross_attention import CrossAttentionFusion
from thermal_fusion_ros.training import loop
from thermal_fusion_ros.training.data import Batch, PairSampler, load_pairs
from thermal_fusion_ros.training.losses import (
    difference_correlation,
    gradients,
    ssim,
    strongest_gradient,
    visual_information,
)


@dataclass(frozen=True)
class Settings(loop.LoopSettings):
    """Everything that shapes a run; stored with its result."""

    steps: int = 5_000
    batch: int = 6
    crop: int = 192
    learning_rate: float = 1.5e-3
    intensity: float = 1.0
    gradient: float = 6.0
    structure: float = 0.5
    information: float = 0.4
    difference: float = 0.08
    colour: float = 2.0
    keep_colour: float = 0.5
    keep_ground: float = 0.85
    text: bool = True  # False: the same network that never hears any, to know what listening costs
    text_gain: float = 0.8  # how much of an object's thermal contrast its name adds
    relevance: float = 0.5
    overshoot: float = 4.0


def loss_terms(model: CrossAttentionFusion, batch: Batch, settings: Settings) -> dict[str, Tensor]:
    """Every weighted term of the loss of one batch."""
    rgb, thermal, text, boost, emphasis, named = (torch.from_numpy(x) for x in vars(batch).values())
    code = model.guidance.project(text)
    layout = torch.channels_last
    with torch.autocast("cpu", torch.bfloat16):
        fused_rgb, relevance, _ = model.fuse(
            rgb.to(memory_format=layout), thermal.to(memory_format=layout), code
        )
    fused_rgb = fused_rgb.float()
    luma, chroma = to_luma_chroma(rgb)
    fused, fused_chroma = to_luma_chroma(fused_rgb)
    boost = settings.text_gain * boost
    said = (text.abs().sum(1) > 0).float()[:, None, None, None]
    # The brighter source wins, but by daylight what is colourful keeps half of its own brightness (a red car under a
    # hot sun would otherwise turn white), and wide warm ground most of it (a road would).
    lit = torch.sigmoid((_level(luma, 16) - 0.35) / 0.05)
    colourful = (chroma.norm(dim=1, keepdim=True) / 0.12).clamp_max(1)
    ground = torch.sigmoid((_level(thermal, 48) - 0.55) / 0.05) * (1 - emphasis)
    keep = lit * torch.maximum(settings.keep_colour * colourful, settings.keep_ground * ground)
    target = torch.lerp(torch.maximum(luma, thermal), luma, keep)
    target = (target + boost).clamp(0, 1)
    target_gradient = strongest_gradient(luma, thermal) + gradients(boost)
    weight = 1 + 2 * emphasis + 4 * (boost != 0) + 3 * keep
    # Where luma changes, colour keeps its saturation, within reason.
    ratio = (fused.detach() / (luma + 0.05)).clamp(0.8, 1.25)
    # Structure is judged against what the text leaves alone.
    plain = fused - boost
    return {
        "intensity": settings.intensity * ((fused - target).abs() * weight).mean(),
        "gradient": settings.gradient * ((gradients(fused) - target_gradient).abs() * weight).mean(),
        "structure": settings.structure * (2 - ssim(plain, luma) - ssim(plain, thermal)).mean(),
        "information": settings.information
        * (2 - visual_information(luma, plain) - visual_information(thermal, plain)).mean(),
        "difference": settings.difference * (2 - difference_correlation(plain, luma, thermal)).mean(),
        "colour": settings.colour * (fused_chroma - chroma * ratio).abs().mean(),
        "relevance": settings.relevance
        * (
            F.binary_cross_entropy_with_logits(relevance.float(), F.avg_pool2d(named, 8), reduction="none")
            * said
        ).mean(),
        # Never much brighter than both sources: structure terms alone would burn warm ground out.
        "overshoot": settings.overshoot * F.relu(plain - torch.maximum(luma, thermal) - 0.03).mean(),
        "range": (F.relu(fused_rgb - 1) + F.relu(-fused_rgb)).mean(),
    }


def _level(image: Tensor, window: int) -> Tensor:
    """Brightness of the surroundings of every pixel, B1HW."""
    return F.interpolate(F.avg_pool2d(image, window), size=image.shape[-2:], mode="bilinear")


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

    Raises :class:`InputError` when `data` is not what data/README.md describes, or `out` holds another run.
    """
    names, raw = load_nouns(data / "clip_text")
    vectors, mean = centred(raw)
    sampler = PairSampler(load_pairs(data), (names, vectors), settings.crop, settings.seed)
    torch.manual_seed(settings.seed)
    model = CrossAttentionFusion()
    model.guidance.mean.copy_(torch.from_numpy(mean))
    weights = out / "cross_attention.safetensors"

    def terms(step: int) -> dict[str, Tensor]:
        batch = sampler.batch(step, settings.batch)
        return loss_terms(model, batch if settings.text else batch.without_text(), settings)

    def save(average: nn.Module, step: int) -> None:
        assert isinstance(average, CrossAttentionFusion)
        save_fusion(weights, average, names, vectors, {"settings": asdict(settings), "step": step})

    loop.run(model, terms, save, out, settings, stop_at=stop_at, checkpoint_every=checkpoint_every)
    return weights
