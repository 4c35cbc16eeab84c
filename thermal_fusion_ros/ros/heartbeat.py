"""A timer that does nothing, so that a node that is asked to end always hears of it.

On a signal rclpy first wakes the executor and then shuts its context down, in another thread. An executor that is quick
enough to wait again in between is not woken a second time: a node with nothing else to do would wait for ever.
"""

from __future__ import annotations

from rclpy.clock import Clock, ClockType
from rclpy.node import Node

PERIOD_S = 0.5


def keep_awake(node: Node) -> None:
    """Wake the executor of `node` now and then, for as long as the node lives."""
    node.create_timer(PERIOD_S, lambda: None, clock=Clock(clock_type=ClockType.STEADY_TIME))
