"""`thermal-fusion replay` over DDS: a real node in its own process, small pictures, every pair accounted for."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.highlevel import AnyReader

from thermal_fusion_ros.bags import open_source
from thermal_fusion_ros.bags.pictures import read_visible
from thermal_fusion_ros.cli.main import main
from thermal_fusion_ros.messages import stamp_ns

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

Make = Callable[..., Path]
TORCH = ["--set", "engine.backend=torch"]  # no engine to build


@pytest.fixture
def namespace(request: pytest.FixtureRequest) -> str:
    """Apart from whatever else runs on this machine."""
    return f"/test_{os.getpid()}_{abs(hash(request.node.nodeid))}"


def balanced(numbers: dict[str, Any]) -> bool:
    return numbers["pairs_in"] == numbers["published"] + sum(numbers["dropped"].values())


def test_same_pixels_as_offline(make_folders: Make, tmp_path: Path, namespace: str) -> None:
    """Slowly enough that nothing is superseded, the node gives what the pipeline gives without ROS."""
    folder = make_folders({str(i): (64, 96) for i in range(6)})
    online, offline = tmp_path / "online", tmp_path / "offline"
    outputs = ["--json", str(tmp_path / "j"), "--record", str(tmp_path / "bag")]
    slow = ["--fps", "2", "--namespace", namespace]
    assert main(["replay", str(folder), *slow, "--save", str(online), *outputs, *TORCH]) == 0
    assert main(["replay", str(folder), "--fps", "2", "--offline", "--save", str(offline), *TORCH]) == 0
    names = sorted(path.name for path in offline.iterdir())
    assert len(names) == 6
    assert sorted(path.name for path in online.iterdir()) == names
    for name in names:
        assert np.array_equal(read_visible(online / name), read_visible(offline / name))
    numbers = json.loads((tmp_path / "j").read_text())
    assert (numbers["pairs_in"], numbers["published"], numbers["dropped"]) == (6, 6, {})
    assert numbers["frames_sent"] == numbers["frames_received"] == {"rgb": 6, "thermal": 6}
    assert len(numbers["notes"]) == 0
    assert recorded(tmp_path / "bag")[f"{namespace}/fused/image_raw"] == 6


def recorded(bag: Path) -> dict[str, int]:
    from rosbags.rosbag2 import Reader

    with Reader(bag) as reader:
        return {connection.topic: connection.msgcount for connection in reader.connections}


@pytest.mark.parametrize("clock", [False, True])
def test_loops_lose_nothing(make_folders: Make, tmp_path: Path, namespace: str, clock: bool) -> None:
    folder = make_folders({str(i): (480, 640) for i in range(20)})  # longer than sync.jump_s
    arguments = ["--loop", "3", "--fps", "30", "--namespace", namespace, "--json", str(tmp_path / "j")]
    assert main(["replay", str(folder), *arguments, *["--clock"] * clock, *TORCH]) == 0
    numbers = json.loads((tmp_path / "j").read_text())
    assert numbers["pairs_in"] == 60
    assert balanced(numbers)
    assert set(numbers["dropped"]) <= {"superseded"}
    assert numbers["frames_received"] == numbers["frames_sent"] == {"rgb": 60, "thermal": 60}


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_interruption_prints_the_table_and_closes_the_bag(
    make_folders: Make, tmp_path: Path, namespace: str, how: signal.Signals
) -> None:
    folder = make_folders({str(i): (64, 96) for i in range(200)})
    bag, numbers_file, pictures = tmp_path / "bag.mcap", tmp_path / "j", tmp_path / "pictures"
    command = [
        sys.executable,
        "-m",
        "thermal_fusion_ros.cli.main",
        "replay",
        str(folder),
        "--fps",
        "10",
        *TORCH,
    ]
    command += [
        "--namespace",
        namespace,
        "--record",
        str(bag),
        "--save",
        str(pictures),
        "--json",
        str(numbers_file),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120
        while (
            len(list(pictures.glob("*.png"))) < 3 and process.poll() is None and time.monotonic() < deadline
        ):
            time.sleep(0.1)
        process.send_signal(how)
        output, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "published" in output
    numbers = json.loads(numbers_file.read_text())
    assert 3 <= numbers["published"] < 200
    assert balanced(numbers)
    assert recorded(bag)[f"{namespace}/fused/image_raw"] == numbers["published"]


def test_death_of_the_node_keeps_what_is_done(
    make_folders: Make, tmp_path: Path, namespace: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from thermal_fusion_ros.ros.node_process import NodeProcess

    checks = iter(range(10**9))
    check = NodeProcess.check

    def kill_later(self: NodeProcess) -> None:
        if len(list((tmp_path / "s").glob("*"))) >= 2 and next(checks) == 0:
            self._process.kill()
            self._process.wait()
        check(self)

    monkeypatch.setattr(NodeProcess, "check", kill_later)
    folder = make_folders({str(i): (64, 96) for i in range(100)})
    arguments = [
        "--fps",
        "10",
        "--namespace",
        namespace,
        "--save",
        str(tmp_path / "s"),
        "--json",
        str(tmp_path / "j"),
    ]
    assert main(["replay", str(folder), *arguments, *TORCH]) == 2
    assert "the fusion node ended by itself" in capsys.readouterr().err
    numbers = json.loads((tmp_path / "j").read_text())
    assert 2 <= numbers["published"] < 100
    assert balanced(numbers)


def test_a_node_that_is_not_there(
    make_folders: Make, namespace: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("thermal_fusion_ros.ros.replay_session.PATIENCE_S", 1.0)
    folder = make_folders({"a": (64, 96)})
    assert main(["replay", str(folder), "--namespace", namespace, "--node", "nobody"]) == 2
    assert f"nobody subscribed to {namespace}/rgb/image_raw" in capsys.readouterr().err


def test_impossible_namespace(make_folders: Make, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(make_folders({"a": (64, 96)})), "--namespace", "a b"]) == 2
    assert "--namespace /a b: Invalid namespace" in capsys.readouterr().err


def test_running_node_is_used_and_left_running(make_folders: Make, tmp_path: Path, namespace: str) -> None:
    from thermal_fusion_ros.config import Config
    from thermal_fusion_ros.ros.node_process import NodeProcess

    folder = make_folders({str(i): (64, 96) for i in range(5)})
    config = Config().with_values({"engine.backend": "torch"})
    with NodeProcess(config, namespace=namespace, use_sim_time=False) as node:
        for _ in range(2):  # counters of an earlier replay don't matter
            arguments = ["--fps", "5", "--namespace", namespace, "--node", f"{namespace}/fusion_node"]
            assert main(["replay", str(folder), *arguments, "--json", str(tmp_path / "j")]) == 0
            numbers = json.loads((tmp_path / "j").read_text())
            assert numbers["pairs_in"] == 5
            assert balanced(numbers)
        node.check()


def test_record_is_a_bag(make_folders: Make, tmp_path: Path, namespace: str) -> None:
    """What was recorded is an ordinary bag, with the RGB camera's stamps."""
    folder, bag = make_folders({str(i): (64, 96) for i in range(3)}), tmp_path / "bag.db3"
    assert (
        main(["replay", str(folder), "--fps", "3", "--namespace", namespace, "--record", str(bag), *TORCH])
        == 0
    )
    fused = f"{namespace}/fused/image_raw"
    with AnyReader([bag]) as reader:
        stamps = {
            stamp_ns(reader.deserialize(data, connection.msgtype))
            for connection, _, data in reader.messages()
            if connection.topic == fused
        }
    assert stamps == {frame.stamp_ns for frame in open_source(folder, fps=3)}
