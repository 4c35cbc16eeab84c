"""A CLIP of the right shape and random weights, saved to disk as open_clip's checkpoints are."""

import importlib.util
import json
from types import SimpleNamespace

import pytest

SHAPE = {
    "embed_dim": 512,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}


@pytest.fixture(scope="session")
def open_clip():
    if importlib.util.find_spec("open_clip") is None:
        pytest.skip("open_clip is not installed (pip install open_clip_torch)")
    from thermal_fusion_ros.language.clip import import_open_clip

    return import_open_clip()


@pytest.fixture(scope="session")
def random_clip(open_clip, tmp_path_factory):
    """`model` and `weights` to give to ClipTextEncoder, and `network`, what was saved."""
    import torch

    folder = tmp_path_factory.mktemp("clip")
    for name, size in (("small-random", 512), ("narrow-random", 128)):
        (folder / f"{name}.json").write_text(json.dumps(SHAPE | {"embed_dim": size}))
    open_clip.add_model_config(folder)
    torch.manual_seed(0)
    network = open_clip.create_model("small-random").eval()
    torch.save(network.state_dict(), folder / "weights.pt")
    return SimpleNamespace(
        model="small-random", weights=str(folder / "weights.pt"), network=network, folder=folder
    )
