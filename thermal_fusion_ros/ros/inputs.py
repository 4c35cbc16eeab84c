"""One camera's topic: subscribed, checked, counted, and watched for silence."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

try:
    from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks, UnsupportedEventTypeError
from rclpy.qos import QoSCompatibility, qos_check_compatible, qos_policy_name_from_kind
from sensor_msgs.msg import CompressedImage, Image

from thermal_fusion_ros import messages
from thermal_fusion_ros.ros.log_limiter import LogLimiter
from thermal_fusion_ros.ros.overridable import SENSOR_DATA, create_subscription
from thermal_fusion_ros.ros.pair_fuser import Received
from thermal_fusion_ros.ros.rates import RateMeter
from thermal_fusion_ros.sensing.pairing import Stream

if TYPE_CHECKING:
    from rclpy.node import Node

CHECKS = {Stream.RGB: messages.check_rgb_message, Stream.THERMAL: messages.check_thermal_message}


class CameraInput:
    """Subscribes to the images of `stream` between :meth:`open` and :meth:`close` and hands usable ones to `take`.

    `unusable` counts the bad ones by reason; `received` all of them. Bad ones are logged, throttled.
    """

    def __init__(
        self,
        node: Node,
        stream: Stream,
        *,
        compressed: bool,
        take: Callable[[Stream, Received], None],
        log: LogLimiter,
    ) -> None:
        self._node, self._take, self._log = node, take, log
        self.stream = stream
        self.kind: Any = CompressedImage if compressed else Image
        self.type_name = f"sensor_msgs/msg/{self.kind.__name__}"
        self.own_name = f"{stream.value}/image_raw" + ("/compressed" if compressed else "")
        self.topic: str = node.resolve_topic_name(self.own_name)
        self.received = 0
        self.unusable: Counter[str] = Counter()
        self.rate = RateMeter()
        self.image = ""  # encoding and size of the last usable one
        self.size_changes = 0
        self.stamped_on_arrival = 0
        self.lost = 0
        self.problem = ""  # of the last message, empty when it was usable
        self._refused_policy = ""  # in which a publisher offered too little
        self._opened = 0.0
        self._subscription: Any = None

    def open(self) -> None:
        """Subscribe."""
        self._opened = time.monotonic()
        self._refused_policy = ""
        events = {"incompatible_qos": self._on_incompatible_qos, "message_lost": self._on_lost}
        try:
            self._subscription = self._subscribe(SubscriptionEventCallbacks(**events))
        except UnsupportedEventTypeError:  # some middlewares cannot tell of lost messages
            del events["message_lost"]
            self._subscription = self._subscribe(SubscriptionEventCallbacks(**events))

    def close(self) -> None:
        """Unsubscribe."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def restart_watch(self) -> None:
        """Silence counts from now."""
        self._opened = time.monotonic()

    @property
    def publishers(self) -> int:
        """How many publish on the topic, of whatever type."""
        return int(self._node.count_publishers(self.topic))

    @property
    def qos_problem(self) -> str:
        """What a publisher that is there offers too little of; empty where none does."""
        offered = self._node.get_publishers_info_by_topic(self.topic) if self._refused_policy else []
        verdicts = [
            qos_check_compatible(end.qos_profile, self._subscription.qos_profile)[0] for end in offered
        ]
        return self._too_little() if QoSCompatibility.ERROR in verdicts else ""

    @property
    def silent_s(self) -> float:
        """Seconds since the last message, or since there is a subscription."""
        last = self.rate.last
        return time.monotonic() - (self._opened if last is None else max(last, self._opened))

    def _subscribe(self, events: Any) -> Any:
        return create_subscription(
            self._node, self.kind, self.own_name, self._on_message, SENSOR_DATA, event_callbacks=events
        )

    def _on_message(self, message: Any) -> None:
        now = time.monotonic()
        self.received += 1
        self.rate.tick(now)
        try:
            CHECKS[self.stream](message)
        except messages.BadMessageError as error:
            self.unusable[error.reason] += 1
            self.problem = str(error)
            self._log.warning(f"{self.topic} {error.reason}", f"{self.topic}: image skipped: {error}")
            return
        self.problem = ""
        self._note_image(messages.describe(message))
        stamp = messages.stamp_ns(message)
        if stamp == 0:
            stamp = self._node.get_clock().now().nanoseconds
            self.stamped_on_arrival += 1
            self._log.warning(
                f"{self.topic} unstamped",
                f"{self.topic}: images carry no stamp; the time of arrival is used, which pairs them less well",
            )
        self._take(self.stream, Received(message, stamp, now))

    def _note_image(self, image: str) -> None:
        if image == self.image:
            return
        if self.image:
            self.size_changes += 1
            self._log.warning(
                f"{self.topic} change", f"{self.topic}: images changed from {self.image} to {image}"
            )
        self.image = image

    def _on_lost(self, event: Any) -> None:
        self.lost += event.total_count_change

    def _on_incompatible_qos(self, event: Any) -> None:
        self._refused_policy = qos_policy_name_from_kind(event.last_policy_kind).lower()
        self._log.warning(f"{self.topic} qos", f"{self.topic}: {self._too_little()}")

    def _too_little(self) -> str:
        policy = self._refused_policy
        return (
            f"a publisher offers a {policy} that does not satisfy this subscription, so nothing arrives from it; "
            f"set qos_overrides.{self.topic}.subscription.{policy} to what it offers"
        )
