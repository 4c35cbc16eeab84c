"""What a good fused image is, as differentiable terms. All images are luma B1HW in [0, 1]."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F


def gradients(image: Tensor) -> Tensor:
    """Sobel derivatives, B2HW (d/dx, d/dy), borders replicated."""
    kernel = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]], device=image.device) / 4
    weight = torch.stack([kernel, kernel.T])[:, None]
    return F.conv2d(F.pad(image, (1, 1, 1, 1), mode="replicate"), weight)


def strongest_gradient(visible: Tensor, thermal: Tensor) -> Tensor:
    """Per pixel the gradient vector, with its sign, of the source where it is longer."""
    gv, gt = gradients(visible), gradients(thermal)
    stronger = (gv.square().sum(1, keepdim=True) >= gt.square().sum(1, keepdim=True)).to(gv.dtype)
    return gv * stronger + gt * (1 - stronger)


@lru_cache(maxsize=32)
def _box(size: int, window: int) -> Tensor:
    """Matrix that takes the mean of `window` neighbours, at every second place for large windows."""
    starts = range(0, size - window + 1, 2 if window >= 7 else 1)
    matrix = torch.zeros(len(starts), size)
    for row, start in enumerate(starts):
        matrix[row, start : start + window] = 1 / window
    return matrix


def _mean(image: Tensor, window: int) -> Tensor:
    """Box mean, as two matrix products: several times faster than pooling on a CPU, forward and backward."""
    rows, columns = (_box(edge, window).to(image.device) for edge in image.shape[-2:])
    return rows @ image @ columns.T


def ssim(a: Tensor, b: Tensor, data_range: float = 0.1, window: int = 7) -> Tensor:
    """Mean structural similarity per image (Wang et al., IEEE TIP 2004), uniform window.

    A small `data_range` keeps the stabilising constants small, so that faint structure in dark regions counts.
    """
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    ma, mb = _mean(a, window), _mean(b, window)
    va, vb = _mean(a * a, window) - ma * ma, _mean(b * b, window) - mb * mb
    vab = _mean(a * b, window) - ma * mb
    value = ((2 * ma * mb + c1) * (2 * vab + c2)) / (
        (ma * ma + mb * mb + c1) * (va.clamp_min(0) + vb.clamp_min(0) + c2)
    )
    return value.mean((1, 2, 3))


def visual_information(reference: Tensor, image: Tensor, noise: float = 2 / 255**2) -> Tensor:
    """Pixel-domain visual information fidelity per image (Sheikh & Bovik, IEEE TIP 2006), uniform windows."""
    numerator = denominator = torch.zeros(reference.shape[0], device=reference.device)
    for scale, window in enumerate((17, 9, 5, 3)):
        if scale:
            reference, image = (F.avg_pool2d(x, 2) for x in (reference, image))
        mr, mi = _mean(reference, window), _mean(image, window)
        vr = (_mean(reference * reference, window) - mr * mr).clamp_min(0)
        vi = (_mean(image * image, window) - mi * mi).clamp_min(0)
        cov = _mean(reference * image, window) - mr * mi
        gain = (cov / (vr + 1e-8)).clamp_min(0)
        rest = (vi - gain * cov).clamp_min(1e-10)
        numerator = numerator + torch.log1p(gain * gain * vr / (rest + noise)).sum((1, 2, 3))
        denominator = denominator + torch.log1p(vr / noise).sum((1, 2, 3))
    return numerator / (denominator + 1e-6)


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson correlation per image."""
    a, b = (x - x.mean((1, 2, 3), keepdim=True) for x in (a, b))
    cov = (a * b).mean((1, 2, 3))
    # Inside the root: its slope at zero, for a flat image, would be infinite.
    return cov / (a.square().mean((1, 2, 3)) * b.square().mean((1, 2, 3)) + 1e-8).sqrt()


def difference_correlation(fused: Tensor, visible: Tensor, thermal: Tensor) -> Tensor:
    """Sum of the correlations of differences per image (SCD; Aslantas & Bendes, AEU 2015)."""
    return correlation(fused - thermal, visible) + correlation(fused - visible, thermal)


def divergence(logits: Tensor, wanted: Tensor) -> Tensor:
    """Of every element, how far a logit is from a probability: cross-entropy less its least, zero where both agree."""
    cross = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    return cross - F.binary_cross_entropy(wanted, wanted, reduction="none")
