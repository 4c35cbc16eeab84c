import json

import numpy as np
import pytest
import torch

from thermal_fusion_ros.cli.main import main
from thermal_fusion_ros.config import Config
from thermal_fusion_ros.engine import base
from thermal_fusion_ros.evaluation import benchmark, peaks
from thermal_fusion_ros.evaluation.bench_plot import LEFT, plot
from thermal_fusion_ros.evaluation.benchmark import precision_of
from thermal_fusion_ros.evaluation.frame_path import FramePath, scene, with_metres
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
        assert 3.2 < backend["gflop"] < 4.2  # most of it depth, which has one size whatever the picture's
        assert backend["floor_ms"] > 0
        assert backend["against_eager"] > 0
        assert {"decode", "engine", "depth", "cloud", "fill"} <= set(backend["stage_ms"])
        assert backend["frame_against_engine"] >= 1
    assert result["backends"]["torch-eager"]["against_eager"] == 1
    assert result["rss_peak_mb"] > max(backend["rss_growth_mb"] for backend in result["backends"].values())
    assert "torch-eager" in capsys.readouterr().out
    assert path.with_suffix(".png").is_file()


def test_the_frame_path_fills_all_three_messages():
    all_of_it = {"depth.most_uncertain": 10.0, "points.edge": 0.0, "points.farthest_m": 1e4}
    config = Config().with_values({"engine.backend": "torch", "engine.device": "cpu", **all_of_it})
    path = FramePath(with_metres(config))
    stages = path(*scene(96, 128, 1)[0])
    assert next(iter(stages)) == "decode"
    assert list(stages)[-2:] == ["cloud", "fill"]
    assert path._memory["fused"].shape == (96, 128, 3)
    assert path._memory["depth"].shape == (96, 128)
    assert np.isfinite(path._cloud.cloud["z"]).any()


def test_what_is_configured_of_metres_is_kept():
    config = Config().with_values({"depth.camera_height_m": 0.4, "depth.horizontal_fov_deg": 90.0})
    assert with_metres(config) == config
    assert with_metres(Config()).depth.camera_height_m > 0


def _measured(engine: float, frame: float) -> dict:
    return {f"{key}_ms": {"median": ms, "p99": 2 * ms} for key, ms in (("engine", engine), ("frame", frame))}


def test_bars_are_as_long_as_what_was_measured():
    result = {"machine": {"cpu": "X", "cores": 2}, "width": 640, "height": 480}
    picture = plot(result | {"backends": {"slow": _measured(80, 90), "fast": _measured(20, 30)}})
    rows = [
        np.flatnonzero((row == colour).all(1)) for row in picture for colour in ((0, 114, 178), (213, 94, 0))
    ]
    ends = sorted({int(x.max()) - LEFT for x in rows if len(x) > 20 and x.min() == LEFT and _solid(x)})
    assert len(ends) >= 4
    assert ends[-1] / ends[0] == pytest.approx(
        2 * 90 / 20, rel=0.05
    )  # the longest p99 and the shortest median


def _solid(columns: np.ndarray) -> bool:
    return bool((np.diff(columns) == 1).all())


def test_time_over_pixels_is_drawn_below():
    one = {"machine": {}, "width": 640, "height": 480, "backends": {"torch": _measured(20, 30)}}
    bars = plot(one)
    both = plot(one | {"sizes": [one, one | {"width": 320, "height": 240}]})
    assert both.shape[0] > bars.shape[0]
    np.testing.assert_array_equal(both[: bars.shape[0]], bars)
    assert (both[bars.shape[0] :] != 255).any()


def test_nothing_worked_is_a_picture_too():
    assert plot({"machine": {}, "width": 640, "height": 480, "backends": {}}).ndim == 3


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


@pytest.mark.parametrize("name", ["bench.json", "bench.png"])
def test_numbers_and_plot_that_cannot_be_written_are_refused_before_anything_is_timed(
    name, tmp_path, capsys, monkeypatch
):
    (tmp_path / name).mkdir()
    monkeypatch.setattr(benchmark, "run", lambda *_, **__: pytest.fail("timed"))
    assert main(["bench", "--json", str(tmp_path / "bench.json")]) == 2
    assert f"--json {tmp_path / name}: is a folder" in capsys.readouterr().err


def test_a_table_over_sizes(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(benchmark, "BACKENDS", ("torch-eager", "torch"))
    path = tmp_path / "bench.json"
    arguments = [
        "--size",
        "64x64",
        "--sizes",
        "64x64,100x60",
        "--frames",
        "1",
        "--set",
        "depth.enabled=false",
        "--json",
        str(path),
    ]
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
