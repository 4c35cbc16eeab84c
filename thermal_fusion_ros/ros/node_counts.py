"""What a fusion node says about itself in /diagnostics, read back into numbers (see `ros/diagnostics.py`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from diagnostic_msgs.msg import DiagnosticArray

if TYPE_CHECKING:
    from rclpy.node import Node

_STREAMS = ("rgb", "thermal")
_NOT_OUTPUTS = ("/parameter_events", "/rosout")


@dataclass(frozen=True)
class NodeCounts:
    """Counters of one instant, or what came between two. pairs_in = published + under_way + sum of dropped."""

    pairs_in: int = 0
    published: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    unused: Counter[str] = field(default_factory=Counter)
    received: Counter[str] = field(default_factory=Counter)
    waiting: int = 0  # frames that may still become part of a pair; of now, never a difference

    @property
    def under_way(self) -> int:
        """Pairs that wait for the engine or are in it."""
        return self.pairs_in - self.published - sum(self.dropped.values())

    def __sub__(self, before: NodeCounts) -> NodeCounts:
        return NodeCounts(
            self.pairs_in - before.pairs_in,
            self.published - before.published,
            self.dropped - before.dropped,
            self.unused - before.unused,
            self.received - before.received,
            self.waiting,
        )


def counts_of(parts: Mapping[str, Mapping[str, str]]) -> NodeCounts:
    """The counters in the values of a node's diagnostics, by part."""

    def counters(part: str, prefix: str, name: str = "") -> Counter[str]:
        values = parts.get(part, {})
        return Counter(
            {
                name + key.removeprefix(prefix): int(text)
                for key, text in values.items()
                if key.startswith(prefix)
            }
        )

    pairs = parts.get("pairs", {})
    streams = {stream: parts.get(stream, {}) for stream in _STREAMS}
    return NodeCounts(
        int(pairs.get("pairs_in", 0)),
        int(pairs.get("published", 0)),
        counters("pairs", "dropped."),
        sum((counters(stream, "unused.", f"{stream}_") for stream in _STREAMS), Counter()),
        Counter({stream: int(values.get("received", 0)) for stream, values in streams.items()}),
        sum(int(values.get("waiting", 0)) for values in streams.values()),
    )


class NodeWatch:
    """Follows the diagnostics of the node with the full name `full_name`.

    `reports` counts them; 0 means that the node has not been heard, thus is not active.
    """

    def __init__(self, node: Node, full_name: str) -> None:
        self.full_name = full_name
        self.reports = 0
        self.counts = NodeCounts()
        self._node = node
        self._parts: dict[str, dict[str, str]] = {}
        node.create_subscription(DiagnosticArray, "/diagnostics", self._take, 10)

    @property
    def engine(self) -> str:
        """What runs the network."""
        return self._parts.get("engine", {}).get("name", "")

    @property
    def engine_refused(self) -> list[str]:
        """Why each backend tried before the engine does not work here."""
        return [why for key, why in self._parts.get("engine", {}).items() if key.startswith("refused.")]

    @property
    def engine_state(self) -> str:
        """`ready`, or what it waits for."""
        return self._parts.get("engine", {}).get("state", "")

    @property
    def subscribers(self) -> int:
        """How many subscriptions the node sees on its output."""
        return int(self._parts.get("output", {}).get("subscribers", 0))

    def outputs(self) -> list[tuple[str, str]]:
        """Topic and type of everything the node publishes but its own machinery and second forms of an image."""
        namespace, _, name = self.full_name.rpartition("/")
        found = self._node.get_publisher_names_and_types_by_node(name, namespace or "/")
        return [
            (topic, kinds[0])
            for topic, kinds in found
            if topic not in _NOT_OUTPUTS and not topic.endswith(("/compressed", "/transition_event"))
        ]

    def _take(self, message: DiagnosticArray) -> None:
        parts = {
            status.name.rpartition(": ")[2]: {pair.key: pair.value for pair in status.values}
            for status in message.status
            if status.hardware_id == self.full_name
        }
        if parts:
            self._parts = parts
            self.counts = counts_of(parts)
            self.reports += 1
