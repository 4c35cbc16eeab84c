"""Everything around TensorRT: the cache, the progress, the checks, the way out. TensorRT itself is a fake here."""

import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from thermal_fusion_ros.config import EngineConfig
from thermal_fusion_ros.engine import base, tensorrt_backend
from thermal_fusion_ros.engine.cache import EngineCache
from thermal_fusion_ros.engine.tensorrt_backend import TensorRtEngine
from thermal_fusion_ros.models.graph import example_inputs

SIZE = (64, 96)
F32 = EngineConfig(backend="tensorrt", precision="f32")


def build(graph):
    return TensorRtEngine(graph, *SIZE, F32, EngineCache())


def the_entry():
    (entry,) = EngineCache().entries()
    return entry.folder


def test_it_is_compiled_once_and_computes_the_graph(tiny, torch_tensorrt, caplog):
    for engine in (build(tiny), build(tiny)):
        assert engine.name == "tensorrt-f32"
        base.check(engine, tiny, *SIZE)
    assert torch_tensorrt.compiled == 1
    assert torch_tensorrt.captured == 2
    first, *others = (r.getMessage() for r in caplog.records if "building" in r.getMessage())
    assert "96x64: first start on this machine takes minutes; later starts take seconds" in first
    assert "done after" in others[-1]


def test_inputs_and_outputs_have_fixed_places(tiny, torch_tensorrt):
    engine = build(tiny)
    rgb, thermal, code = (x[0].numpy() for x in example_inputs(*SIZE))
    first = engine.run(rgb, thermal, code)
    kept = {name: image.copy() for name, image in first.items()}
    second = engine.run(255 - rgb, thermal, code)
    assert all(np.shares_memory(first[name], second[name]) for name in tiny.outputs)
    assert np.abs(kept["fused"].astype(int) - second["fused"]).max() > 10
    assert second["fused"].dtype == np.uint8


def test_progress_is_told_while_it_lasts(tiny, torch_tensorrt, monkeypatch, caplog):
    monkeypatch.setattr(tensorrt_backend, "TELL_EVERY_S", 0.001)
    told = threading.Event()
    original = tensorrt_backend.log.warning

    def warning(text, *args):
        original(text, *args)
        if text == "%s: %.0f s":
            told.set()

    def slow(program, *, arg_inputs):
        assert told.wait(30)
        return program.module()

    monkeypatch.setattr(tensorrt_backend.log, "warning", warning)
    monkeypatch.setattr(torch_tensorrt.dynamo, "compile", slow)
    build(tiny)
    assert "building the TensorRT engine for 96x64: 0 s" in caplog.text
    assert not [thread for thread in threading.enumerate() if thread.name == "progress"]


def test_a_truncated_engine_is_built_anew(tiny, torch_tensorrt, caplog):
    build(tiny)
    stored = the_entry() / tensorrt_backend.FILE
    stored.write_bytes(stored.read_bytes()[:1000])
    build(tiny)
    assert torch_tensorrt.compiled == 2
    assert caplog.text.count("is damaged, building anew") == 1
    build(tiny)
    assert torch_tensorrt.compiled == 2


@pytest.mark.parametrize("fault", ["unreadable", "wrong"])
def test_an_engine_that_was_stored_broken_is_built_anew(tiny, torch_tensorrt, monkeypatch, caplog, fault):
    """Whole as a file, but it does not load, or what it computes is not the graph."""

    def save(module, path, *, arg_inputs):
        if fault == "unreadable":
            Path(path).write_bytes(b"nonsense")
        else:
            wrong = WrongGraph(tiny).eval()
            torch.export.save(torch.export.export(wrong, tuple(arg_inputs)), path)

    monkeypatch.setattr(torch_tensorrt, "save", save)
    build(tiny)
    assert "does not work" not in caplog.text
    engine = build(tiny)
    assert torch_tensorrt.compiled == 2
    assert caplog.text.count("building anew") == 1
    base.check(engine, tiny, *SIZE)


