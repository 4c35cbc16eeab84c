import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.models.checkpoint import load_depth, save_depth, shipped
from thermal_fusion_ros.models.depth import NATIVE_WIDTH, STRIDE, DepthNet, native_size
from thermal_fusion_ros.models.graph import PerceptionGraph, example_inputs, padded, reduced


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
    assert counter.get_total_flops() < 3.7e9
    assert sum(p.numel() for p in network.parameters()) < 1.4e6


@pytest.mark.parametrize("size", [(480, 640), (512, 640), (330, 500), (1024, 1280), (721, 1279), (120, 160)])
def test_every_picture_is_seen_at_the_width_of_training_and_hardly_stretched(size):
    rows, columns = native_size(*size)
    assert rows % STRIDE == columns % STRIDE == 0
    assert abs(columns / NATIVE_WIDTH - 1) < 0.07
    assert abs(rows * size[1] / (columns * size[0]) - 1) < 0.035


def test_metres_do_not_depend_on_the_size_of_the_picture():
    """The same scene from cameras of four sizes: what a network says of it must agree."""
    torch.manual_seed(0)
    depth = DepthNet().eval()
    waves = example_inputs(960, 1280)[0].permute(0, 3, 1, 2).float() / 255
    waves = torch.nn.functional.avg_pool2d(waves, 9, 1, 4)  # nothing that a small picture could not show
    said = []
    with torch.inference_mode():
        for factor in (1, 2, 4):
            picture = torch.nn.functional.avg_pool2d(waves, factor)
            said.append(depth(reduced(picture, native_size(*picture.shape[2:])))[0])
    assert (said[1] - said[0]).abs().max() < 0.02
    assert (said[2] - said[0]).abs().max() < 0.05


@pytest.mark.parametrize("size", [(480, 640), (500, 330), (1024, 1280), (721, 1279), (17, 16)])
def test_padded_sizes_suit_fusion(size):
    height, width = padded(*size)
    assert 0 <= height - size[0] < 32
    assert 0 <= width - size[1] < 32
    assert height % 32 == width % 32 == 0


def test_the_graph_gives_depth_beside_the_same_fused_picture():
    class Average(torch.nn.Module):
        def forward(self, rgb, thermal, code):
            return 0.5 * rgb + 0.5 * thermal

    torch.manual_seed(0)
    depth = DepthNet().eval()
    inputs = example_inputs(96, 512)
    with torch.inference_mode():
        (alone,) = PerceptionGraph(_with_a_weight(Average())).eval()(*inputs)
        fused, relative, sigma = PerceptionGraph(_with_a_weight(Average()), depth).eval()(*inputs)
    assert torch.equal(alone, fused)
    assert relative.shape == sigma.shape == (1, 64, 336)
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
