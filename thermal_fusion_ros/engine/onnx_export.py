"""The graph as an ONNX file, for `trtexec` on machines where torch-tensorrt does not run (Jetson)."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch

from thermal_fusion_ros.engine.base import compare
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.files import make_folder, write_whole
from thermal_fusion_ros.models.graph import PerceptionGraph, example_inputs

INPUTS = ("rgb", "thermal", "code")
OPSET = 18  # every JetPack that still gets updates reads it


def export_onnx(
    graph: PerceptionGraph, path: Path, height: int, width: int, dtype: torch.dtype = torch.float16
) -> bool:
    """Write `graph` for images of height x width pixels (multiples of 32) to `path`, whole or not at all.

    It computes in `dtype`: TensorRT takes the types of the file as they are (always from version 11 on).
    Inputs are `rgb` 1×H×W×3 and `thermal` 1×H×W, uint8, and `code` 1×64 float32; outputs are the graph's own names.
    Returns whether ONNX Runtime was there to check it against eager torch; raises :class:`InputError` when a package
    is missing or the file cannot be written, RuntimeError when what ONNX Runtime computes is something else.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise InputError(f"the export needs {error.name}: pip install onnx onnxscript onnxruntime") from error
    make_folder(path.parent)  # before the work whose result would be lost
    with torch.no_grad(), _silence():
        program = torch.onnx.export(
            copy.deepcopy(graph).cpu().to(dtype), example_inputs(height, width), dynamo=True, opset_version=OPSET,
            input_names=list(INPUTS), output_names=list(graph.outputs), verbose=False,
        )  # fmt: skip
    assert program is not None
    data = program.model_proto.SerializeToString()
    checked = _check(graph, data, height, width)
    write_whole(path, data)
    return checked


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """The exporter talks about its own internals, and of packages nobody needs."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _check(graph: PerceptionGraph, data: bytes, height: int, width: int) -> bool:
    try:
        import onnxruntime
    except ModuleNotFoundError:
        return False
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; it warns of every constant in half precision
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    feed = {name: x.numpy() for name, x in zip(INPUTS, example_inputs(height, width), strict=True)}
    arrays = session.run(list(graph.outputs), feed)
    compare(dict(zip(graph.outputs, (x[0] for x in arrays), strict=True)), graph, height, width)
    return True
