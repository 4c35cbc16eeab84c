"""How far an object head is from another one that may read other features: in what it sees, and in what it says."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from thermal_fusion_ros.models.objects import ObjectHead
from thermal_fusion_ros.training import distributed
from thermal_fusion_ros.training.losses import divergence

UNDISPUTED = 0.05  # how much a cell counts about which both say the same, of one where they are opposed


@dataclass(frozen=True)
class Opinion:
    """What a head makes of a batch: :meth:`ObjectHead.look`, the logits B7hw and the edges B4hw, in strides."""

    seen: list[Tensor]
    logits: Tensor
    edges: Tensor


def opinion(head: ObjectHead, features: list[Tensor]) -> Opinion:
    """Of these features, in mixed precision."""
    with distributed.autocast():
        seen = head.look(features)
        logits, edges = head.tell(seen[-1])
    return Opinion([x.float() for x in seen], logits.float(), edges.float())


def likeness_terms(mine: Opinion, theirs: Opinion) -> dict[str, Tensor]:
    """Differences: of what is seen on the way, in units of its variance (Romero et al., FitNets, ICLR 2015), of scores
    and, as logarithms, of edges where the other sees an object.
    """
    seen = [(x - y).square().mean() / y.var() for x, y in zip(mine.seen, theirs.seen, strict=True)]
    wanted = torch.sigmoid(theirs.logits)
    score = divergence(mine.logits, wanted)
    focus = (torch.sigmoid(mine.logits).detach() - wanted).abs() + UNDISPUTED
    sure = wanted.amax(1, keepdim=True)
    edges = (torch.log(mine.edges) - torch.log(theirs.edges)).abs() * sure
    return {
        "like_seen": torch.stack(seen).mean(),
        "like_score": (score * focus).sum() / wanted.sum().clamp_min(1),
        "like_edges": 0.5 * edges.sum() / sure.sum().clamp_min(1),
    }
