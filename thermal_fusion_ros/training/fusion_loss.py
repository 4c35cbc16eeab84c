"""What every fusion network is trained for; self-supervised but for the labelled objects that text names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from thermal_fusion_ros.models.colour import to_luma_chroma, to_rgb
from thermal_fusion_ros.models.guidance import GuidanceProjection
from thermal_fusion_ros.training import distributed, loop
from thermal_fusion_ros.training.data import Batch
from thermal_fusion_ros.training.losses import (
    difference_correlation,
    gradients,
    ssim,
    strongest_gradient,
    visual_information,
)


@dataclass(frozen=True)
class LossSettings(loop.LoopSettings):
    """How much each term counts."""

    intensity: float = 1.0
    gradient: float = 6.0
    structure: float = 0.5
    information: float = 0.4
    difference: float = 0.08
    colour: float = 2.0
    keep_colour: float = 0.5
    keep_ground: float = 0.85
    text_gain: float = 0.8  # how much of an object's thermal contrast its name adds
    relevance: float = 0.5
    overshoot: float = 4.0
    teacher: str = ""  # weights of a fusion network whose pictures are learnt from, too
    distil: float = 2.0
    distil_edges: float = 0.0


class Fusion(Protocol):
    """A fusion network, as its training sees it."""

    guidance: GuidanceProjection

    def fuse(self, rgb: Tensor, thermal: Tensor, code: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """B3HW and B1HW in [0, 1], codes BD -> the picture, not clamped, the text's relevance, shared features."""
        ...


@dataclass(frozen=True)
class Tensors:
    """A :class:`Batch` on the device."""

    rgb: Tensor
    thermal: Tensor
    text: Tensor
    boost: Tensor
    emphasis: Tensor
    named: Tensor


def on_device(batch: Batch) -> Tensors:
    """The batch as tensors."""
    return Tensors(*(distributed.tensor(column) for column in vars(batch).values()))


def fuse(model: Fusion, batch: Tensors) -> tuple[Tensor, Tensor]:
    """The fused pictures B3HW, not clamped, and the logit of the text's relevance, in mixed precision."""
    code = model.guidance.project(batch.text)
    layout = torch.channels_last
    with distributed.autocast():
        fused, relevance, _ = model.fuse(
            batch.rgb.to(memory_format=layout), batch.thermal.to(memory_format=layout), code
        )
    return fused.float(), relevance.float()


def resemblance(fused_B3HW: Tensor, teacher: Fusion, batch: Tensors, settings: LossSettings) -> Tensor:
    """Weighted difference from the pictures that a teacher makes under the same text, and from their edges."""
    with torch.no_grad():
        wanted, _ = fuse(teacher, batch)
    difference = fused_B3HW - wanted
    edges = settings.distil_edges * _gradients(difference).abs().mean()
    return settings.distil * difference.abs().mean() + edges


