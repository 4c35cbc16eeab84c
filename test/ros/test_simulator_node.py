"""The live simulator: its schedule, and real pictures over DDS."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
pytest.importorskip("open3d", reason="the simulator needs open3d")

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import String

from thermal_fusion_ros.config import SimulationConfig
from thermal_fusion_ros.ros.simulator_node import Schedule, SimulatorNode

PATIENCE_S = 60.0
SIZES = {"width": 64, "height": 48, "thermal_width": 64, "thermal_height": 48}
SETTINGS = {**SIZES, "world": "corridor", "condition": "night", "rgb_rate_hz": 8.0, "thermal_rate_hz": 8.0}


def test_cameras_of_one_rate_are_rendered_for_one_moment():
    schedule = Schedule(10.0, 10.0, 0.02)
    assert schedule.take(0.0) == {"rgb": 0.0, "thermal": pytest.approx(0.02)}
    assert schedule.wait_s(0.03) == pytest.approx(0.07)
    assert schedule.take(0.11) == {"rgb": pytest.approx(0.1), "thermal": pytest.approx(0.12)}
    assert schedule.skipped == 0


def test_a_late_machine_skips_ticks_and_counts_them():
    schedule = Schedule(10.0, 10.0, 0.0)
    schedule.take(0.0)
    assert schedule.take(0.55) == {"rgb": pytest.approx(0.5), "thermal": pytest.approx(0.5)}
    assert schedule.skipped == 4
    assert schedule.take(0.56) == {}


def test_the_slower_camera_joins_the_nearest_tick():
    schedule = Schedule(20.0, 10.0, 0.0)
    taken = [schedule.take(k / 20 + 1e-3) for k in range(6)]
    assert ["thermal" in t for t in taken] == [True, True, False, True, False, True]
    assert all("rgb" in t for t in taken)


@pytest.fixture
def context():
    context = rclpy.Context()
    rclpy.init(context=context)
    yield context
    rclpy.try_shutdown(context=context)


def test_it_publishes_pairs_their_calibration_and_truth(context):
    overrides = [Parameter(f"simulation.{name}", value=value) for name, value in SETTINGS.items()]
    node = SimulatorNode(context=context, parameter_overrides=overrides, namespace="/live")
    listener = rclpy.create_node("listener", context=context, namespace="/live")
    got: dict[str, list] = {}
    for topic, kind in {
        "rgb/image_raw": Image,
        "thermal/image_raw": Image,
        "rgb/camera_info": CameraInfo,
        "ground_truth/rgb/objects": String,
        "ground_truth/thermal/temperature": Image,
    }.items():
        listener.create_subscription(kind, topic, got.setdefault(topic, []).append, 10)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(listener)
    node.start()
    try:
        deadline = node.get_clock().now().nanoseconds + PATIENCE_S * 1e9
        while not all(len(messages) >= 2 for messages in got.values()):
            assert node.get_clock().now().nanoseconds < deadline, {k: len(v) for k, v in got.items()}
            executor.spin_once(timeout_sec=0.1)
    finally:
        node.close()
        listener.destroy_node()
    rgb, thermal = got["rgb/image_raw"][-1], got["thermal/image_raw"][-1]
    assert (rgb.encoding, rgb.width, rgb.height) == ("rgb8", 64, 48)
    assert (thermal.encoding, thermal.width, thermal.height) == ("mono16", 64, 48)
    stamps = [m.header.stamp.sec + m.header.stamp.nanosec * 1e-9 for m in got["rgb/image_raw"]]
    assert stamps == sorted(set(stamps))
    assert got["rgb/camera_info"][0].k[0] > 0
    assert "facts" in json.loads(got["ground_truth/rgb/objects"][0].data)
    kelvin = np.frombuffer(got["ground_truth/thermal/temperature"][-1].data, np.float32)
    assert 270 < np.nanmedian(kelvin) < 310


def test_a_bad_condition_is_refused_by_name(context):
    from thermal_fusion_ros.errors import InputError

    overrides = [Parameter("simulation.condition", value="rain")]
    with pytest.raises(InputError, match="rain"):
        SimulatorNode(context=context, parameter_overrides=overrides)


def test_what_it_was_given_is_what_its_parameters_say(context):
    given = {**SETTINGS, "width": 80}
    overrides = [Parameter(f"simulation.{name}", value=value) for name, value in given.items()]
    others = [
        Parameter("clock", value=True),
        Parameter("simulation.baseline_m", value=0),
    ]  # whole, for a float
    node = SimulatorNode(context=context, parameter_overrides=[*overrides, *others], namespace="/told")
    try:
        told = {name: p.value for name, p in node.get_parameters_by_prefix("simulation").items()}
        assert told.items() >= {**given, "quality": "live", "baseline_m": 0.0, "seed": 0}.items()
        assert node.get_parameter("clock").value is True
        assert node.simulator.config == SimulationConfig(**told)
    finally:
        node.close()


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("simulation.width:=wide", "simulation.width: 'wide' is not a int (default: 640)"),
        ("simulation.rgb_rate_hz:=1000.0", "simulation.rgb_rate_hz: 1000.0 is outside [0.1, 240] Hz"),
        (
            "simulation.world:=moon",
            "simulation.world: 'moon' is not one of street, trail, corridor, warehouse",
        ),
        ("clock:=3", "clock: 3 is not a bool (default: False)"),
    ],
)
def test_a_bad_parameter_ends_it_with_one_line_and_code_2(argument, words):
    command = [sys.executable, "-m", "thermal_fusion_ros.ros.simulator_node", "--ros-args", "-p", argument]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 2
    assert (done.stdout + done.stderr).splitlines() == [f"simulator: {words}"]


def test_a_misspelt_name_is_pointed_out(context, monkeypatch):
    lines = []
    monkeypatch.setattr(RcutilsLogger, "warning", lambda self, text: lines.append(text))
    overrides = [Parameter(f"simulation.{name}", value=value) for name, value in SETTINGS.items()]
    others = [Parameter("simulation.wold", value="trail"), Parameter("sync.tolerance_s", value=0.1)]
    node = SimulatorNode(context=context, parameter_overrides=[*overrides, *others], namespace="/misspelt")
    node.close()
    assert "simulation.wold: no such parameter; did you mean simulation.world?" in lines
    assert not any("sync" in line for line in lines)  # of the fusion node, in the same file


ASKED_TO_END = """
import os, sys, time
from thermal_fusion_ros.ros import simulator_node as node

def interrupting(function):
    def first(*arguments):
        os.kill(os.getpid(), int(sys.argv[2]))
        for _ in range(100):  # until the handler has shut the context down
            time.sleep(0.01)
            if not node.rclpy.ok():
                break
        return function(*arguments)
    return first

if sys.argv[1] == "building its world":
    node.Simulator = interrupting(node.Simulator)
else:
    node.StreamPublisher.publish = interrupting(node.StreamPublisher.publish)
sys.exit(node.main(sys.argv[3:]))
"""


@pytest.mark.parametrize("asked_by", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("while_", ["building its world", "publishing"])
def test_asked_to_end_it_ends_without_a_word(while_, asked_by):
    """Ctrl-C wherever it comes: the process ends with code 0 and prints no traceback."""
    arguments = [part for name, value in SETTINGS.items() for part in ("-p", f"simulation.{name}:={value}")]
    command = [sys.executable, "-c", ASKED_TO_END, while_, str(int(asked_by)), "--ros-args", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=4 * PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "Exception" not in done.stdout + done.stderr
    assert "invalid" not in done.stdout + done.stderr
