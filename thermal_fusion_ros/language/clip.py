"""CLIP's text encoder, by open_clip: any text to the 512 numbers that guidance is projected from.

open_clip and the weights are optional: without them captions and prompts made of vocabulary words work all the same.
"""

from __future__ import annotations

import importlib.util
from collections import OrderedDict
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.language.vocabulary import Vocabulary
from thermal_fusion_ros.models.guidance import CLIP_DIM, GuidanceProjection
from thermal_fusion_ros.torchvision_beside_cpu import mend_torchvision

CACHED = 256  # texts
SAME_SPACE = 0.9  # mean cosine between the code of an encoded word and the one baked into the checkpoint
TEST_WORDS = ("person", "car", "bus", "bicycle", "dog", "traffic light")
HOW = "pip install open_clip_torch, and set language.clip_weights to a file of weights or to a tag such as `openai`"


def import_open_clip() -> ModuleType:
    """The package, imported (slow: seconds), also beside a torch that torchvision was not built for."""
    if importlib.util.find_spec("open_clip") is None:
        raise InputError(f"CLIP: the package open_clip is not installed; {HOW}")
    mend_torchvision()
    try:
        import open_clip
    except Exception as error:  # its dependencies fail in many ways
        raise InputError(f"CLIP: open_clip cannot be imported ({type(error).__name__}: {error})") from error
    module: ModuleType = open_clip
    return module


class ClipTextEncoder:
    """Text to a raw CLIP embedding (512 float32); the last texts are remembered. Used by one thread at a time.

    `model` and `weights` are what ``open_clip.create_model`` takes: a name such as ``ViT-B-32-quickgelu`` with a tag
    such as ``openai`` (downloaded and kept by open_clip) or the path of a checkpoint; or ``hf-hub:OWNER/NAME`` or
    ``local-dir:FOLDER`` as `model`, which bring their weights.
    """

    def __init__(self, model: str, weights: str, device: str = "cpu") -> None:
        """Load the model. :class:`InputError` says what is missing and how to get it."""
        open_clip = import_open_clip()
        brings_weights = model.startswith(("hf-hub:", "local-dir:"))
        if not weights and not brings_weights:
            raise InputError(f"CLIP: no weights for {model}; {HOW}")
        try:
            network: Any = open_clip.create_model(
                model,
                pretrained=None if brings_weights else weights,
                require_pretrained=True,
                device=device,
            )
            self._tokenize: Any = open_clip.get_tokenizer(model)
        except Exception as error:  # missing files, no network, other keys: open_clip raises all sorts
            raise InputError(
                f"CLIP: {model} with weights `{weights}` cannot be loaded: {_first_line(error)}"
            ) from error
        # Only the text half is needed.
        if hasattr(network, "visual"):
            del network.visual
        self._network, self._device = network.eval().requires_grad_(False), device
        self._cache: OrderedDict[str, NDArray[np.float32]] = OrderedDict()
        size = len(self._encode("a person"))
        if size != CLIP_DIM:
            raise InputError(
                f"CLIP: {model} gives {size} numbers per text, guidance needs {CLIP_DIM} (a ViT-B/32)"
            )

    def __call__(self, text: str) -> NDArray[np.float32]:
        """Raw (not normalised) embedding of `text`; longer texts than CLIP reads are cut. Do not write into it."""
        key = " ".join(text.split())
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        embedding = self._encode(key)
        embedding.setflags(write=False)
        self._cache[key] = embedding
        if len(self._cache) > CACHED:
            self._cache.popitem(last=False)
        return embedding

    def _encode(self, text: str) -> NDArray[np.float32]:
        with torch.inference_mode():
            tokens = self._tokenize([text]).to(self._device)
            embedding: NDArray[np.float32] = self._network.encode_text(tokens)[0].float().cpu().numpy().copy()
        return embedding

    def check(self, projection: GuidanceProjection, vocabulary: Vocabulary) -> None:
        """Refuse weights of another CLIP than the one whose vectors the fusion network was trained with.

        Text encoders of the same shape but other training give unrelated numbers, and guidance by them would be noise.
        """
        words = [word for word in TEST_WORDS if word in vocabulary.names]
        cosines = []
        for word in words:
            ours, baked = project(projection, self(f"a {word}")), vocabulary.mix({word: 1.0})
            cosines.append(float(ours @ baked / (np.linalg.norm(ours) * np.linalg.norm(baked) + 1e-12)))
        if words and np.mean(cosines) < SAME_SPACE:
            raise InputError(
                "CLIP: these weights are not those the fusion network was trained with (known words come out at a "
                f"mean cosine of {np.mean(cosines):.2f}, need {SAME_SPACE}); use language.clip_model "
                "ViT-B-32-quickgelu with language.clip_weights openai"
            )


def project(projection: GuidanceProjection, embedding: NDArray[np.float32]) -> NDArray[np.float32]:
    """Guidance code (64,) of a raw CLIP embedding (512,)."""
    with torch.inference_mode():
        code: NDArray[np.float32] = (
            projection(torch.from_numpy(np.array(embedding, np.float32))).cpu().numpy()
        )
    return code


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__
