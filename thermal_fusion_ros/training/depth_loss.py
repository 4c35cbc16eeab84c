"""Fusion judged by how well depth can be seen in it.

The fused picture goes through two frozen depth networks, as colour and as luma; what they see is compared with how
far things are: exactly in simulated pictures, up to a factor and weighted by trust in real ones.
"""

from __future__ import annotations

import torch
from torch import Tensor

from thermal_fusion_ros.models.colour import to_luma_chroma
from thermal_fusion_ros.models.depth import DepthNet
from thermal_fusion_ros.training import distributed

SURE = -1.6  # log uncertainty (20 %) up to which an estimate is believed
UNSURE = 0.3  # how gradually belief goes


class DepthJudge:
    """The two networks; they learn nothing here."""

    def __init__(self, visible: DepthNet, infrared: DepthNet) -> None:
        self.networks = [n.to(distributed.device()).eval().requires_grad_(False) for n in (visible, infrared)]

    def estimates(self, fused_B3HW: Tensor) -> list[Tensor]:
        """Log depth B1HW that each network sees in fused pictures in [0, 1]; H and W multiples of 16."""
        luma, _ = to_luma_chroma(fused_B3HW)
        with distributed.autocast():
            return [n(x)[0].float() for n, x in zip(self.networks, (fused_B3HW, luma), strict=True)]

    def __call__(
        self, fused_B3HW: Tensor, reference_B1HW: Tensor, trust_B1HW: Tensor, exact_B: Tensor
    ) -> Tensor:
        """Mean error of log depth over the pictures and the networks.

        reference: log depth in the networks' unit. trust: 0 to 1, how much each pixel of it counts. exact: 1 where the
        reference is the truth, 0 where it is believed up to a factor only.
        """
        errors = []
        for estimate in self.estimates(fused_B3HW.clamp(0, 1)):
            difference = (estimate - reference_B1HW) * (trust_B1HW > 0)
            free = 1 - exact_B[:, None, None, None]
            errors.append(
                weighted_mean((difference - free * weighted_mean(difference, trust_B1HW)).abs(), trust_B1HW)
            )
        return torch.stack(errors).mean()


def weighted_mean(image_B1HW: Tensor, weight_B1HW: Tensor) -> Tensor:
    """Of every picture, B111."""
    total = weight_B1HW.sum((1, 2, 3), keepdim=True).clamp_min(1e-6)
    return (image_B1HW * weight_B1HW).sum((1, 2, 3), keepdim=True) / total


def trust_in(log_sigma: Tensor) -> Tensor:
    """How far an estimate is believed, 0 to 1, by its own log uncertainty."""
    return torch.sigmoid((SURE - log_sigma) / UNSURE)
