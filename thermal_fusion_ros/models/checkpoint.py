"""Weights on disk: fp16 safetensors; fusion weights have the vocabulary's codes baked in."""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.files import write_whole
from thermal_fusion_ros.language.vocabulary import Vocabulary
from thermal_fusion_ros.models.cross_attention import SEEN, CrossAttentionFusion
from thermal_fusion_ros.models.depth import DepthNet
from thermal_fusion_ros.models.diffusion import Denoiser
from thermal_fusion_ros.models.diffusion_fusion import DiffusionFusion
from thermal_fusion_ros.models.objects import CLASSES, ObjectHead

SHIPPED = Path(__file__).parent / "weights"
FusionNetwork = CrossAttentionFusion | DiffusionFusion
ARCHITECTURES: dict[str, type[nn.Module]] = {
    "cross_attention": CrossAttentionFusion,
    "diffusion": DiffusionFusion,
}
CODES = "vocabulary.codes"
PROJECTION = "guidance.linear.weight"


@dataclass(frozen=True)
class FusionWeights:
    """A loaded network in evaluation mode, the words it knows, and a hash of what other heads read of it."""

    model: FusionNetwork
    vocabulary: Vocabulary
    digest: str


def save_fusion(
    path: Path,
    model: FusionNetwork,
    nouns: list[str],
    centred: NDArray[np.float32],
    about: dict[str, Any],
) -> None:
    """Write `model` as fp16 with the codes of `nouns` (their centred CLIP vectors, N×512), atomically."""
    tensors = _halved(model)
    # Codes are those of the stored (fp16) projection, so baked words and encoded ones agree.
    projection = tensors[PROJECTION].float()
    tensors["guidance.mean"] = (
        model.guidance.mean.float().contiguous()
    )  # 2 KiB, for the same reason kept exact
    tensors[CODES] = torch.from_numpy(centred) @ projection.T
    architecture = next(name for name, kind in ARCHITECTURES.items() if type(model) is kind)
    metadata = {"architecture": architecture, "nouns": json.dumps(nouns), "about": json.dumps(about)}
    _write(path, tensors, metadata)


def load_fusion(path: Path) -> FusionWeights:
    """Read what :func:`save_fusion` wrote; :class:`InputError` names what is wrong with the file."""
    metadata, tensors = _read(path)
    architecture = metadata.get("architecture")
    if architecture not in ARCHITECTURES or CODES not in tensors:
        raise InputError(f"{path}: not fusion weights of this package (architecture: {architecture})")
    codes = tensors.pop(CODES).numpy()
    model: FusionNetwork
    if architecture == "diffusion" and "levels" in tensors:
        model = DiffusionFusion(tuple(tensors["levels"].tolist()))
    else:
        model = CrossAttentionFusion()
    _fill(model, path, tensors, str(architecture))
    vocabulary = Vocabulary(tuple(json.loads(metadata["nouns"])), codes)
    return FusionWeights(model.eval(), vocabulary, _seen(tensors))


def _seen(tensors: dict[str, torch.Tensor]) -> str:
    """Hash of the parameters that other heads depend on: text and picture may be trained again beneath them."""
    found = hashlib.sha256()
    for name in sorted(name for name in tensors if name.startswith(SEEN)):
        found.update(name.encode() + tensors[name].reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


@dataclass(frozen=True)
class DepthWeights:
    """A loaded network in evaluation mode, what it reads (visible, infrared or fused), and the hash of its file."""

    model: DepthNet
    spectrum: str
    digest: str


def save_depth(path: Path, model: nn.Module, spectrum: str, about: dict[str, Any]) -> None:
    """Write a DepthNet as fp16, atomically."""
    _write(path, _halved(model), {"architecture": "depth", "spectrum": spectrum, "about": json.dumps(about)})


def load_depth(path: Path) -> DepthWeights:
    """Read what :func:`save_depth` wrote; :class:`InputError` names what is wrong with the file."""
    spectrum, tensors = _read_depth(path)
    model = DepthNet(channels=1 if spectrum == "infrared" else 3)
    _fill(model, path, tensors, "depth")
    return DepthWeights(model.eval(), spectrum, hashlib.sha256(path.read_bytes()).hexdigest())


def depth_tensors(path: Path) -> dict[str, torch.Tensor]:
    """What is in a file of :func:`save_depth`, also of a network narrower than this version's, in float32."""
    tensors = _read_depth(path)[1]
    return {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}


def _read_depth(path: Path) -> tuple[str, dict[str, torch.Tensor]]:
    """Spectrum and tensors of a file of :func:`save_depth`."""
    metadata, tensors = _read(path)
    if metadata.get("architecture") != "depth" or "spectrum" not in metadata:
        raise InputError(
            f"{path}: not depth weights of this package (architecture: {metadata.get('architecture')})"
        )
    return metadata["spectrum"], tensors


def trunk_for(found: ObjectWeights, fusion: FusionWeights) -> CrossAttentionFusion | None:
    """The network whose features the head reads, where that is not `fusion` itself.

    Raises :class:`InputError` when it is neither that nor the one that ships.
    """
    if found.fusion == fusion.digest:
        return None
    shared = load_fusion(shipped("cross_attention"))
    if found.fusion != shared.digest or not isinstance(shared.model, CrossAttentionFusion):
        raise InputError(
            "objects.weights were trained on the features of other fusion weights: run `thermal-fusion train objects` "
            "with these, or set objects.enabled to false"
        )
    return shared.model


@dataclass(frozen=True)
class ObjectWeights:
    """A loaded head in evaluation mode, and the hash of its file. `fusion`: digest of the weights it was trained on."""

    model: ObjectHead
    fusion: str
    digest: str


def save_objects(path: Path, model: nn.Module, fusion: str, about: dict[str, Any]) -> None:
    """Write an ObjectHead as fp16, atomically; `fusion` is the digest of the weights whose features it reads."""
    metadata = {"architecture": "objects", "classes": json.dumps(CLASSES), "fusion": fusion}
    _write(path, _halved(model), metadata | {"about": json.dumps(about)})


def load_objects(path: Path) -> ObjectWeights:
    """Read what :func:`save_objects` wrote; :class:`InputError` names what is wrong with the file."""
    metadata, tensors = _read(path)
    known = tuple(json.loads(metadata.get("classes", "[]")))
    if metadata.get("architecture") != "objects" or known != CLASSES:
        raise InputError(
            f"{path}: not object weights of this package (architecture: {metadata.get('architecture')})"
        )
    model = ObjectHead()
    _fill(model, path, tensors, "objects")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return ObjectWeights(model.eval(), metadata.get("fusion", ""), digest)


def _halved(model: nn.Module) -> dict[str, Any]:
    """Its tensors as fp16; what batch normalisation has counted stays a whole number."""
    halved = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in tamed(model).state_dict().items()
    }
    lost = [name for name, tensor in halved.items() if not torch.isfinite(tensor).all()]
    if lost:
        raise ValueError(
            f"weights that half precision cannot hold, or that are not finite: {', '.join(lost)}"
        )
    return halved


