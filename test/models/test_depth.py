import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.models.checkpoint import load_depth, save_depth, shipped
from thermal_fusion_ros.models.depth import DepthNet
from thermal_fusion_ros.models.graph import PerceptionGraph, depth_reduction, example_inputs, padded


def test_one_estimate_per_pixel():
    network = DepthNet(channels=1).eval()
    with torch.inference_mode():
        log_depth, log_sigma = network(torch.rand(2, 1, 48, 64))
    assert log_depth.shape == log_sigma.shape == (2, 1, 48, 64)


def test_it_knows_where_a_pixel_is():
    """The same grey everywhere, yet rows differ: the ground rises towards the horizon."""
    torch.manual_seed(0)
    network = DepthNet().eval()
    with torch.inference_mode():
        log_depth, _ = network(torch.full((1, 3, 96, 128), 0.5))
    inner = log_depth[0, 0, 32:64]
    assert (inner.mean(1).max() - inner.mean(1).min()) > 1e-4


def test_cost_and_size():
    network = DepthNet().eval()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.zeros(1, 3, 240, 320))
    assert counter.get_total_flops() < 2e9
    assert sum(p.numel() for p in network.parameters()) < 1.4e6


@pytest.mark.parametrize(
    ("width", "reduction"), [(160, 1), (320, 1), (480, 1), (640, 2), (960, 2), (1280, 4), (1920, 4)]
)
def test_depth_is_seen_at_about_the_width_it_was_trained_at(width, reduction):
    assert depth_reduction(width) == reduction


@pytest.mark.parametrize("size", [(480, 640), (500, 330), (1024, 1280), (721, 1279), (17, 16)])
def test_padded_sizes_suit_both_networks(size):
    height, width = padded(*size)
    assert height >= size[0]
    assert width >= size[1]
    assert height % 32 == width % 32 == 0
    assert (height // depth_reduction(width)) % 16 == (width // depth_reduction(width)) % 16 == 0


def test_the_graph_gives_depth_beside_the_same_fused_picture():
    class Average(torch.nn.Module):
        def forward(self, rgb, thermal, code):
            return 0.5 * rgb + 0.5 * thermal

    torch.manual_seed(0)
    depth = DepthNet().eval()
    inputs = example_inputs(64, 640)
    with torch.inference_mode():
        (alone,) = PerceptionGraph(_with_a_weight(Average())).eval()(*inputs)
        fused, relative, sigma = PerceptionGraph(_with_a_weight(Average()), depth).eval()(*inputs)
    assert torch.equal(alone, fused)
    assert relative.shape == sigma.shape == (1, 32, 320)
    assert (relative > 0).all()
    assert (sigma > 0).all()


def _with_a_weight(module):
    """The graph asks its first parameter for the precision."""
    module.register_parameter("unused", torch.nn.Parameter(torch.zeros(1)))
    return module


def test_weights_survive_the_file(tmp_path):
    torch.manual_seed(0)
    network = DepthNet(channels=1).train()
    network(torch.rand(2, 1, 32, 32))  # moves the statistics
    path = tmp_path / "depth.safetensors"
    save_depth(path, network.eval(), "infrared", {})
    loaded = load_depth(path)
    assert loaded.spectrum == "infrared"
    image = torch.rand(1, 1, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(loaded.model(image), network(image), atol=2e-2, rtol=2e-2)


def test_a_file_of_another_kind_is_refused():
    with pytest.raises(InputError, match="not depth weights"):
        load_depth(shipped("cross_attention"))


@pytest.mark.parametrize("spectrum", ["visible", "infrared", "fused"])
def test_shipped_networks_see_a_road(spectrum):
    """Ground that comes nearer from the horizon down: whatever else they learnt, that must be in it."""
    weights = load_depth(shipped(f"depth_{spectrum}"))
    image = np.full((240, 320), 90, np.uint8)
    image[:100] = 190
    for row in range(110, 240, 12):  # bars across the road, wider apart nearer by
        image[row : row + max(1, (row - 100) // 20)] = 140
    tensor = torch.from_numpy(image)[None, None].float() / 255
    with torch.inference_mode():
        log_depth, _ = weights.model(tensor.expand(1, weights.model.channels, -1, -1))
    rows = log_depth[0, 0, :, 100:220].mean(1)
    assert rows[235] < rows[180] < rows[130]
