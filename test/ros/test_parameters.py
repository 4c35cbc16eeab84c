"""Parameters of a running node: as in config.py, checked together, live where it makes sense."""

from __future__ import annotations

import dataclasses

import pytest

rclpy = pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from rcl_interfaces.srv import DescribeParameters, SetParametersAtomically  # noqa: E402
from rclpy.exceptions import ParameterNotDeclaredException  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402

from thermal_fusion_ros.config import Config  # noqa: E402
from thermal_fusion_ros.errors import InputError  # noqa: E402
from thermal_fusion_ros.ros.parameters import node_parameters  # noqa: E402


def change(node, **values):
    """The answer to setting all of `values` together."""
    return node.set_parameters_atomically(
        [Parameter(name.replace("__", "."), value=value) for name, value in values.items()]
    )


def test_every_parameter_of_the_configuration_is_declared_with_its_default(bench):
    node = bench.node(start=False)
    given = {"node.diagnostics_period_s": 0.1, "input.watchdog_s": 0.2}
    for parameter in node_parameters():
        wanted = given.get(parameter.name, parameter.default)
        assert node.get_parameter(parameter.name).value == wanted
        assert type(node.get_parameter(parameter.name).value) is parameter.type
    assert not node.get_parameters_by_prefix("simulation")


def test_descriptors_tell_help_unit_limits_choices_and_when_a_change_counts(bench):
    bench.node(start=False)
    names = ["sync.tolerance_s", "sync.queue_size", "thermal.kind", "node.autostart", "engine.threads"]
    request = DescribeParameters.Request(names=names)
    answer = bench.call(DescribeParameters, "fusion_node/describe_parameters", request)
    found = dict(zip(names, answer.descriptors, strict=True))
    tolerance = found["sync.tolerance_s"]
    assert tolerance.description.startswith("Largest stamp distance of a pair")
    assert tolerance.description.endswith("[s]")
    assert (tolerance.floating_point_range[0].from_value, tolerance.floating_point_range[0].to_value) == (
        0,
        1,
    )
    assert "live" in tolerance.additional_constraints
    queue = found["sync.queue_size"].integer_range[0]
    assert (queue.from_value, queue.to_value, queue.step) == (2, 1000, 1)
    assert "counts, tlinear, agc8" in found["thermal.kind"].additional_constraints
    assert "configures" in found["engine.threads"].additional_constraints
    assert found["node.autostart"].read_only
    assert not tolerance.read_only


def test_a_whole_number_may_stand_for_a_float(bench):
    node = bench.node(start=False, sync__tolerance_s=1)
    assert node.config.sync.tolerance_s == 1.0
    assert node.get_parameter("sync.tolerance_s").value == 1.0


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("sync.tolerance_s", 7.0, "outside"),
        ("thermal.kind", "celsius", "not one of"),
        ("output.jpeg_quality", "high", "is not a int"),
        ("sync.queue_size", [1, 2], "is not a int"),
    ],
)
def test_a_bad_value_at_the_start_is_refused_by_name(bench, name, value, named):
    with pytest.raises(InputError, match=named) as error:
        bench.node(start=False, **{name: value})
    assert name in str(error.value)


def test_a_misspelt_name_is_pointed_out(bench):
    bench.node(start=False, sync__tolerence_s=0.1, simulation__seed=3)
    assert bench.log == ["sync.tolerence_s: no such parameter; did you mean sync.tolerance_s?"]


def test_live_parameters_reach_pairing_pipeline_and_outputs(bench):
    node = bench.node()
    values = {
        "sync__tolerance_s": 0.02,
        "thermal__detail": 1.5,
        "output__jpeg_quality": 40,
        "points__edge": 0.2,
    }
    assert change(node, **values).successful
    assert node.config.sync.tolerance_s == 0.02
    assert node._pairer.config.tolerance_s == 0.02
    assert node._outputs.fused.jpeg_quality == 40
    assert node._outputs.depth.points.edge == 0.2
    bench.until(lambda: bench.pipeline.config.thermal.detail == 1.5, "the pipeline's update")


def test_one_bad_value_leaves_all_as_they_were(bench):
    node = bench.node()
    before = node.config
    answer = change(node, sync__tolerance_s=0.02, fusion__prompt="a florble")
    assert not answer.successful
    assert "florble" in answer.reason
    assert node.config == before
    assert node.get_parameter("sync.tolerance_s").value == before.sync.tolerance_s
    assert bench.pipeline.updates == []


def test_refusals_reach_the_caller_of_the_service(bench):
    bench.node()
    for name, value, named in (
        ("sync.tolerance_s", 2.0, "range"),
        ("thermal.kind", "celsius", "not one of auto, counts"),
        ("engine.threads", 2, "read when the node configures"),
        ("node.autostart", False, "read-only"),
    ):
        request = SetParametersAtomically.Request(
            parameters=[Parameter(name, value=value).to_parameter_msg()]
        )
        answer = bench.call(SetParametersAtomically, "fusion_node/set_parameters_atomically", request)
        assert not answer.result.successful
        assert named in answer.result.reason


def test_other_parameters_may_change_while_the_node_is_not_configured(bench):
    node = bench.node(start=False)
    assert change(node, engine__threads=2, input__transport="compressed").successful
    assert node.start()
    assert bench.pipeline.config.engine.threads == 2
    topics = [subscription.topic_name for subscription in node.subscriptions]
    assert "/rgb/image_raw/compressed" in topics
    assert not change(node, engine__threads=1).successful
    assert change(node, engine__threads=2, sync__wait_s=0.5).successful  # the first is no change


def test_simulated_time_may_be_switched_on_and_parameters_of_others_do_not_disturb(bench):
    node = bench.node()
    assert change(node, use_sim_time=True).successful
    bench.until(lambda: any("another clock" in line for line in bench.log), "the switch noticed")
    with pytest.raises(ParameterNotDeclaredException):
        change(node, nonsense=1)


def test_live_parameters_are_those_that_code_can_change_at_run_time():
    """Sections that are read only once have no live parameters, and the other way round."""
    live = {parameter.name for parameter in node_parameters() if parameter.spec.live}
    for section in dataclasses.fields(Config):
        own = {name for name in live if name.startswith(section.name + ".")}
        if section.name in ("input", "engine", "language", "node", "registration", "simulation"):
            assert not own
        else:
            assert own
