"""Train the object head on the features of a fusion network that stays as it is."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from thermal_fusion_ros.detections import Detection
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.models.checkpoint import load_fusion, load_objects, save_objects, shipped, weights_at
from thermal_fusion_ros.models.cross_attention import CrossAttentionFusion
from thermal_fusion_ros.models.graph import FUSION_STRIDE
from thermal_fusion_ros.models.guided_fusion import SHARED
from thermal_fusion_ros.models.objects import MIN_SCORE, ObjectHead, decode
from thermal_fusion_ros.simulation.dataset import DatasetSpec, SimulatedDataset
from thermal_fusion_ros.training import distributed, loop
from thermal_fusion_ros.training.data import Floats, Image, load_frames, load_pairs
from thermal_fusion_ros.training.growing import take_up
from thermal_fusion_ros.training.head_likeness import Opinion, likeness_terms, opinion
from thermal_fusion_ros.training.object_data import ObjectBatch, ObjectSampler, simulated_pair
from thermal_fusion_ros.training.prefetch import Prefetched
from thermal_fusion_ros.training.stages.depth import as_input
from thermal_fusion_ros.training.standing import cutouts

# From above, people and traffic of streets by night above all: where such cameras hang.
RAISED = DatasetSpec(
    width=480,
    height=384,
    worlds=("street", "street", "trail"),
    conditions=("day", "dusk", "night", "night", "night+unlit", "fog", "smoke", "glare", "night+smoke"),
    per_world=4,
    raised=True,
)
LATE = 0.8  # of a run: from here on features are whole, as they are when it is used


@dataclass(frozen=True)
class Settings(loop.LoopSettings):
    """Everything that shapes a run; stored with its result."""

    steps: int = 5_500
    batch: int = 6
    learning_rate: float = 1e-3
    muon: float = 0.02
    samples: int = 2_400  # rendered pictures as a robot has them
    raised: int = 1_800  # more of them, from poles and roofs
    simulated: int = 2  # pictures of a batch that are rendered
    dropped: float = 0.0  # share of the channels of features that a step goes without; none in the last fifth
    overlap: float = 1.5
    edges: float = 0.3
    teacher: str = ""  # weights of a head to resemble, which may read another network…
    teacher_fusion: str = ""  # …this one; empty: the one that is read here
    distil: float = 1.0  # how much it counts that all is seen and said as the teacher does…
    labels: float = 1.0  # …and that the labels are met
    every: int = (
        0  # so-many-th frame of the clips is learned from, too: by the teacher, nobody has labelled them
    )
    dispute: float = 0.35  # from this score on, what nobody has labelled may yet be there…
    dispute_from: int = 3_500  # …once the network has seen enough to have an opinion


def train(
    data: Path, out: Path, settings: Settings, *, cache: Path, workers: int = 0, stop_at: int | None = None
) -> Path:
    """Train, resuming from ``out``; returns the path of the fp16 weights. `cache` keeps rendered pictures.

    The features are those of the shipped fusion weights: train again when these change. Raises :class:`InputError`
    when data is missing or processes can't share a batch.
    """
    if settings.every and not settings.teacher:
        raise InputError("--every: needs --teacher; nobody has labelled the frames")
    distributed.mine(settings.batch)  # before anything is rendered
    teacher = load_teacher(settings) if settings.teacher else None
    real = load_pairs(data, min_score=0.0)
    people = [c for c in cutouts(real) if c.label == "person"]  # of cars there are too few
    rng = np.random.default_rng((settings.seed, 6))
    simulated = [
        simulated_pair(sample, people, rng)
        for spec in worlds_of(settings)
        for sample in SimulatedDataset(spec, cache).samples(workers)
    ]
    frames = load_frames(data, settings.every) if settings.every else []
    sampler = ObjectSampler(real + frames, simulated, settings.seed)
    fusion = load_fusion(shipped("cross_attention"))
    assert isinstance(fusion.model, CrossAttentionFusion)
    torch.manual_seed(settings.seed)
    model = ObjectHead().to(distributed.device())
    if settings.start:
        take_up(model, load_objects(weights_at(settings.start)).model.state_dict())
    network = fusion.model.to(distributed.device())
    path = out / "objects.safetensors"

    def batch(step: int) -> ObjectBatch:
        whole = sampler.batch(step, settings.batch - settings.simulated, settings.simulated)
        return whole.part(distributed.mine(settings.batch))

    batches = Prefetched(batch, settings.steps, 1)

    def terms(step: int) -> dict[str, Tensor]:
        found = batches(step)
        features = shared_features(network, found.rgb, found.thermal)
        if step < LATE * settings.steps:
            features = [F.dropout2d(x, settings.dropped) for x in features]
        if teacher is None:
            return loss_terms(opinion(model, features), found, settings, step)
        head, trunk = teacher
        with torch.no_grad():
            theirs = opinion(head, shared_features(trunk, found.rgb, found.thermal))
        mine = opinion(model, features)
        alike = {name: settings.distil * term for name, term in likeness_terms(mine, theirs).items()}
        return loss_terms(mine, found, settings, step) | alike

    def save(average: nn.Module, step: int) -> None:
        save_objects(path, average, fusion.digest, {"settings": asdict(settings), "step": step})

    loop.run(model, terms, save, out, settings, stop_at=stop_at)
    return path


def load_teacher(settings: Settings) -> tuple[ObjectHead, CrossAttentionFusion]:
    """The head that is learnt from, and the network it reads. Raises :class:`InputError` if they don't belong."""
    head = load_objects(weights_at(settings.teacher))
    trunk = load_fusion(weights_at(settings.teacher_fusion or "cross_attention"))
    if head.fusion != trunk.digest or not isinstance(trunk.model, CrossAttentionFusion):
        raise InputError(f"--teacher {settings.teacher}: reads another network; name it by --teacher-fusion")
    for network in (head.model, trunk.model):
        network.to(distributed.device()).eval().requires_grad_(False)
    return head.model, trunk.model


