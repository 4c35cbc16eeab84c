"""Text learned on top of a network that has never heard any: what a word means in a picture comes from a teacher.

Labels name a few things in a few pictures. A teacher that has heard text from its first step on has an opinion about
every word in every picture, in frames that nobody has labelled as well, and both read the same codes. What the network
shows without a word is not touched: every parameter that is trained does nothing where nothing is said.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from thermal_fusion_ros.models.compose import compose
from thermal_fusion_ros.models.guided_fusion import GuidedFusion
from thermal_fusion_ros.models.objects import CLASSES
from thermal_fusion_ros.training import distributed
from thermal_fusion_ros.training.data import Floats
from thermal_fusion_ros.training.fusion_loss import LossSettings, Tensors, picture_terms
from thermal_fusion_ros.training.losses import divergence

CLASS = 0.7  # share of the phrases that name a class; the others are any noun
NOISE = 0.1  # norm of what is added to a phrase
FOUND = 8.0  # how much more a place counts that the teacher finds relevant


@dataclass(frozen=True)
class HearingSettings(LossSettings):
    """How text is learned from a teacher; none of it counts where `heard` is 0."""

    heard: float = 0.0  # how much it counts that what text is about is where the teacher finds it
    natural: float = 3.0  # how much, that the rest stays as it is without text
    frames: int = 3  # that nobody has labelled, beside the pictures of a batch
    phrases: int = 2  # words that each picture is asked for, beside its text


class Phrases:
    """Words for every picture of a batch, beside its text: N×B×512, depending on (seed, step) alone."""

    def __init__(self, names: list[str], vectors: Floats, seed: int) -> None:
        self.vectors, self.seed = vectors, seed
        self.classes = [names.index(name) for name in CLASSES]

    def __call__(self, step: int, count: int, pictures: int) -> Floats:
        """`count` phrases for each of so many pictures."""
        rng = np.random.default_rng((self.seed, step, 9))
        size = (count, pictures)
        is_class = rng.random(size) < CLASS
        classes, nouns = rng.choice(self.classes, size), rng.integers(len(self.vectors), size=size)
        chosen = self.vectors[np.where(is_class, classes, nouns)]
        noise = rng.normal(0, NOISE / np.sqrt(chosen.shape[-1]), chosen.shape)
        return np.asarray(chosen + noise, np.float32)


def hearing_terms(
    model: GuidedFusion,
    teacher: GuidedFusion,
    labelled: Tensors,
    frames: Tensors,
    phrases_NB512: Tensor,
    settings: HearingSettings,
) -> dict[str, Tensor]:
    """Weighted terms: those of the labelled pictures; that what their text doesn't name stays as it is ("natural"); and
    that all of B pictures, labelled ones first, are as relevant to their text and to N phrases as the teacher says.
    """
    own = len(labelled.rgb)
    rgb, thermal = (torch.cat(x) for x in ((labelled.rgb, frames.rgb), (labelled.thermal, frames.thermal)))
    text = torch.cat([labelled.text, frames.text])
    with torch.no_grad(), distributed.autocast():
        skip, theirs = model.encode(rgb, thermal), teacher.encode(rgb, thermal)
        # The picture's own text first, then phrase after phrase.
        code = model.guidance.project(torch.cat([text, phrases_NB512.flatten(0, 1)]))
        eighth, sixteenth = (x.repeat(1 + len(phrases_NB512), 1, 1, 1) for x in skip[3:])
        their_eighth, their_sixteenth = (x.repeat(1 + len(phrases_NB512), 1, 1, 1) for x in theirs[3:])
        wanted = torch.sigmoid(teacher.hear(their_eighth, their_sixteenth, code)[1]).float()
        silence = torch.zeros_like(code[:own])
        mine = [x[:own] for x in skip]
        maps, relevance = model.decode(mine, silence)
        plain = compose(labelled.rgb, labelled.thermal, maps, relevance, silence).float()
    with distributed.autocast():
        maps, relevance = model.decode(mine, code[:own])
        fused = compose(labelled.rgb, labelled.thermal, maps, relevance, code[:own]).float()
        _, rest = model.hear(eighth[own:], sixteenth[own:], code[own:])
    terms = picture_terms(fused, relevance.float(), labelled, settings)
    changed = (fused - plain).abs() * (1 - labelled.named) * (1 + 2 * labelled.emphasis)
    terms["natural"] = settings.natural * changed.mean()
    heard = torch.cat([relevance, rest]).float()
    said = (code.abs().sum(1) > 0).float()[:, None, None, None]
    terms["heard"] = settings.heard * (divergence(heard, wanted) * said * (1 + FOUND * wanted)).mean()
    return terms
