"""What fusion networks share whatever reads the pictures: a decoder that text modulates, and how it makes a picture.

A network gives features of both spectra at five resolutions. The decoder goes from coarse to fine under FiLM at three
scales; luma is a per-pixel mix of the two sources plus a detail term and, where the text names what is seen
(:class:`Relevance`), an accent; chroma is the visible image's own, times a gain.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from thermal_fusion_ros.models.compose import compose
from thermal_fusion_ros.models.guidance import CODE_DIM, FiLM, GuidanceProjection

SHARED = 2  # the first of the five resolutions that heads beside the picture read


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

    FiLM tells every pixel the same; this tells the text's object from the rest. `around`: channels of what it sees of
    the surroundings, at a quarter of the features' resolution: features made for a picture alone hardly tell people
    from cars. 0: it has no eye for them.
    """

    def __init__(self, channels: int, around: int = 0) -> None:
        super().__init__()
        self.look = nn.Sequential(conv(channels, channels), nn.Conv2d(channels, channels, 3, 1, 1))
        self.around = None
        if around:
            down = (conv(channels, channels, 2), conv(channels, around, 2))
            self.around = nn.Sequential(
                *down, Residual(around), Residual(around), nn.Conv2d(around, channels, 1)
            )
            nn.init.zeros_(self.around[-1].weight)  # type: ignore[arg-type]
            nn.init.zeros_(self.around[-1].bias)  # type: ignore[arg-type]
        self.query = nn.Linear(CODE_DIM, channels, bias=False)
        self.bias = nn.Parameter(torch.tensor(-2.0))
        nn.init.normal_(self.query.weight, std=0.1)

    def forward(self, x_BCHW: Tensor, code_BD: Tensor) -> Tensor:
        """Features BCHW, codes BD -> logit B1HW."""
        seen = x_BCHW
        if self.around is not None:
            seen = seen + nn.functional.interpolate(
                self.around(x_BCHW), size=x_BCHW.shape[2:], mode="bilinear"
            )
        query = self.query(code_BD)[:, :, None, None]
        return (self.look(seen) * query).mean(1, keepdim=True) + self.bias


class GuidedFusion(nn.Module):
    """Base of a fusion network; a subclass says in :meth:`encode` what it sees in the two pictures.

    It calls :meth:`add_decoder` where the decoder has its place among its own parts: a seed draws weights in order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.guidance = GuidanceProjection()

    def add_decoder(self, widths: tuple[int, int, int, int, int], around: int = 0) -> None:
        """`widths`: channels of the features at 1, 1/2, 1/4, 1/8, 1/16 of the resolution; `around`: see Relevance."""
        w = widths
        self.film16 = FiLM(w[4])
        self.mix16 = Residual(w[4])
        self.up8 = Up(w[4], w[3])
        self.relevance = Relevance(w[3], around)
        self.up4 = Up(w[3], w[2])
        self.up2 = Up(w[2], w[1])
        self.up1 = Up(w[1], w[0], guided=False)
        self.head = nn.Conv2d(w[0], 4, 3, 1, 1)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def encode(self, rgb: Tensor, thermal: Tensor) -> list[Tensor]:
        """Both pictures as one: features at 1, 1/2, 1/4, 1/8, 1/16, before any text comes in."""
        raise NotImplementedError

    def forward(self, rgb_B3HW: Tensor, thermal_B1HW: Tensor, code_BD: Tensor) -> Tensor:
        """Fuse.

        rgb_B3HW, thermal_B1HW: [0, 1], H and W multiples of 32. code_BD: guidance codes (D = 64), zero for no text.
        Returns the fused RGB image B3HW in [0, 1].
        """
        fused, _, _ = self.fuse(rgb_B3HW, thermal_B1HW, code_BD)
        return fused.clamp(0.0, 1.0)

    def fuse(self, rgb: Tensor, thermal: Tensor, code: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """As :meth:`forward`, but not clamped, and with the logit of the text's relevance (at 1/8) and the features
        that other heads share (1/4, 1/8, 1/16 of :meth:`encode`), which no text changes.
        """
        skip = self.encode(rgb, thermal)
        maps, relevance = self.decode(skip, code)
        return compose(rgb, thermal, maps, relevance, code), relevance, skip[SHARED:]

    def decode(self, skip: list[Tensor], code: Tensor) -> tuple[Tensor, Tensor]:
        """What :meth:`encode` gives -> mix, detail, gain and accent of every pixel (B4HW), and the text's relevance."""
        x, relevance = self.hear(skip[3], skip[4], code)
        for up, features in zip((self.up4, self.up2, self.up1), (skip[2], skip[1], skip[0]), strict=True):
            x = up(x, features, code)
        return self.head(x), relevance

    def hear(self, eighth: Tensor, sixteenth: Tensor, code: Tensor) -> tuple[Tensor, Tensor]:
        """The coarse half of :meth:`decode`, which is where text is understood: features at 1/8, and relevance."""
        x = self.mix16(self.film16(sixteenth, code))
        x = self.up8(x, eighth, code)
        return x, self.relevance(x, code)
