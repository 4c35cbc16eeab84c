import pytest
import torch

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.models import depth
from thermal_fusion_ros.models.depth import DepthNet
from thermal_fusion_ros.training.growing import FIRM, take_up


def trained(widths=None, fine=None, monkeypatch=None):
    """A network with weights and statistics as if it had learnt something."""
    if widths:
        monkeypatch.setattr(depth, "WIDTHS", widths)
        monkeypatch.setattr(depth, "FINE", fine)
    torch.manual_seed(3)
    network = DepthNet(channels=1)
    network.train()
    for _ in range(3):
        network(torch.rand(2, 1, 64, 96))
    return network.eval()


def test_a_wider_network_computes_what_the_narrow_one_did(monkeypatch):
    wide = DepthNet(channels=1)
    narrow = trained((16, 24, 32, 48), 8, monkeypatch)
    take_up(wide, narrow.state_dict())
    picture = torch.rand(1, 1, 64, 96)
    with torch.no_grad():
        for mine, its in zip(wide.eval()(picture), narrow(picture), strict=True):
            torch.testing.assert_close(mine, its, rtol=1e-3, atol=1e-3)


def test_new_channels_are_there_to_be_used_and_weights_are_firm(monkeypatch):
    wide = DepthNet(channels=1)
    take_up(wide, trained((16, 24, 32, 48), 8, monkeypatch).state_dict())
    first, second = wide.down2[0].weight.detach(), wide.down4[0][0].weight
    assert first[16:].flatten(1).norm(dim=1).min() > 0.1 * first[:16].flatten(1).norm(dim=1).mean()
    assert second[:24, 16:].abs().max() == 0
    assert float(second.detach().norm()) == pytest.approx(FIRM * 40**0.5, rel=1e-3)
    wide.train()
    wide(torch.rand(2, 1, 64, 96))[0].sum().backward()
    assert second.grad[:24, 16:].abs().max() > 0


def test_a_network_with_more_blocks_computes_what_it_did_without():
    small = trained()
    small.up4.mix[-1], small.up2.mix[-1] = torch.nn.Identity(), torch.nn.Identity()
    large = DepthNet(channels=1)
    take_up(large, small.state_dict())
    picture = torch.rand(1, 1, 64, 96)
    with torch.no_grad():
        for mine, its in zip(large.eval()(picture), small(picture), strict=True):
            torch.testing.assert_close(mine, its, rtol=1e-3, atol=1e-3)
    large.train()
    large(picture)[0].sum().backward()
    assert large.up4.mix[-1].body[-1].weight.grad.abs().max() > 0  # and it will be used


def test_another_architecture_is_refused():
    with pytest.raises(InputError, match="another architecture"):
        take_up(DepthNet(channels=1), DepthNet(channels=3).state_dict())
    with pytest.raises(InputError, match="another architecture"):
        take_up(DepthNet(channels=1), {})
