"""Configured, activated, deactivated, cleaned up, asked for nonsense: by itself and by a lifecycle manager."""

from __future__ import annotations

import gc

import pytest

rclpy = pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from lifecycle_msgs.msg import Transition  # noqa: E402
from lifecycle_msgs.srv import ChangeState, GetState  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402

from thermal_fusion_ros.errors import InputError  # noqa: E402
from thermal_fusion_ros.ros.fusion_node import spin_safely  # noqa: E402

from .fakes import wait_until  # noqa: E402


def ask(bench, transition):
    request = ChangeState.Request(transition=Transition(id=transition))
    return bench.call(ChangeState, "fusion_node/change_state", request).success


def state(bench):
    return bench.call(GetState, "fusion_node/get_state", GetState.Request()).current_state.label


def topics(node):
    own = [*node.publishers, *node.subscriptions]
    return {end.topic_name for end in own if "image" in end.topic_name or "diagnostics" in end.topic_name}


def test_it_activates_itself(bench):
    bench.node()
    assert state(bench) == "active"


def test_without_autostart_it_waits_and_obeys(bench):
    node = bench.node(node__autostart=False)
    assert state(bench) == "unconfigured"
    assert topics(node) == set()
    assert bench.pipelines == []
    assert ask(bench, Transition.TRANSITION_CONFIGURE)
    assert state(bench) == "inactive"
    assert topics(node) == set()
    assert ask(bench, Transition.TRANSITION_ACTIVATE)
    fused = bench.listen(Image, "/fused/image_raw")
    cameras = bench.cameras()
    cameras.stream_until(lambda: fused, "a fused image")
    assert ask(bench, Transition.TRANSITION_DEACTIVATE)
    assert topics(node) == set()
    assert ask(bench, Transition.TRANSITION_CLEANUP)
    assert state(bench) == "unconfigured"
    assert ask(bench, Transition.TRANSITION_UNCONFIGURED_SHUTDOWN)
    assert state(bench) == "finalized"


def test_activated_again_it_goes_on_with_its_counts(bench):
    node = bench.node()
    fused = bench.listen(Image, "/fused/image_raw")
    cameras = bench.cameras()
    cameras.stream_until(lambda: fused, "a fused image")
    published = bench.settle()["published"]
    assert ask(bench, Transition.TRANSITION_DEACTIVATE)
    assert ask(bench, Transition.TRANSITION_ACTIVATE)
    del fused[:]
    cameras.sent = sum(camera.received for camera in node._inputs.values())
    bench.until(lambda: not cameras.unmatched(), "the cameras matched again")
    cameras.stream_until(lambda: fused, "fused images again")
    assert len(bench.pipelines) == 1
    assert bench.settle()["published"] > published
    bench.check_sums()


def test_closed_it_is_gone_at_once(bench):
    bench.node()
    stranger = bench.stranger()

    def seen():
        return "/fusion_node/change_state" in dict(stranger.get_service_names_and_types())

    bench.until(seen, "the node to be seen")
    assert bench.nodes[-1].close()
    bench.nodes.clear()
    gc.disable()
    try:
        bench.until(lambda: not seen(), "the node to be gone")
    finally:
        gc.enable()


def test_a_network_that_cannot_be_loaded_is_logged_and_can_be_tried_again(bench):
    node = bench.node(start=False, node__autostart=True)
    faults = [InputError("fusion.weights: /nowhere: no such file"), RuntimeError("no memory")]
    make = node._pipeline_factory

    def fail_first(config):
        if faults:
            raise faults.pop(0)
        return make(config)

    node._pipeline_factory = fail_first
    assert not node.start()
    assert any("/nowhere" in line for line in bench.log)
    assert not any("Traceback" in line for line in bench.log)
    assert state(bench) == "unconfigured"
    assert not ask(bench, Transition.TRANSITION_CONFIGURE)
    assert any("RuntimeError: no memory" in line for line in bench.log)
    assert ask(bench, Transition.TRANSITION_CONFIGURE)
    assert ask(bench, Transition.TRANSITION_ACTIVATE)


def test_failing_to_activate_leaves_no_topic_behind(bench, monkeypatch):
    node = bench.node(start=False)
    assert node.trigger_configure() == rclpy.lifecycle.TransitionCallbackReturn.SUCCESS

    def fail(*_):
        raise RuntimeError("no timer")

    monkeypatch.setattr(node, "_every", fail)
    assert not ask(bench, Transition.TRANSITION_ACTIVATE)
    assert topics(node) == set()
    assert state(bench) == "inactive"
    monkeypatch.undo()
    assert ask(bench, Transition.TRANSITION_ACTIVATE)


def test_an_impossible_transition_does_not_end_the_node(bench):
    node = bench.node()
    client = bench.helper.create_client(ChangeState, "fusion_node/change_state")
    bench.until(client.service_is_ready, "the service")
    client.call_async(ChangeState.Request(transition=Transition(id=Transition.TRANSITION_ACTIVATE)))
    wait_until(
        lambda: any("RCLError" in line for line in bench.log),
        "the refusal logged",
        step=lambda: spin_safely(bench.executor, node, timeout_s=0.05),
    )
    assert state(bench) == "active"
