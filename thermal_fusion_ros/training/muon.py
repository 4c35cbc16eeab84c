"""Muon: momentum whose every update is made orthogonal (Jordan et al., 2024, kellerjordan.github.io/posts/muon).

Small networks trained briefly from nothing learn in a third of the steps that Adam needs. torch has it for matrices
only; here a convolution counts as the matrix of its filters.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # quintic iteration; drives all singular values towards 1
ITERATIONS = 5


class Muon(torch.optim.Optimizer):
    """For weights of convolutions; gains, biases and outputs belong to another optimiser."""

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update."""
        for group in self.param_groups:
            moved: dict[tuple[int, int], list[tuple[torch.Tensor, torch.Tensor]]] = {}
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                average = state.setdefault("average", torch.zeros_like(weight))
                average.lerp_(weight.grad, 1 - group["momentum"])
                nesterov = weight.grad.lerp(average, group["momentum"]).flatten(1)
                moved.setdefault((nesterov.shape[0], nesterov.shape[1]), []).append((weight, nesterov))
            for (rows, columns), those in moved.items():  # of one size together: a GPU has many hands
                tall = max(1.0, rows / columns) ** 0.5
                updates = orthogonal(torch.stack([nesterov for _, nesterov in those]))
                for (weight, _), update in zip(those, updates, strict=True):
                    weight.add_(update.view_as(weight), alpha=-group["lr"] * tall)


def orthogonal(matrices: torch.Tensor) -> torch.Tensor:
    """The nearest matrices, ...×M×N, with singular values of about 1."""
    a, b, c = NEWTON_SCHULZ
    x = matrices / (matrices.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    for _ in range(ITERATIONS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x


def split(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Weights of convolutions with at least eight filters, and the rest: outputs have fewer."""
    matrices = [p for p in model.parameters() if p.dim() == 4 and p.shape[0] >= 8]
    chosen = {id(p) for p in matrices}
    return matrices, [p for p in model.parameters() if id(p) not in chosen]
