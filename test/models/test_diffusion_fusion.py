import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch.utils.flop_counter import FlopCounterMode

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.models.checkpoint import load_denoiser, load_fusion, save_fusion, shipped
from thermal_fusion_ros.models.colour import to_luma_chroma
from thermal_fusion_ros.models.diffusion_fusion import DiffusionFusion
from thermal_fusion_ros.models.guidance import CODE_DIM

NO_TEXT = torch.zeros(1, CODE_DIM)


@pytest.fixture(scope="module")
def weights():
    return load_fusion(shipped("diffusion"))


def images(height=96, width=128, seed=0):
    generator = torch.Generator().manual_seed(seed)
    small = torch.rand((1, 4, 6, 8), generator=generator)
    pair = torch.nn.functional.interpolate(small, (height, width), mode="bicubic").clamp(0, 1)
    return pair[:, :3], pair[:, 3:]


@pytest.mark.parametrize("size", [(32, 32), (64, 160)])
def test_one_input_has_one_output_of_its_size(weights, size):
    rgb, thermal = images(*size)
    fused = weights.model(rgb, thermal, NO_TEXT)
    assert fused.shape == rgb.shape
    assert fused.min() >= 0
    assert fused.max() <= 1
    torch.testing.assert_close(weights.model(rgb, thermal, NO_TEXT), fused, atol=0, rtol=0)


def test_pictures_of_a_batch_do_not_mix(weights):
    first, second = images(seed=1), images(seed=2)
    together = weights.model(*(torch.cat(p) for p in zip(first, second, strict=True)), NO_TEXT.repeat(2, 1))
    for alone, fused in zip((first, second), together, strict=True):
        torch.testing.assert_close(weights.model(*alone, NO_TEXT)[0], fused, atol=1e-4, rtol=0)


def test_both_spectra_reach_the_output(weights):
    rgb = torch.full((1, 3, 96, 128), 0.3)
    thermal = torch.full((1, 1, 96, 128), 0.2)
    rgb[..., 20:44, 20:44] = 0.8
    thermal[..., 50:74, 80:104] = 0.9
    fused, _ = to_luma_chroma(weights.model(rgb, thermal, NO_TEXT))
    background = fused[0, 0, 5:15, 60:120].mean()
    assert fused[0, 0, 26:38, 26:38].mean() > background + 0.2
    assert fused[0, 0, 56:68, 86:98].mean() > background + 0.2


def test_grey_stays_grey(weights):
    rgb, thermal = images()
    grey = rgb.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    fused = weights.model(grey, thermal, NO_TEXT)
    assert (fused.amax(1) - fused.amin(1)).max() < 1e-3


def test_text_changes_the_picture_and_a_faded_one_does_not(weights):
    rgb, thermal = images()
    code = torch.from_numpy(weights.vocabulary.code("person"))[None]
    plain = weights.model(rgb, thermal, NO_TEXT)
    assert (plain - weights.model(rgb, thermal, code)).abs().max() > 1 / 255
    torch.testing.assert_close(weights.model(rgb, thermal, code * 1e-4), plain, atol=2e-3, rtol=0)


def test_the_diffusion_model_is_used_and_never_trained(weights):
    rgb, thermal = images()
    model = DiffusionFusion()
    assert not any(p.requires_grad for p in model.denoiser.parameters())
    model.load_state_dict(weights.model.state_dict())
    plain = model(rgb, thermal, NO_TEXT)
    for parameter in model.denoiser.encoders[0].parameters():
        parameter.data.zero_()
    assert (model(rgb, thermal, NO_TEXT) - plain).abs().max() > 1 / 255


def test_half_precision_shows_the_same_picture(weights):
    rgb, thermal = images()
    plain = weights.model(rgb, thermal, NO_TEXT)
    half = load_fusion(shipped("diffusion")).model.half()
    assert (half(rgb.half(), thermal.half(), NO_TEXT.half()).float() - plain).abs().max() < 4 / 255


def test_cost_at_640x480():
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        DiffusionFusion().eval()(torch.zeros(1, 3, 480, 640), torch.zeros(1, 1, 480, 640), NO_TEXT)
    assert counter.get_total_flops() < 45e9


def test_weights_round_trip_with_their_noise_levels(tmp_path):
    torch.manual_seed(0)
    model = DiffusionFusion(levels=(5, 100, 900))
    path = tmp_path / "weights.safetensors"
    save_fusion(path, model, ["person"], np.eye(1, 512, dtype=np.float32), {})
    loaded = load_fusion(path).model
    assert isinstance(loaded, DiffusionFusion)
    assert loaded.levels.tolist() == [5, 100, 900]
    for name, tensor in load_denoiser(path).state_dict().items():
        torch.testing.assert_close(tensor, model.denoiser.state_dict()[name].half().float())


def test_shipped_weights_are_small_described_and_checked_when_read(tmp_path):
    path = shipped("diffusion")
    assert path.stat().st_size < 20_000_000
    assert load_fusion(path).vocabulary.parse("two cars and a person") == {"car": 0.5, "person": 0.5}
    card = path.with_suffix(".md").read_text()
    for needed in (
        "thermal-fusion train diffusion",
        "--model diffusion",
        "seed",
        "LLVIP",
        "M3SVD",
        "RoadScene",
    ):
        assert needed in card
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(path.read_bytes()[:-1000])
    for load in (load_fusion, load_denoiser):
        with pytest.raises(InputError, match="not a readable weight file"):
            load(broken)
    with pytest.raises(InputError, match="not diffusion weights"):
        load_denoiser(shipped("cross_attention"))
    with safe_open(path, framework="pt") as file:
        assert file.metadata()["architecture"] == "diffusion"
