import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from thermal_fusion_ros.cli.main import main
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.models.checkpoint import load_denoiser, load_fusion, save_denoiser, shipped
from thermal_fusion_ros.models.diffusion import Denoiser
from thermal_fusion_ros.training import data, diffusion_data, loop
from thermal_fusion_ros.training.stages import diffusion, diffusion_fusion, fusion, objects

NO_DATA = Path("no data")
TINY = diffusion.Settings(steps=4, batch=2, crop=16, samples=0)
TINY_HEAD = diffusion_fusion.Settings(steps=2, batch=2, crop=64, samples=0, real=2, depth=1.0)


@pytest.fixture
def denoiser(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "denoiser.safetensors"
    save_denoiser(path, Denoiser(), {})
    return path


def test_parts_of_a_batch_are_those_of_the_whole(dataset):
    sampler = diffusion_data.DiffusionSampler(data.load_pairs(dataset), [], 0.1, 16, seed=1)
    whole = sampler.batch(3, 6)
    assert whole.image.shape == (6, 4, 16, 16)
    assert np.abs(whole.image).max() <= 1
    for start in (0, 1):
        part = sampler.batch(3, 6, range(start, 6, 2))
        for mine, all_ in zip(vars(part).values(), vars(whole).values(), strict=True):
            np.testing.assert_array_equal(mine, all_[start::2])
    assert np.all(np.diff(whole.level) > 0)  # all noise levels in every batch


def test_the_loss_falls(dataset, tmp_path):
    settings = replace(TINY, steps=60, batch=8, learning_rate=3e-3)
    diffusion.train(dataset, tmp_path / "run", settings, cache=tmp_path, checkpoint_every=60)
    model = Denoiser()
    model.load_state_dict(torch.load(tmp_path / "run" / loop.STATE, weights_only=True)["model"])
    sampler = diffusion_data.DiffusionSampler(data.load_pairs(dataset), [], 0, 16, seed=9)
    torch.manual_seed(0)
    after, before = (
        float(diffusion.loss_terms(m, sampler.batch(0, 32))["velocity"].detach()) for m in (model, Denoiser())
    )
    assert after < 0.8 * before


def test_a_killed_run_resumes_to_the_same_weights(dataset, tmp_path, monkeypatch):
    whole = diffusion.train(dataset, tmp_path / "whole", TINY, cache=tmp_path, checkpoint_every=2)
    batch = diffusion_data.DiffusionSampler.batch

    def dies_at_3(self, step, count, mine=None):
        if step == 3:
            raise KeyboardInterrupt
        return batch(self, step, count, mine)

    monkeypatch.setattr(diffusion_data.DiffusionSampler, "batch", dies_at_3)
    with pytest.raises(KeyboardInterrupt):
        diffusion.train(dataset, tmp_path / "killed", TINY, cache=tmp_path, checkpoint_every=2)
    monkeypatch.undo()
    resumed = diffusion.train(dataset, tmp_path / "killed", TINY, cache=tmp_path, checkpoint_every=2)
    expected, got = (load_denoiser(path).state_dict() for path in (whole, resumed))
    for name, tensor in expected.items():
        torch.testing.assert_close(got[name], tensor, atol=1e-3, rtol=0)


def test_the_head_trains_resumes_and_leaves_the_diffusion_model_alone(dataset, tmp_path, denoiser):
    def train(**options):
        return diffusion_fusion.train(
            dataset, tmp_path / "run", TINY_HEAD, diffusion=denoiser, cache=tmp_path, **options
        )

    train(stop_at=1)
    weights = load_fusion(train())
    assert torch.load(tmp_path / "run" / loop.STATE, weights_only=True)["step"] == 2
    assert weights.vocabulary.names[-1] == "unicorn"
    for name, tensor in load_denoiser(denoiser).state_dict().items():
        torch.testing.assert_close(weights.model.denoiser.state_dict()[name], tensor)


def test_the_diffusion_model_and_the_head_go_on_from_weights(dataset, tmp_path, denoiser):
    still = {"learning_rate": 0.0, "muon": 0.0, "steps": 1}
    again = replace(TINY, **still, start=str(denoiser))
    path = diffusion.train(dataset, tmp_path / "again", again, cache=tmp_path)
    before, after = (load_denoiser(p).state_dict() for p in (denoiser, path))
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    head = replace(TINY_HEAD, **still, start="diffusion", teacher="diffusion")
    path = diffusion_fusion.train(dataset, tmp_path / "head", head, diffusion=denoiser, cache=tmp_path)
    before, after = (load_fusion(p).model.state_dict() for p in (shipped("diffusion"), path))
    assert all(torch.allclose(after[name], tensor, atol=1e-3) for name, tensor in before.items())


def test_settings_that_make_no_sense_are_named(dataset, tmp_path, denoiser):
    wrong = replace(TINY_HEAD, levels=(50, 1000))
    with pytest.raises(InputError, match="--levels 50 1000"):
        diffusion_fusion.train(dataset, tmp_path / "run", wrong, diffusion=denoiser, cache=tmp_path)


def test_the_command_knows_which_stage_an_option_belongs_to(dataset, tmp_path, capsys):
    assert main(["train", "diffusion", "--data", str(dataset), "--depth-loss", "1"]) == 2
    assert "--depth-loss is not a setting of the stage diffusion" in capsys.readouterr().err
    assert main(["train", "fusion", "--data", str(dataset), "--heard", "2", "--distil", "1"]) == 2
    assert "--distil" in capsys.readouterr().err


PROGRAM = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from thermal_fusion_ros.training import loop
from thermal_fusion_ros.training.stages import diffusion
run = loop.run
loop.run = lambda *a, **k: run(*a, **k, log_every=1)
settings = diffusion.Settings(steps=3, batch=4, crop=16, samples=0)
diffusion.train(Path(sys.argv[1]), Path(sys.argv[2]), settings, cache=Path(sys.argv[2]))
"""


def test_two_processes_have_the_losses_of_one(dataset, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    together = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    places = [("one", {}), ("two", {**together, "RANK": "0"}), ("two", {**together, "RANK": "1"})]
    running = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(dataset), str(tmp_path / name)],
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
            stderr=subprocess.PIPE,
            text=True,
        )
        for name, environment in places
    ]
    for process in running:
        _, errors = process.communicate(timeout=200)
        assert process.returncode == 0, errors
    one, two = (
        [json.loads(line)["velocity"] for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    )
    assert len(one) == 3
    assert two == pytest.approx(one, abs=2e-3)
    assert one[0] != one[2]
    expected, got = (
        load_denoiser(tmp_path / name / "denoiser.safetensors").state_dict() for name in ("one", "two")
    )
    for name, tensor in expected.items():
        torch.testing.assert_close(got[name], tensor, atol=1e-2, rtol=0)


@pytest.mark.parametrize(
    ("stage", "settings", "options"),
    [
        (fusion, fusion.Settings(batch=2), {}),
        (diffusion, TINY, {"cache": NO_DATA}),
        (diffusion_fusion, TINY_HEAD, {"diffusion": shipped("diffusion"), "cache": NO_DATA}),
        (objects, objects.Settings(batch=2), {"cache": NO_DATA}),
    ],
)
def test_a_batch_that_processes_cannot_share_is_refused_before_anything_is_read(
    stage, settings, options, tmp_path, monkeypatch
):
    monkeypatch.setattr("thermal_fusion_ros.training.distributed.size", lambda: 3)
    with pytest.raises(InputError, match="--batch 2: not a multiple of the 3 processes"):
        stage.train(NO_DATA, tmp_path, settings, **options)
    assert not NO_DATA.exists()


def test_curves_go_to_tensorboard_where_there_is_one(tmp_path, monkeypatch):
    shown = []

    class Writer:
        def __init__(self, folder):
            self.folder = folder

        def add_scalar(self, name, value, step):
            shown.append((name, round(value, 4), step))

        def close(self):
            shown.append("closed")

    module = type(sys)("torch.utils.tensorboard")
    module.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    curves = loop.Curves(tmp_path, every=2)
    curves.add(1, {"a": torch.tensor(1.0)})
    curves.add(2, {"a": torch.tensor(2.0)})
    curves.close()
    assert shown == [("loss/a", 1.5, 2), ("loss/all", 1.5, 2), "closed"]
    assert json.loads((tmp_path / "log.jsonl").read_text())["a"] == 1.5
