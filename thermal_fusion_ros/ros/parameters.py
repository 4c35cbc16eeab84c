"""The typed configuration as ROS parameters: names, types, limits and help come from config.py alone."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)

from thermal_fusion_ros.config import FOREIGN, Config, parameters
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.parameter import Parameter

if TYPE_CHECKING:
    from rclpy.node import Node

IGNORED = "simulation."  # in the same file, but nothing to the node
AT_START = ("node.autostart",)  # has done its work once the node is there
INT64 = (-(2**63), 2**63 - 1)


def node_parameters() -> list[Parameter]:
    """Those of the configuration that the node reads."""
    return [parameter for parameter in parameters() if not parameter.name.startswith(IGNORED)]


def descriptor(parameter: Parameter) -> ParameterDescriptor:
    """Type, limits and help as tools show them."""
    spec = parameter.spec
    result = ParameterDescriptor(
        name=parameter.name,
        description=spec.help + (f" [{spec.unit}]" if spec.unit else ""),
        read_only=parameter.name in AT_START,
    )
    when = "live: may change at any time" if spec.live else "read when the node configures"
    choices = f"one of {', '.join(spec.choices)}; " if spec.choices else ""
    result.additional_constraints = choices + ("read when the node starts" if result.read_only else when)
    limited = spec.low is not None or spec.high is not None
    if limited and parameter.type is float:
        low = -sys.float_info.max if spec.low is None else float(spec.low)
        high = sys.float_info.max if spec.high is None else float(spec.high)
        result.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    elif limited and parameter.type is int:
        low_int = INT64[0] if spec.low is None else int(spec.low)
        high_int = INT64[1] if spec.high is None else int(spec.high)
        result.integer_range = [IntegerRange(from_value=low_int, to_value=high_int, step=1)]
    return result


def declare(node: Node, warn: Callable[[str], object]) -> Config:
    """Declare every parameter of the fusion node; returns the configuration it was given. See :func:`take`."""
    return Config().with_values(take(node, node_parameters(), warn))


def take(node: Node, own: Collection[Parameter], warn: Callable[[str], object]) -> dict[str, Any]:
    """Declare `own` of `node`, which has been made with ``automatically_declare_parameters_from_overrides``.

    Returns the values it was given, by name. Raises :class:`InputError` for a bad one; `warn` gets a line for every
    name that means nothing to any node, which is most often a misspelt one.
    """
    given = _take_given(node)
    for name in given.keys() - {parameter.name for parameter in own}:
        try:
            Config().get(name)
        except InputError as error:
            warn(str(error))
    # Checked before ROS sees them: it would refuse a whole number for a float, and with an error of its own.
    values = {p.name: p.check(given.get(p.name, p.default)) for p in own}
    for parameter in own:
        node.declare_parameter(
            parameter.name, values[parameter.name], descriptor(parameter), ignore_override=True
        )
    return values


def _take_given(node: Node) -> dict[str, Any]:
    """Name and value of what the node was given, undeclared so that it can be declared with its type."""
    given = {}
    for name, parameter in node.get_parameters_by_prefix("").items():
        if not (name.startswith(FOREIGN) or node.describe_parameter(name).read_only):
            given[name] = parameter.value
            node.undeclare_parameter(name)
    return given


def answer(
    config: Config,
    changes: Iterable[Any],
    *,
    configured: bool,
    check: Callable[[Config], None],
) -> tuple[Config, SetParametersResult]:
    """The configuration after `changes` (rclpy Parameters) and what to answer; the old one if any of them is refused.

    While the node is `configured` only live parameters may change. `check` raises :class:`InputError` for what the
    types and limits do not show.
    """
    values = {parameter.name: parameter.value for parameter in changes}
    try:
        changed = config.with_values(_own(values))
        if configured:
            _refuse_fixed(config, changed)
        check(changed)
    except InputError as error:
        return config, SetParametersResult(successful=False, reason=str(error))
    return changed, SetParametersResult(successful=True)


def _own(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if not name.startswith((*FOREIGN, IGNORED))}


def _refuse_fixed(before: Config, after: Config) -> None:
    for parameter in node_parameters():
        name = parameter.name
        if not parameter.spec.live and before.get(name) != after.get(name):
            raise InputError(
                f"{name}: is read when the node configures; clean it up (ros2 lifecycle set NODE deactivate, cleanup), "
                "set it, configure again"
            )
