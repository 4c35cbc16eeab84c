"""Depth networks of others: any Hugging Face `AutoModelForDepthEstimation`, beside the compiled graph.

Depth Anything V2 Small (Yang et al., NeurIPS 2024; Apache-2.0), for example, is
``depth.model: depth-anything/Depth-Anything-V2-Small-hf``. Slower than the built-in network by one to two orders of
magnitude on a CPU.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.torchvision_beside_cpu import mend_torchvision

F32 = NDArray[np.float32]
USUAL_EDGE = 518  # pixels of the shorter side, where the model's folder does not say
USUAL_MEAN, USUAL_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet
USUAL_SIGMA = 0.15  # such networks do not say how sure they are
FARTHEST = 200.0  # times nearer than this share of the nearest, inverse depth tells nothing


class ExternalDepth:
    """Picture to depth. `metric`: the network claims metres; otherwise the unit is its own."""

    def __init__(self, source: str) -> None:
        """`source`: a folder, or the id of a model that transformers may download. :class:`InputError` if it cannot."""
        if importlib.util.find_spec("transformers") is None:
            raise InputError(
                f"depth.model {source}: needs the package transformers; pip install transformers"
            )
        mend_torchvision()
        try:
            from transformers import AutoModelForDepthEstimation

            self._network: Any = AutoModelForDepthEstimation.from_pretrained(source).eval()
        except Exception as error:  # missing files, no network, another kind of model
            reason = str(error).strip().splitlines()[0]
            raise InputError(
                f"depth.model {source}: not a depth model that can be loaded ({reason})"
            ) from error
        config = self._network.config
        self.metric = (
            getattr(config, "depth_estimation_type", "") == "metric" or config.model_type == "zoedepth"
        )
        self._patch = int(getattr(config, "patch_size", None) or 32)
        described = _preprocessing(Path(source))
        self._edge = int(described.get("size", {}).get("height", USUAL_EDGE))
        self._mean = np.array(described.get("image_mean", USUAL_MEAN), np.float32) * 255
        self._std = np.array(described.get("image_std", USUAL_STD), np.float32) * 255

    def __call__(self, image: NDArray[np.uint8]) -> tuple[F32, F32]:
        """RGB H×W×3 uint8 -> depth h×w, farther is larger, and its relative uncertainty h×w."""
        height, width = image.shape[:2]
        scale = self._edge / min(height, width)
        size = [max(1, round(edge * scale / self._patch)) * self._patch for edge in (width, height)]
        small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32)
        tensor = torch.from_numpy((small - self._mean) / self._std).permute(2, 0, 1)[None]
        with torch.inference_mode():
            predicted: F32 = self._network(pixel_values=tensor).predicted_depth[0].float().numpy()
        depth = predicted if self.metric else inverted(predicted)
        return depth, np.full_like(depth, USUAL_SIGMA)


def inverted(disparity: F32) -> F32:
    """Inverse depth, as such networks predict it up to an unknown factor, as depth; what is not in front is far."""
    nearest = max(float(disparity.max()), 1e-6)
    return (nearest / np.maximum(disparity, nearest / FARTHEST)).astype(np.float32)


def _preprocessing(folder: Path) -> dict[str, Any]:
    """What the model's folder says about its input, if there is one."""
    file = folder / "preprocessor_config.json"
    if not file.is_file():
        return {}
    described: dict[str, Any] = json.loads(file.read_text())
    return described
