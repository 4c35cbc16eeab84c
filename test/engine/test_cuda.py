"""torch on a GPU: the graph recorded once, and replayed for every frame."""

import numpy as np
import pytest
import torch

from thermal_fusion_ros.config import EngineConfig
from thermal_fusion_ros.engine import base, torch_backend
from thermal_fusion_ros.models.graph import example_inputs

SIZE = (64, 96)
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device here")


@needs_cuda
@pytest.mark.parametrize("precision", ["f16", "f32"])
def test_it_computes_the_graph_for_every_frame_anew(tiny, precision):
    engine = torch_backend.engine(tiny, *SIZE, EngineConfig(device="cuda", precision=precision))
    assert engine.name == f"torch-cuda-{precision}"
    base.check(engine, tiny, *SIZE)
    rgb, thermal, code = (x[0].numpy() for x in example_inputs(*SIZE))
    first = engine.run(rgb, thermal, code)["fused"].copy()
    other = engine.run(255 - rgb, thermal, code)["fused"].copy()
    again = engine.run(rgb, thermal, code)["fused"]
    assert np.abs(first.astype(int) - other).max() > 10
    np.testing.assert_array_equal(first, again)


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch sees a CUDA device here")
def test_a_gpu_that_is_not_there_is_refused(tiny):
    with pytest.raises(RuntimeError, match="torch sees no CUDA device"):
        torch_backend.engine(tiny, *SIZE, EngineConfig(device="cuda"))
