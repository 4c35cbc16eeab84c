"""The simulated raw rig through the real node over DDS: registered by calibration, and by shared structure."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
pytest.importorskip("open3d", reason="the simulator needs open3d")

from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore
from sensor_msgs.msg import Image

from thermal_fusion_ros.bags import open_source
from thermal_fusion_ros.bags.pictures import read_visible
from thermal_fusion_ros.cli.main import main
from thermal_fusion_ros.config import Config, SimulationConfig
from thermal_fusion_ros.frames import RgbFrame
from thermal_fusion_ros.pipeline import Pipeline
from thermal_fusion_ros.simulation.sensors import white_hot
from thermal_fusion_ros.simulation.simulator import Simulator, rig_of

from .bench import image

LATENCY_S = 0.02  # how late the thermal camera stamps
SCENE = {
    "world": "corridor",
    "condition": "day",
    "seed": 1,
    "width": 320,
    "height": 240,
    "thermal_width": 320,
    "thermal_height": 240,
    "rgb_rate_hz": 2.0,
    "thermal_rate_hz": 2.0,
    "thermal_latency_s": LATENCY_S,
}


def assignments(section: str, values: dict[str, object]) -> list[str]:
    return [part for name, value in values.items() for part in ("--set", f"{section}.{name}={value}")]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `raw.mcap`, six pairs of the raw rig, and `rig.yaml`, what calibration would find."""
    folder = tmp_path_factory.mktemp("simulated")
    arguments = ["--seconds", "3", "--jobs", "1", *assignments("simulation", SCENE)]
    assert main(["simulate", "--out", str(folder / "raw.mcap"), *arguments]) == 0
    rig = rig_of(SimulationConfig(**SCENE)).calibration()
    (folder / "rig.yaml").write_text(yaml.safe_dump(rig.to_dict()))
    return folder


def rig_parts(bag: Path) -> list[dict[str, str]]:
    """Values of the part `rig` in every recorded report of the node."""
    with AnyReader([bag], default_typestore=get_typestore(Stores.ROS2_JAZZY)) as reader:
        chosen = [c for c in reader.connections if c.topic == "/diagnostics"]
        messages = [reader.deserialize(raw, c.msgtype) for c, _, raw in reader.messages(chosen)]
    parts = [status for m in messages for status in m.status if status.name.endswith(": rig")]
    return [{pair.key: pair.value for pair in part.values} for part in parts]


def test_replay_of_the_raw_bag_is_registered_by_the_rig(recording: Path, tmp_path: Path) -> None:
    bag, online, offline = recording / "raw.mcap", tmp_path / "online", tmp_path / "offline"
    settings = [
        *assignments("registration", {"level": "plane", "rig": recording / "rig.yaml"}),
        *assignments("sync", {"thermal_offset_s": LATENCY_S}),
        *assignments("engine", {"backend": "torch"}),
        *assignments(
            "language", {"captions": "false"}
        ),  # they guide fusion when they are ready: not to the byte
    ]
    results = ["--json", str(tmp_path / "j"), "--record", str(tmp_path / "out.mcap"), "--save", str(online)]
    assert main(["replay", str(bag), "--namespace", f"/sim_{os.getpid()}", *results, *settings]) == 0
    assert main(["replay", str(bag), "--offline", "--save", str(offline), *settings]) == 0

    numbers = json.loads((tmp_path / "j").read_text())
    assert numbers["pairs_in"] == 6
    assert numbers["published"] + sum(numbers["dropped"].values()) == 6
    assert set(numbers["dropped"]) <= {"superseded"}  # on a busy machine
    report = rig_parts(tmp_path / "out.mcap")[-1]
    assert (report["level"], report["calibration"]) == ("plane", "known")
    assert float(report["confidence"]) == 1.0

    frames = [frame for frame in open_source(bag) if isinstance(frame, RgbFrame)]
    visible = {f"{f.stamp_ns // 10**9:010d}.{f.stamp_ns % 10**9:09d}.png": f.image for f in frames}
    names = {path.name for path in online.iterdir()}
    assert names <= visible.keys()
    assert len(names) == numbers["published"]
    seen = thermal_sees()
    assert 0.5 < seen.mean() < 0.95  # the lens is the longer one: not everything is seen
    unseen = cv2.erode((~seen).astype(np.uint8), np.ones((5, 5))) > 0  # a border has a width
    for name in names:
        fused = read_visible(online / name)
        assert np.array_equal(fused, read_visible(offline / name))
        assert np.array_equal(fused[unseen], visible[name][unseen])
        assert np.abs(fused[seen].astype(int) - visible[name][seen]).mean() > 2


def thermal_sees() -> np.ndarray:
    """H×W: RGB pixels whose point at 10 m is in the thermal picture."""
    rig = rig_of(SimulationConfig(**SCENE))
    rays = rig.rgb.rays().reshape(-1, 3)
    points = rays / rays[:, 2:] * 10.0
    there = rig.thermal.project(points @ rig.thermal_from_rgb[:3, :3].T + rig.thermal_from_rgb[:3, 3])
    last = np.array([rig.thermal.width, rig.thermal.height]) - 1
    return ((there > 0) & (there < last)).all(axis=1).reshape(rig.rgb.height, rig.rgb.width)


def test_drift_of_the_online_estimate_is_limited_and_reported(bench) -> None:
    """The thermal picture slides slowly; the node follows it so far and no farther, and says so."""
    most = 1.0  # pixels
    config = SimulationConfig(**SCENE)
    simulator = Simulator(config, rig_of(config).registered())
    rgb, thermal = simulator.rgb(1.0).frame.image, white_hot(simulator.thermal(1.0).frame.image)
    bench._make_pipeline = _real
    bench.node(
        engine__backend="torch",
        registration__level="online",
        registration__online_every=1,
        registration__online_drift_px=most,
    )
    bench.listen(Image, "/fused/image_raw")
    cameras = bench.cameras()
    bench.until(lambda: bench.part("rig").values.get("wanted") == "online", "diagnostics")
    for step in range(40):
        move = np.array([[1, 0, 0.2 * step], [0, 1, 0]])  # slower than what counts as a knock
        moved = cv2.warpAffine(thermal, move, thermal.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
        cameras.stamp = bench.helper.get_clock().now().nanoseconds
        cameras.send(cameras.rgb, image(rgb, "rgb8", cameras.stamp))
        cameras.send(cameras.thermal, image(moved, "mono8", cameras.stamp, frame_id="t"))
        cameras.wait_received()
        bench.settle()
        if "count.online_drift_limited" in bench.part("rig").values:
            break
    else:
        pytest.fail(f"the drift was not limited: {bench.part('rig').values} {bench.part('pairs').values}")
    reports = [r["rig"].values for r in bench.reports if r["rig"].values.get("level") == "online"]
    drifts = [float(values["drift_px"]) for values in reports]
    assert drifts[0] == 0.0
    assert 0.5 < max(drifts) <= most
    assert 0.5 < float(reports[0]["confidence"]) <= 1.0
    assert float(reports[-1]["confidence"]) < float(reports[0]["confidence"])


def _real(config: Config) -> Pipeline:
    return Pipeline(config)
