"""Text guidance: a linear code of a CLIP text embedding, and FiLM layers that let it modulate features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

CLIP_DIM = 512
CODE_DIM = 64


class GuidanceProjection(nn.Module):
    """CLIP ViT-B/32 text embedding (512) -> guidance code (64).

    The embedding is normalised, centred on the mean of the vocabulary (raw CLIP text vectors share a large common
    part: every pair of nouns has a cosine near 0.8), normalised again and projected linearly. Being linear, the code
    of a caption is the weighted sum of the codes of its phrases.
    """

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(CLIP_DIM))
        self.linear = nn.Linear(CLIP_DIM, CODE_DIM, bias=False)
        # Unit vectors go in; features of unit variance should come out.
        nn.init.normal_(self.linear.weight, std=1.0)

    def centre(self, embedding: Tensor) -> Tensor:
        """Raw CLIP text embeddings (..., 512) -> centred unit vectors (..., 512)."""
        unit = nn.functional.normalize(embedding.float(), dim=-1)
        return nn.functional.normalize(unit - self.mean, dim=-1)

    def forward(self, embedding: Tensor) -> Tensor:
        """Raw CLIP text embeddings (..., 512) -> codes (..., 64)."""
        return self.project(self.centre(embedding))

    def project(self, centred: Tensor) -> Tensor:
        """Centred unit vectors, or weighted sums of them (..., 512) -> codes (..., 64)."""
        code: Tensor = self.linear(centred)
        return code


class FiLM(nn.Module):
    """Feature-wise linear modulation (Perez et al., AAAI 2018): x * (1 + gamma(code)) + beta(code).

    Neither map has a bias, so the zero code ("no text") leaves the features exactly as they are.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma_beta = nn.Linear(CODE_DIM, 2 * channels, bias=False)
        nn.init.normal_(self.gamma_beta.weight, std=0.01)

    def forward(self, x_BCHW: Tensor, code_BD: Tensor) -> Tensor:
        """Modulate features BCHW by codes BD (D = 64)."""
        gamma, beta = self.gamma_beta(code_BD)[:, :, None, None].chunk(2, dim=1)
        return x_BCHW * (1 + gamma) + beta
