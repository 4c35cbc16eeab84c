"""A network that goes on from the weights of a smaller one, or of its own kind, as if it had never been written.

What a smaller one computes is kept: the first channels are its own, and nobody listens to the new ones yet; new
residual blocks add nothing yet (as in Chen et al., Net2Net, ICLR 2016).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.models.depth import Residual

# Frobenius norm of a convolution before normalisation, per root of its rank, after ten thousand steps of Muon. Files
# hold smaller weights (checkpoint.tamed), and what is smaller would be moved the more by the same rate.
FIRM = 7.0


@torch.no_grad()
def take_up(model: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Fill `model` with `tensors` of the same names, but for those of new residual blocks, and at most the same sizes.

    Raises :class:`InputError` when they are of another architecture.
    """
    tensors = _with_new_blocks(model, tensors)
    own = model.state_dict()
    if own.keys() != tensors.keys() or any(
        mine.dim() != tensors[name].dim()
        or any(m < t for m, t in zip(mine.shape, tensors[name].shape, strict=True))
        for name, mine in own.items()
    ):
        raise InputError(
            "weights to start from are of another architecture; train from nothing, or from others"
        )
    for name, mine in own.items():
        given = tensors[name].to(mine.dtype)
        if mine.dim() > 1:
            mine[: given.shape[0]] = 0  # of old channels, what they would hear of new ones
        mine[tuple(slice(n) for n in given.shape)] = given
    model.load_state_dict(own)
    for place, block in model.named_modules():
        layers = block.named_children() if isinstance(block, nn.Sequential) else ()
        for (name, layer), (_, norm) in pairwise(layers):
            if isinstance(layer, nn.Conv2d) and layer.bias is None and isinstance(norm, nn.BatchNorm2d):
                _firm(layer, norm, len(tensors[f"{place}.{name}.weight"]))


def _with_new_blocks(model: nn.Module, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """`tensors` and those of the residual blocks of `model` that they have none of, which add nothing as yet."""
    known = dict(tensors)
    for name, block in model.named_modules():
        if isinstance(block, Residual) and not any(given.startswith(f"{name}.") for given in tensors):
            nn.init.zeros_(block.body[-1].weight)  # type: ignore[arg-type]
            known |= {f"{name}.{its}": tensor.clone() for its, tensor in block.state_dict().items()}
    return known


def _firm(layer: nn.Conv2d, norm: nn.BatchNorm2d, old: int) -> None:
    """Larger or smaller weights, which compute the same; new channels are as large as the old ones are on average."""
    matrix = layer.weight.flatten(1)
    matrix[old:] *= matrix[:old].norm() / old**0.5 / matrix[old:].norm(dim=1, keepdim=True).clamp_min(1e-9)
    scale = FIRM * min(matrix.shape) ** 0.5 / matrix.norm()
    layer.weight *= scale
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean *= scale
    norm.running_var *= scale**2
