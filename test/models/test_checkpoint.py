import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.models.checkpoint import load_fusion, save_fusion, shipped
from thermal_fusion_ros.models.cross_attention import CrossAttentionFusion


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    model = CrossAttentionFusion()
    rng = np.random.default_rng(0)
    centred = rng.normal(size=(3, 512)).astype(np.float32)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    path = tmp_path / "weights.safetensors"
    save_fusion(path, model, ["person", "car", "dog"], centred, {"step": 1})
    return path, model, centred


def test_round_trip(saved):
    path, model, centred = saved
    loaded = load_fusion(path)
    assert loaded.vocabulary.names == ("person", "car", "dog")
    for name, tensor in loaded.model.state_dict().items():
        torch.testing.assert_close(tensor, model.state_dict()[name].half().float())
    # Baked codes are what the stored projection makes of the same vectors.
    projected = loaded.model.guidance.project(torch.from_numpy(centred)).detach().numpy()
    np.testing.assert_allclose(loaded.vocabulary.codes, projected, atol=1e-5)
    assert len(loaded.digest) == 64
    assert not list(path.parent.glob("*.partial"))


def test_digest_is_that_of_what_other_heads_read(saved):
    path, model, centred = saved
    first = load_fusion(path).digest

    def digest_with(parameter):
        with torch.no_grad():
            parameter += 1
        save_fusion(path, model, ["person", "car", "dog"], centred, {"step": 2})
        return load_fusion(path).digest

    assert digest_with(model.head.weight) == first
    assert digest_with(model.up4.film.gamma_beta.weight) == first
    assert digest_with(model.merge[2].weight) != first


def test_broken_files_are_named(saved, tmp_path):
    path, _, _ = saved
    data = path.read_bytes()
    truncated = tmp_path / "truncated.safetensors"
    truncated.write_bytes(data[: len(data) // 2])
    other = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(1)}, other)
    misfit = tmp_path / "misfit.safetensors"
    save_file(
        {"vocabulary.codes": torch.zeros(1, 64)},
        misfit,
        {"architecture": "cross_attention", "nouns": json.dumps(["a"])},
    )
    for broken, message in (
        (tmp_path / "missing.safetensors", "not a readable weight file"),
        (truncated, "not a readable weight file"),
        (other, "not fusion weights"),
        (misfit, "do not fit"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            load_fusion(broken)
        assert str(broken) in str(caught.value)


def test_shipped_weights_are_small_half_precision_and_described():
    path = shipped("cross_attention")
    assert path.stat().st_size < 8_000_000
    assert load_fusion(path).vocabulary.parse("two cars and a person") == {"car": 0.5, "person": 0.5}
    card = path.with_suffix(".md").read_text()
    for needed in ("thermal-fusion train fusion", "seed", "LLVIP", "M3SVD", "RoadScene"):
        assert needed in card
