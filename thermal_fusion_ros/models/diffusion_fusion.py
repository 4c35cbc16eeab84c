"""Language-guided fusion on the features of a diffusion model (after Dif-Fusion: Yue et al., IEEE TIP 2023).

The frozen :class:`~thermal_fusion_ros.models.diffusion.Denoiser` looks at the pair at half size, as it would at fixed
noise levels, all in one batch; no noise is drawn, so one input has one output. What its decoder makes of the pair goes,
scale by scale, into the guided decoder, which adds a look at full size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from thermal_fusion_ros.models.diffusion import CHANNELS, Denoiser, Schedule, normalised
from thermal_fusion_ros.models.diffusion import WIDTHS as DENOISER_WIDTHS
from thermal_fusion_ros.models.guided_fusion import GuidedFusion, conv

WIDTHS = (16, 32, 48, 64, 96)  # channels at 1, 1/2, 1/4, 1/8, 1/16 of the input resolution
NOISE_LEVELS = (50, 250)  # at low ones texture is seen, at higher ones things
ZOOM = 2.3  # half of a picture of 640 pixels


class DiffusionFusion(GuidedFusion):
    """The language-depth navigated method. 4.0 M parameters, 3.2 M of them the diffusion model's."""

    levels: Tensor

    def __init__(self, levels: tuple[int, ...] = NOISE_LEVELS) -> None:
        """`levels`: noise levels at which the diffusion model looks."""
        super().__init__()
        self.add_decoder(WIDTHS)
        w = WIDTHS
        self.denoiser = Denoiser().requires_grad_(False)
        self.register_buffer("levels", torch.tensor(levels, dtype=torch.int64))
        self.scales = [float(alpha) for alpha in Schedule().alpha[list(levels)]]
        self.stem = conv(CHANNELS, w[0])
        self.down2 = conv(w[0], w[1], 2)
        self.merge = nn.ModuleList(
            nn.Conv2d(len(levels) * seen, own, 1) for seen, own in zip(DENOISER_WIDTHS, w[1:], strict=False)
        )

    def encode(self, rgb: Tensor, thermal: Tensor) -> list[Tensor]:
        """Both pictures as one: features at 1, 1/2, 1/4, 1/8, 1/16, before any text comes in."""
        pair = torch.cat([rgb, thermal], dim=1) * 2 - 1
        fine = self.stem(pair)
        half = nn.functional.avg_pool2d(pair, 2)
        count = half.shape[0]
        # A pair without noise, as strong as it would be at every level.
        shown = torch.cat([half * scale for scale in self.scales], dim=0)
        level = self.levels.repeat_interleave(count)
        zoom = torch.full(level.shape, ZOOM, device=level.device)
        seen = self.denoiser.features(shown, level, zoom)
        features = [
            merge(torch.cat(normalised(x).chunk(len(self.scales), dim=0), dim=1))
            for merge, x in zip(self.merge, seen, strict=False)
        ]
        features[0] = features[0] + self.down2(fine)
        return [fine, *features]
