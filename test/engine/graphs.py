"""Every graph that a configuration can ask for, in one place: tests of engines go through all of them.

Weights are random: what an engine can take does not depend on them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import nn

from thermal_fusion_ros.models.checkpoint import ARCHITECTURES
from thermal_fusion_ros.models.cross_attention import CrossAttentionFusion
from thermal_fusion_ros.models.depth import DepthNet
from thermal_fusion_ros.models.graph import PerceptionGraph
from thermal_fusion_ros.models.objects import ObjectHead
from thermal_fusion_ros.models.small import SmallFusion


def _whole(fusion: type[nn.Module]) -> PerceptionGraph:
    """With depth and objects, whose head reads what the cross-attention network shares."""
    trunk = None if issubclass(fusion, CrossAttentionFusion) else CrossAttentionFusion()
    return PerceptionGraph(fusion(), DepthNet(), ObjectHead(), trunk)


def _graphs() -> Iterator[tuple[str, Callable[[], PerceptionGraph]]]:
    for name, fusion in ARCHITECTURES.items():
        yield name, lambda fusion=fusion: PerceptionGraph(fusion())  # type: ignore[misc]
        yield f"{name}+depth+objects", lambda fusion=fusion: _whole(fusion)  # type: ignore[misc]
    # The diffusion model looks at the pair at half size already.
    yield (
        "small cross_attention+depth",
        lambda: PerceptionGraph(SmallFusion(CrossAttentionFusion()), DepthNet()),
    )


GRAPHS = dict(_graphs())


def make(name: str) -> PerceptionGraph:
    """The graph of this name, always with the same weights."""
    torch.manual_seed(0)
    return GRAPHS[name]().eval()
