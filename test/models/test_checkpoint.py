import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.models.checkpoint import (
    average,
    load_fusion,
    load_objects,
    save_fusion,
    save_objects,
    shipped,
)
from thermal_fusion_ros.models.cross_attention import WIDTHS, CrossAttentionFusion
from thermal_fusion_ros.models.guided_fusion import SHARED
from thermal_fusion_ros.models.objects import ObjectHead


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


def test_fusion_weights_are_averaged_where_their_words_keep_their_codes(saved, tmp_path):
    path, model, centred = saved
    other, mean = tmp_path / "other.safetensors", tmp_path / "mean.safetensors"
    with torch.no_grad():
        model.head.weight += 1
    save_fusion(other, model, ["person", "car", "dog"], centred, {"step": 2})
    average(path, other, 0.5, mean)
    expected = load_fusion(path).vocabulary.codes
    np.testing.assert_allclose(load_fusion(mean).vocabulary.codes, expected, atol=1e-6)
    with torch.no_grad():
        model.guidance.linear.weight += 0.1
    save_fusion(other, model, ["person", "car", "dog"], centred, {"step": 3})
    with pytest.raises(InputError, match="projection of texts"):
        average(path, other, 0.5, mean)


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


def test_on_a_full_disk_the_weights_that_were_there_stay_whole(saved, full_disk):
    path, model, centred = saved
    before = path.read_bytes()
    with full_disk(10_000), pytest.raises(InputError) as caught:
        save_fusion(path, model, ["person", "car", "dog"], centred, {"step": 2})
    assert str(caught.value).startswith(f"{path}: not written: File too large; make room")
    assert [file.read_bytes() for file in path.parent.iterdir()] == [before]


def test_shipped_weights_are_small_half_precision_and_described():
    path = shipped("cross_attention")
    assert path.stat().st_size < 8_000_000
    assert load_fusion(path).vocabulary.parse("two cars and a person") == {"car": 0.5, "person": 0.5}
    card = path.with_suffix(".md").read_text()
    for needed in ("thermal-fusion train fusion", "seed", "LLVIP", "M3SVD", "RoadScene"):
        assert needed in card


def grown(head, factor):
    """The same head with channels that vary `factor` times as much before they are normalised."""
    for block in head.modules():
        if isinstance(block, torch.nn.Sequential) and isinstance(block[-1], torch.nn.BatchNorm2d):
            block[-2].weight.data *= factor
            block[-1].running_var *= factor**2
            block[-1].running_mean *= factor
    return head


def test_channels_that_have_grown_beyond_half_precision_survive_the_file(tmp_path):
    torch.manual_seed(0)
    head = grown(ObjectHead().eval(), 1000.0)
    assert max(float(b.max()) for name, b in head.named_buffers() if "var" in name) > 65504
    path = tmp_path / "objects.safetensors"
    save_objects(path, head, "", {})
    loaded = load_objects(path).model
    maps = [torch.rand(1, c, n, n) for c, n in zip(WIDTHS[SHARED:], (32, 16, 8), strict=True)]
    with torch.inference_mode():
        for one, other in zip(loaded.predict(maps), head.predict(maps), strict=True):
            torch.testing.assert_close(one, other, atol=2e-2, rtol=2e-2)


def test_weights_that_are_not_finite_are_not_written(tmp_path):
    head = ObjectHead()
    head.what.bias.data[0] = float("nan")
    with pytest.raises(ValueError, match=r"what\.bias"):
        save_objects(tmp_path / "objects.safetensors", head, "", {})
    assert not list(tmp_path.iterdir())
