"""Diffusion over registered pairs: what an RGB image and its thermal image look like together.

A denoising diffusion model (Ho et al., NeurIPS 2020) of four channels, red, green, blue and thermal, on the cosine
schedule of Nichol & Dhariwal (ICML 2021). The network predicts the velocity v = alpha * noise - sigma * image
(Salimans & Ho, ICLR 2022), which is as well conditioned at every noise level; the noise follows from it exactly
(:meth:`Schedule.noise`). The features of its decoder feed :mod:`thermal_fusion_ros.models.diffusion_fusion`.

It works on pictures of any size that is a multiple of 16: no attention, and normalisation over the channels of each
pixel alone, so a full frame looks to it like a training crop.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

CHANNELS = 4  # red, green, blue, thermal
LEVELS = 1000  # noise levels; 0 is nearly clean, 999 nearly pure noise
WIDTHS = (32, 64, 96, 128, 192)  # channels at 1, 1/2, 1/4, 1/8, 1/16 of the input resolution
STRIDE = 16  # heights and widths are multiples of this
EMBEDDING = 128
ZOOM_UNIT = 64  # pixels; a picture of this width has zoom 0
MOST_ZOOM = 3.0


class Schedule:
    """The cosine schedule: `alpha` and `sigma`, how much of the image and of noise each level holds (LEVELS each)."""

    def __init__(self) -> None:
        offset = 0.008
        at = torch.arange(LEVELS + 1, dtype=torch.float64) / LEVELS
        remaining = torch.cos((at + offset) / (1 + offset) * math.pi / 2).square()
        beta = (1 - remaining[1:] / remaining[:-1]).clamp_max(0.999)
        self.alpha_bar = torch.cumprod(1 - beta, 0)
        self.alpha = self.alpha_bar.sqrt().float()
        self.sigma = (1 - self.alpha_bar).sqrt().float()

    def _at(self, level_B: Tensor) -> tuple[Tensor, Tensor]:
        alpha, sigma = (x.to(level_B.device)[level_B][:, None, None, None] for x in (self.alpha, self.sigma))
        return alpha, sigma

    def noised(self, image_BCHW: Tensor, noise_BCHW: Tensor, level_B: Tensor) -> Tensor:
        """The image at a noise level: alpha * image + sigma * noise. `level_B`: whole numbers below LEVELS."""
        alpha, sigma = self._at(level_B)
        return alpha * image_BCHW + sigma * noise_BCHW

    def velocity(self, image_BCHW: Tensor, noise_BCHW: Tensor, level_B: Tensor) -> Tensor:
        """What the network predicts: alpha * noise - sigma * image."""
        alpha, sigma = self._at(level_B)
        return alpha * noise_BCHW - sigma * image_BCHW

    def noise(self, noised_BCHW: Tensor, velocity_BCHW: Tensor, level_B: Tensor) -> Tensor:
        """The noise in a noised image, given its velocity."""
        alpha, sigma = self._at(level_B)
        return sigma * noised_BCHW + alpha * velocity_BCHW

    def image(self, noised_BCHW: Tensor, velocity_BCHW: Tensor, level_B: Tensor) -> Tensor:
        """The clean image in a noised one, given its velocity."""
        alpha, sigma = self._at(level_B)
        return alpha * noised_BCHW - sigma * velocity_BCHW


def zoom_of(width: int) -> float:
    """How finely a whole picture of this width shows its scene: 0 at 64 pixels, 1 at 128 … The network is told, as
    a crop cannot know whether it shows a wall or a street.
    """
    return min(math.log2(width / ZOOM_UNIT), MOST_ZOOM)


def normalised(x_BCHW: Tensor) -> Tensor:
    """Every pixel's features with a mean square of 1 (Karras et al., ICLR 2018)."""
    return x_BCHW * torch.rsqrt(x_BCHW.square().mean(1, keepdim=True) + 1e-4)


