"""From a scene or a prompt to the guidance code: what the language worker does with a job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.config import LanguageConfig
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.language.captioner import Caption, Captioner
from thermal_fusion_ros.language.clip import ClipTextEncoder, project
from thermal_fusion_ros.language.scene import Scene
from thermal_fusion_ros.language.vocabulary import Vocabulary
from thermal_fusion_ros.models.guidance import GuidanceProjection

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Job:
    """A scene to describe (None while captions are off), and the operator's prompt (empty for none).

    The scene may be given as what makes it, so that looking at the pictures (`see`, `look`: 10 ms) is the worker's work
    too; it must then have pictures of its own, not the pipeline's.
    """

    scene: Scene | Callable[[], Scene] | None
    prompt: str = ""


@dataclass(frozen=True, slots=True)
class Thought:
    """What came of a job.

    `code` (64,) guides fusion; `text` is what it means: the prompt where there is one, else the caption. `embedding`
    is the text's raw CLIP vector (512,), None without CLIP weights. `lasting`: a prompt, which holds until cleared and
    does not fade. `refused` says why the prompt was not understood; then the caption guides. `problem` says why there
    is no CLIP although it was asked for.
    """

    text: str
    code: Floats
    embedding: Floats | None = None
    caption: Caption | None = None
    lasting: bool = False
    refused: str = ""
    problem: str = ""

    @property
    def why_refused(self) -> str:
        """`refused`, and why CLIP could not help; for people."""
        return "; ".join(text for text in (self.refused, self.problem) if text)


class Guide:
    """Call it with one job after the other; `reset` it when the recording does. Used by one thread at a time.

    A caption's code is the weighted sum of its nouns' baked codes, with or without CLIP: the weights are what makes it
    depth-informed. A prompt that the vocabulary knows takes its codes from there; any other needs the encoder.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        projection: GuidanceProjection | None = None,
        encoder: Callable[[str], Floats] | None = None,
        problem: str = "",
    ) -> None:
        """`encoder` gives raw CLIP vectors, `projection` makes codes of them; without both only known words work.

        `problem` is passed on with every thought.
        """
        self._vocabulary, self._projection, self._encoder = vocabulary, projection, encoder
        self._problem = problem
        self._captioner = Captioner()

    def reset(self) -> None:
        """Forget earlier scenes: a new recording, or the clock jumped."""
        self._captioner.reset()

    def __call__(self, job: Job) -> Thought:
        """Caption, text, embedding and code of one job."""
        scene = job.scene() if callable(job.scene) else job.scene
        caption = None if scene is None else self._captioner(scene)
        refused = ""
        if job.prompt.strip():
            try:
                return self._prompt(job.prompt.strip(), caption)
            except InputError as error:
                refused = str(error)
        text = "" if caption is None else caption.text
        code = self._vocabulary.mix({} if caption is None else caption.nouns)
        return Thought(text, code, self._embedding(text), caption, refused=refused, problem=self._problem)

    def _prompt(self, prompt: str, caption: Caption | None) -> Thought:
        embedding = self._embedding(prompt)
        try:
            code = self._vocabulary.code(prompt)
        except InputError:
            if embedding is None or self._projection is None:
                raise
            code = project(self._projection, embedding)
        return Thought(prompt, code, embedding, caption, lasting=True, problem=self._problem)

    def _embedding(self, text: str) -> Floats | None:
        return None if self._encoder is None or not text else self._encoder(text)


def wants_clip(config: LanguageConfig) -> bool:
    """Whether `config` names weights, so that prompts may be of any words."""
    return bool(config.clip_weights) or config.clip_model.startswith(("hf-hub:", "local-dir:"))


def make_guide(config: LanguageConfig, vocabulary: Vocabulary, projection: GuidanceProjection) -> Guide:
    """The guide that `config` asks for. Loading CLIP takes seconds: do it in the worker's thread.

    Where CLIP weights cannot be had, or are of another CLIP than the network's, the guide does without and says why.
    """
    if not wants_clip(config):
        return Guide(vocabulary)
    try:
        encoder = ClipTextEncoder(config.clip_model, config.clip_weights)
        encoder.check(projection, vocabulary)
    except InputError as error:
        return Guide(vocabulary, problem=str(error))
    return Guide(vocabulary, projection, encoder)
