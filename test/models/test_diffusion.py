import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from thermal_fusion_ros.models.diffusion import CHANNELS, LEVELS, Denoiser, Schedule, sample, zoom_of

SCHEDULE = Schedule()


@pytest.fixture(scope="module")
def denoiser():
    """Random weights, with an output that is not zero."""
    torch.manual_seed(0)
    model = Denoiser().eval()
    for name, parameter in model.named_parameters():
        if name.endswith(("second.weight", "out.weight")):
            torch.nn.init.normal_(parameter, std=0.05)
    return model.requires_grad_(False)


def test_signal_and_noise_share_the_variance_and_the_ratio_only_falls():
    torch.testing.assert_close(SCHEDULE.alpha**2 + SCHEDULE.sigma**2, torch.ones(LEVELS))
    torch.testing.assert_close(SCHEDULE.alpha.double() ** 2, SCHEDULE.alpha_bar, atol=1e-6, rtol=0)
    ratio = SCHEDULE.alpha_bar / (1 - SCHEDULE.alpha_bar)
    assert (ratio.diff() < 0).all()
    assert SCHEDULE.alpha_bar[0] > 0.999
    assert SCHEDULE.alpha_bar[-1] < 1e-4
    # Nichol & Dhariwal's f(t) = cos^2: half the variance is noise in the middle.
    assert SCHEDULE.alpha_bar[LEVELS // 2].item() == pytest.approx(0.49, abs=0.02)


@pytest.mark.parametrize("level", [0, 10, 500, 990])
def test_image_and_noise_follow_from_the_velocity(level):
    generator = torch.Generator().manual_seed(level)
    image, noise = (torch.randn((2, CHANNELS, 8, 8), generator=generator) for _ in range(2))
    at = torch.full((2,), level)
    noised, velocity = SCHEDULE.noised(image, noise, at), SCHEDULE.velocity(image, noise, at)
    torch.testing.assert_close(SCHEDULE.image(noised, velocity, at), image, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(SCHEDULE.noise(noised, velocity, at), noise, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("size", [(16, 16), (48, 80)])
def test_any_multiple_of_16_and_features_at_five_scales(denoiser, size):
    x, level, zoom = torch.randn(1, CHANNELS, *size), torch.tensor([300]), torch.tensor([1.0])
    assert denoiser(x, level, zoom).shape == x.shape
    shapes = [tuple(f.shape[-2:]) for f in denoiser.features(x, level, zoom)]
    assert shapes == [(size[0] >> k, size[1] >> k) for k in range(5)]


def test_noise_level_and_zoom_are_heard(denoiser):
    x = torch.randn((1, CHANNELS, 32, 32), generator=torch.Generator().manual_seed(0))
    plain = denoiser(x, torch.tensor([100]), torch.tensor([1.0]))
    assert (plain - denoiser(x, torch.tensor([400]), torch.tensor([1.0]))).abs().max() > 1e-3
    assert (plain - denoiser(x, torch.tensor([100]), torch.tensor([2.0]))).abs().max() > 1e-3


def test_samples_repeat_by_seed(denoiser):
    first, again, other = (sample(denoiser, 1, (16, 16), 0.5, seed=s, steps=4) for s in (1, 1, 2))
    torch.testing.assert_close(first, again, atol=0, rtol=0)
    assert (first - other).abs().max() > 0.01
    assert first.shape == (1, CHANNELS, 16, 16)
    assert first.abs().max() <= 1


def test_sampling_finds_the_only_picture_there_is():
    """A denoiser that knows the one picture leads DDIM there from any noise."""
    picture = torch.linspace(-0.9, 0.9, CHANNELS * 64).reshape(1, CHANNELS, 8, 8)

    class Knows(Denoiser):
        def forward(self, noised, level, zoom):
            alpha, sigma = (x[level][:, None, None, None] for x in (SCHEDULE.alpha, SCHEDULE.sigma))
            return SCHEDULE.velocity(picture, (noised - alpha * picture) / sigma, level)

    torch.testing.assert_close(sample(Knows(), 1, (8, 8), 0.0, steps=10), picture, atol=1e-3, rtol=0)


def test_zoom_counts_doublings():
    assert zoom_of(64) == 0
    assert zoom_of(256) == 2
    assert zoom_of(4096) == 3


def test_small_and_cheap():
    model = Denoiser()
    assert sum(p.numel() for p in model.parameters()) < 3.3e6
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(torch.zeros(1, CHANNELS, 64, 64), torch.zeros(1), torch.zeros(1))
    assert counter.get_total_flops() < 1.05e9
