"""Every pair is published or dropped for a reason, whatever happens in the pipeline. Needs no ROS."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from thermal_fusion_ros.config import Config
from thermal_fusion_ros.errors import EngineError, FrozenError, InputError
from thermal_fusion_ros.frames import ThermalKind
from thermal_fusion_ros.ros.log_limiter import LogLimiter
from thermal_fusion_ros.ros.pair_fuser import PairFuser, Received
from thermal_fusion_ros.sensing.pairing import Pair

from .fakes import PATIENCE_S, FakePipeline, fields, rgb_picture, thermal_picture, wait_until

MS = 1_000_000


class Outputs:
    def __init__(self):
        self.subscribers = 1
        self.wants, self.reason, self.refuses = {"fused"}, "no_subscriber", False
        self.stamps = []
        self.fused = []

    def wanted(self, stamp_ns):
        return (frozenset(self.wants), "") if self.wants and self.subscribers else (frozenset(), self.reason)

    def publish(self, perception, camera_info):
        if self.refuses:
            return 0
        self.stamps.append(perception.stamp_ns)
        self.fused.append(perception.fused.copy())
        self.camera_info = camera_info
        return 1


class Lines(list):
    def warning(self, text):
        self.append(text)

    error = warning


class Rig:
    def __init__(self):
        self.pipeline, self.outputs, self.lines = FakePipeline(Config()), Outputs(), Lines()
        self.poses = {}
        self.alive = True
        self.fuser = PairFuser(
            self.pipeline,
            LogLimiter(self.lines),
            now_ns=lambda: 10_000 * MS,
            pose_of=lambda frame, stamp_ns: self.poses.get((frame, stamp_ns)),
            alive=lambda: self.alive,
        )
        self.fuser.attach(self.outputs)

    def submit(self, stamp_ms, **rgb_changes):
        stamp = stamp_ms * MS
        rgb = SimpleNamespace(**{**fields(rgb_picture(stamp_ms % 256), "rgb8", stamp), **rgb_changes})
        thermal = SimpleNamespace(**fields(thermal_picture(stamp_ms % 256), "mono8", stamp))
        self.fuser.submit(Pair(Received(rgb, stamp, 0.0), Received(thermal, stamp, 0.0), stamp, stamp))

    def submit_into_engine(self, stamp_ms):
        """Returns when the pair is inside the pipeline."""
        self.submit(stamp_ms)
        assert self.pipeline.entered.acquire(timeout=PATIENCE_S)

    def settle(self):
        wait_until(lambda: self.balance.under_way == 0, "every pair accounted for")

    @property
    def balance(self):
        return self.fuser.ledger.balance()


@pytest.fixture
def rig():
    rig = Rig()
    yield rig
    rig.pipeline.gate.set()
    assert rig.fuser.close(PATIENCE_S)


def test_a_pair_is_decoded_fused_and_published_with_its_stamp(rig):
    rig.fuser.camera_info = "info"
    rig.submit(40)
    rig.settle()
    assert rig.outputs.stamps == [40 * MS]
    np.testing.assert_array_equal(rig.outputs.fused[0], 255 - rgb_picture(40))
    assert rig.outputs.camera_info == "info"
    pair = rig.pipeline.processed[0]
    assert pair.thermal.kind is ThermalKind.AGC8
    assert (pair.rgb.frame_id, pair.thermal.stamp_ns) == ("cam", 40 * MS)
    wait_until(lambda: "publish" in rig.fuser.stages, "the stages' times")
    assert set(rig.fuser.stages) == {"pairing", "queue", "decode", "engine", "publish"}
    assert rig.fuser.latency_stamp.percentiles_ms(50) == [pytest.approx(9960)]


def test_of_more_pairs_than_asked_for_evenly_spaced_ones_are_fused(rig):
    rig.fuser.update(Config().with_values({"fusion.rate_hz": 10.0}))
    for stamp in range(0, 1000, 33):
        rig.submit(stamp)
        rig.settle()
    assert rig.balance.dropped == {"rate_limited": 21}
    gaps = np.diff(rig.outputs.stamps) / MS
    assert set(gaps) <= {99, 132}
    rig.submit(5)  # a recording has looped
    rig.settle()
    assert rig.outputs.stamps[-1] == 5 * MS


def test_the_newest_pair_wins_and_the_others_are_counted(rig):
    rig.submit(1)
    rig.settle()
    rig.pipeline.entered.acquire(timeout=PATIENCE_S)
    rig.pipeline.gate.clear()
    rig.submit_into_engine(2)
    for stamp in (3, 4, 5):
        rig.submit(stamp)
    assert rig.balance.dropped == {"superseded": 2}
    rig.pipeline.gate.set()
    rig.settle()
    assert rig.outputs.stamps == [1 * MS, 2 * MS, 5 * MS]
    assert (rig.balance.pairs_in, rig.balance.published) == (5, 3)


def test_pairs_that_wait_for_an_engine_to_be_built_say_so(rig):
    rig.pipeline.gate.clear()
    rig.submit_into_engine(1)
    assert rig.fuser.building
    assert rig.fuser.state == "building the engine for 64x48"
    rig.submit(2)
    rig.submit(3)
    assert rig.balance.dropped == {"engine_building": 1}
    rig.pipeline.gate.set()
    rig.settle()
    assert (rig.fuser.state, rig.fuser.building) == ("ready", False)


NO_BACKEND = "engine: no backend works for 64x48: torch: out of memory"


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (EngineError(NO_BACKEND), f"building the engine for 64x48 failed: {NO_BACKEND}"),
        (
            RuntimeError("device lost\nby torch"),
            "building the engine for 64x48, or fusing its first pair, failed: device lost",
        ),
    ],
)
def test_an_engine_that_cannot_be_built_is_told_until_it_can(rig, fault, told):
    rig.pipeline.fault = fault
    rig.submit(1)
    rig.settle()
    assert rig.fuser.state == f"{told}; there is no other"
    assert (rig.fuser.build_failed, rig.fuser.building) == (True, False)
    rig.submit(2)
    rig.settle()
    assert (rig.fuser.build_failed, rig.fuser.state) == (False, "ready")


def test_where_another_size_cannot_be_built_it_is_told_which_engine_goes_on(rig):
    rig.submit(1)
    rig.settle()
    larger = fields(rgb_picture(2, 96, 128), "rgb8", 2 * MS)
    rig.pipeline.fault = EngineError("engine: no backend works for 128x96: torch: out of memory")
    rig.submit(2, **larger)
    rig.settle()
    assert rig.fuser.state.startswith("building the engine for 128x96 failed: engine: no backend works")
    assert rig.fuser.state.endswith("; fake goes on for 64x48")
    rig.submit(3)
    rig.settle()
    assert rig.fuser.state == "ready"


def test_an_engine_that_was_given_up_for_others_and_cannot_be_built_again_is_told(rig):
    rig.submit(1)
    rig.settle()
    rig.pipeline.fault = EngineError(NO_BACKEND)
    rig.submit(2)
    rig.settle()
    assert rig.fuser.state == f"building the engine for 64x48 failed: {NO_BACKEND}; there is no other"


def test_an_engine_that_could_not_be_made_ready_without_a_subscriber_is_told(rig, monkeypatch):
    def refuse(height, width):
        raise EngineError(NO_BACKEND)

    monkeypatch.setattr(rig.pipeline, "prepare", refuse)
    rig.outputs.subscribers = 0
    rig.submit(1)
    wait_until(lambda: rig.fuser.state.endswith("there is no other"), "the failure")


def test_without_a_subscriber_nothing_is_fused_but_the_engine_is_made_ready_once(rig):
    rig.outputs.subscribers = 0
    for stamp in (1, 2, 3):
        rig.submit(stamp)
    rig.settle()
    wait_until(lambda: rig.fuser.state == "ready", "the engine")
    assert rig.balance.dropped == {"no_subscriber": 3}
    assert rig.pipeline.processed == []
    assert rig.pipeline.prepared == [(48, 64)]
    rig.outputs.subscribers = 1
    rig.submit(4)
    rig.settle()
    assert rig.outputs.stamps == [4 * MS]


def test_a_subscriber_that_leaves_while_a_pair_waits_saves_the_work(rig):
    rig.submit(1)
    rig.settle()
    rig.pipeline.entered.acquire(timeout=PATIENCE_S)
    rig.pipeline.gate.clear()
    rig.submit_into_engine(2)
    rig.submit(3)
    rig.outputs.subscribers = 0
    rig.pipeline.gate.set()
    rig.settle()
    assert rig.balance.dropped == {"no_subscriber": 1}


@pytest.mark.parametrize(
    ("fault", "reason", "logged"),
    [
        (InputError("rgb frame: need at least 16 pixels"), "refused", "need at least 16 pixels"),
        (FrozenError("frozen"), "frozen", ""),
        (RuntimeError("engine lost"), "error", "RuntimeError: engine lost"),
    ],
)
def test_what_the_pipeline_raises_is_counted_and_the_next_pair_goes_on(rig, fault, reason, logged):
    rig.pipeline.fault = fault
    rig.submit(1)
    rig.settle()
    assert rig.balance.dropped == {reason: 1}
    assert rig.fuser.frozen == (reason == "frozen")
    assert [logged in line for line in rig.lines] == ([True] if logged else [])
    assert (str(fault) in rig.fuser.problem) == bool(logged)
    rig.submit(2)
    rig.settle()
    assert rig.outputs.stamps == [2 * MS]
    wait_until(lambda: not (rig.fuser.problem or rig.fuser.frozen), "the problem forgotten")


def test_what_fails_because_ros_is_shut_down_is_no_error(rig):
    rig.pipeline.gate.clear()
    rig.submit_into_engine(1)
    rig.alive, rig.pipeline.fault = False, RuntimeError("publisher's context is invalid")
    rig.pipeline.gate.set()
    rig.settle()
    assert rig.balance.dropped == {"inactive": 1}
    assert rig.lines == []


def test_an_image_that_proves_undecodable_is_counted_for_its_camera(rig):
    rig.submit(1, height=1000)
    rig.settle()
    assert rig.balance.dropped == {"rgb_undecodable": 1}
    assert "rgb image" in rig.lines[0]


def test_stamps_going_back_make_the_pipeline_forget(rig):
    wait_until(lambda: rig.pipeline.resets == 1, "the reset at the beginning")
    for stamp in (10, 20, 30):
        rig.submit(stamp)
        rig.settle()
    assert rig.pipeline.resets == 1
    rig.submit(5)
    rig.settle()
    assert rig.pipeline.resets == 2


def test_frozen_frames_are_noticed(rig):
    rig.pipeline.frozen = True
    rig.submit(1)
    rig.settle()
    assert (rig.fuser.frozen, rig.fuser.frozen_frames) == (True, 1)


def test_detached_it_publishes_nothing_and_attached_again_it_goes_on(rig):
    rig.submit(1)
    rig.settle()
    rig.pipeline.entered.acquire(timeout=PATIENCE_S)
    rig.pipeline.gate.clear()
    rig.submit_into_engine(2)
    rig.submit(3)
    rig.fuser.detach()
    rig.submit(4)
    rig.pipeline.gate.set()
    rig.settle()
    assert rig.outputs.stamps == [1 * MS]
    assert rig.balance.dropped == {"inactive": 3}
    rig.fuser.attach(rig.outputs)
    rig.submit(5)
    rig.settle()
    assert rig.outputs.stamps == [1 * MS, 5 * MS]


def test_prompt_and_parameters_reach_the_pipeline_between_pairs(rig):
    rig.fuser.set_prompt("person")
    wait_until(lambda: rig.pipeline.prompt == "person", "the prompt")
    rig.fuser.update(Config().with_values({"fusion.prompt": "car"}))
    wait_until(lambda: rig.pipeline.prompt == "car", "the parameters")
    rig.fuser.set_prompt("florble")
    wait_until(lambda: rig.lines, "a line in the log")
    assert "florble" in rig.lines[0]


def test_busy_time_is_of_the_present_pair(rig):
    assert rig.fuser.busy_s == 0
    rig.pipeline.gate.clear()
    rig.submit_into_engine(1)
    wait_until(lambda: rig.fuser.busy_s > 0, "a busy engine")
    rig.pipeline.gate.set()
    rig.settle()
    wait_until(lambda: rig.fuser.busy_s == 0, "an idle engine")


def test_the_pipeline_is_told_what_is_wanted_of_each_pair(rig):
    rig.submit(1)
    rig.settle()
    rig.outputs.wants = {"depth", "points"}
    rig.submit(2)
    rig.settle()
    assert rig.pipeline.wants == [{"fused"}, {"depth", "points"}]


def test_a_pair_of_which_nothing_is_wanted_now_costs_nothing_and_is_counted_under_the_reason(rig):
    rig.outputs.wants, rig.outputs.reason = set(), "rate_limited"
    rig.submit(1)
    rig.settle()
    assert rig.balance.dropped == {"rate_limited": 1}
    assert rig.pipeline.processed == []


def test_a_pair_of_which_nothing_may_be_published_is_counted(rig):
    rig.outputs.refuses = True
    rig.submit(1)
    rig.settle()
    assert rig.balance.dropped == {"output_refused": 1}


def test_the_newest_range_points_come_to_the_pipeline_once_before_the_next_pair(rig):
    first, second = np.zeros((1, 3), np.float32), np.ones((2, 3), np.float32)
    rig.fuser.set_range_points(first, 1)
    rig.fuser.set_range_points(second, 2)
    for stamp in (1, 2):
        rig.submit(stamp)
        rig.settle()
    ((points, stamp),) = rig.pipeline.range_points
    assert (points is second, stamp) == (True, 2)


def test_range_points_from_before_a_loop_are_forgotten_and_the_loop_is_counted(rig):
    rig.submit(2)
    rig.settle()
    rig.fuser.set_range_points(np.zeros((1, 3), np.float32), 2)
    rig.submit(1)
    rig.settle()
    assert rig.fuser.resets == 1
    assert rig.pipeline.range_points == []


def test_where_the_camera_was_comes_to_the_pipeline_with_the_pair(rig):
    frame = fields(rgb_picture(1), "rgb8", MS)["header"].frame_id
    rig.poses[frame, 1 * MS] = np.eye(4)
    for stamp in (1, 2):
        rig.submit(stamp)
        rig.settle()
    assert [pair.world_from_camera is not None for pair in rig.pipeline.processed] == [True, False]
