import json

import pytest
import torch

from thermal_fusion_ros.cli.main import main
from thermal_fusion_ros.engine import base
from thermal_fusion_ros.evaluation import benchmark, peaks
from thermal_fusion_ros.evaluation.benchmark import precision_of
from thermal_fusion_ros.models.graph import PerceptionGraph


def test_bench_times_every_backend_side_by_side(tmp_path, capsys):
    path = tmp_path / "bench.json"
    assert main(["bench", "--size", "96x64", "--frames", "2", "--json", str(path)]) == 0
    result = json.loads(path.read_text())
    assert {"torch-eager", "torch"} <= set(result["backends"])
    assert result["machine"]["cores"] >= 1
    for backend in result["backends"].values():
        assert 0 < backend["engine_ms"]["median"] <= backend["engine_ms"]["p99"]
        assert backend["frame_ms"]["median"] >= backend["engine_ms"]["median"]
        assert 0.1 < backend["gflop"] < 0.4
        assert backend["floor_ms"] > 0
        assert backend["against_eager"] > 0
    assert result["backends"]["torch-eager"]["against_eager"] == 1
    assert result["rss_peak_mb"] > max(backend["rss_growth_mb"] for backend in result["backends"].values())
    assert "torch-eager" in capsys.readouterr().out


def test_a_backend_that_does_not_work_is_listed_not_timed(tmp_path, monkeypatch, capsys):
    def broken(*_args):
        raise RuntimeError("no such instruction")

    monkeypatch.setitem(base.BACKENDS, "openvino", broken)
    assert main(["bench", "--size", "96x64", "--frames", "1", "--json", str(tmp_path / "b.json")]) == 0
    assert "openvino" not in json.loads((tmp_path / "b.json").read_text())["backends"]
    assert "no such instruction" in capsys.readouterr().out


@pytest.mark.parametrize("size", ["640", "ax4", "8x8", "640x480x3"])
def test_a_bad_size_is_named(size, capsys):
    assert main(["bench", "--size", size]) == 2
    assert size in capsys.readouterr().err


def test_a_table_over_sizes(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(benchmark, "BACKENDS", ("torch-eager", "torch"))
    path = tmp_path / "bench.json"
    arguments = ["--size", "64x64", "--sizes", "64x64,100x60", "--frames", "1", "--json", str(path)]
    assert main(["bench", *arguments]) == 0
    results = json.loads(path.read_text())["sizes"]
    assert [(result["width"], result["height"]) for result in results] == [(64, 64), (100, 60)]
    flop = [result["backends"]["torch"]["gflop"] for result in results]
    assert flop[1] / flop[0] == pytest.approx(128 * 64 / 64**2, rel=0.2)  # padded; attention adds a little
    assert "100x60 torch-cpu" in capsys.readouterr().out


def test_the_floor_is_the_longer_of_computing_and_moving():
    limits = {"gflops_f32": 100.0, "gflops_bf16": 400.0, "gb_s": 10.0}
    assert peaks.floor_ms(10.0, 1, "f32", limits) == pytest.approx(100)
    assert peaks.floor_ms(10.0, 1, "bf16", limits) == pytest.approx(25)
    assert peaks.floor_ms(10.0, 5_000_000_000, "bf16", limits) == pytest.approx(500)


def test_compulsory_bytes_are_counted_once():
    class Mean(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1000))

        def forward(self, rgb, thermal, code):
            return (rgb + thermal) / 2

    moved = peaks.compulsory_bytes(PerceptionGraph(Mean()), 32, 64, "bf16")
    assert moved == 32 * 64 * (3 + 1 + 3) + 64 * 4 + 1000 * 2


@pytest.mark.parametrize(
    ("engine", "precision"),
    [
        ("openvino-cpu-bf16", "bf16"),
        ("torch-eager-cpu", "f32"),
        ("torch-cuda", "f16"),
        ("tensorrt-f16", "f16"),
    ],
)
def test_precision_is_in_the_name(engine, precision):
    assert precision_of(engine) == precision
