import pytest
import torch

from thermal_fusion_ros.evaluation.denoising import noise_errors
from thermal_fusion_ros.models.diffusion import CHANNELS, Denoiser, Schedule


def test_predictors_that_know_more_err_less_and_silence_costs_what_it_must():
    generator = torch.Generator().manual_seed(0)
    small = torch.rand((64, 1, 4, 4), generator=generator) * 2 - 1
    smooth = torch.nn.functional.interpolate(small, (16, 16), mode="bilinear").expand(-1, CHANNELS, -1, -1)
    torch.manual_seed(0)
    untrained = Denoiser().eval()  # its output starts at zero: it predicts sigma times the noised image
    rows = noise_errors(untrained, smooth, smooth[:32], torch.zeros(32), [50, 500, 950])
    for row in rows:
        assert row.zero == pytest.approx(1, abs=0.02)
        assert row.wiener < row.scaled < row.zero
        alpha, sigma = (float(x[row.level]) for x in (Schedule().alpha, Schedule().sigma))
        expected = (1 - sigma**2) ** 2 + (sigma * alpha) ** 2 * float(smooth[:32].square().mean())
        assert row.model == pytest.approx(expected, rel=0.1, abs=1e-3)
    assert rows[0].scaled > rows[-1].scaled
