import sys

import numpy as np
import pytest
import torch

from thermal_fusion_ros.config import EngineConfig
from thermal_fusion_ros.engine import base, choice
from thermal_fusion_ros.engine.cache import EngineCache
from thermal_fusion_ros.errors import EngineError, InputError
from thermal_fusion_ros.models.cross_attention import CrossAttentionFusion
from thermal_fusion_ros.models.depth import DepthNet
from thermal_fusion_ros.models.graph import PerceptionGraph, example_inputs

from .graphs import GRAPHS, make

SIZE = (64, 96)


@pytest.fixture(scope="module")
def graph():
    torch.manual_seed(0)
    return PerceptionGraph(CrossAttentionFusion(), DepthNet()).eval()


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_backends_agree_with_eager_torch(graph, backend):
    if backend == "openvino":
        pytest.importorskip("openvino")
    engine, refused = base.build(graph, *SIZE, EngineConfig(backend=backend, device="cpu"))
    assert engine.name.startswith(backend)
    assert not refused
    rgb, thermal, code = example_inputs(*SIZE)
    with torch.inference_mode():
        wanted, depth, sigma = (image[0].numpy() for image in graph(rgb, thermal, code))
    outputs = engine.run(rgb[0].numpy(), thermal[0].numpy(), code[0].numpy())
    assert list(outputs) == ["fused", "depth", "sigma"]
    for name, exact in (("depth", depth), ("sigma", sigma)):
        error = np.abs(outputs[name] / exact - 1)
        assert error.mean() < 0.01  # bf16 has 8 bits, and these weights are random
        assert error.max() < 0.04
    got = outputs["fused"]
    assert got.dtype == np.uint8
    assert got.shape == (*SIZE, 3)
    assert np.abs(got.astype(int) - wanted.astype(int)).max() <= 2


@pytest.mark.slow
@pytest.mark.parametrize("name", GRAPHS)
def test_openvino_takes_every_graph(name, monkeypatch, tmp_path):
    pytest.importorskip("openvino")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    graph = make(name)
    engine, refused = base.build(
        graph, *SIZE, EngineConfig(backend="openvino", device="cpu", precision="f32")
    )
    assert (engine.name, refused) == ("openvino-cpu-f32", [])
    assert set(graph.outputs) == set(engine.run(*(x[0].numpy() for x in example_inputs(*SIZE))))


def test_inputs_are_not_kept(graph):
    """The second call sees the second picture, though buffers are shared and reused."""
    engine, _ = base.build(graph, *SIZE, EngineConfig(device="cpu"))
    rgb, thermal, code = (x[0].numpy() for x in example_inputs(*SIZE))
    first = engine.run(rgb, thermal, code)["fused"].copy()
    second = engine.run(255 - rgb, thermal, code)["fused"].copy()
    assert np.abs(first.astype(int) - second).max() > 10
    np.testing.assert_array_equal(engine.run(rgb, thermal, code)["fused"], first)


def test_a_failing_backend_is_replaced_with_the_reason(graph, monkeypatch, caplog):
    def broken(*_args):
        raise RuntimeError("no such instruction\nlong trace")

    monkeypatch.setitem(base.BACKENDS, "openvino", broken)
    engine, refused = base.build(graph, *SIZE, EngineConfig(backend="openvino", device="cpu"))
    assert engine.name == "torch-cpu"
    assert refused == ["openvino: no such instruction"]
    assert "no such instruction" in caplog.text


def test_a_wrong_engine_is_found_out(graph, monkeypatch):
    class Wrong:
        name = "wrong"
        exact = False

        def run(self, rgb, thermal, code):
            return dict.fromkeys(("fused", "depth", "sigma"), rgb)

    monkeypatch.setitem(base.BACKENDS, "openvino", lambda *_: Wrong())
    engine, refused = base.build(graph, *SIZE, EngineConfig(backend="openvino", device="cpu"))
    assert engine.name == "torch-cpu"
    assert "differs from eager torch" in refused[0]


