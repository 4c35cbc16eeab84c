"""Language beside the frame path: pictures at a low rate and the operator's prompt in, captions and guidance out.

The frame path gives pictures and asks for the code; both return at once, whatever the worker does. Something else (a
timer) tends the service now and then: it replaces a worker that has stalled.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.config import LanguageConfig
from thermal_fusion_ros.frames import Perception
from thermal_fusion_ros.language.captioner import Caption
from thermal_fusion_ros.language.glance import glance
from thermal_fusion_ros.language.guide import Job
from thermal_fusion_ros.language.worker import Guidance, LanguageWorker, Work
from thermal_fusion_ros.models.guidance import CODE_DIM

PERIODS = 2.0  # between captions, that guidance lasts at least: else it would pulse at low rates


@dataclass(frozen=True, slots=True)
class LanguageState:
    """What there is to tell; `age_s` is how long ago the picture (or prompt) came that is behind `text`.

    `text` is what guides; `embedding` is what it means and `embedding_name` what that is: `clip_text`, its raw CLIP
    vector (512,), or without CLIP `guidance_code` (64,). These are None before the first result. `caption` is the last
    one made. `refused`: why the prompt was not understood. `problem`: what is wrong otherwise.
    """

    worker: str
    prompt: str
    text: str | None = None
    caption: Caption | None = None
    embedding: NDArray[np.float32] | None = None
    embedding_name: str | None = None
    age_s: float | None = None
    weight: float = 0.0
    refused: str = ""
    problem: str = ""
    restarts: int = 0


class LanguageService:
    """Runs a worker while there is something to think about: captions, or a prompt.

    `offer`, `due`, `code` and `forget` are for the frame path, the others for one other thread.
    """

    def __init__(
        self,
        config: LanguageConfig,
        prepare: Callable[[], Work],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`prepare` makes what the worker works with, in the worker's thread (see LanguageWorker)."""
        self.captions = config.captions
        self.restarts = 0
        self._config, self._prepare, self._clock = config, prepare, clock
        self._period_s = 1.0 / config.rate_hz
        self._due_s = -np.inf
        self._prompt = ""
        self._worker: LanguageWorker | None = None
        self._abandoned = False  # too many threads hang for another
        self._caption: Caption | None = None
        self._start_or_stop()

    # The frame path

    @property
    def due(self) -> bool:
        """Whether :meth:`offer` would take a picture now."""
        return self.captions and self._clock() >= self._due_s

    def offer(self, rgb: NDArray[np.uint8], perception: Perception) -> bool:
        """Describe this pair (`rgb` H×W×3), if ``language.rate_hz`` lets it; whether it does."""
        worker, now = self._worker, self._clock()
        if worker is None or not self.captions or now < self._due_s:
            return False
        on_time = now < self._due_s + self._period_s
        self._due_s = (self._due_s if on_time else now) + self._period_s
        worker.offer(Job(glance(rgb, perception), self._prompt))
        return True

    def code(self) -> NDArray[np.float32]:
        """The guidance code (64,) that holds now, zeros for none."""
        return self._guidance().code

    def forget(self) -> None:
        """A new recording, or the clock jumped: what was seen before guides no longer. A prompt stays in force."""
        worker = self._worker
        self._due_s = -np.inf
        if worker is not None and not self._prompt:
            worker.forget()

    # Another thread

    def set_prompt(self, text: str) -> None:
        """The operator's text, empty for none. What it means is known when the worker has found out."""
        self._prompt = text.strip()
        self._start_or_stop()
        if self._worker is None:
            return
        if self._prompt:
            self._worker.offer(Job(None, self._prompt))
        else:
            self._worker.forget()

    def tend(self) -> bool:
        """Call it now and then. Replaces a worker that has stalled; True if it did."""
        worker = self._worker
        if worker is None:
            return False
        state, thought = worker.state, self._guidance().thought
        if state.startswith("stalled"):
            restarted = worker.restart()
            self.restarts += restarted
            self._abandoned = not restarted
            return restarted
        self._abandoned = False
        # Without pictures nothing else brings the prompt to a worker that had failed or was replaced.
        missing = thought is None or not (thought.lasting or thought.refused)
        if self._prompt and missing and state != "loading":
            worker.offer(Job(None, self._prompt))
        return False

    def state(self) -> LanguageState:
        """Everything there is to tell now."""
        worker = self._worker
        if worker is None:
            return LanguageState("off", self._prompt, restarts=self.restarts)
        guidance, doing = self._guidance(), worker.state
        problem = doing if doing.startswith(("stalled", "failed")) else ""
        if self._abandoned:
            problem += "; too many threads hang to begin another: start the node again"
        state = LanguageState(
            doing, self._prompt, caption=self._caption, problem=problem, restarts=self.restarts
        )
        thought = guidance.thought
        if thought is None:
            return state
        with_clip = thought.embedding is not None
        return dataclasses.replace(
            state,
            text=thought.text,
            embedding=thought.embedding if with_clip else thought.code,
            embedding_name="clip_text" if with_clip else "guidance_code",
            age_s=guidance.age_s,
            weight=guidance.weight,
            refused=thought.why_refused if self._prompt and thought.refused else "",
            problem=problem or ("" if thought.refused else thought.problem),
        )

    def close(self, timeout_s: float = 1.0) -> bool:
        """End the worker; False if one of its threads is busy for longer than that."""
        worker, self._worker = self._worker, None
        return worker is None or (worker.stop(timeout_s) and not worker.hanging)

    def _start_or_stop(self) -> None:
        wanted = self.captions or bool(self._prompt)
        if wanted and self._worker is None:
            self._worker = LanguageWorker(
                self._prepare,
                timeout_s=max(self._config.timeout_s, PERIODS * self._period_s),
                half_life_s=self._config.half_life_s,
                clock=self._clock,
            )
        elif not wanted:
            self.close(0.0)

    def _guidance(self) -> Guidance:
        """The worker's, unless it is that of a prompt which is no longer in force."""
        nothing = Guidance(np.zeros(CODE_DIM, np.float32), 0.0, None, None)
        worker = self._worker
        if worker is None:
            return nothing
        guidance = worker.guidance()
        thought = guidance.thought
        if thought is None:
            return nothing
        self._caption = thought.caption or self._caption
        return nothing if thought.lasting and thought.text != self._prompt else guidance