@torch.no_grad()
def tamed(model: nn.Module) -> nn.Module:
    """A copy that computes the same, with channels of about unit variance before batch normalisation.

    Nothing holds these down in training, least of all with Muon, and half precision ends at 65504, on disk and on GPUs.
    """
    model = copy.deepcopy(model)
    for block in model.modules():
        for layer, norm in pairwise(block.children()) if isinstance(block, nn.Sequential) else ():
            if isinstance(layer, nn.Conv2d) and layer.bias is None and isinstance(norm, nn.BatchNorm2d):
                assert norm.running_mean is not None
                assert norm.running_var is not None
                spread = norm.running_var.clamp_min(1.0).sqrt()  # small ones stay: they feel epsilon
                layer.weight /= spread[:, None, None, None]
                norm.running_mean /= spread
                norm.running_var /= spread**2
    return model


def save_denoiser(path: Path, model: nn.Module, about: dict[str, Any]) -> None:
    """Write a diffusion model as fp16, atomically."""
    _write(path, _halved(model), {"architecture": "denoiser", "about": json.dumps(about)})


def load_denoiser(path: Path) -> Denoiser:
    """Read what :func:`save_denoiser` wrote, or the same part of `diffusion` fusion weights, in evaluation mode.

    :class:`InputError` names what is wrong with the file.
    """
    metadata, tensors = _read(path)
    architecture, prefix = metadata.get("architecture"), "denoiser."
    if architecture not in ("denoiser", "diffusion"):
        raise InputError(f"{path}: not diffusion weights of this package (architecture: {architecture})")
    if architecture == "diffusion":
        tensors = {name[len(prefix) :]: t for name, t in tensors.items() if name.startswith(prefix)}
    model = Denoiser()
    _fill(model, path, tensors, "denoiser")
    return model.eval()


def average(first: Path, second: Path, share: float, out: Path) -> None:
    """Write (1 - share) × `first` + share × `second`: two runs of one network, the later begun with the earlier, are
    often better together (Wortsman et al., Model soups, ICML 2022). What is counted is that of `first`.

    :class:`InputError` when they are not of the same network, or give texts other codes: the mean of codes that are
    baked in is not quite what the mean of projections, rounded, makes of the same words.
    """
    if not 0 <= share <= 1:
        raise InputError(f"share {share:g}: 0 (the first file alone) to 1 (the second alone)")
    (facts, tensors), (others, further) = _read(first), _read(second)
    for different in sorted((facts.keys() | others.keys()) - {"about"}):
        if facts.get(different) != others.get(different):
            raise InputError(
                f"{second}: {different} is {others.get(different)!r}, that of {first} {facts.get(different)!r}; only "
                "weights of one network can be averaged"
            )
    if "architecture" not in facts or _shapes(tensors) != _shapes(further):
        raise InputError(f"{first}, {second}: not weights of one network of this package")
    if CODES in tensors and not torch.equal(tensors[PROJECTION], further[PROJECTION]):
        raise InputError(
            f"{second}: its projection of texts is not that of {first}; runs of `train fusion --learns picture` that "
            "start from one file keep it, and can be averaged"
        )
    mean = {
        name: ((1 - share) * t.float() + share * further[name].float()).to(t.dtype)
        if t.is_floating_point()
        else t
        for name, t in tensors.items()
    }
    about = {"average": [first.name, second.name], "share": share}
    _write(out, mean, facts | {"about": json.dumps(about)})


def _shapes(tensors: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _write(path: Path, tensors: dict[str, Any], metadata: dict[str, str]) -> None:
    write_whole(path, save(tensors, metadata))


def _read(path: Path) -> tuple[dict[str, str], dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: not a readable weight file ({error})") from error


def _fill(model: nn.Module, path: Path, tensors: dict[str, Any], architecture: str) -> None:
    try:
        model.load_state_dict(
            {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
        )
    except RuntimeError as error:
        raise InputError(
            f"{path}: weights do not fit this version's {architecture}; retrain or update"
        ) from error


def shipped(architecture: str) -> Path:
    """Path of the weights that come with the package."""
    return SHIPPED / f"{architecture}.safetensors"


def weights_at(place: str) -> Path:
    """A weights file: its path, or the name of one that ships with the package."""
    return Path(place) if place.endswith(".safetensors") else shipped(place)
