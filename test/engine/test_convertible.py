"""TensorRT converts the graph: torch-tensorrt's own decompositions, lowering and converters say so."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from .graphs import GRAPHS

ROOT = Path(__file__).parents[2]
WHEELS = Path(sys.prefix) / "wheels"  # scripts/setup_env.sh puts torch-tensorrt's there, if it can


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    wheels = sorted(WHEELS.glob("torch_tensorrt-*.whl"))
    if not wheels:
        pytest.skip(f"no torch_tensorrt wheel in {WHEELS}: scripts/setup_env.sh could not download it")
    folder = tmp_path_factory.mktemp("torch_tensorrt")
    with zipfile.ZipFile(wheels[-1]) as wheel:  # its compiled parts want TensorRT's libraries
        wheel.extractall(folder, [name for name in wheel.namelist() if name.endswith(".py")])
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("tensorrt_dry_run.py")), str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_operator_of_every_graph_is_converted(found):
    # An operator without a converter would be seen.
    assert "torch.ops.aten.special_bessel_j0.default" in found.pop("refused")["with_torch"]
    assert {name.rpartition(" ")[0] for name in found} == set(GRAPHS)
    for name, graph in found.items():
        assert graph["operators"] > 200, name
        # Bytes are for torch: the cast of the fused picture, last of all, and nothing else.
        assert graph["with_torch"] == {"torch.ops.aten._to_copy.default": 1}, name
        assert graph["engines"] == 1, name
