"""The doctor's checks tell good from bad; the machine they run on here is replaced where that matters."""

import subprocess
import sys
from pathlib import Path

import pytest

from thermal_fusion_ros import dds, health
from thermal_fusion_ros.health import Finding, State


def findings(check) -> dict[str, Finding]:
    return {finding.name: finding for finding in check()}


def script(path: Path, first_line: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(first_line + "\n")
    return path


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter without any package: what `colcon` of the system may pick."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder / "bin" / "python3"


def test_python_of_this_test_is_supported() -> None:
    assert findings(health.check_python)["python"].state is State.OK


def test_python_too_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health.sys, "version_info", (3, 14, 0))
    finding = findings(health.check_python)["python"]
    assert finding.state is State.FAIL
    assert "3.12" in finding.remedy


def test_torch_and_ros_of_the_test_environment() -> None:
    pytest.importorskip("rclpy", reason="no ROS here")
    assert findings(health.check_torch)["torch"].state is State.OK
    ros = findings(health.check_ros)["ros"]
    assert ros.state is State.OK
    assert "rmw" in ros.text


def test_the_number_format_of_the_cpu_engine_is_told() -> None:
    openvino = pytest.importorskip("openvino")
    has_bf16 = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    assert ("no bf16" in findings(health.check_openvino)["openvino"].text) is not has_bf16


def test_missing_optional_package_is_no_failure() -> None:
    finding = health._import("x", "import no_such_package", "install it", optional=True)
    assert finding == Finding("x", State.ABSENT, "No module named 'no_such_package'", "install it")


@pytest.mark.parametrize(
    "code", ["import os; os.abort()", "raise RuntimeError('compiled for another NumPy')"]
)
def test_package_that_is_there_but_broken_is_a_failure(code: str) -> None:
    assert health._import("x", code, "mend it", optional=True).state is State.FAIL


def test_hanging_import_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "IMPORT_TIMEOUT_S", 0.2)
    finding = health._import("x", "import time; time.sleep(60)", "mend it")
    assert finding.state is State.FAIL
    assert "no answer" in finding.text


def test_node_script_of_a_python_with_the_packages(tmp_path: Path) -> None:
    pytest.importorskip("rclpy", reason="no ROS here")
    assert health.judge_script(script(tmp_path / "fusion_node", f"#!{sys.executable}")).state is State.OK


def test_node_script_of_a_python_without_torch(tmp_path: Path, bare_python: Path) -> None:
    finding = health.judge_script(script(tmp_path / "fusion_node", f"#!{bare_python}"))
    assert finding.state is State.FAIL
    assert "torch" in finding.text
    assert "python -m colcon build" in finding.remedy


@pytest.mark.parametrize("first_line", ["#!/no/such/python", "import sys", "#!"])
def test_node_script_that_cannot_start(tmp_path: Path, first_line: str) -> None:
    assert health.judge_script(script(tmp_path / "fusion_node", first_line)).state is State.FAIL


def test_scripts_are_found_in_every_prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = script(tmp_path / "b/lib/thermal_fusion_ros/fusion_node", "#!/bin/sh")
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{tmp_path / 'a'}::{tmp_path / 'b'}")
    assert list(health.installed_scripts()) == [wanted]


def dds_finding(monkeypatch: pytest.MonkeyPatch, profile: str, rmw: str = "") -> Finding:
    monkeypatch.setenv("RMW_IMPLEMENTATION", rmw or "rmw_fastrtps_cpp")
    for name in dds.PROFILE_VARIABLES:
        monkeypatch.setenv(name, profile)
    return findings(health.check_dds)["dds profile"]


def test_dds_profile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    small = tmp_path / "small.xml"
    small.write_text("<dds><transport_descriptor><type>SHM</type></transport_descriptor></dds>")
    broken = tmp_path / "broken.xml"
    broken.write_text("<dds>")
    assert dds_finding(monkeypatch, str(dds.profile())).state is State.OK
    assert dds_finding(monkeypatch, str(small)).state is State.FAIL
    assert dds_finding(monkeypatch, str(broken)).state is State.FAIL
    assert dds_finding(monkeypatch, str(tmp_path / "gone.xml")).state is State.FAIL
    absent = dds_finding(monkeypatch, "")
    assert absent.state is State.ABSENT
    assert str(dds.profile()) in absent.remedy
    assert dds_finding(monkeypatch, "", "rmw_cyclonedds_cpp").state is State.OK


def test_small_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    docker_default = type("usage", (), {"free": 64 * 2**20})
    monkeypatch.setattr(health.shutil, "disk_usage", lambda path: docker_default)
    finding = findings(health.check_dds)["shared memory"]
    assert finding.state is State.FAIL
    assert "--shm-size" in finding.remedy


def test_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(health.thermal_fusion_ros, "__file__", str(tmp_path / "__init__.py"))
    assert findings(health.check_weights)["weights"].state is State.FAIL
    weights = tmp_path / "models" / "weights" / "net.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"cut short")
    assert findings(health.check_weights)["weights"].state is State.FAIL
    import numpy as np
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(3, np.float32)}, weights)
    assert findings(health.check_weights)["weights"].state is State.OK
