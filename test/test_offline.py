"""What a recording tells of its cameras, and what is said where it tells nothing."""

from __future__ import annotations

from collections import Counter
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
from thermal_fusion_ros.offline import MOUNTING_S, run_offline, tell_cameras
from thermal_fusion_ros.simulation import Simulator
from thermal_fusion_ros.simulation.recording import MAP, write_bag


class Listener:
    """In place of the pipeline."""

    engine_name, engine_refused = "none", ()

    def __init__(self):
        self.rig = self.down = None
        self.pairs = []
        self.registration_counters = Counter()

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


@pytest.fixture
def copied(recorded, tmp_path):
    """Copies the recording; `say` gives what to write, as (data, time), in place of a message."""

    def copy(say):
        from rosbags.highlevel import AnyReader

        path = tmp_path / "copy.mcap"
        with AnyReader([recorded.source.path]) as reader, BagWriter(path) as writer:
            for connection, stamp, data in reader.messages():
                for said, said_at in say(connection.topic, bytes(data), stamp):
                    writer.write_serialized(connection.topic, connection.msgtype, said, said_at)
        return open_source(path)

    return copy


def test_of_tf_only_the_messages_that_cannot_be_decoded_are_left_out_and_told(recorded, copied):
    def and_broken(topic, data, stamp):
        yield data, stamp
        if topic == "/tf":
            yield data[:-9], stamp

    source = copied(and_broken)
    told, whole = source.transforms(), recorded.source.transforms()
    lengths = [{name: len(track) for name, track in tree.tracks.items()} for tree in (told, whole)]
    assert lengths[0] == lengths[1]
    assert lengths[0]["base_link"] == 4
    assert len(source.problems) == 1
    assert "/tf: 4 messages not decoded; first: " in source.problems[0]


def test_what_moves_long_after_the_first_picture_is_read_for_odometry_alone(copied):
    """Long recordings take long to read; where a camera sits may be said late all the same."""
    seconds = round(MOUNTING_S) + 1

    def late(topic, data, stamp):
        if topic != "/tf_static":
            yield data, stamp
        if topic == "/tf":  # its stamp's seconds are the bytes from 8 on
            data = (
                data[:8] + (int.from_bytes(data[8:12], "little") + seconds).to_bytes(4, "little") + data[12:]
            )
        if topic.startswith("/tf"):
            yield data, stamp + seconds * 10**9

    source, trees = copied(late), []
    transforms = source.transforms
    source.transforms = lambda *given: trees.append(transforms(*given)) or trees[-1]
    for frame, poses in (("", 4), (MAP, 8)):
        listener = Listener()
        run_offline(source, Config().with_values({"depth.odometry_frame": frame}), listener)
        assert len(trees[-1].tracks["base_link"]) == poses
        assert listener.rig is not None
        assert listener.down is not None
        assert source.problems == []


def unregistered(source):
    """The recording without a word on where the thermal camera is."""
    source = Loaded(source)
    source.transforms = lambda *_: FrameTree()
    return source


def alignment_notes(source, counters=None, **registration):
    listener = Listener()
    listener.registration_counters.update(counters or {})
    config = Config().with_values({f"registration.{name}": value for name, value in registration.items()})
    return [note for note in run_offline(source, config, listener).notes if "registration." in note]


def test_pictures_that_are_taken_as_registered_are_told_with_the_remedy(recorded):
    (note,) = alignment_notes(unregistered(recorded.source))
    assert "taken as registered" in note
    assert "TF of the recording" in note
    assert "registration.rig" in note
    bare = unregistered(recorded.source)
    bare.camera_info = {}
    (note,) = alignment_notes(bare)
    assert "camera_info of both cameras" in note
    for said in (
        {"level": "none"},
        {"matrix": "1 0 0 0 1 0 0 0 1"},
        {"thermal_in_rgb": "0.1 0 0 0 0 0 1"},
    ):
        assert alignment_notes(unregistered(recorded.source), **said) == []


@pytest.mark.parametrize(
    ("counters", "registration", "words"),
    [
        ({"plane": 4}, {}, ["no depth in metres", "were 10 m away", "depth.camera_height_m"]),
        ({"plane": 4}, {"plane_distance_m": 0.0}, ["infinitely far"]),
        ({"plane": 1, "depth": 3}, {}, []),
        ({"plane": 4}, {"level": "plane"}, []),
        ({"online": 1, "none": 3}, {"level": "online"}, ["3 of 4 pairs", "too little structure", "as it is"]),
        ({"online": 4}, {"level": "online"}, []),
    ],
)
def test_an_alignment_that_is_guessed_is_told_with_the_remedy(recorded, counters, registration, words):
    notes = alignment_notes(recorded.source, counters, **registration)
    assert len(notes) == bool(words)
    for word in words:
        assert word in notes[0]
