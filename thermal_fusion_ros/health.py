"""What must be right on a machine before the package can work, one check a function.

Anything that could take the process down with it (compiled packages built against another NumPy, broken shared
libraries) is tried in a child process.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import thermal_fusion_ros
from thermal_fusion_ros import dds
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.share import PACKAGE

IMPORT_TIMEOUT_S = 120.0
SHARED_MEMORY = Path("/dev/shm")
# What `fusion_node` needs in the Python that its script names; pairs of module and where it comes from.
NODE_MODULES = ("rclpy", "numpy", "torch")


class State(str, Enum):
    """Verdict of a check."""

    OK = "ok"
    ABSENT = "-"  # optional and not there
    FAIL = "FAIL"


@dataclass(frozen=True)
class Finding:
    """One line of the report; `remedy` says what to do about it when it is not fine."""

    name: str
    state: State
    text: str
    remedy: str = ""


def examine() -> list[Finding]:
    """Run every check; the slow ones (imports in child processes) side by side."""
    with ThreadPoolExecutor(max_workers=4) as pool:
        results = [pool.submit(check) for check in CHECKS]
        return [finding for result in results for finding in result.result()]


def check_python() -> Iterator[Finding]:
    """Version and kind of interpreter."""
    version = sys.version.split()[0]
    kind = "virtual environment" if sys.prefix != sys.base_prefix else "no virtual environment"
    fits = (3, 10) <= sys.version_info[:2] <= (3, 12)
    remedy = "use Python 3.10, 3.11 or 3.12: make PYTHON=/path/to/python3.12"
    yield Finding("python", State.OK if fits else State.FAIL, f"{version}, {kind} {sys.prefix}", remedy)


def check_torch() -> Iterator[Finding]:
    """Torch, and whether it sees a GPU."""
    code = (
        "import torch; c = torch.cuda.is_available();"
        "print(torch.__version__ + ', ' + (torch.cuda.get_device_name() if c else 'CPU only'))"
    )
    yield _import("torch", code, "install it here: python -m pip install torch")


def check_openvino() -> Iterator[Finding]:
    """The CPU engine, and in which number format it computes: without bf16 it is slower."""
    code = (
        "import openvino as ov; core = ov.Core();"
        "bf16 = 'BF16' in core.get_property('CPU', 'OPTIMIZATION_CAPABILITIES');"
        "print(ov.__version__.split('-')[0] + ' on ' + ', '.join(core.available_devices) + ', '"
        " + ('bf16' if bf16 else 'f32: this processor has no bf16, in which a frame takes longer'))"
    )
    remedy = "the slower torch engine is used; for speed on a CPU: python -m pip install openvino"
    yield _import("openvino", code, remedy, optional=True)


def check_tensorrt() -> Iterator[Finding]:
    """The NVIDIA engine."""
    code = "import tensorrt, torch_tensorrt; print(tensorrt.__version__)"
    yield _import(
        "tensorrt", code, "only for NVIDIA GPUs: install TensorRT and torch-tensorrt", optional=True
    )


def check_ros() -> Iterator[Finding]:
    """Client library, middleware and the optional ROS packages."""
    code = (
        "import rclpy, sensor_msgs.msg, lifecycle_msgs.msg, diagnostic_msgs.msg, visualization_msgs.msg;"
        "print(rclpy.get_rmw_implementation_identifier())"
    )
    distribution = os.environ.get("ROS_DISTRO", "ROS from Python wheels")
    ros = _import(
        "ros", code, "source /opt/ros/<distro>/setup.bash, or let `make demo` install ROS into .venv"
    )
    if ros.state is State.OK:
        ros = Finding(ros.name, ros.state, f"{distribution}, {ros.text}", ros.remedy)
    yield ros
    yield _import(
        "message_filters",
        "import message_filters; print('found')",
        "only for sync.backend=message_filters: apt install ros-$ROS_DISTRO-message-filters",
        optional=True,
    )
    # Its compiled part breaks with the other NumPy major version; we do not need it, its neighbours may.
    yield _import(
        "cv_bridge",
        "import cv_bridge.boost.cv_bridge_boost; print('found')",
        "not needed by this package; other nodes may want it: apt install ros-$ROS_DISTRO-cv-bridge",
        optional=True,
    )


def check_weights() -> Iterator[Finding]:
    """The networks that ship with the package."""
    folder = Path(thermal_fusion_ros.__file__).parent / "models" / "weights"
    files = sorted(folder.glob("*.safetensors"))
    remedy = "reinstall the package, or make them: thermal-fusion train fusion"
    if not files:
        yield Finding("weights", State.FAIL, f"no .safetensors file in {folder}", remedy)
    for file in files:
        try:
            from safetensors import SafetensorError, safe_open

            with safe_open(file, framework="numpy") as content:
                count = len(list(content.keys()))
        except (ImportError, OSError, SafetensorError) as error:
            yield Finding("weights", State.FAIL, f"{file.name}: {error}", remedy)
        else:
            size = file.stat().st_size / 1e6
            yield Finding("weights", State.OK, f"{file.name}: {count} tensors, {size:.1f} MB")


def check_dds() -> Iterator[Finding]:
    """Profile for large images, and room for it."""
    try:
        shipped = dds.profile()
        needed = dds.segment_bytes(shipped)
    except InputError as error:
        yield Finding("dds profile", State.FAIL, str(error), "build the package again")
        return
    remedy = "; ".join(f"export {name}={shipped}" for name in dds.PROFILE_VARIABLES)
    named = next((os.environ[name] for name in dds.PROFILE_VARIABLES if os.environ.get(name)), "")
    middleware = os.environ.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp")
    if "fastrtps" not in middleware:
        yield Finding("dds profile", State.OK, f"{middleware} does not use Fast DDS profiles")
    elif not named:
        text = "not in this shell; our launch files, demo and replay set it, other nodes lose large images"
        yield Finding("dds profile", State.ABSENT, text, remedy)
    else:
        yield _judge_profile(Path(named), needed, remedy)
    yield _judge_shared_memory(needed)


def _judge_profile(path: Path, needed: int, remedy: str) -> Finding:
    try:
        size = dds.segment_bytes(path)
    except (OSError, ValueError, SyntaxError) as error:  # ElementTree's ParseError is a SyntaxError
        return Finding("dds profile", State.FAIL, f"{path}: {error}", remedy)
    text = f"{path}: shared-memory segment {size / 2**20:.1f} MiB"
    return Finding("dds profile", State.OK if size >= needed else State.FAIL, text, remedy)


def _judge_shared_memory(segment: int) -> Finding:
    try:
        usage = shutil.disk_usage(SHARED_MEMORY)
    except OSError as error:
        return Finding(
            "shared memory", State.FAIL, f"{SHARED_MEMORY}: {error.strerror}", "mount a tmpfs there"
        )
    needed = 4 * segment  # two cameras, the node, a viewer
    text = f"{SHARED_MEMORY}: {usage.free / 2**20:.0f} MiB free, {needed / 2**20:.0f} wanted for four nodes"
    remedy = "in a container: docker run --shm-size=512m (or --ipc=host)"
    return Finding("shared memory", State.OK if usage.free >= needed else State.FAIL, text, remedy)


def check_scripts() -> Iterator[Finding]:
    """Do the installed executables start the Python that has the packages?

    If not, `ros2 run` says `No module named torch`.
    """
    scripts = list(installed_scripts())
    if not scripts:
        yield Finding(
            "ros2 run",
            State.ABSENT,
            "not built with colcon",
            "python -m colcon build, then source install/setup.bash",
        )
    for script in scripts:
        yield judge_script(script)


def installed_scripts() -> Iterator[Path]:
    """`fusion_node` as `ros2 run` would find it, in every prefix that ROS knows."""
    for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep):
        script = Path(prefix) / "lib" / PACKAGE / "fusion_node"
        if prefix and script.is_file():
            yield script


def judge_script(script: Path) -> Finding:
    """Whether the interpreter in the first line of `script` has what the node imports."""
    remedy = "build again with the Python that has them: . .venv/bin/activate && python -m colcon build"
    with script.open("rb") as file:
        first = file.readline().decode(errors="replace").strip()
    interpreter = first.removeprefix("#!").split()
    if not first.startswith("#!") or not interpreter:
        return Finding("ros2 run", State.FAIL, f"{script} names no interpreter", remedy)
    wanted = ", ".join(repr(name) for name in NODE_MODULES)
    code = f"import importlib.util as u; print(*[m for m in ({wanted}) if not u.find_spec(m)])"
    try:
        lacking = _python(interpreter, code).split()
    except OSError as error:
        return Finding("ros2 run", State.FAIL, f"{script}: {error}", remedy)
    where = f"{script} runs {' '.join(interpreter)}"
    if lacking:
        return Finding("ros2 run", State.FAIL, f"{where}, which has no {', '.join(lacking)}", remedy)
    return Finding("ros2 run", State.OK, where)


def _import(name: str, code: str, remedy: str, *, optional: bool = False) -> Finding:
    """Run `code` in a child of this Python; its last line of output is the finding."""
    try:
        return Finding(name, State.OK, _python([sys.executable], code), remedy)
    except OSError as error:
        text = str(error)
    missing = text.startswith("No module named")
    return Finding(name, State.ABSENT if optional and missing else State.FAIL, text, remedy)


def _python(interpreter: list[str], code: str) -> str:
    """Last line that `code` prints; :class:`OSError` with the last line of its complaint when it fails."""
    try:
        done = subprocess.run(
            [*interpreter, "-c", code], capture_output=True, text=True, timeout=IMPORT_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(f"no answer from {interpreter[0]} within {IMPORT_TIMEOUT_S:.0f} s") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"ended with code {done.returncode}"])[-1]
        raise OSError(last.removeprefix("ModuleNotFoundError: ").removeprefix("ImportError: "))
    return (done.stdout.strip().splitlines() or [""])[-1]


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    check_python,
    check_torch,
    check_openvino,
    check_tensorrt,
    check_ros,
    check_weights,
    check_dds,
    check_scripts,
)
