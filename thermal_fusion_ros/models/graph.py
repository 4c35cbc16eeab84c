"""The one graph a frame costs: camera bytes in, display bytes and depth out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from thermal_fusion_ros.models.depth import NATIVE_WIDTH, DepthNet
from thermal_fusion_ros.models.depth import STRIDE as DEPTH_STRIDE
from thermal_fusion_ros.models.guidance import CODE_DIM

FUSION_STRIDE = 32


def depth_reduction(width: int) -> int:
    """By how much a picture of this width, in pixels, is reduced for the depth network: 1, 2, 4 …"""
    reduction = 1
    while width / reduction > 1.5 * NATIVE_WIDTH:
        reduction *= 2
    return reduction


def padded(height: int, width: int) -> tuple[int, int]:
    """The smallest size the graph takes that holds an image of this one."""
    wide = -(-width // FUSION_STRIDE) * FUSION_STRIDE
    stride = max(FUSION_STRIDE, DEPTH_STRIDE * depth_reduction(wide))
    return -(-height // stride) * stride, -(-width // stride) * stride


class PerceptionGraph(nn.Module):
    """Fusion and depth between uint8 images and metres-to-be, static shapes; conversions run on the device too.

    `outputs` names what it returns: `fused`, and with a depth network `depth` and `sigma`.
    """

    def __init__(self, fusion: nn.Module, depth: DepthNet | None = None) -> None:
        super().__init__()
        self.fusion, self.depth = fusion, depth
        self.outputs = ("fused",) if depth is None else ("fused", "depth", "sigma")

    def forward(self, rgb_BHW3: Tensor, thermal_BHW: Tensor, code_BD: Tensor) -> tuple[Tensor, ...]:
        """One frame.

        uint8 rgb_BHW3 and thermal_BHW, float32 code_BD (D = 64), of a size that :func:`padded` returns. Returns the
        fused image, uint8 BHW3; and, float32 Bhw with h = H / :func:`depth_reduction`, depth in units of camera height
        times f / width (see :mod:`thermal_fusion_ros.models.depth`), and its relative uncertainty.
        """
        dtype = next(self.parameters()).dtype  # half where an engine has made it so
        # TensorRT takes bytes at its borders only: cast first on the way in, last on the way out.
        rgb = (rgb_BHW3.to(dtype) / 255.0).permute(0, 3, 1, 2)
        thermal = (thermal_BHW.to(dtype) / 255.0).unsqueeze(1)
        fused = self.fusion(rgb, thermal, code_BD.to(dtype))
        shown = (fused.float() * 255.0 + 0.5).clamp(0.0, 255.0)
        shown = shown.permute(0, 2, 3, 1).contiguous().to(torch.uint8)
        if self.depth is None:
            return (shown,)
        reduction = depth_reduction(rgb_BHW3.shape[2])
        small = nn.functional.avg_pool2d(fused, reduction) if reduction > 1 else fused
        log_depth, log_sigma = self.depth(small)
        return shown, log_depth.float().squeeze(1).exp(), log_sigma.float().squeeze(1).exp()


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
