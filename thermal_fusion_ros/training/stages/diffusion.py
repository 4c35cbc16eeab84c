"""Train the diffusion model of registered pairs; self-supervised, nothing but the pictures."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from thermal_fusion_ros.models.checkpoint import load_denoiser, save_denoiser, weights_at
from thermal_fusion_ros.models.diffusion import Denoiser, Schedule
from thermal_fusion_ros.simulation.dataset import DatasetSpec, SimulatedDataset
from thermal_fusion_ros.training import distributed, loop
from thermal_fusion_ros.training.data import Pair, load_pairs
from thermal_fusion_ros.training.depth_data import display
from thermal_fusion_ros.training.diffusion_data import DiffusionBatch, DiffusionSampler


@dataclass(frozen=True)
class Settings(loop.LoopSettings):
    """Everything that shapes a run; stored with its result."""

    steps: int = 2_300
    batch: int = 40
    crop: int = 64
    learning_rate: float = 1e-3
    muon: float = 0.02
    samples: int = 600  # rendered pictures
    simulated: float = 0.12  # share of a batch that is rendered


def loss_terms(model: nn.Module, batch: DiffusionBatch) -> dict[str, Tensor]:
    """Mean square error of the predicted velocity."""
    image, noise, level, zoom = (distributed.tensor(x) for x in vars(batch).values())
    schedule = Schedule()
    noised = schedule.noised(image, noise, level).to(memory_format=torch.channels_last)
    with distributed.autocast():
        velocity = model(noised, level, zoom)
    return {"velocity": (velocity.float() - schedule.velocity(image, noise, level)).square().mean()}


def rendered(count: int, seed: int, cache: Path, workers: int) -> list[Pair]:
    """Simulated pairs, as the camera would give them."""
    if count == 0:
        return []
    dataset = SimulatedDataset(DatasetSpec(count=count, seed=seed), cache)
    return [Pair(f"simulated_{s.index}", s.rgb, display(s.counts), ()) for s in dataset.samples(workers)]


def train(
    data: Path,
    out: Path,
    settings: Settings,
    *,
    cache: Path,
    workers: int = 0,
    stop_at: int | None = None,
    checkpoint_every: int = 500,
) -> Path:
    """Train, resuming from ``out``; returns the path of the fp16 weights. `cache` keeps rendered pictures.

    Raises :class:`InputError` when `data` is not what data/README.md describes, `out` holds another run, or processes
    can't share a batch.
    """
    distributed.mine(settings.batch)  # before anything is rendered
    simulated = rendered(settings.samples, settings.seed, cache, workers)
    sampler = DiffusionSampler(load_pairs(data), simulated, settings.simulated, settings.crop, settings.seed)
    torch.manual_seed(settings.seed)
    model = Denoiser()
    if settings.start:
        model.load_state_dict(load_denoiser(weights_at(settings.start)).state_dict())
    model.to(distributed.device())
    path = out / "denoiser.safetensors"

    def terms(step: int) -> dict[str, Tensor]:
        return loss_terms(model, sampler.batch(step, settings.batch, distributed.mine(settings.batch)))

    def save(average: nn.Module, step: int) -> None:
        save_denoiser(path, average, {"settings": asdict(settings), "step": step})

    loop.run(model, terms, save, out, settings, stop_at=stop_at, checkpoint_every=checkpoint_every)
    return path
