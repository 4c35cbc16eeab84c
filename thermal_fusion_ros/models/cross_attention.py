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

from thermal_fusion_ros.models.compose import compose
from thermal_fusion_ros.models.guidance import CODE_DIM, FiLM, GuidanceProjection

WIDTHS = (8, 16, 32, 64, 96)  # channels at 1, 1/2, 1/4, 1/8, 1/16 of the input resolution
SHARED = 2  # the first of these that heads beside the picture read
HEADS = 4
TRAINED_TOKENS = 144  # tokens of a 192-pixel training crop
MOST_TOKENS = 1200  # that are looked at, about: those of 640x480. More would cost the square of the pixels


def conv(cin: int, cout: int, stride: int = 1) -> nn.Sequential:
    """3x3 convolution and activation. No normalisation: brightness is the signal here."""
    return nn.Sequential(nn.Conv2d(cin, cout, 3, stride, 1), nn.LeakyReLU(0.1, inplace=True))


class Residual(nn.Module):
    """x + conv(act(conv(x)))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(channels, channels), nn.Conv2d(channels, channels, 3, 1, 1))
        nn.init.zeros_(self.body[1].weight)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """BCHW -> BCHW."""
        out: Tensor = x + self.body(x)
        return out


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


class Up(nn.Module):
    """Coarse features -> next finer scale: 1x1, bilinear x2, plus the skip, FiLM, 3x3."""

    def __init__(self, coarse: int, fine: int, *, guided: bool = True) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(coarse, fine, 1)
        self.film = FiLM(fine) if guided else None
        self.mix = conv(fine, fine)

    def forward(self, coarse: Tensor, skip: Tensor, code: Tensor) -> Tensor:
        """Coarse BCHW, skip BC'(2H)(2W), codes BD -> features of the skip's shape."""
        x = nn.functional.interpolate(self.reduce(coarse), scale_factor=2.0, mode="bilinear") + skip
        if self.film is not None:
            x = self.film(x, code)
        out: Tensor = self.mix(x)
        return out


class Relevance(nn.Module):
    """Where the picture shows what the text says: the scalar product of features and guidance code, as a logit.

    FiLM tells every pixel the same; this tells the text's object from the rest.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.look = nn.Sequential(conv(channels, channels), nn.Conv2d(channels, channels, 3, 1, 1))
        self.query = nn.Linear(CODE_DIM, channels, bias=False)
        self.bias = nn.Parameter(torch.tensor(-2.0))
        nn.init.normal_(self.query.weight, std=0.1)

    def forward(self, x_BCHW: Tensor, code_BD: Tensor) -> Tensor:
        """Features BCHW, codes BD -> logit B1HW."""
        query = self.query(code_BD)[:, :, None, None]
        return (self.look(x_BCHW) * query).mean(1, keepdim=True) + self.bias


class CrossAttentionFusion(nn.Module):
    """The language-driven method. 7.5 GFLOP (2 x MAC) at 640x480, 0.85 M parameters."""

    def __init__(self) -> None:
        super().__init__()
        w = WIDTHS
        self.guidance = GuidanceProjection()
        self.visible, self.thermal = Encoder(3), Encoder(1)
        self.to_visible, self.to_thermal = CrossDomainAttention(w[4]), CrossDomainAttention(w[4])
        self.merge = nn.ModuleList(nn.Conv2d(2 * c, c, 1) for c in w)
        self.film16 = FiLM(w[4])
        self.mix16 = Residual(w[4])
        self.up8 = Up(w[4], w[3])
        self.relevance = Relevance(w[3])
        self.up4 = Up(w[3], w[2])
        self.up2 = Up(w[2], w[1])
        self.up1 = Up(w[1], w[0], guided=False)
        self.head = nn.Conv2d(w[0], 4, 3, 1, 1)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, rgb_B3HW: Tensor, thermal_B1HW: Tensor, code_BD: Tensor) -> Tensor:
        """Fuse.

        rgb_B3HW, thermal_B1HW: [0, 1], H and W multiples of 16. code_BD: guidance codes (D = 64), zero for no text.
        Returns the fused RGB image B3HW in [0, 1].
        """
        fused, _, _ = self.fuse(rgb_B3HW, thermal_B1HW, code_BD)
        return fused.clamp(0.0, 1.0)

    def encode(self, rgb: Tensor, thermal: Tensor) -> list[Tensor]:
        """Both pictures as one: merged features at 1, 1/2, 1/4, 1/8, 1/16, before any text comes in."""
        vis, ir = self.visible(rgb * 2 - 1), self.thermal(thermal * 2 - 1)
        # Each direction reads the other spectrum as it was before either was changed.
        vis[4], ir[4] = self.to_visible(vis[4], ir[4]), self.to_thermal(ir[4], vis[4])
        return [
            merge(torch.cat(pair, dim=1))
            for merge, pair in zip(self.merge, zip(vis, ir, strict=True), strict=True)
        ]

    def fuse(self, rgb: Tensor, thermal: Tensor, code: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """As :meth:`forward`, but not clamped, and with the logit of the text's relevance (at 1/8) and the features
        that other heads share (1/4, 1/8, 1/16 of :meth:`encode`), which no text changes.
        """
        skip = self.encode(rgb, thermal)
        maps, relevance = self.decode(skip, code)
        return compose(rgb, thermal, maps, relevance, code), relevance, skip[SHARED:]

    def decode(self, skip: list[Tensor], code: Tensor) -> tuple[Tensor, Tensor]:
        """What :meth:`encode` gives -> mix, detail, gain and accent of every pixel (B4HW), and the text's relevance."""
        x16 = self.mix16(self.film16(skip[4], code))
        x8 = self.up8(x16, skip[3], code)
        x4 = self.up4(x8, skip[2], code)
        x2 = self.up2(x4, skip[1], code)
        x1 = self.up1(x2, skip[0], code)
        return self.head(x1), self.relevance(x8, code)
