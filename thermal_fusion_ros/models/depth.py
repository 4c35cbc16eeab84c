"""Depth from one image: visible, infrared or fused. One light architecture, trained for each of them separately.

A picture alone cannot tell how large the world is, but it can tell how far things are in units of the camera's own
height: what stands on the ground at row y is f * height / (y - horizon) away. So the network predicts

    log( depth / (camera height * f / width) ),

f and width in pixels, which needs neither the lens (the canonical camera of Yin et al., Metric3D, ICCV 2023) nor the
mounting. Metres come from :mod:`thermal_fusion_ros.geometry.scale`. Beside it goes the network's own uncertainty, the
logarithm of the scale of a Laplace distribution (Kendall & Gal, NIPS 2017).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

WIDTHS = (32, 40, 80, 128)  # channels at 1/2, 1/4, 1/8, 1/16 of the input resolution
FINE = 16  # channels at full resolution; processors that compute 16 at once take no longer than for 8
# Pixels of the pictures it is trained on. How large things look is what it goes by: on pictures a quarter wider it says
# a fifth too near.
NATIVE_WIDTH = 320
STRIDE = 16  # heights and widths are multiples of this


def native_size(height: int, width: int) -> tuple[int, int]:
    """The size, about :data:`NATIVE_WIDTH` wide, at which a network sees a picture of this size; hardly stretched."""
    widths = (NATIVE_WIDTH, NATIVE_WIDTH - STRIDE, NATIVE_WIDTH + STRIDE)
    sizes = [(max(1, round(height * w / width / STRIDE)) * STRIDE, w) for w in widths]

    def stretch(size: tuple[int, int]) -> float:
        return abs(size[0] * width / (size[1] * height) - 1)

    return min(sizes, key=lambda size: stretch(size) + 0.25 * abs(size[1] / NATIVE_WIDTH - 1))


def conv(cin: int, cout: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """3x3 convolution, batch normalisation (folded when compiled), ReLU."""
    return nn.Sequential(
        nn.Conv2d(cin, cout, 3, stride, dilation, dilation, bias=False),
        nn.BatchNorm2d(cout),
        nn.ReLU(inplace=True),
    )


class Residual(nn.Module):
    """relu(x + norm(conv(conv(x)))); a larger `dilation` looks farther."""

    def __init__(self, channels: int, dilation: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv(channels, channels, dilation=dilation),
            nn.Conv2d(channels, channels, 3, 1, dilation, dilation, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """BCHW -> BCHW."""
        return torch.relu(x + self.body(x))


class Up(nn.Module):
    """Coarse features to the next finer scale: 1x1, bilinear x2, plus the skip, 3x3; `refined`: twice more."""

    def __init__(self, coarse: int, fine: int, *, refined: bool = False) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(coarse, fine, 1)
        self.mix = nn.Sequential(*conv(fine, fine), *([Residual(fine)] if refined else []))

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        """Coarse BCHW, skip BC'(2H)(2W) -> features of the skip's shape."""
        x = nn.functional.interpolate(self.reduce(coarse), scale_factor=2.0, mode="bilinear")
        out: Tensor = self.mix(x + skip)
        return out


class DepthNet(nn.Module):
    """1.3 M parameters; 3.6 GFLOP (2 x MAC) at 320x240. `channels`: 3 for colour, 1 for thermal."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        w = WIDTHS
        self.channels = channels
        self.fine = conv(channels + 2, FINE)
        self.down2 = conv(channels + 2, w[0], 2)
        self.down4 = nn.Sequential(conv(w[0], w[1], 2), Residual(w[1]))
        self.down8 = nn.Sequential(conv(w[1], w[2], 2), Residual(w[2]))
        self.down16 = nn.Sequential(conv(w[2], w[3], 2), Residual(w[3]))
        self.context = nn.Sequential(Residual(w[3], 2), Residual(w[3], 4))  # sees the whole picture
        self.up8 = Up(w[3], w[2])
        # Outlines are found at these scales; most of the error is there.
        self.up4, self.up2 = Up(w[2], w[1], refined=True), Up(w[1], w[0], refined=True)
        self.up1 = Up(w[0], FINE)
        self.heads = nn.ModuleList(nn.Conv2d(c, 2, 3, 1, 1) for c in (*reversed(w), FINE))
        for head in self.heads:
            nn.init.normal_(head.weight, std=0.02)  # type: ignore[arg-type]
            nn.init.zeros_(head.bias)  # type: ignore[arg-type]
        with torch.no_grad():
            self.heads[0].bias.copy_(torch.tensor([2.0, -1.0]))  # type: ignore[operator, union-attr]

    def forward(self, image_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Estimate depth.

        image_BCHW in [0, 1], H and W multiples of 16. Returns log depth B1HW, in the unit above, and the logarithm of
        its uncertainty B1HW.
        """
        return assemble(self.scales(image_BCHW))

    def scales(self, image_BCHW: Tensor) -> list[Tensor]:
        """The estimate at 1/16 of the resolution, then what 1/8, 1/4, 1/2 and 1/1 add to it, each B2hw."""
        b, _, h, w = image_BCHW.shape
        # Where a pixel is, from the middle, in picture widths: the geometry above needs it.
        columns, rows = (torch.arange(n, device=image_BCHW.device, dtype=image_BCHW.dtype) for n in (w, h))
        x = ((columns + 0.5) / w - 0.5).reshape(1, 1, 1, w).expand(b, 1, h, w)
        y = ((rows + 0.5 - 0.5 * h) / w).reshape(1, 1, h, 1).expand(b, 1, h, w)
        placed = torch.cat([image_BCHW * 2 - 1, 2 * x, 2 * y], dim=1)
        x2 = self.down2(placed)
        x4 = self.down4(x2)
        x8 = self.down8(x4)
        x16 = self.context(self.down16(x8))
        y8 = self.up8(x16, x8)
        y4 = self.up4(y8, x4)
        y2 = self.up2(y4, x2)
        y1 = self.up1(y2, self.fine(placed))
        return [head(y) for head, y in zip(self.heads, (x16, y8, y4, y2, y1), strict=True)]


def assemble(scales: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Log depth and log uncertainty, B1HW each, of :meth:`DepthNet.scales`.

    Coarse to fine, each scale corrects the one before (Song et al., LapDepth, TCSVT 2021): how far the scene is comes
    straight from the features that see all of it.
    """
    estimate = scales[0]
    for correction in scales[1:]:
        estimate = nn.functional.interpolate(estimate, scale_factor=2.0, mode="bilinear") + correction
    log_depth, log_sigma = estimate.split(1, dim=1)
    return log_depth, log_sigma
