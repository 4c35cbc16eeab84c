"""Muon: momentum whose every update is made orthogonal (Jordan et al., 2024, kellerjordan.github.io/posts/muon).

Small networks trained briefly from nothing learn in a third of the steps that Adam needs. torch has it for matrices
only; here a convolution counts as the matrix of its filters.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

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
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                average = state.setdefault("average", torch.zeros_like(weight))
                average.lerp_(weight.grad, 1 - group["momentum"])
                nesterov = weight.grad.lerp(average, group["momentum"])
                update = orthogonal(nesterov.flatten(1)).view_as(weight)
                tall = max(1.0, weight.shape[0] / weight[0].numel()) ** 0.5
                weight.add_(update, alpha=-group["lr"] * tall)


def orthogonal(matrix: Tensor) -> Tensor:
    """The nearest matrix M×N with singular values of about 1."""
    a, b, c = NEWTON_SCHULZ
    x = matrix / (matrix.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    for _ in range(ITERATIONS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if tall else x


def split(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Weights of convolutions with at least eight filters, and the rest: outputs have fewer."""
    matrices = [p for p in model.parameters() if p.dim() == 4 and p.shape[0] >= 8]
    chosen = {id(p) for p in matrices}
    return matrices, [p for p in model.parameters() if id(p) not in chosen]
