"""The one graph a frame costs: camera bytes in, display bytes out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from thermal_fusion_ros.models.guidance import CODE_DIM

STRIDE = 32  # input heights and widths are multiples of this


class PerceptionGraph(nn.Module):
    """Fusion between uint8 images, static shapes, so that conversion to and from bytes runs on the device too."""

    def __init__(self, fusion: nn.Module) -> None:
        super().__init__()
        self.fusion = fusion

    def forward(self, rgb_BHW3: Tensor, thermal_BHW: Tensor, code_BD: Tensor) -> Tensor:
        """uint8 rgb_BHW3 and thermal_BHW, float32 code_BD (D = 64) -> fused uint8 BHW3."""
        rgb = rgb_BHW3.permute(0, 3, 1, 2).float() / 255.0
        thermal = thermal_BHW.unsqueeze(1).float() / 255.0
        fused = self.fusion(rgb, thermal, code_BD)
        return (fused * 255.0 + 0.5).clamp(0.0, 255.0).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def example_inputs(height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Fixed inputs with structure at every scale, to export with and to check a built engine against."""
    generator = torch.Generator().manual_seed(0)
    y = torch.linspace(0, 1, height)[:, None]
    x = torch.linspace(0, 1, width)[None, :]
    waves = torch.stack(
        [0.5 + 0.5 * torch.sin(2 * torch.pi * f * (x + 0.7 * y)) for f in (1.0, 3.0, 11.0, 37.0)]
    )
    noise = torch.rand((4, height, width), generator=generator)
    image = ((0.8 * waves + 0.2 * noise) * 255).to(torch.uint8)
    code = torch.randn((1, CODE_DIM), generator=generator)
    return image[:3].permute(1, 2, 0)[None].contiguous(), image[3][None].contiguous(), code
