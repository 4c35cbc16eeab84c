"""Language-driven cross-attention fusion of a colour and a thermal image.

Two encoders, cross-domain attention in both directions at 1/16 resolution, a decoder that is modulated by the
guidance code (FiLM) at three scales. Luma is a per-pixel mix of the two sources plus a detail term, and, where the
text names what is seen (:class:`Relevance`), an accent; chroma is the visible image's own, times a gain: the hue of a
pixel cannot drift by construction.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from thermal_fusion_ros.models.guided_fusion import GuidedFusion, Residual, conv

WIDTHS = (8, 16, 32, 64, 96)  # channels at 1, 1/2, 1/4, 1/8, 1/16 of the input resolution
HEADS = 4
AROUND = 96  # channels of what relevance sees at 1/32
# Parameters that make what other heads read, by the beginnings of their names.
SEEN = ("visible.", "thermal.", "to_visible.", "to_thermal.", "merge.")
TRAINED_TOKENS = 144  # tokens of a 192-pixel training crop
MOST_TOKENS = 1200  # that are looked at, about: those of 640x480. More would cost the square of the pixels


class Encoder(nn.Module):
    """One spectrum -> features at 1, 1/2, 1/4, 1/8, 1/16."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        w = WIDTHS
        self.stem = conv(channels, w[0])
        self.down2 = conv(w[0], w[1], 2)
        self.down4 = conv(w[1], w[2], 2)
        self.down8 = nn.Sequential(conv(w[2], w[3], 2), Residual(w[3]))
        self.down16 = conv(w[3], w[4], 2)

    def forward(self, x: Tensor) -> list[Tensor]:
        """BCHW in [-1, 1] -> five feature maps, finest first."""
        features = [self.stem(x)]
        for down in (self.down2, self.down4, self.down8, self.down16):
            features.append(down(features[-1]))
        return features


class CrossDomainAttention(nn.Module):
    """Multi-head attention whose queries come from one spectrum and whose keys and values from the other.

    Positions enter through a depth-wise convolution, so any image size works; the softmax temperature follows the
    logarithm of the token count, so attention stays as sharp on a full frame as on a training crop (Su, 2021).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.position = nn.Conv2d(channels, channels, 3, 1, 1, groups=channels)
        self.norm_q, self.norm_kv, self.norm_ffn = (nn.LayerNorm(channels) for _ in range(3))
        self.q = nn.Linear(channels, channels)
        self.kv = nn.Linear(channels, 2 * channels)
        self.out = nn.Linear(channels, channels)
        self.ffn = nn.Sequential(
            nn.Linear(channels, 2 * channels),
            nn.LeakyReLU(0.1, inplace=True),
            nn.Linear(2 * channels, channels),
        )

    def forward(self, x_BCHW: Tensor, other_BCHW: Tensor) -> Tensor:
        """What `x` becomes by looking at `other`; same shape."""
        b, c, h, w = x_BCHW.shape
        coarser = max(1, round(math.sqrt(h * w / MOST_TOKENS)))
        if coarser > 1:
            other_BCHW = nn.functional.avg_pool2d(other_BCHW, coarser)
        keys = other_BCHW.shape[2] * other_BCHW.shape[3]
        x = (x_BCHW + self.position(x_BCHW)).flatten(2).transpose(1, 2)
        other = (other_BCHW + self.position(other_BCHW)).flatten(2).transpose(1, 2)

        def heads(t: Tensor) -> Tensor:
            return t.reshape(b, -1, HEADS, c // HEADS).transpose(1, 2)

        q = heads(self.q(self.norm_q(x)))
        k, v = (heads(t) for t in self.kv(self.norm_kv(other)).chunk(2, dim=-1))
        scale = math.log(keys) / math.log(TRAINED_TOKENS) / math.sqrt(c // HEADS)
        attention = torch.softmax((q * scale) @ k.transpose(-1, -2), dim=-1)
        x = x + self.out((attention @ v).transpose(1, 2).reshape(b, h * w, c))
        x = x + self.ffn(self.norm_ffn(x))
        return x.transpose(1, 2).reshape(b, c, h, w)


class CrossAttentionFusion(GuidedFusion):
    """The language-driven method. 7.8 GFLOP (2 x MAC) at 640x480, 1.28 M parameters. Takes multiples of 16, too."""

    def __init__(self) -> None:
        super().__init__()
        w = WIDTHS
        self.visible, self.thermal = Encoder(3), Encoder(1)
        self.to_visible, self.to_thermal = CrossDomainAttention(w[4]), CrossDomainAttention(w[4])
        self.merge = nn.ModuleList(nn.Conv2d(2 * c, c, 1) for c in w)
        self.add_decoder(w, AROUND)

    def encode(self, rgb: Tensor, thermal: Tensor) -> list[Tensor]:
        """Both pictures as one: merged features at 1, 1/2, 1/4, 1/8, 1/16, before any text comes in."""
        vis, ir = self.visible(rgb * 2 - 1), self.thermal(thermal * 2 - 1)
        # Each direction reads the other spectrum as it was before either was changed.
        vis[4], ir[4] = self.to_visible(vis[4], ir[4]), self.to_thermal(ir[4], vis[4])
        return [
            merge(torch.cat(pair, dim=1))
            for merge, pair in zip(self.merge, zip(vis, ir, strict=True), strict=True)
        ]
