"""Libraries that import torchvision, beside a CPU torch."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch

_mended: list[torch.library.Library] = []  # a declaration lives as long as its library object


def mend_torchvision() -> None:
    """The torchvision of PyPI is built for CUDA. Beside a CPU torch its operators cannot be loaded, and then its import
    fails because it describes one that nobody has declared. Who needs none of them is helped by declaring it.
    """
    spec = importlib.util.find_spec("torchvision")
    if _mended or spec is None or not spec.submodule_search_locations:
        return
    for library in Path(spec.submodule_search_locations[0]).glob("_C*.so"):
        try:
            torch.ops.load_library(str(library))
            return
        except OSError:
            continue
    schemas = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        schemas.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _mended.append(schemas)
