"""Is it a diffusion model? How well it tells noise from pairs it has never seen, against predictors that know less."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from thermal_fusion_ros.models.diffusion import CHANNELS, Denoiser, Schedule


@dataclass(frozen=True)
class NoiseError:
    """Mean square error of the predicted noise (variance 1) at a noise level.

    `zero` says there is none; `scaled` gives the noised image, each channel times its best factor; `wiener` knows the
    power spectrum of all channels and how they go together, and is the best that any linear filter can do.
    """

    level: int
    model: float
    zero: float
    scaled: float
    wiener: float


@torch.inference_mode()
def noise_errors(
    denoiser: Denoiser,
    known_N4HW: Tensor,
    images_M4HW: Tensor,
    zooms_M: Tensor,
    levels: list[int],
    seed: int = 0,
) -> list[NoiseError]:
    """The errors on `images` in [-1, 1]; the predictors that know less learn their statistics from `known`."""
    schedule = Schedule()
    generator = torch.Generator().manual_seed(seed)
    mean = known_N4HW.mean((0, 2, 3), keepdim=True)
    spectrum = _spectrum(known_N4HW - mean)
    variance = (known_N4HW - mean).square().mean((0, 2, 3))[:, None, None]
    rows = []
    for level in levels:
        alpha, sigma = float(schedule.alpha[level]), float(schedule.sigma[level])
        at = torch.full((len(images_M4HW),), level)
        noise = torch.randn(images_M4HW.shape, generator=generator)
        noised = schedule.noised(images_M4HW, noise, at)
        velocity = torch.cat(
            [
                denoiser(*part).float()
                for part in zip(noised.split(16), at.split(16), zooms_M.split(16), strict=True)
            ]
        )
        centred = noised - alpha * mean
        scaled = centred * sigma / (alpha**2 * variance + sigma**2)
        errors = [schedule.noise(noised, velocity, at), torch.zeros_like(noise), scaled]
        errors.append(_wiener(centred, spectrum, alpha, sigma))
        rows.append(NoiseError(level, *(float((guess - noise).square().mean()) for guess in errors)))
    return rows


def _spectrum(centred_N4HW: Tensor) -> Tensor:
    """Covariance of the channels at every spatial frequency, HW44."""
    waves = torch.fft.fft2(centred_N4HW, norm="ortho").permute(2, 3, 1, 0)
    return waves @ waves.mH / waves.shape[-1]


def _wiener(noised_N4HW: Tensor, spectrum_HW44: Tensor, alpha: float, sigma: float) -> Tensor:
    """The linear estimate of the noise with the least error: sigma (alpha^2 S + sigma^2)^-1 x at every frequency."""
    total = alpha**2 * spectrum_HW44 + sigma**2 * torch.eye(CHANNELS)
    waves = torch.fft.fft2(noised_N4HW, norm="ortho").permute(2, 3, 1, 0)
    guess = sigma * torch.linalg.solve(total, waves)
    return torch.fft.ifft2(guess.permute(3, 2, 0, 1), norm="ortho").real
