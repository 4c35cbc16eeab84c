"""A node, its cameras and its listeners over real DDS, stepped by one executor in the test's own thread."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from thermal_fusion_ros import dds

if TYPE_CHECKING:
    from .bench import Bench

# Before the middleware starts: no other machine, and images that fit into shared memory.
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ.update(dds.environment())


@pytest.fixture
def bench() -> Iterator[Bench]:
    """See `bench.Bench`. The test is skipped where there is no ROS."""
    pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
    from .bench import Bench

    with Bench() as bench:
        yield bench
