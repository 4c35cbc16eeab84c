"""Publishers and subscriptions whose QoS a user can override with ``qos_overrides.<topic>.<entity>.<policy>``."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rclpy.qos import (
    QoSHistoryPolicy,
    QoSPolicyKind,
    QoSProfile,
    QoSReliabilityPolicy,
    qos_profile_sensor_data,
)
from rclpy.qos_overriding_options import QoSOverridingOptions

from thermal_fusion_ros.errors import InputError

if TYPE_CHECKING:
    from rclpy.node import Node

# Inputs: the policies of sensor data, with room for a second of images: what comes while the interpreter is busy
# elsewhere is not lost, and old pairs are left out later on, where they are counted.
SENSOR_DATA: QoSProfile = copy.copy(qos_profile_sensor_data)
SENSOR_DATA.depth = 30
# Outputs. RViz subscribes reliably; a late frame is worth nothing to it, so only the newest is kept.
NEWEST = QoSProfile(history=QoSHistoryPolicy.KEEP_LAST, depth=1, reliability=QoSReliabilityPolicy.RELIABLE)
# Reports, of which none should be missed.
RELIABLE = QoSProfile(history=QoSHistoryPolicy.KEEP_LAST, depth=10, reliability=QoSReliabilityPolicy.RELIABLE)
# Durability, for some drivers publish their camera_info once, for whoever comes later.
OVERRIDABLE = (
    QoSPolicyKind.HISTORY,
    QoSPolicyKind.DEPTH,
    QoSPolicyKind.RELIABILITY,
    QoSPolicyKind.DURABILITY,
)


ACCEPTED = (
    "history: keep_last, keep_all; reliability: reliable, best_effort; durability: volatile, transient_local"
)


def create_publisher(node: Node, kind: Any, topic: str, qos: QoSProfile) -> Any:
    """A publisher; `qos` unless overridden. Raises :class:`InputError` for a word that is no policy."""
    with _told(node, topic, "publisher"):
        return node.create_publisher(kind, topic, copy.copy(qos), qos_overriding_options=_options())


def create_subscription(
    node: Node, kind: Any, topic: str, callback: Callable[[Any], None], qos: QoSProfile, **options: Any
) -> Any:
    """A subscription; `qos` unless overridden. Raises :class:`InputError` for a word that is no policy."""
    with _told(node, topic, "subscription"):
        return node.create_subscription(
            kind, topic, callback, copy.copy(qos), qos_overriding_options=_options(), **options
        )


def _options() -> Any:
    # rclpy writes the overrides into the profile it is given, hence the copies: profiles are shared.
    return QoSOverridingOptions(OVERRIDABLE)


@contextmanager
def _told(node: Node, topic: str, end: str) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # rclpy has no class of its own for it
        if "QoS override" not in str(error):
            raise
        raise InputError(
            f"qos_overrides.{node.resolve_topic_name(topic)}.{end}: {error}; {ACCEPTED}"
        ) from error
