import json

import pytest

from thermal_fusion_ros.cli.main import main
from thermal_fusion_ros.engine import base


def test_bench_times_every_backend_side_by_side(tmp_path, capsys):
    path = tmp_path / "bench.json"
    assert main(["bench", "--size", "96x64", "--frames", "2", "--json", str(path)]) == 0
    result = json.loads(path.read_text())
    assert {"torch-eager", "torch"} <= set(result["backends"])
    assert result["machine"]["cores"] >= 1
    for backend in result["backends"].values():
        assert 0 < backend["engine_ms"]["median"] <= backend["engine_ms"]["p99"]
        assert backend["frame_ms"]["median"] >= backend["engine_ms"]["median"]
        assert backend["gflop"] == pytest.approx(0.127, rel=0.2)
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
