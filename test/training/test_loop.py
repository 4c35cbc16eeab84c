"""The loop that all stages share, on a network of one layer."""

from __future__ import annotations

import errno
import json
import sys

import pytest
import torch

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.training import loop

SETTINGS = loop.LoopSettings(steps=4, batch=1, learning_rate=1e-3)


def train(out, stop_at):
    """Steps that were done; a line each, one checkpoint in two."""
    torch.manual_seed(0)
    model, done = torch.nn.Linear(64, 64), []

    def loss_terms(step):
        done.append(step)
        return {"loss": model(torch.ones(1, 64)).square().mean()}

    loop.run(
        model, loss_terms, lambda *_: None, out, SETTINGS, stop_at=stop_at, checkpoint_every=2, log_every=1
    )
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


def test_a_full_disk_takes_no_part_of_the_curves_or_the_state(tmp_path, monkeypatch, full_disk):
    monkeypatch.setitem(
        sys.modules, "torch.utils.tensorboard", None
    )  # whose file might be the first to be full
    train(tmp_path, stop_at=2)
    log, before = tmp_path / "log.jsonl", {file: file.read_bytes() for file in tmp_path.glob("*.*")}
    with full_disk(len(before[log]) + 10), pytest.raises(InputError) as caught:
        train(tmp_path, stop_at=None)
    assert str(caught.value).startswith(f"{log}: not written: File too large; make room")
    assert {file: file.read_bytes() for file in tmp_path.glob("*.*")} == before
    assert train(tmp_path, stop_at=None) == [2, 3]
    assert [json.loads(line)["step"] for line in log.read_text().splitlines()] == [1, 2, 3, 4]


def test_tensorboard_on_a_full_disk_is_named_with_the_remedy(tmp_path, monkeypatch):
    class Writer:
        def __init__(self, _folder):
            """Nothing is written yet."""

        def add_scalar(self, *_):
            raise OSError(errno.ENOSPC, "No space left on device")

    module = type(sys)("torch.utils.tensorboard")
    module.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    with pytest.raises(InputError, match=r"/tensorboard: not written: No space left on device; make room"):
        train(tmp_path, stop_at=2)


def test_a_run_where_nothing_can_be_written_is_refused_before_the_first_step(tmp_path):
    (tmp_path / "a").touch()
    with pytest.raises(InputError, match="a: not a folder that can be written"):
        train(tmp_path / "a", stop_at=2)
