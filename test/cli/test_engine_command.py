from types import SimpleNamespace

import numpy as np
import pytest

from thermal_fusion_ros.cli.main import main
from thermal_fusion_ros.engine import base, onnx_export
from thermal_fusion_ros.engine.cache import EngineCache, Key


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_build_says_what_was_built_where(tmp_path, capsys):
    assert (
        main(["engine", "build", "--backend", "torch", "--size", "90x60", "--set", "engine.device=cpu"]) == 0
    )
    out = capsys.readouterr().out
    assert out.startswith("torch-cpu for 96x64, ready after ")
    assert str(tmp_path / "cache") in out


def test_build_fails_when_it_had_to_take_another(capsys, monkeypatch):
    def broken(*_args):
        raise RuntimeError("no such instruction")

    monkeypatch.setitem(base.BACKENDS, "openvino", broken)
    assert main(["engine", "build", "--backend", "openvino", "--size", "96x64"]) == 1
    assert capsys.readouterr().out.startswith("torch-")


def test_an_unknown_backend_is_named(capsys):
    assert main(["engine", "build", "--backend", "toaster"]) == 2
    assert "toaster" in capsys.readouterr().err


def test_list_and_clear(capsys):
    key = Key("toaster", {"graph": "g", "size": "96x64"})
    EngineCache().store(key, lambda folder: (folder / "engine").write_bytes(bytes(2_000_000)))
    assert main(["engine", "list"]) == 0
    assert "toaster: 2.0 MB, size 96x64" in capsys.readouterr().out
    assert main(["engine", "clear"]) == 0
    assert "1 entries, 2.0 MB, removed" in capsys.readouterr().out
    assert EngineCache().load(key) is None
    assert main(["engine", "clear"]) == 0


@pytest.mark.slow
def test_the_exported_network_computes_what_torch_does(tmp_path, capsys):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    path = tmp_path / "new" / "graph.onnx"
    assert main(["engine", "export", "--onnx", str(path), "--size", "90x60"]) == 0
    out = capsys.readouterr().out
    assert "96x64, f16, " in out
    assert "agrees with torch" in out
    assert "trtexec --onnx=graph.onnx --stronglyTyped" in out
    assert [file.name for file in path.parent.iterdir()] == ["graph.onnx"]
    # TensorRT takes bytes at its borders only: every byte is cast as soon as it comes in and as late as it goes out.
    graph = onnx.load(path).graph
    byte = onnx.TensorProto.UINT8
    borders = (*graph.input, *graph.output)
    names = {value.name for value in borders if value.type.tensor_type.elem_type == byte}
    touching = [node.op_type for node in graph.node if names & {*node.input, *node.output}]
    assert touching == ["Cast"] * 3
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    blank = {"rgb": np.zeros((1, 64, 96, 3), np.uint8), "thermal": np.zeros((1, 64, 96), np.uint8)}
    outputs = session.run(None, blank | {"code": np.zeros((1, 64), np.float32)})
    assert outputs[0].shape == (1, 64, 96, 3)


def test_an_export_that_is_wrong_or_finds_the_disk_full_leaves_nothing_behind(
    tmp_path, monkeypatch, capsys, full_disk
):
    exported = SimpleNamespace(model_proto=SimpleNamespace(SerializeToString=lambda: bytes(5000)))
    monkeypatch.setattr(onnx_export.torch.onnx, "export", lambda *_args, **_options: exported)
    for package in ("onnx", "onnxscript"):
        pytest.importorskip(package)
    command = ["engine", "export", "--onnx", str(tmp_path / "graph.onnx"), "--size", "96x64"]

    def wrong(*_args):
        raise RuntimeError("fused differs from eager torch")

    monkeypatch.setattr(onnx_export, "_check", wrong)
    with pytest.raises(RuntimeError, match="differs"):
        main(command)
    monkeypatch.setattr(onnx_export, "_check", lambda *_args: True)
    with full_disk(1000):
        assert main(command) == 2
    assert "graph.onnx: not written: File too large; make room" in capsys.readouterr().err
    assert not list(tmp_path.glob("*graph*"))


def test_the_export_names_what_it_needs(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    assert main(["engine", "export", "--onnx", str(tmp_path / "graph.onnx"), "--size", "96x64"]) == 2
    assert "pip install onnx" in capsys.readouterr().err
