"""From what a fusion network says about every pixel to the picture."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from thermal_fusion_ros.models.colour import to_luma_chroma, to_rgb


def compose(
    rgb: Tensor, thermal: Tensor, maps_B4HW: Tensor, relevance_B1hw: Tensor, code_BD: Tensor
) -> Tensor:
    """The fused picture B3HW, not clamped.

    rgb B3HW, thermal B1HW in [0, 1]. maps: mix, detail, gain, accent. relevance: the logit of how much the text is
    about a place, of any whole fraction of the size. Luma is a mix of the sources plus detail, and accent where the
    text names what is seen; chroma is the visible picture's own, times a gain: the hue of a pixel cannot drift.
    """
    mix, detail, gain, accent = maps_B4HW.split(1, dim=1)
    luma, chroma = to_luma_chroma(rgb)
    weight = torch.sigmoid(mix)
    # What is relevant is learned from labels alone. No text, exactly no accent; a code that fades takes it along.
    said = torch.tanh(code_BD.square().sum(1))[:, None, None, None]
    where = said * torch.sigmoid(relevance_B1hw.detach())
    scale = float(rgb.shape[2] // where.shape[2])
    where = nn.functional.interpolate(where, scale_factor=scale, mode="bilinear")
    mixed = weight * luma + (1 - weight) * thermal
    fused_luma = mixed + 0.5 * torch.tanh(detail) + where * torch.tanh(accent)
    return to_rgb(fused_luma, chroma * (2 * torch.sigmoid(gain)))