class WrongGraph(torch.nn.Module):
    def __init__(self, graph):
        super().__init__()
        self.graph = graph

    def forward(self, rgb, thermal, code):
        fused, depth, sigma = self.graph(rgb, thermal, code)
        return fused, 2 * depth, sigma


@pytest.mark.parametrize("change", ["torch_tensorrt", "tensorrt", "torch", "gpu"])
def test_another_version_or_machine_gets_its_own_engine(tiny, torch_tensorrt, monkeypatch, caplog, change):
    build(tiny)
    if change == "gpu":
        monkeypatch.setattr(tensorrt_backend, "gpu_facts", lambda: {"gpu": "Fake 2000", "driver": "550"})
    else:
        monkeypatch.setattr(sys.modules[change], "__version__", "99.0")
    build(tiny)
    assert torch_tensorrt.compiled == 2
    (line,) = (r.getMessage() for r in caplog.records if "building anew" in r.getMessage())
    assert line.startswith(f"engine cache: the tensorrt engine is of {change} ")


def test_a_cache_that_cannot_be_written_costs_one_line(tiny, torch_tensorrt, monkeypatch, tmp_path, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    base.check(build(tiny), tiny, *SIZE)
    assert caplog.text.count("cannot be written") == 1


def failing(*_args, **_kwargs):
    raise RuntimeError("Unsupported layer\nlong trace")


def test_a_failed_build_falls_back_with_the_reason(tiny, torch_tensorrt, monkeypatch):
    monkeypatch.setattr(torch_tensorrt.dynamo, "compile", failing)
    monkeypatch.setitem(base.BACKENDS, "torch", lambda *_: Exact())
    engine, refused = base.build(tiny, *SIZE, F32)
    assert engine.name == "exact"
    assert refused == ["tensorrt: Unsupported layer"]


class Exact:
    name, exact = "exact", True

    def run(self, rgb, thermal, code):
        return {}


def test_versions_before_2_13_are_told_to_keep_the_types(tiny, torch_tensorrt, monkeypatch):
    asked = []

    def older(program, *, arg_inputs, use_explicit_typing=False):
        asked.append(use_explicit_typing)
        return program.module()

    monkeypatch.setattr(torch_tensorrt.dynamo, "compile", older)
    build(tiny)
    assert asked == [True]


def test_half_precision_reaches_the_compiler(tiny, torch_tensorrt, monkeypatch):
    class Stop(Exception):
        pass

    def compile_(program, *, arg_inputs):
        assert {x.dtype for x in arg_inputs} == {torch.float16}
        assert {p.dtype for p in program.parameters()} == {torch.float16}
        raise Stop

    monkeypatch.setattr(torch_tensorrt.dynamo, "compile", compile_)
    with pytest.raises(Stop):
        TensorRtEngine(tiny, *SIZE, EngineConfig(), EngineCache())
    assert next(tiny.parameters()).dtype is torch.float32


@pytest.mark.parametrize(
    ("why", "line"),
    [
        ("no GPU", "TensorRT needs an NVIDIA GPU, and torch sees no CUDA device"),
        ("not wanted", "TensorRT needs an NVIDIA GPU, and engine.device is cpu"),
        ("not installed", "torch_tensorrt is not installed: pip install torch-tensorrt=="),
        ("no libraries", "torch_tensorrt does not load: libnvinfer.so.10: cannot open"),
    ],
)
def test_it_refuses_with_one_line(tiny, torch_tensorrt, monkeypatch, tmp_path, why, line):
    config = F32
    if why == "no GPU":
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    elif why == "not wanted":
        config = EngineConfig(backend="tensorrt", device="cpu")
    elif why == "not installed":
        monkeypatch.delitem(sys.modules, "torch_tensorrt")
        monkeypatch.setattr(sys, "path", [str(tmp_path)])
    else:
        monkeypatch.delitem(sys.modules, "torch_tensorrt")
        (tmp_path / "torch_tensorrt.py").write_text("raise Exception('libnvinfer.so.10: cannot open\\nmore')")
        monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(RuntimeError, match=line):
        TensorRtEngine(tiny, *SIZE, config, EngineCache())
