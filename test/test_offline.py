"""What a recording tells of its cameras, and what is said where it tells nothing."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("open3d", reason="the simulator needs open3d")

from thermal_fusion_ros.bags.source import Loaded, open_source
from thermal_fusion_ros.bags.writer import BagWriter
from thermal_fusion_ros.config import Config, SimulationConfig
from thermal_fusion_ros.frames import Perception, ThermalFrame
from thermal_fusion_ros.geometry.mounting import down_of_pose
from thermal_fusion_ros.geometry.poses import FrameTree
from thermal_fusion_ros.offline import run_offline, tell_cameras
from thermal_fusion_ros.simulation import Simulator
from thermal_fusion_ros.simulation.recording import MAP, write_bag


class Listener:
    """In place of the pipeline."""

    engine_name, engine_refused = "none", ()

    def __init__(self):
        self.rig = self.down = None
        self.pairs = []

    def set_rig(self, rig, problem, rgb):
        self.rig, self.problem, self.rgb = rig, problem, rgb

    def set_down(self, down):
        self.down = down

    def prepare(self, height, width):
        pass

    def reset(self):
        pass

    def process(self, pair):
        self.pairs.append(pair)
        return Perception(pair.rgb.stamp_ns, pair.rgb.frame_id, pair.rgb.image, pair.thermal.image)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    size = {"width": 64, "height": 48, "thermal_width": 64, "thermal_height": 48}
    simulator = Simulator(
        SimulationConfig(world="corridor", seed=3, quality="live", shutter_period_s=0.0, **size)
    )
    path = tmp_path_factory.mktemp("bag") / "drive.mcap"
    with BagWriter(path) as writer:
        write_bag(writer, simulator, 0.4, truth="none")
    return SimpleNamespace(simulator=simulator, source=open_source(path))


def test_the_rig_and_its_mounting_come_from_the_recordings_tf(recorded):
    listener, source = Listener(), recorded.source
    tell_cameras(source, Config(), listener, source.transforms())
    rig = recorded.simulator.rig
    np.testing.assert_allclose(listener.rig.translation, rig.calibration().translation, atol=1e-6)
    np.testing.assert_allclose(listener.rig.rotation, rig.calibration().rotation, atol=1e-6)
    np.testing.assert_allclose(listener.down, down_of_pose(rig.base_from_rgb), atol=1e-3)


def test_without_tf_the_pose_of_the_thermal_camera_is_missed_and_the_rgb_one_known(recorded):
    listener = Listener()
    tell_cameras(recorded.source, Config(), listener, FrameTree())
    assert (listener.rig, listener.down) == (None, None)
    assert listener.problem.reason == "waiting_transform"
    assert listener.rgb.size == (64, 48)


def test_odometry_goes_with_every_pair_and_what_it_does_not_know_is_told(recorded):
    poses = {}
    for frame in ("", MAP, "odom"):
        listener = Listener()
        config = Config().with_values({"depth.odometry_frame": frame})
        report = run_offline(Loaded(recorded.source), config, listener)
        poses[frame] = [pair.world_from_camera for pair in listener.pairs]
        told = [note for note in report.notes if "depth.odometry_frame" in note]
        assert bool(told) is (frame == "odom")
    assert len(poses[MAP]) == 4
    assert all(pose is None for frame in ("", "odom") for pose in poses[frame])
    went = np.linalg.norm(poses[MAP][-1][:3, 3] - poses[MAP][0][:3, 3])
    assert 0.1 < went < 1.0


def test_where_nothing_pairs_for_another_clock_the_remedy_is_told(recorded):
    source = Loaded(recorded.source)
    late = [
        arrival._replace(frame=late_by_a_hundred_seconds(arrival.frame))
        if isinstance(arrival.frame, ThermalFrame)
        else arrival
        for arrival in source.loaded
    ]
    source.loaded = late
    report = run_offline(source, Config(), Listener())
    assert report.pairs_in == 0
    assert any("sync.thermal_offset_s" in note for note in report.notes)


def late_by_a_hundred_seconds(frame):
    return ThermalFrame(frame.stamp_ns + 100_000_000_000, frame.image, frame.kind, frame.frame_id)


def test_tf_that_cannot_be_decoded_is_left_out_and_told(recorded, monkeypatch):
    from rosbags.highlevel import AnyReaderError

    from thermal_fusion_ros.geometry.reconstruction_bag import PosedBag

    def broken(bag):
        raise AnyReaderError("CDR")

    monkeypatch.setattr(PosedBag, "transforms", broken)
    source = open_source(recorded.source.path)
    assert source.transforms().tracks == {}
    assert any("TF is left out" in problem for problem in source.problems)
