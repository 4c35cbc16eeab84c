"""Luma and chroma on tensors: BT.601 full range, the transform of JPEG and of OpenCV's COLOR_RGB2YCrCb."""

from __future__ import annotations

import torch
from torch import Tensor


def to_luma_chroma(rgb_B3HW: Tensor) -> tuple[Tensor, Tensor]:
    """RGB in [0, 1] -> luma (B1HW, [0, 1]) and chroma (B2HW: Cb, Cr, centred on 0)."""
    r, g, b = rgb_B3HW.split(1, dim=1)
    luma = 0.299 * r + 0.587 * g + 0.114 * b
    return luma, torch.cat([(b - luma) * 0.564334, (r - luma) * 0.713267], dim=1)


def to_rgb(luma_B1HW: Tensor, chroma_B2HW: Tensor) -> Tensor:
    """Inverse of :func:`to_luma_chroma`; not clamped."""
    cb, cr = chroma_B2HW.split(1, dim=1)
    r = luma_B1HW + 1.402 * cr
    g = luma_B1HW - 0.344136 * cb - 0.714136 * cr
    b = luma_B1HW + 1.772 * cb
    return torch.cat([r, g, b], dim=1)
