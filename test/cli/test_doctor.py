"""`thermal-fusion doctor` prints a line per check, a remedy where one is due, and fails only for what is needed."""

import pytest

from thermal_fusion_ros import health
from thermal_fusion_ros.cli.main import main
from thermal_fusion_ros.health import Finding, State


def test_all_fine(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = [
        Finding("torch", State.OK, "2.13", "unused"),
        Finding("tensorrt", State.ABSENT, "none", "get it"),
    ]
    monkeypatch.setattr(health, "examine", lambda: found)
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [
        ["ok", "torch", "2.13"],
        ["-", "tensorrt", "none"],
        ["->", "get", "it"],
    ]


def test_something_is_broken(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(health, "examine", lambda: [Finding("ros", State.FAIL, "no rclpy", "source it")])
    assert main(["doctor"]) == 1
    assert "-> source it" in capsys.readouterr().out


def test_every_check_answers_on_this_machine() -> None:
    names = [finding.name for finding in health.examine()]
    assert {
        "python",
        "torch",
        "openvino",
        "tensorrt",
        "ros",
        "weights",
        "dds profile",
        "shared memory",
    } <= set(names)
    assert {"message_filters", "cv_bridge", "ros2 run"} <= set(names)