class Block(nn.Module):
    """x + conv(act(modulated(conv(act(norm(x)))))); the modulation says the noise level."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, 1, 1)
        self.modulation = nn.Linear(EMBEDDING, 2 * channels)
        self.second = nn.Conv2d(channels, channels, 3, 1, 1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x_BCHW: Tensor, embedding_BE: Tensor) -> Tensor:
        """Features BCHW, embedding of the noise level BE -> BCHW."""
        gain, shift = self.modulation(embedding_BE)[:, :, None, None].chunk(2, dim=1)
        y = self.first(nn.functional.silu(normalised(x_BCHW)))
        out: Tensor = x_BCHW + self.second(nn.functional.silu(y * (1 + gain) + shift))
        return out


class Denoiser(nn.Module):
    """The U-Net. 3.2 M parameters; 1.0 GFLOP (2 x MAC) for 64x64 pixels."""

    def __init__(self) -> None:
        super().__init__()
        w = WIDTHS
        self.embed = nn.Sequential(
            nn.Linear(EMBEDDING, EMBEDDING), nn.SiLU(), nn.Linear(EMBEDDING, EMBEDDING), nn.SiLU()
        )
        self.stem = nn.Conv2d(CHANNELS, w[0], 3, 1, 1)
        self.encoders = nn.ModuleList(Block(c) for c in w)
        self.downs = nn.ModuleList(nn.Conv2d(fine, coarse, 3, 2, 1) for fine, coarse in pairwise(w))
        self.middle = Block(w[-1])
        self.ups = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in pairwise(w))
        self.decoders = nn.ModuleList(Block(c) for c in w[:-1])
        self.out = nn.Conv2d(w[0], CHANNELS, 3, 1, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def embedding(self, level_B: Tensor, zoom_B: Tensor) -> Tensor:
        """Sines of the noise level and of the zoom, through a small network: BE."""
        count = EMBEDDING // 4
        octave = torch.arange(count, device=level_B.device, dtype=torch.float32) / count
        time = level_B.float()[:, None] / LEVELS * torch.exp(octave * math.log(1000.0))
        zoom = zoom_B.float()[:, None] * torch.exp(octave * math.log(30.0))
        waves = torch.cat([time.sin(), time.cos(), zoom.sin(), zoom.cos()], dim=1)
        out: Tensor = self.embed(waves.to(self.stem.weight.dtype))
        return out

    def features(self, noised_B4HW: Tensor, level_B: Tensor, zoom_B: Tensor) -> list[Tensor]:
        """Features of the decoder at 1, 1/2, 1/4, 1/8, 1/16 of the input's resolution, finest first."""
        embedding = self.embedding(level_B, zoom_B)
        x = self.stem(noised_B4HW)
        skips = []
        for depth, encoder in enumerate(self.encoders):
            x = encoder(x, embedding)
            skips.append(x)
            if depth < len(self.downs):
                x = self.downs[depth](x)
        x = self.middle(skips.pop(), embedding)
        found = [x]
        for up, decoder in zip(reversed(self.ups), reversed(self.decoders), strict=True):
            coarse = nn.functional.interpolate(up(x), scale_factor=2.0, mode="bilinear")
            x = decoder(coarse + skips.pop(), embedding)
            found.append(x)
        return found[::-1]

    def forward(self, noised_B4HW: Tensor, level_B: Tensor, zoom_B: Tensor) -> Tensor:
        """Predict the velocity.

        noised_B4HW: red, green, blue, thermal of images in [-1, 1], noised; H and W multiples of 16. level_B: noise
        levels, whole numbers below LEVELS. zoom_B: see :func:`zoom_of`. Returns v, B4HW.
        """
        x = self.features(noised_B4HW, level_B, zoom_B)[0]
        out: Tensor = self.out(nn.functional.silu(normalised(x)))
        return out


@torch.inference_mode()
def sample(
    denoiser: Denoiser, count: int, size: tuple[int, int], zoom: float, *, seed: int = 0, steps: int = 50
) -> Tensor:
    """Pairs drawn from the model, count×4×H×W in [-1, 1], by DDIM (Song et al., ICLR 2021); one seed, one result."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn((count, CHANNELS, *size), generator=generator)
    schedule = Schedule()
    levels = torch.linspace(LEVELS - 1, 0, steps).round().long()
    zooms = torch.full((count,), zoom)
    image = x
    for index, level in enumerate(levels):
        at = level.expand(count)
        velocity = denoiser(x, at, zooms).float()
        image = schedule.image(x, velocity, at).clamp(-1, 1)
        if index + 1 < steps:
            # The noise that goes with the clamped image.
            alpha, sigma = schedule.alpha[level], schedule.sigma[level]
            x = schedule.noised(image, (x - alpha * image) / sigma, levels[index + 1].expand(count))
    return image
