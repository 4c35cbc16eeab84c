"""The training loop that all stages share: resumable at any step, averaged weights, a log to plot."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.training import muon

STATE = "state.pt"
WARM_UP = 200  # steps


@dataclass(frozen=True)
class LoopSettings:
    """What every run has; stored with its result. `muon`: its learning rate for convolutions; 0: AdamW for all."""

    steps: int
    batch: int
    learning_rate: float
    seed: int = 0
    ema: float = 0.999
    muon: float = 0.0


def rate(step: int, steps: int) -> float:
    """Share of the learning rate: linear warm-up over 200 steps, cosine to 2 %."""
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    progress = (step - WARM_UP) / max(1, steps - WARM_UP)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def optimisers(model: nn.Module, settings: LoopSettings) -> list[torch.optim.Optimizer]:
    """AdamW, and Muon for the convolutions if the settings say so."""
    matrices, rest = muon.split(model) if settings.muon else ([], list(model.parameters()))
    made: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(rest, lr=settings.learning_rate, weight_decay=1e-4)
    ]
    if matrices:
        made.append(muon.Muon(matrices, lr=settings.muon))
    return made


def run(
    model: nn.Module,
    loss_terms: Callable[[int], dict[str, Tensor]],
    save: Callable[[nn.Module, int], None],
    out: Path,
    settings: LoopSettings,
    *,
    stop_at: int | None = None,
    checkpoint_every: int = 500,
) -> None:
    """Train `model` on the sum of `loss_terms(step)`, which must depend on the step alone, not on earlier calls.

    Takes up the run that was left in `out`. `save(average, step)` writes weights at every checkpoint; `stop_at` ends
    early, on the same learning-rate schedule. Raises :class:`InputError` when `out` holds another run or a damaged one.
    """
    model.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(model).eval()
    steppers = optimisers(model, settings)
    peak = [group["lr"] for stepper in steppers for group in stepper.param_groups]
    out.mkdir(parents=True, exist_ok=True)
    start, last = 0, min(settings.steps, stop_at or settings.steps)
    if (out / STATE).exists():
        state = _read(out / STATE)
        if state["settings"] != asdict(settings):
            raise InputError(f"{out}: holds a run with other settings; choose another --out")
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        for stepper, kept in zip(steppers, state["optimisers"], strict=True):
            stepper.load_state_dict(kept)
        start = state["step"]
    window: dict[str, list[float]] = {}
    clock = time.monotonic()
    with (out / "log.jsonl").open("a") as log:
        for step in range(start, last):
            groups = [group for stepper in steppers for group in stepper.param_groups]
            for group, highest in zip(groups, peak, strict=True):
                group["lr"] = highest * rate(step, settings.steps)
            terms = loss_terms(step)
            model.zero_grad(set_to_none=True)
            sum(terms.values(), torch.zeros(())).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for stepper in steppers:
                stepper.step()
            _follow(average, model, min(settings.ema, (step + 1) / (step + 10)))
            for name, term in terms.items():
                window.setdefault(name, []).append(float(term.detach()))
            done = step + 1
            if done % 50 == 0:
                line = {k: round(float(np.mean(v)), 5) for k, v in window.items()}
                line |= {"step": done, "s_per_step": round((time.monotonic() - clock) / 50, 3)}
                print(json.dumps(line), file=log, flush=True)
                print(line, flush=True)
                window.clear()
                clock = time.monotonic()
            if done % checkpoint_every == 0 or done == last:
                state = {"settings": asdict(settings), "step": done, "model": model.state_dict()}
                state |= {
                    "average": average.state_dict(),
                    "optimisers": [stepper.state_dict() for stepper in steppers],
                }
                torch.save(state, out / (STATE + ".new"))
                (out / (STATE + ".new")).replace(out / STATE)
                save(average, done)


def _read(path: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
    except Exception as error:
        raise InputError(f"{path}: not a readable training state; delete it to start afresh") from error
    return state


@torch.no_grad()
def _follow(average: nn.Module, model: nn.Module, decay: float) -> None:
    for mine, new in zip(average.parameters(), model.parameters(), strict=True):
        mine.lerp_(new, 1 - decay)
    for counted, count in zip(average.buffers(), model.buffers(), strict=True):
        counted.copy_(count)
