import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore

from thermal_fusion_ros.bags.writer import BagWriter
from thermal_fusion_ros.cli.main import main
from thermal_fusion_ros.sensing.camera import CameraModel
from thermal_fusion_ros.simulation import Simulator
from thermal_fusion_ros.simulation.recording import sixteen_bit, write_bag
from thermal_fusion_ros.worker_pool import WorkerPool

from .scenes import small

TINY = [
    f"simulation.{k}={v}"
    for k, v in {"width": 64, "height": 48, "thermal_width": 64, "thermal_height": 48}.items()
]


def _messages(bag: Path):
    with AnyReader([bag], default_typestore=get_typestore(Stores.ROS2_JAZZY)) as reader:
        return [
            (c.topic, stamp, bytes(data), reader.deserialize(data, c.msgtype))
            for c, stamp, data in reader.messages()
        ]


def _simulate(out: Path, *more: str) -> int:
    sets = [part for value in TINY for part in ("--set", value)]
    return main(
        [
            "simulate",
            "--out",
            str(out),
            "--seconds",
            "0.2",
            "--world",
            "corridor",
            "--condition",
            "smoke",
            *sets,
            *more,
        ]
    )


def test_one_seed_one_recording(tmp_path, capsys):
    assert _simulate(tmp_path / "a.mcap", "--seed", "4") == 0
    assert _simulate(tmp_path / "b.mcap", "--seed", "4") == 0
    assert _simulate(tmp_path / "c.mcap", "--seed", "5") == 0
    one, two, other = (_messages(tmp_path / f"{n}.mcap") for n in "abc")
    assert [m[:3] for m in one] == [m[:3] for m in two]
    assert [m[2] for m in one] != [m[2] for m in other]
    assert "4 frames" in capsys.readouterr().out


def test_a_recording_has_everything_a_robot_publishes_and_the_truth(tmp_path):
    simulator = Simulator(small())
    with BagWriter(tmp_path / "a.mcap") as writer:
        assert write_bag(writer, simulator, 0.15) == 4
    by_topic: dict[str, list] = {}
    for topic, _, _, message in _messages(tmp_path / "a.mcap"):
        by_topic.setdefault(topic, []).append(message)
    for topic in ("/rgb/image_raw", "/rgb/camera_info", "/thermal/image_raw", "/thermal/camera_info", "/tf"):
        assert len(by_topic[topic]) == 2, topic
    assert len(by_topic["/clock"]) >= 6
    image = by_topic["/thermal/image_raw"][0]
    assert (image.encoding, image.width, image.height) == ("mono16", 80, 64)
    model = (
        CameraModel.from_message(by_topic["/rgb/camera_info"][0])
        if hasattr(CameraModel, "from_message")
        else None
    )
    if model is not None:
        assert np.allclose(model.k, simulator.rig.rgb.matrix)
    frames = {t.child_frame_id: t for t in by_topic["/tf_static"][0].transforms}
    assert set(frames) == {"rgb_optical_frame", "thermal_optical_frame"}
    assert frames["rgb_optical_frame"].transform.translation.z == pytest.approx(1.35)
    truth = simulator.rgb(0.0).truth
    depth = by_topic["/ground_truth/rgb/depth/compressed"][0]
    stored = cv2.imdecode(np.frombuffer(depth.data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(stored, sixteen_bit(truth.depth, 1000.0))
    assert depth.header.stamp == by_topic["/rgb/image_raw"][0].header.stamp
    objects = json.loads(by_topic["/ground_truth/rgb/objects"][0].data)
    assert [o["label"] for o in objects["objects"]] == [o.label for o in truth.objects]
    assert len(by_topic["/ground_truth/thermal/temperature/compressed"]) == 2


@pytest.mark.slow
def test_processes_make_the_same_recording(tmp_path):
    assert _simulate(tmp_path / "a.mcap", "--seed", "4", "--jobs", "1") == 0
    assert _simulate(tmp_path / "b.mcap", "--seed", "4", "--jobs", "2") == 0
    one, two = (_messages(tmp_path / f"{n}.mcap") for n in "ab")
    assert [m[:3] for m in one] == [m[:3] for m in two]


def test_an_interrupt_before_the_first_picture_leaves_no_file(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Simulator, "shots", interrupted)
    assert _simulate(tmp_path / "a.mcap") == 130
    assert list(tmp_path.iterdir()) == []


def test_workers_never_get_the_interrupt_and_this_process_still_does():
    ask_blocked = (signal.pthread_sigmask, signal.SIG_BLOCK, ())
    with WorkerPool(1, cv2.setNumThreads, (1,)) as pool:
        assert signal.SIGINT in pool.submit(*ask_blocked).result()
    assert signal.SIGINT not in ask_blocked[0](*ask_blocked[1:])


@pytest.mark.slow
@pytest.mark.parametrize("after_s", [0.3, 1.5, 4.0])  # workers start, import, render
def test_an_interrupt_while_workers_render_is_one_line(tmp_path, after_s):
    out = tmp_path / "a.mcap"
    command = "import sys; from thermal_fusion_ros.cli.main import main; sys.exit(main())"
    options = ["simulate", "--out", str(out), "--seconds", "600", "--jobs", "2"]
    with subprocess.Popen(
        [sys.executable, "-c", command, *options],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a terminal's Ctrl-C goes to the whole group
    ) as process:
        deadline = time.monotonic() + 60
        while not any(tmp_path.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(after_s)
        os.killpg(process.pid, signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in error
    assert error.splitlines()[-1] == "thermal-fusion: interrupted"
    assert [entry.name for entry in tmp_path.iterdir()] in ([], ["a.mcap"])
    if out.exists():
        assert any(topic.endswith("image_raw") for topic, *_ in _messages(out))


def test_raw_truth_is_float(tmp_path):
    simulator = Simulator(small())
    with BagWriter(tmp_path / "a.mcap") as writer:
        write_bag(writer, simulator, 0.05, truth="raw")
    message = next(
        m for t, _, _, m in _messages(tmp_path / "a.mcap") if t == "/ground_truth/thermal/temperature"
    )
    assert message.encoding == "32FC1"
    kelvin = np.frombuffer(message.data, np.float32).reshape(64, 80)
    assert np.array_equal(kelvin, simulator.thermal(0.008).truth.temperature_k, equal_nan=True)


def test_sixteen_bits_hold_what_fits_and_nothing_else():
    assert sixteen_bit(np.array([np.nan, 1.2345, 65.535, 65.6, np.inf]), 1000).tolist() == [
        0,
        1234,
        65535,
        0,
        0,
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--seconds", "0"], "--seconds 0"),
        (["--seconds", "nan"], "--seconds nan"),
        (["--jobs", "-1"], "--jobs -1"),
        (["--world", "moon"], "moon"),
        (["--condition", "rain"], "rain"),
        (["--set", "simulation.width=1"], "simulation.width"),
    ],
)
def test_bad_input_is_one_line_and_code_2_and_leaves_no_file(tmp_path, capsys, options, said):
    assert main(["simulate", "--out", str(tmp_path / "a.mcap"), *options]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