def worlds_of(settings: Settings) -> list[DatasetSpec]:
    """What is rendered for a run."""
    found = [DatasetSpec(count=settings.samples, seed=settings.seed)] if settings.samples else []
    if settings.raised:
        found.append(replace(RAISED, count=settings.raised, seed=settings.seed))
    return found


@torch.no_grad()
def shared_features(fusion: CrossAttentionFusion, rgb: Floats, thermal: Floats) -> list[Tensor]:
    """What the head reads of pictures B×3×H×W and B×1×H×W in [0, 1]."""
    pictures = (distributed.tensor(x).to(memory_format=torch.channels_last) for x in (rgb, thermal))
    with distributed.autocast():
        return fusion.encode(*pictures)[SHARED:]


@torch.inference_mode()
def detect(
    fusion: CrossAttentionFusion, head: ObjectHead, rgb: Image, thermal: Image, threshold: float = MIN_SCORE
) -> list[Detection]:
    """Objects in a registered pair H×W×3 and H×W, uint8 of any size."""
    with distributed.autocast("cpu"):
        features = fusion.encode(as_input(rgb, FUSION_STRIDE), as_input(thermal[..., None], FUSION_STRIDE))
        scores, edges = head(features[SHARED:])
    return decode(scores[0].float().numpy(), edges[0].float().numpy(), thermal.shape, threshold)


def loss_terms(mine: Opinion, batch: ObjectBatch, settings: Settings, step: int = 0) -> dict[str, Tensor]:
    """Every weighted term of what labels say of a batch, at this step."""
    logits, edges = mine.logits, mine.edges
    middle, counts, true, weight = (
        distributed.tensor(x) for x in (batch.middle, batch.counts, batch.edges, batch.weight)
    )
    overlap, generalised = _overlap(edges, true.clamp_min(0.05))
    # Quality focal loss (Li et al., 2020): towards how well the box fits, gently where the network nearly knows.
    quality = torch.where(weight > 0, overlap.detach().clamp(0, 1), torch.ones_like(overlap))
    goal = middle * quality
    belief = torch.sigmoid(logits)
    if settings.start or step >= settings.dispute_from:
        # Not every person in a real picture has a label. To forbid them would teach doubt (Zhang et al., Solving
        # missing-annotation object detection with background recalibration loss, ICASSP 2020).
        missing = (middle == 0) & (belief.detach() > settings.dispute)
        counts = counts * (1 - missing.float() * (1 - distributed.tensor(batch.complete)))
    focus = (goal - belief).square()
    score = F.binary_cross_entropy_with_logits(logits, goal, reduction="none") * focus * counts
    objects = (middle == 1).sum().clamp_min(1)
    total = weight.sum().clamp_min(1)
    difference = (torch.log(edges.clamp_min(0.05)) - torch.log(true.clamp_min(0.05))).abs()
    terms = {
        "score": score.sum() / objects,
        "overlap": settings.overlap * ((1 - generalised) * weight).sum() / total,
        "edges": settings.edges * (difference.mean(1, keepdim=True) * weight).sum() / total,
    }
    return {name: settings.labels * term for name, term in terms.items()}


def _overlap(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU (Rezatofighi et al., CVPR 2019), B1hw, of boxes around one cell: edges B4hw."""

    def area(edges: Tensor) -> Tensor:
        left, top, right, bottom = edges.split(1, dim=1)
        return (left + right) * (top + bottom)

    shared, around = area(torch.minimum(first, second)), area(torch.maximum(first, second))
    union = area(first) + area(second) - shared
    iou = shared / union.clamp_min(1e-6)
    return iou, iou - (around - union) / around.clamp_min(1e-6)
