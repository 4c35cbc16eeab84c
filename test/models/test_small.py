import pytest
import torch

from thermal_fusion_ros.evaluation.benchmark import gigaflop
from thermal_fusion_ros.models.checkpoint import load_fusion, shipped
from thermal_fusion_ros.models.cross_attention import WIDTHS, CrossAttentionFusion
from thermal_fusion_ros.models.depth import DepthNet
from thermal_fusion_ros.models.graph import PerceptionGraph
from thermal_fusion_ros.models.small import SmallFusion

SIZE = (64, 96)


@pytest.fixture
def pair():
    torch.manual_seed(0)
    return torch.rand((1, 3, *SIZE)), torch.rand((1, 1, *SIZE)), torch.randn((1, 64))


@pytest.mark.parametrize(("mix", "shown"), [(30.0, "visible"), (-30.0, "thermal")])
def test_the_finest_structure_comes_from_the_whole_picture(pair, mix, shown):
    """What is computed at half size is how to mix, not the picture: single pixels survive."""
    network = CrossAttentionFusion().eval()
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.copy_(torch.tensor([mix, 0.0, -30.0, 0.0]))  # no detail, no colour, no accent
    rgb, thermal, code = pair
    with torch.inference_mode():
        fused = SmallFusion(network)(rgb, thermal, code)
    r, g, b = rgb[0]
    wanted = 0.299 * r + 0.587 * g + 0.114 * b if shown == "visible" else thermal[0, 0]
    for channel in fused[0]:
        torch.testing.assert_close(channel, wanted, atol=1e-5, rtol=0)


def test_it_takes_the_place_of_the_network(pair):
    small = SmallFusion(CrossAttentionFusion()).eval()
    with torch.inference_mode():
        fused, relevance, shared = small.fuse(*pair)
        torch.testing.assert_close(small(*pair), fused.clamp(0, 1))
    assert fused.shape == (1, 3, *SIZE)
    assert relevance.shape == (1, 1, SIZE[0] // 16, SIZE[1] // 16)
    assert [x.shape[1] for x in shared] == list(WIDTHS[2:])


def test_the_shipped_network_shows_nearly_the_same_picture():
    network = load_fusion(shipped("cross_attention")).model
    y, x = torch.linspace(0, 1, 192)[:, None], torch.linspace(0, 1, 256)[None]
    rgb = torch.stack([0.5 + 0.4 * torch.sin(9 * x + phase * y) for phase in (2.0, 5.0, 11.0)])[None]
    thermal = ((x - 0.5).square() + (y - 0.4).square() < 0.02).float()[None, None]
    with torch.inference_mode():
        whole, small = (f(rgb, thermal, torch.zeros(1, 64)) for f in (network, SmallFusion(network)))
    assert (whole - small).abs().mean() < 0.02
    # The bright disc is there, not a mixture of what is beside it.
    assert (whole - small)[0, 0][thermal[0, 0] > 0].abs().mean() < 0.05


def test_a_quarter_of_the_operations_and_the_profile_less_than_half():
    network, depth = CrossAttentionFusion(), DepthNet()
    small = SmallFusion(network)
    assert gigaflop(PerceptionGraph(small).eval(), 480, 640) < 7.5 / 4
    assert gigaflop(PerceptionGraph(small, depth).eval(), 480, 640) < 12 / 2
