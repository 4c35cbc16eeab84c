"""The training loop that all stages share: resumable at any step, averaged weights, curves to look at.

One process or many (:mod:`thermal_fusion_ros.training.distributed`); mixed precision where a stage asks for it.
"""

from __future__ import annotations

import copy
import io
import json
import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.files import add_line, make_folder, write_whole, writing
from thermal_fusion_ros.training import distributed, muon

STATE = "state.pt"
WARM_UP = 200  # steps
# AdamW's. The usual 0.999 remembers small gradients for a thousand steps: when they grow fast, steps are far too large.
# A run of fusion ended so (weights/cross_attention.md), and did not with this.
BETAS = (0.9, 0.99)


@dataclass(frozen=True)
class LoopSettings:
    """What every run has; stored with its result. `muon`: its learning rate for convolutions; 0: AdamW for all.
    `start`: weights of the network to go on from, a file or the name of shipped ones.
    """

    steps: int
    batch: int
    learning_rate: float
    seed: int = 0
    ema: float = 0.999
    muon: float = 0.0
    start: str = ""


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
        torch.optim.AdamW(rest, lr=settings.learning_rate, betas=BETAS, weight_decay=1e-4)
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
    log_every: int = 50,
) -> None:
    """Train `model` on the sum of `loss_terms(step)`, which must depend on the step alone, not on earlier calls.

    Takes up the run that was left in `out`. `save(average, step)` writes weights at every checkpoint; `stop_at` ends
    early, on the same learning-rate schedule. Under `torchrun` every process calls this; `loss_terms` is then of its
    own part of the batch, and the first process does the writing. `out`/log.jsonl holds the curves, and so does
    `out`/tensorboard where tensorboard is installed.

    Raises :class:`InputError` when `out` holds another run or a damaged one, or cannot be written to: what is there
    stays whole, and the run goes on from it.
    """
    distributed.start()
    model.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(model).eval()
    steppers = optimisers(model, settings)
    peak = [group["lr"] for stepper in steppers for group in stepper.param_groups]
    place = next(model.parameters()).device.type
    scaler = torch.amp.GradScaler(  # type: ignore[attr-defined]
        place, enabled=distributed.precision(place) == torch.float16
    )
    start, last = 0, min(settings.steps, stop_at or settings.steps)
    state = distributed.from_first(_left_in(out, settings) if distributed.rank() == 0 else None)
    if state is not None:
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        for stepper, kept in zip(steppers, state["optimisers"], strict=True):
            stepper.load_state_dict(kept)
        scaler.load_state_dict(state.get("scaler", {})) if scaler.is_enabled() else None
        start = state["step"]
    terms_of = distributed.shared(model, loss_terms)
    curves = Curves(out, log_every)
    for step in range(start, last):
        groups = [group for stepper in steppers for group in stepper.param_groups]
        for group, highest in zip(groups, peak, strict=True):
            group["lr"] = highest * rate(step, settings.steps)
        terms = terms_of(step)
        model.zero_grad(set_to_none=True)
        scaler.scale(sum(terms.values(), torch.zeros((), device=place))).backward()
        for stepper in steppers:
            scaler.unscale_(stepper)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for stepper in steppers:
            scaler.step(stepper)
        scaler.update()
        _follow(average, model, min(settings.ema, (step + 1) / (step + 10)))
        curves.add(step + 1, terms)
        done = step + 1
        if (done % checkpoint_every == 0 or done == last) and distributed.rank() == 0:
            state = {"settings": asdict(settings), "step": done, "model": model.state_dict()}
            state |= {
                "average": average.state_dict(),
                "optimisers": [stepper.state_dict() for stepper in steppers],
                "scaler": scaler.state_dict(),
            }
            _write(out / STATE, state)
            save(average, done)
    curves.close()


class Curves:
    """Means of every `every` steps: printed, to log.jsonl, and to TensorBoard where it is installed."""

    def __init__(self, out: Path, every: int) -> None:
        self.every = every
        self._window: dict[str, list[Tensor]] = {}
        self._clock = time.monotonic()
        self._log, self._shown = out / "log.jsonl", out / "tensorboard"
        self._board: Any = None
        if distributed.rank() == 0:
            make_folder(out)
            with writing(self._log):
                self._log.touch()
            with suppress(ImportError), writing(self._shown):
                from torch.utils.tensorboard import SummaryWriter

                self._board = SummaryWriter(str(self._shown))  # type: ignore[no-untyped-call]

    def add(self, done: int, terms: dict[str, Tensor]) -> None:
        """The terms of the loss of a step; `done` counts from 1."""
        for name, term in terms.items():
            self._window.setdefault(name, []).append(term.detach())
        if done % self.every:
            return
        means = distributed.mean({k: float(torch.stack(v).mean()) for k, v in self._window.items()})
        self._window.clear()
        line: dict[str, float] = {k: round(v, 5) for k, v in means.items()}
        line |= {"step": done, "s_per_step": round((time.monotonic() - self._clock) / self.every, 3)}
        self._clock = time.monotonic()
        if distributed.rank() == 0:
            add_line(self._log, json.dumps(line))
            print(line, flush=True)
        if self._board is not None:
            with writing(self._shown):
                for name, value in means.items():
                    self._board.add_scalar(f"loss/{name}", value, done)
                self._board.add_scalar("loss/all", sum(means.values()), done)

    def close(self) -> None:
        """Write what TensorBoard still holds back."""
        if self._board is not None:
            with writing(self._shown):
                self._board.close()


def _left_in(out: Path, settings: LoopSettings) -> dict[str, Any] | None:
    """The state of the run that was left in a folder, if any."""
    if not (out / STATE).exists():
        return None
    state = _read(out / STATE)
    if state["settings"] != asdict(settings):
        raise InputError(f"{out}: holds a run with other settings; choose another --out")
    return state


def _write(path: Path, state: dict[str, Any]) -> None:
    data = io.BytesIO()
    torch.save(state, data)
    write_whole(path, data.getbuffer())


def _read(path: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:
        raise InputError(f"{path}: not a readable training state; delete it to start afresh") from error
    return state


@torch.no_grad()
def _follow(average: nn.Module, model: nn.Module, decay: float) -> None:
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
    for counted, count in zip(average.buffers(), model.buffers(), strict=True):
        counted.copy_(count)
