"""The node as a process: starts, says what is wrong in one line, ends when asked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from .fakes import PATIENCE_S, wait_until

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")


class Process:
    """The node with `arguments`; `lines` is its output so far."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "thermal_fusion_ros.ros.fusion_node", "--ros-args"]
        for argument in arguments:
            command += ["-p", argument]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(line.rstrip() for line in iter(self.process.stdout.readline, ""))

    def wait_for(self, words: str) -> None:
        wait_until(
            lambda: any(words in line for line in self.lines) or self.process.poll() is not None, words
        )
        assert self.process.poll() is None, self.lines

    def end(self) -> int:
        code = self.process.wait(4 * PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return code


@pytest.fixture
def start():
    running = []

    def start(*arguments):
        running.append(Process(*arguments))
        return running[-1]

    yield start
    for process in running:
        process.process.kill()
        process.process.wait()


def assert_quiet(node):
    """No word of errors; but a line that is just being logged may not reach /rosout any more, and rcl says so."""
    loud = ("Traceback", "Exception", "ERROR")
    assert not [line for line in node.lines if any(word in line for word in loud)]


@pytest.mark.parametrize("asked_by", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_end_it_ends_well(start, asked_by):
    node = start("node.autostart:=false")
    node.wait_for("waiting to be configured")
    node.process.send_signal(asked_by)
    assert node.end() == 0
    assert_quiet(node)


def test_asked_to_end_while_active_with_the_real_network_it_ends_well(start):
    node = start("engine.backend:=torch")
    node.wait_for("active: /rgb/image_raw + /thermal/image_raw -> /fused/image_raw")
    node.process.send_signal(signal.SIGTERM)
    assert node.end() == 0
    assert_quiet(node)


UNWOKEN = """
import sys, threading, time
import rclpy
from thermal_fusion_ros.ros import {module} as module
def shut():  # what a signal does, but for the executor being woken
    time.sleep(0.5)
    rclpy.get_default_context().handle.shutdown()
wait = module.{last_call}
def spun(*arguments, **others):
    threading.Thread(target=shut).start()
    module.{last_call} = wait
    return wait(*arguments, **others)
module.{last_call} = spun
sys.exit(module.main(["{module}", "--ros-args", *sys.argv[1:]]))
"""


@pytest.mark.parametrize(
    ("module", "last_call", "arguments"),
    [
        ("fusion_node", "spin_safely", ["-p", "node.autostart:=false"]),
        ("simulator_node", "rclpy.spin", ["-p", "simulation.width:=64", "-p", "simulation.height:=48"]),
    ],
)
def test_it_ends_though_nothing_wakes_it(module, last_call, arguments):
    script = UNWOKEN.format(module=module, last_call=last_call)
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr


INTERRUPTED = """
import os, sys
from thermal_fusion_ros.ros import fusion_node as module
def interrupt(*arguments, **others):
    raise KeyboardInterrupt
leave = os._exit
def tell(code):
    print("left at once", flush=True)
    leave(code)
module.spin_safely = module.FusionNode.close = interrupt
os._exit = tell
sys.exit(module.main(["fusion_node", "--ros-args", "-p", "node.autostart:=false"]))
"""


def test_interrupted_while_it_ends_it_leaves_at_once():
    """Its threads may be building an engine, and Python's own way out ends the process under them with an abort."""
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED],
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_S,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "left at once\n"), done.stderr


@pytest.mark.parametrize("module", ["fusion_node", "simulator_node"])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--params-file", "/nowhere.yaml"], "/nowhere.yaml"),
        (["-r", "rgb"], "rgb"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_arguments_that_ros_refuses_end_it_with_the_reason_and_code_2(module, arguments, words):
    command = [sys.executable, "-m", f"thermal_fusion_ros.ros.{module}", "--ros-args", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE_S, check=False)
    assert done.returncode == 2, done.stderr
    line = done.stderr.splitlines()[-1]
    assert "ROS does not start" in line
    assert words in line


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("sync.tolerance_s:=7.0", "sync.tolerance_s: 7.0 is outside [0, 1] s"),
        ("thermal.kind:=celsius", "thermal.kind: 'celsius' is not one of"),
        ("fusion.weights:=/nowhere/x.safetensors", "/nowhere/x.safetensors"),
    ],
)
def test_a_bad_parameter_ends_it_with_one_line_and_code_2(start, argument, words):
    node = start(argument)
    assert node.end() == 2
    (line,) = node.lines
    assert words in line


def test_the_script_that_ros2_run_starts_is_there():
    script = Path(sys.executable).with_name("fusion_node")
    if not script.exists():
        pytest.skip("the package is not installed in this environment")
    assert "fusion_node" in script.read_text()
