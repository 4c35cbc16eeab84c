"""The loop that all stages share, on a network of one layer."""

from __future__ import annotations

import pytest
import torch

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.training import loop

SETTINGS = loop.LoopSettings(steps=4, batch=1, learning_rate=1e-3)


def train(out, stop_at):
    """Steps that were done; one checkpoint in two steps."""
    torch.manual_seed(0)
    model, done = torch.nn.Linear(64, 64), []

    def loss_terms(step):
        done.append(step)
        return {"loss": model(torch.ones(1, 64)).square().mean()}

    loop.run(model, loss_terms, lambda *_: None, out, SETTINGS, stop_at=stop_at, checkpoint_every=2)
    return done


def test_on_a_full_disk_the_state_that_was_there_stays_and_the_run_goes_on_from_it(tmp_path, full_disk):
    assert train(tmp_path, stop_at=2) == [0, 1]
    before = (tmp_path / loop.STATE).read_bytes()
    with full_disk(20_000), pytest.raises(InputError) as caught:
        train(tmp_path, stop_at=None)
    assert str(caught.value).startswith(f"{tmp_path / loop.STATE}: not written: File too large; make room")
    assert (tmp_path / loop.STATE).read_bytes() == before
    assert not list(tmp_path.glob("*.partial"))
    assert train(tmp_path, stop_at=None) == [2, 3]
