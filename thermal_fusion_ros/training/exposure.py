"""Other exposures, tints, curves, blur and noise: what a camera may make of the same view."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

RADIUS = 5  # pixels of the widest blur
LITTLE_NOISE = (0.2, 3.0)  # grey levels: what rounding and another moment of the same scene change


def exposed(pictures: Tensor, rng: np.random.Generator) -> Tensor:
    """B×C×H×W uint8 -> float32 in [0, 1], each in its own way; computed where they are."""
    count, channels = pictures.shape[:2]

    def sometimes(share: float) -> NDArray[np.bool_]:
        return rng.random(count) < share

    def each(values: NDArray[np.float64]) -> Tensor:
        return torch.from_numpy(values.astype(np.float32)).reshape(count, -1, 1, 1).to(pictures.device)

    other = sometimes(0.8)
    curve = np.where(other, np.exp(rng.normal(0, 0.3, count)), 1)
    gain = np.exp(rng.normal(0, 0.2, (count, 1)) + rng.normal(0, 0.06, (count, channels)))
    gain = np.where(other[:, None], gain, 1)
    offset = np.where(other, rng.normal(0, 0.05, count), 0)
    shown = (pictures.float() / 255) ** each(curve) * each(gain) + each(offset)
    out_of_focus = np.flatnonzero(sometimes(0.25))
    shown[out_of_focus] = blurred(shown[out_of_focus], rng.uniform(0.4, 1.3, len(out_of_focus)))
    noisy = np.flatnonzero(sometimes(0.5))
    shown[noisy] += noise(shown[noisy], rng.uniform(0, 0.04, len(noisy)), rng)
    grey = np.flatnonzero(sometimes(0.15))  # colour must not be all
    shown[grey] = shown[grey].mean(1, keepdim=True).expand(-1, channels, -1, -1)
    return shown.clamp(0, 1)


def a_little_noise(pictures: Tensor, rng: np.random.Generator) -> Tensor:
    """The pictures B×C×H×W in [0, 1] with noise that nobody would see."""
    least, most = np.log(LITTLE_NOISE)
    levels = np.exp(rng.uniform(least, most, len(pictures)))
    return pictures + noise(pictures, levels / 255, rng)


def noise(like: Tensor, strength: NDArray[np.float64], rng: np.random.Generator) -> Tensor:
    """Of another strength for each of the pictures B×C×H×W."""
    generator = torch.Generator(like.device).manual_seed(int(rng.integers(1 << 62)))
    drawn = torch.randn(like.shape, generator=generator, device=like.device)
    return drawn * torch.from_numpy(strength.astype(np.float32)).to(like.device).reshape(-1, 1, 1, 1)


def blurred(pictures: Tensor, sigma: NDArray[np.float64]) -> Tensor:
    """Pictures B×C×H×W, each with a Gaussian of its own, pixels."""
    count, channels, height, width = pictures.shape
    if not count:
        return pictures
    steps = np.arange(-RADIUS, RADIUS + 1)
    kernels = np.exp(-0.5 * (steps / sigma[:, None]) ** 2)
    kernels = np.repeat(kernels / kernels.sum(1, keepdims=True), channels, 0)
    line = torch.from_numpy(kernels.astype(np.float32)).to(pictures.device)[:, None, None]
    planes = pictures.reshape(1, count * channels, height, width)
    planes = nn.functional.pad(planes, (RADIUS,) * 4, mode="reflect")
    for kernel in (line, line.mT):
        planes = nn.functional.conv2d(planes, kernel, groups=count * channels)
    return planes.reshape(pictures.shape)


def expose(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.float32]:
    """:func:`exposed` for one H×W×C."""
    shown = exposed(torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None], rng)
    return np.ascontiguousarray(shown[0].permute(1, 2, 0).numpy())
