"""A generative captioner (CoCa, Yu et al., TMLR 2022, by open_clip), for those who have its weights.

Its sentences know nothing of distances and may name what is not there; the captioner of this package is the default.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.language.clip import import_open_clip

MAX_TOKENS = 30
BEGIN, END = 49406, 49407  # of CLIP's tokenizer


class GenerativeCaptioner:
    """A picture to a sentence. Seconds per picture on a CPU. Used by one thread at a time."""

    def __init__(self, model: str, weights: str, device: str = "cpu") -> None:
        """`model` and `weights` as open_clip names them (``coca_ViT-B-32``, a tag or a file)."""
        if not weights:
            raise InputError(
                f"caption: {model} needs weights: a file, or a tag of open_clip such as "
                "mscoco_finetuned_laion2b_s13b_b90k"
            )
        open_clip: Any = import_open_clip()
        try:
            network, _, self._prepare = open_clip.create_model_and_transforms(
                model, pretrained=weights, require_pretrained=True, device=device
            )
        except Exception as error:  # missing files, no network, other keys: open_clip raises all sorts
            raise InputError(
                f"caption: {model} with weights `{weights}` cannot be loaded: {error}"
            ) from error
        if not hasattr(network, "text_decoder"):
            raise InputError(f"caption: {model} writes no text; take a coca model")
        self._network, self._device, self._decode = network.eval(), device, open_clip.decode

    def __call__(self, rgb: NDArray[np.uint8]) -> str:
        """A sentence about an H×W×3 picture (best the fused one), without the marks of its beginning and end."""
        from PIL import Image

        picture = self._prepare(Image.fromarray(rgb))[None].to(self._device)
        tokens = torch.tensor([[BEGIN]], device=self._device)
        with torch.inference_mode():
            seen = self._network(picture)
            # The likeliest word each time: deterministic, and without open_clip's `generate`, which needs transformers.
            while tokens.shape[1] < MAX_TOKENS and int(tokens[0, -1]) != END:
                logits = self._network(
                    picture,
                    tokens,
                    image_latent=seen["image_features"],
                    image_embs=seen["image_embs"],
                    output_labels=False,
                )["logits"]
                tokens = torch.cat([tokens, logits[:, -1:].argmax(-1)], dim=1)
        text: str = self._decode(tokens[0])
        return " ".join(text.replace("<start_of_text>", "").replace("<end_of_text>", "").split())
