"""Train the cross-attention fusion network on registered pairs; self-supervised, text from labelled objects."""

from __future__ import annotations

import copy
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.language.vocabulary import load_nouns
from thermal_fusion_ros.models.checkpoint import save_fusion
from thermal_fusion_ros.models.colour import to_luma_chroma
from thermal_fusion_ros.models.cross_attention import CrossAttentionFusion
from thermal_fusion_ros.training.data import Batch, PairSampler, load_pairs
from thermal_fusion_ros.training.losses import (
    difference_correlation,
    gradients,
    ssim,
    strongest_gradient,
    visual_information,
)

STATE = "state.pt"


@dataclass(frozen=True)
class Settings:
    """Everything that shapes a run; stored with its result."""

    steps: int = 8_000
    batch: int = 6
    crop: int = 192
    learning_rate: float = 1.5e-3
    seed: int = 0
    intensity: float = 1.0
    gradient: float = 6.0
    structure: float = 0.5
    information: float = 0.4
    difference: float = 0.08
    colour: float = 2.0
    keep_colour: float = 0.5
    text_gain: float = 0.8  # how much of an object's thermal contrast its name adds
    ema: float = 0.999


def loss_terms(model: CrossAttentionFusion, batch: Batch, settings: Settings) -> dict[str, Tensor]:
    """Every weighted term of the loss of one batch."""
    rgb, thermal, text, boost, emphasis = (torch.from_numpy(x) for x in vars(batch).values())
    code = model.guidance.project(text)
    layout = torch.channels_last
    with torch.autocast("cpu", torch.bfloat16):
        fused_rgb, _ = model.fuse(rgb.to(memory_format=layout), thermal.to(memory_format=layout), code)
    fused_rgb = fused_rgb.float()
    luma, chroma = to_luma_chroma(rgb)
    fused, fused_chroma = to_luma_chroma(fused_rgb)
    boost = settings.text_gain * boost
    # The brighter source wins, but by daylight what is colourful keeps half of its own brightness: a red car under a
    # hot sun would otherwise turn white.
    level = F.interpolate(F.avg_pool2d(luma, 16), size=luma.shape[-2:], mode="bilinear")
    lit = torch.sigmoid((level - 0.35) / 0.05)
    colourful = (chroma.norm(dim=1, keepdim=True) / 0.12).clamp_max(1)
    target = torch.lerp(torch.maximum(luma, thermal), luma, settings.keep_colour * lit * colourful)
    target = (target + boost).clamp(0, 1)
    target_gradient = strongest_gradient(luma, thermal) + gradients(boost)
    weight = 1 + 2 * emphasis + 4 * (boost != 0)
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
        "range": (F.relu(fused_rgb - 1) + F.relu(-fused_rgb)).mean(),
    }


def rate(step: int, settings: Settings) -> float:
    """Learning rate: linear warm-up over 200 steps, cosine to 2 %."""
    if step < 200:
        return settings.learning_rate * (step + 1) / 200
    progress = (step - 200) / max(1, settings.steps - 200)
    return settings.learning_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


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
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model.guidance.mean.copy_(torch.from_numpy(mean))
    average = copy.deepcopy(model)
    optimiser = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=1e-4)
    out.mkdir(parents=True, exist_ok=True)
    start, last = 0, min(settings.steps, stop_at or settings.steps)
    if (out / STATE).exists():
        try:
            state = torch.load(out / STATE, weights_only=True)
        except Exception as error:
            raise InputError(
                f"{out / STATE}: not a readable training state; delete it to start afresh"
            ) from error
        if state["settings"] != asdict(settings):
            raise InputError(f"{out}: holds a run with other settings; choose another --out")
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        start = state["step"]

    weights = out / "cross_attention.safetensors"
    window: dict[str, list[float]] = {}
    clock = time.monotonic()
    with (out / "log.jsonl").open("a") as log:
        for step in range(start, last):
            for group in optimiser.param_groups:
                group["lr"] = rate(step, settings)
            terms = loss_terms(model, sampler.batch(step, settings.batch), settings)
            optimiser.zero_grad(set_to_none=True)
            sum(terms.values(), torch.zeros(())).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            decay = min(settings.ema, (step + 1) / (step + 10))
            with torch.no_grad():
                for mine, new in zip(average.parameters(), model.parameters(), strict=True):
                    mine.lerp_(new, 1 - decay)
            for name, term in terms.items():
                window.setdefault(name, []).append(float(term.detach()))
            done = step + 1
            if done % 50 == 0:
                line = {k: round(float(np.mean(v)), 5) for k, v in window.items()}
                line |= {"step": done, "s_per_step": round((time.monotonic() - clock) / 50, 3)}
                print(json.dumps(line), file=log, flush=True)
                print(line, flush=True)
                window.clear()
                clock = time.monotonic()
            if done % checkpoint_every == 0 or done == last:
                state = {"settings": asdict(settings), "step": done, "model": model.state_dict()}
                state |= {"average": average.state_dict(), "optimiser": optimiser.state_dict()}
                torch.save(state, out / (STATE + ".new"))
                (out / (STATE + ".new")).replace(out / STATE)
                save_fusion(weights, average, names, vectors, {"settings": asdict(settings), "step": done})
    return weights
