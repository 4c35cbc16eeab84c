import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from thermal_fusion_ros.models.checkpoint import load_fusion, shipped
from thermal_fusion_ros.models.colour import to_luma_chroma, to_rgb
from thermal_fusion_ros.models.cross_attention import CrossAttentionFusion
from thermal_fusion_ros.models.guidance import CODE_DIM, FiLM


@pytest.fixture(scope="module")
def weights():
    return load_fusion(shipped("cross_attention"))


def images(height=96, width=128, seed=0):
    generator = torch.Generator().manual_seed(seed)
    rgb = torch.nn.functional.interpolate(
        torch.rand((1, 3, 6, 8), generator=generator), (height, width), mode="bicubic"
    )
    thermal = torch.nn.functional.interpolate(
        torch.rand((1, 1, 6, 8), generator=generator), (height, width), mode="bicubic"
    )
    return rgb.clamp(0, 1), thermal.clamp(0, 1)


def test_colour_transform_inverts():
    rgb = torch.rand(2, 3, 5, 7)
    torch.testing.assert_close(to_rgb(*to_luma_chroma(rgb)), rgb, atol=1e-5, rtol=0)


def test_output_is_an_image_of_the_same_size(weights):
    rgb, thermal = images()
    fused = weights.model(rgb, thermal, torch.zeros(1, CODE_DIM))
    assert fused.shape == rgb.shape
    assert fused.min() >= 0
    assert fused.max() <= 1


def test_both_spectra_reach_the_output(weights):
    """A hot square only the thermal camera sees, and a bright one only the colour camera sees, are both in."""
    rgb = torch.full((1, 3, 96, 128), 0.3)
    thermal = torch.full((1, 1, 96, 128), 0.2)
    rgb[..., 20:44, 20:44] = 0.8
    thermal[..., 50:74, 80:104] = 0.9
    fused, _ = to_luma_chroma(weights.model(rgb, thermal, torch.zeros(1, CODE_DIM)))
    background = fused[0, 0, 5:15, 60:120].mean()
    assert fused[0, 0, 26:38, 26:38].mean() > background + 0.2
    assert fused[0, 0, 56:68, 86:98].mean() > background + 0.2


def test_grey_stays_grey_and_hue_is_kept(weights):
    rgb, thermal = images()
    grey = rgb.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    fused = weights.model(grey, thermal, torch.zeros(1, CODE_DIM))
    assert (fused.amax(1) - fused.amin(1)).max() < 1e-3
    _, chroma = to_luma_chroma(rgb)
    unclamped, _, _ = weights.model.fuse(rgb, thermal, torch.zeros(1, CODE_DIM))
    _, fused_chroma = to_luma_chroma(unclamped)
    # Same direction in the chroma plane: the cross product vanishes.
    cross = chroma[:, 0] * fused_chroma[:, 1] - chroma[:, 1] * fused_chroma[:, 0]
    assert cross.abs().max() < 1e-4
    assert ((chroma * fused_chroma).sum(1) > -1e-6).all()


def test_zero_code_means_no_modulation():
    film = FiLM(8)
    x = torch.randn(1, 8, 4, 4)
    torch.testing.assert_close(film(x, torch.zeros(1, CODE_DIM)), x)
    assert not torch.allclose(film(x, torch.ones(1, CODE_DIM)), x)


def test_text_changes_the_picture(weights):
    rgb, thermal = images()
    plain = weights.model(rgb, thermal, torch.zeros(1, CODE_DIM))
    named = weights.model(rgb, thermal, torch.from_numpy(weights.vocabulary.code("person"))[None])
    assert (plain - named).abs().max() > 1 / 255


def test_attention_crosses_the_whole_image_in_both_directions():
    """With random weights, a change in one corner of one spectrum moves the other's features in the far corner."""
    torch.manual_seed(0)
    model = CrossAttentionFusion().eval()
    x = torch.randn(1, 96, 6, 8)
    other = torch.randn(1, 96, 6, 8)
    changed = other.clone()
    changed[..., 0, 0] += 3
    for attend in (model.to_visible, model.to_thermal):
        difference = (attend(x, other) - attend(x, changed)).abs()
        assert difference[..., -1, -1].max() > 1e-5


def test_cost_at_640x480():
    model = CrossAttentionFusion().eval()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(torch.zeros(1, 3, 480, 640), torch.zeros(1, 1, 480, 640), torch.zeros(1, CODE_DIM))
    assert counter.get_total_flops() < 7.9e9


def test_what_is_named_is_relevant_and_nothing_is_without_text(weights):
    """The accent is where the text's object is: a warm upright blob is more of a person than the ground is."""
    rgb, thermal = images()
    code = torch.from_numpy(weights.vocabulary.code("person"))[None]
    _, logit, _ = weights.model.fuse(rgb, thermal, code)
    assert logit.shape[-2:] == (rgb.shape[-2] // 8, rgb.shape[-1] // 8)
    faded = weights.model(rgb, thermal, code * 1e-4)
    torch.testing.assert_close(faded, weights.model(rgb, thermal, torch.zeros_like(code)), atol=2e-3, rtol=0)
