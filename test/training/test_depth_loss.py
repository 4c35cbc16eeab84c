import pytest
import torch

from thermal_fusion_ros.models.checkpoint import load_depth, shipped
from thermal_fusion_ros.training.depth_loss import DepthJudge, trust_in


@pytest.fixture(scope="module")
def judge():
    return DepthJudge(*(load_depth(shipped(f"depth_{name}")).model for name in ("visible", "infrared")))


@pytest.fixture
def fused():
    small = torch.rand((2, 3, 6, 8), generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(small, (48, 64), mode="bicubic").clamp(0, 1)


def test_a_perfect_depth_costs_nothing(judge, fused):
    judge.networks = judge.networks[:1] * 2
    judge.estimates = lambda image: [torch.full_like(image[:, :1], 2.0)] * 2
    truth, trust, exact = torch.full((2, 1, 48, 64), 2.0), torch.ones(2, 1, 48, 64), torch.tensor([1.0, 0.0])
    assert judge(fused, truth, trust, exact).item() == 0
    # A factor costs where the truth is known, and nothing where it is not.
    shifted = judge(fused, truth + 0.3, trust, exact)
    assert shifted.item() == pytest.approx(0.15, abs=1e-5)


def test_what_is_not_trusted_does_not_count():
    networks = (load_depth(shipped(f"depth_{name}")).model for name in ("visible", "infrared"))
    judge, image = DepthJudge(*networks), torch.full((1, 3, 32, 32), 0.4)
    reference, trust = torch.full((1, 1, 32, 32), 3.0), torch.ones(1, 1, 32, 32)
    trust[..., 16:] = 0
    wild = reference.clone()
    wild[..., 16:] = 100
    exact = torch.ones(1)
    torch.testing.assert_close(judge(image, wild, trust, exact), judge(image, reference, trust, exact))
    assert trust_in(torch.tensor(-3.0)) > 0.95
    assert trust_in(torch.tensor(0.0)) < 0.01


def test_the_picture_learns_and_the_networks_do_not():
    networks = [load_depth(shipped(f"depth_{name}")).model for name in ("visible", "infrared")]
    judge = DepthJudge(*networks)
    before = [{k: v.clone() for k, v in n.state_dict().items()} for n in networks]
    image = torch.full((1, 3, 32, 32), 0.4, requires_grad=True)
    judge(image, torch.full((1, 1, 32, 32), 3.0), torch.ones(1, 1, 32, 32), torch.ones(1)).backward()
    assert image.grad.abs().max() > 0
    for network, kept in zip(networks, before, strict=True):
        assert all(p.grad is None and not p.requires_grad for p in network.parameters())
        for name, value in network.state_dict().items():
            torch.testing.assert_close(value, kept[name])
