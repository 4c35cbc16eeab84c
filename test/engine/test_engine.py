import numpy as np
import pytest
import torch

from thermal_fusion_ros.config import EngineConfig
from thermal_fusion_ros.engine import base
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.models.cross_attention import CrossAttentionFusion
from thermal_fusion_ros.models.depth import DepthNet
from thermal_fusion_ros.models.graph import PerceptionGraph, example_inputs

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
    np.testing.assert_allclose(outputs["depth"], depth, rtol=0.02)
    np.testing.assert_allclose(outputs["sigma"], sigma, rtol=0.02)
    got = outputs["fused"]
    assert got.dtype == np.uint8
    assert got.shape == (*SIZE, 3)
    assert np.abs(got.astype(int) - wanted.astype(int)).max() <= 2


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
    with pytest.raises(InputError, match="no backend works for 96x64: openvino: out of memory; torch"):
        base.build(graph, *SIZE, EngineConfig(device="cpu"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_asked_for_where_there_is_none(graph):
    with pytest.raises(InputError, match="torch sees no CUDA device"):
        base.build(graph, *SIZE, EngineConfig(backend="torch", device="cuda"))
