"""Mixed precision: by what the hardware has."""

import pytest
import torch

from thermal_fusion_ros.training import distributed


@pytest.mark.parametrize(
    ("capabilities", "precision"),
    [
        ({"avx2": True, "avx512_bf16": False, "amx_bf16": False}, torch.float32),
        ({"avx2": True, "avx512_bf16": True, "amx_bf16": False}, torch.bfloat16),
        ({"neon": True, "bf16": True, "sve_max_length": 16}, torch.bfloat16),
    ],
)
def test_a_cpu_computes_in_bf16_only_where_it_has_it(capabilities, precision, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert distributed.precision("cpu") is precision
    with distributed.autocast("cpu"):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype is precision


def test_a_torch_that_cannot_tell_is_taken_to_have_none(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert distributed.precision("cpu") is torch.float32