def test_no_backend_at_all(graph, monkeypatch):
    def broken(*_args):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(base, "BACKENDS", {"openvino": broken, "torch": broken})
    with pytest.raises(EngineError, match="no backend works for 96x64: openvino: out of memory; torch"):
        base.build(graph, *SIZE, EngineConfig(device="cpu"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_asked_for_where_there_is_none(graph):
    with pytest.raises(InputError, match="torch sees no CUDA device"):
        base.build(graph, *SIZE, EngineConfig(backend="torch", device="cuda"))


def test_an_intel_gpu_asked_for_where_there_is_none(graph, monkeypatch):
    pytest.importorskip("openvino")
    monkeypatch.setattr("thermal_fusion_ros.engine.openvino_backend.GPU", "none like this")
    with pytest.raises(
        InputError, match=r"OpenVINO sees no Intel GPU: install its driver.*only OpenVINO runs"
    ):
        base.build(graph, *SIZE, EngineConfig(device="intel_gpu"))


def test_a_gpu_takes_no_threads_and_keeps_its_kernels(graph, monkeypatch, tmp_path):
    """Nobody has such a GPU here: the CPU stands in for it."""
    pytest.importorskip("openvino")
    from thermal_fusion_ros.engine import openvino_backend

    cache, config = EngineCache(tmp_path), EngineConfig(device="intel_gpu", threads=3)
    threads = {
        place: openvino_backend._options(config, place, cache).get("INFERENCE_NUM_THREADS")
        for place in ("CPU", "GPU")
    }
    assert threads == {"CPU": 3, "GPU": None}
    monkeypatch.setattr(openvino_backend, "GPU", "CPU")
    base.check(openvino_backend.OpenVinoEngine(graph, *SIZE, config, cache), graph, *SIZE)
    assert list((tmp_path / openvino_backend.KERNELS).iterdir())
    assert len(list(cache.entries())) == 1


class FakeEngine:
    """Takes as long as it is told, on a clock of its own."""

    exact = True

    def __init__(self, name, seconds, clock):
        self.name, self.seconds, self.clock, self.runs = name, seconds, clock, 0

    def run(self, rgb, thermal, code):
        self.runs += 1
        self.clock[0] += self.seconds
        return {}


@pytest.fixture
def fakes(monkeypatch, tmp_path):
    """Two backends, the one that `auto` tries first being the slower one; and an empty cache."""
    clock = [0.0]
    engines = {name: FakeEngine(name, s, clock) for name, s in (("openvino", 0.3), ("torch", 0.1))}
    monkeypatch.setattr(base, "BACKENDS", {name: lambda *_, e=e: e for name, e in engines.items()})
    monkeypatch.setattr(choice.time, "perf_counter", lambda: clock[0])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return engines


CPU = EngineConfig(device="cpu")


def test_auto_takes_the_fastest_and_measures_only_once(tiny, fakes, caplog):
    caplog.set_level("INFO")
    engine, refused = base.build(tiny, *SIZE, CPU)
    assert (engine.name, refused) == ("torch", [])
    assert "engine for 96x64: torch (measured now: torch 100 ms, openvino 300 ms)" in caplog.text
    runs = fakes["torch"].runs
    caplog.clear()
    assert base.build(tiny, *SIZE, CPU)[0].name == "torch"
    assert fakes["torch"].runs == runs
    assert [r.getMessage() for r in caplog.records] == [
        "engine for 96x64: torch (measured at an earlier start: torch 100 ms, openvino 300 ms)"
    ]


@pytest.mark.parametrize("change", ["size", "version", "threads", "cpu"])
def test_auto_measures_again_when_the_answer_may_have_changed(tiny, fakes, monkeypatch, change):
    base.build(tiny, *SIZE, CPU)
    runs = fakes["torch"].runs
    config, size = CPU, SIZE
    if change == "size":
        size = (64, 64)
    elif change == "threads":
        config = EngineConfig(device="cpu", threads=1)
    elif change == "cpu":
        monkeypatch.setattr(choice, "cpu_name", lambda: "another")
    else:
        monkeypatch.setattr(choice.metadata, "version", lambda _package: "99")
    base.build(tiny, *size, config)
    assert fakes["torch"].runs > runs


def test_the_remembered_choice_may_stop_working(tiny, fakes, monkeypatch):
    base.build(tiny, *SIZE, CPU)

    def broken(*_args):
        raise RuntimeError("gone")

    monkeypatch.setitem(base.BACKENDS, "torch", broken)
    engine, refused = base.build(tiny, *SIZE, CPU)
    assert (engine.name, refused) == ("openvino", ["torch: gone"])


def test_a_damaged_memory_is_measured_anew(tiny, fakes):
    base.build(tiny, *SIZE, CPU)
    (entry,) = EngineCache().entries()
    (entry.folder / choice.FILE).write_text("{")
    runs = fakes["torch"].runs
    assert base.build(tiny, *SIZE, CPU)[0].name == "torch"
    assert fakes["torch"].runs > runs


def test_openvino_missing(tiny, monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "openvino", None)
    engine, refused = base.build(tiny, *SIZE, CPU)
    assert engine.name == "torch-cpu"
    (reason,) = refused
    assert reason.startswith("openvino: ")
    assert caplog.text.count("does not work here") == 1
    assert not list(EngineCache().entries())  # with OpenVINO back, the next start measures


def test_a_read_only_cache_gives_the_same_engines(tiny, monkeypatch, tmp_path, caplog):
    """A file in the place of the folder: root may write to folders that say they are read-only."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    engine, refused = base.build(tiny, *SIZE, CPU)
    assert not refused
    assert engine.name.startswith(("openvino", "torch"))
    assert caplog.text.count("cannot be written") == 1


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_precision_is_honoured_or_refused(tiny, backend):
    if backend == "openvino":
        pytest.importorskip("openvino")
    for precision in ("f32", "bf16"):
        config = EngineConfig(backend=backend, device="cpu", precision=precision)
        engine, refused = base.build(tiny, *SIZE, config)
        if refused:  # a CPU without bf16
            assert f"engine.precision is {precision}" in refused[0]
        elif backend == "openvino":
            assert engine.name == f"openvino-cpu-{precision}"
        else:
            assert engine.exact == (precision == "f32")