def picture_terms(
    fused_rgb: Tensor,
    relevance: Tensor,
    batch: Tensors,
    settings: LossSettings,
    *,
    channels: bool = False,
    steepness: float = 1.0,
) -> dict[str, Tensor]:
    """Every weighted term of fused pictures (B3HW, not clamped).

    `channels`: intensity and gradient are asked of red, green and blue, not of luma. `steepness`: how steep edges
    are to be, against the steeper source.
    """
    rgb, thermal, text = batch.rgb, batch.thermal, batch.text
    luma, chroma = to_luma_chroma(rgb)
    fused, fused_chroma = to_luma_chroma(fused_rgb)
    boost = settings.text_gain * batch.boost
    said = (text.abs().sum(1) > 0).float()[:, None, None, None]
    # The brighter source wins, but by daylight what is colourful keeps half of its own brightness (a red car under a
    # hot sun would otherwise turn white), and wide warm ground most of it (a road would).
    lit = torch.sigmoid((_level(luma, 16) - 0.35) / 0.05)
    colourful = (chroma.norm(dim=1, keepdim=True) / 0.12).clamp_max(1)
    ground = torch.sigmoid((_level(thermal, 48) - 0.55) / 0.05) * (1 - batch.emphasis)
    keep = lit * torch.maximum(settings.keep_colour * colourful, settings.keep_ground * ground)
    target = torch.lerp(torch.maximum(luma, thermal), luma, keep)
    target = (target + boost).clamp(0, 1)
    weight = 1 + 2 * batch.emphasis + 4 * (boost != 0) + 3 * keep
    # Where luma changes, colour keeps its saturation, within reason.
    ratio = (fused.detach() / (luma + 0.05)).clamp(0.8, 1.25)
    shown, wanted, source = fused, target, luma
    if channels:
        shown, wanted, source = fused_rgb, to_rgb(target, chroma * ratio), rgb
    steepest = steepness * (_steepest(source, thermal) + _gradients(boost.expand_as(source)))
    per_derivative = weight.repeat_interleave(2, 1).repeat(1, shown.shape[1], 1, 1)
    # Structure is judged against what the text leaves alone.
    plain = fused - boost
    return {
        "intensity": settings.intensity * ((shown - wanted).abs() * weight).mean(),
        "gradient": settings.gradient * ((_gradients(shown) - steepest).abs() * per_derivative).mean(),
        "structure": settings.structure * (2 - ssim(plain, luma) - ssim(plain, thermal)).mean(),
        "information": settings.information
        * (2 - visual_information(luma, plain) - visual_information(thermal, plain)).mean(),
        "difference": settings.difference * (2 - difference_correlation(plain, luma, thermal)).mean(),
        "colour": settings.colour * (fused_chroma - chroma * ratio).abs().mean(),
        "relevance": settings.relevance
        * (
            F.binary_cross_entropy_with_logits(relevance, F.avg_pool2d(batch.named, 8), reduction="none")
            * said
        ).mean(),
        # Never much brighter than both sources: structure terms alone would burn warm ground out.
        "overshoot": settings.overshoot * F.relu(plain - torch.maximum(luma, thermal) - 0.03).mean(),
        "range": (F.relu(fused_rgb - 1) + F.relu(-fused_rgb)).mean(),
    }


def loss_terms(
    model: Fusion,
    batch: Batch,
    settings: LossSettings,
    teacher: Fusion | None = None,
    *,
    channels: bool = False,
    steepness: float = 1.0,
) -> dict[str, Tensor]:
    """:func:`picture_terms` of a batch as `model` fuses it; `teacher`, under the same text, is to be resembled."""
    tensors = on_device(batch)
    fused, relevance = fuse(model, tensors)
    terms = picture_terms(fused, relevance, tensors, settings, channels=channels, steepness=steepness)
    if teacher is not None:
        terms["teacher"] = resemblance(fused, teacher, tensors, settings)
    return terms


def _gradients(image_BCHW: Tensor) -> Tensor:
    """Derivatives of every channel, B(2C)HW."""
    batch, channels, height, width = image_BCHW.shape
    return gradients(image_BCHW.reshape(-1, 1, height, width)).reshape(batch, 2 * channels, height, width)


def _steepest(image_BCHW: Tensor, thermal_B1HW: Tensor) -> Tensor:
    """Of every channel and the thermal image, the steeper gradient, B(2C)HW."""
    batch, channels, height, width = image_BCHW.shape
    flat = image_BCHW.reshape(-1, 1, height, width)
    steepest = strongest_gradient(flat, thermal_B1HW.repeat_interleave(channels, 0))
    return steepest.reshape(batch, 2 * channels, height, width)


def _level(image: Tensor, window: int) -> Tensor:
    """Brightness of the surroundings of every pixel, B1HW."""
    return F.interpolate(F.avg_pool2d(image, window), size=image.shape[-2:], mode="bilinear")
