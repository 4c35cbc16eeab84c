"""A fusion node with a fake pipeline between cameras and listeners; nothing is simulated but the pipeline."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image

from thermal_fusion_ros.ros.fusion_node import FusionNode

from .fakes import FakePipeline, fields, rgb_picture, thermal_picture, wait_until

RELIABLE = QoSProfile(depth=50)
FAST = {"node.diagnostics_period_s": 0.1, "input.watchdog_s": 0.2}


def image(picture: np.ndarray, kind: str, stamp_ns: int, **changes: Any) -> Image:
    values = fields(picture, kind, stamp_ns, changes.pop("frame_id", "cam")) | changes
    header = values.pop("header")
    message = Image(**values)
    message.header.stamp.sec, message.header.stamp.nanosec = header.stamp.sec, header.stamp.nanosec
    message.header.frame_id = header.frame_id
    return message


class RecordingLogger:
    """The node's own logger; `lines` gets what goes through it."""

    def __init__(self, logger: Any, lines: list[str]) -> None:
        self._logger, self._lines = logger, lines

    def __getattr__(self, name: str) -> Any:
        if name not in ("info", "warning", "error"):
            return getattr(self._logger, name)
        return self._lines.append


class LoggedNode(FusionNode):
    """A node whose log can be read."""

    lines: list[str]

    def get_logger(self) -> Any:
        return RecordingLogger(super().get_logger(), self.lines)


class Bench:
    """`node()` makes the node under test, `camera` and `listen` what surrounds it; `until` lets them work."""

    def __init__(self) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.helper = rclpy.create_node("helper", context=self.context)
        self.executor.add_node(self.helper)
        self.nodes: list[FusionNode] = []
        self.pipelines: list[FakePipeline] = []
        self.reports: list[dict[str, SimpleNamespace]] = []
        self.log: list[str] = []
        self.helper.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 50)
        self.strange: rclpy.node.Node | None = None

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        for pipeline in self.pipelines:
            pipeline.gate.set()
            pipeline.release_language()
        try:
            assert all([node.close() for node in self.nodes]), "an engine thread did not end"
        finally:
            self.executor.shutdown()
            self.helper.destroy_node()
            self.context.shutdown()
            if self.strange is not None:
                self.strange.destroy_node()  # else its topics are there until garbage is collected
                self.strange.context.shutdown()

    @property
    def pipeline(self) -> FakePipeline:
        return self.pipelines[-1]

    def node(self, *, start: bool = True, arguments: tuple[str, ...] = (), **parameters: Any) -> FusionNode:
        """The node with a fake pipeline; dots in parameter names are written as two underscores."""
        values = FAST | {name.replace("__", "."): value for name, value in parameters.items()}
        node = type("Node", (LoggedNode,), {"lines": self.log})(
            self._make_pipeline,
            context=self.context,
            cli_args=["--ros-args", *arguments],
            parameter_overrides=[Parameter(name, value=value) for name, value in values.items()],
        )
        self.nodes.append(node)
        self.executor.add_node(node)
        if start:
            assert node.start()
        return node

    def _make_pipeline(self, config: Any) -> FakePipeline:
        self.pipelines.append(FakePipeline(config))
        return self.pipeline

    def until(self, condition: Any, what: str) -> None:
        """Let everything work until `condition` holds."""
        wait_until(condition, what, step=lambda: self.executor.spin_once(timeout_sec=0.05))

    def publisher(self, kind: Any, topic: str, qos: Any = RELIABLE, readers: int = 1) -> Any:
        """A publisher that has found its `readers`."""
        made = self.helper.create_publisher(kind, topic, qos)
        self.until(lambda: made.get_subscription_count() >= readers, f"readers of {topic}")
        return made

    def listen(self, kind: Any, topic: str, qos: Any = RELIABLE) -> list[Any]:
        """The list that messages of `topic` go to, once its publisher has been found."""
        got: list[Any] = []
        subscription = self.helper.create_subscription(kind, topic, got.append, qos)
        self.until(lambda: self.helper.count_publishers(topic), f"a publisher of {topic}")
        self.until(
            lambda: any(
                publisher.topic_name == topic and publisher.get_subscription_count()
                for node in self.nodes
                for publisher in node.publishers
            ),
            f"the node to see the reader of {topic}",
        )
        self.subscription = subscription
        return got

    def stranger(self) -> Any:
        """A node in a participant of its own: one participant cannot have two types on a topic."""
        context = rclpy.Context()
        rclpy.init(context=context)
        self.strange = rclpy.create_node("stranger", context=context)
        return self.strange

    def cameras(self, kind: Any = Image) -> Cameras:
        return Cameras(self, kind)

    def call(self, kind: Any, service: str, request: Any) -> Any:
        """Answer of a service."""
        client = self.helper.create_client(kind, service)
        self.until(client.service_is_ready, f"service {service}")
        future = client.call_async(request)
        self.until(future.done, f"an answer of {service}")
        return future.result()

    # Diagnostics

    def part(self, name: str) -> SimpleNamespace:
        """Level, message and values of a part in the latest report; empty before the first."""
        nothing = SimpleNamespace(name="", hardware_id="", level=b"", message="", values={})
        return self.reports[-1][name] if self.reports else nothing

    def fresh_report(self) -> None:
        """Wait for a report about everything that has happened until now."""
        seen = len(self.reports)
        self.until(lambda: len(self.reports) >= seen + 2, "diagnostics")

    def settle(self) -> dict[str, int]:
        """Wait until no pair is under way; the values of `pairs`."""
        self.until(lambda: self.part("pairs").values.get("under_way") == "0", "every pair accounted for")
        self.fresh_report()
        return {key: int(value) for key, value in self.part("pairs").values.items()}

    def check_sums(self) -> None:
        """The two identities, in every report that came."""
        for parts in self.reports:
            pairs = {key: int(value) for key, value in parts["pairs"].values.items()}
            dropped = sum(count for key, count in pairs.items() if key.startswith("dropped."))
            assert pairs["pairs_in"] == pairs["published"] + pairs["under_way"] + dropped
            for stream in ("rgb", "thermal"):
                values = parts[stream].values
                unused = sum(int(count) for key, count in values.items() if key.startswith("unused."))
                assert int(values["received"]) == int(values["used"]) + int(values["waiting"]) + unused

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self.reports.append(
            {
                status.name.partition(": ")[2]: SimpleNamespace(
                    name=status.name,
                    hardware_id=status.hardware_id,
                    level=status.level,
                    message=status.message,
                    values={pair.key: pair.value for pair in status.values},
                )
                for status in message.status
            }
        )


class Cameras:
    """Publishers of both cameras; stamps are the clock's, `period` apart."""

    def __init__(self, bench: Bench, kind: Any) -> None:
        suffix = "/compressed" if kind is CompressedImage else ""
        self.bench = bench
        self.rgb = bench.publisher(kind, f"rgb/image_raw{suffix}")
        self.thermal = bench.publisher(kind, f"thermal/image_raw{suffix}")
        self.stamp = bench.helper.get_clock().now().nanoseconds
        self.period = 33_000_000
        self.sent = 0

    def send(self, publisher: Any, message: Any) -> None:
        """Publish on one of the topics."""
        publisher.publish(message)
        self.sent += 1

    def wait_received(self) -> None:
        """Let the node take in everything sent: its queue is short."""
        inputs = self.bench.nodes[-1]._inputs.values()
        self.bench.until(
            lambda: sum(camera.received for camera in inputs) >= self.sent, "the images taken in"
        )

    def unmatched(self) -> bool:
        """Whether a topic has no reader."""
        return not (self.rgb.get_subscription_count() and self.thermal.get_subscription_count())

    def pair(self, value: int = 0, **sizes: int) -> int:
        """Publish one frame of each, 2 ms apart; the stamp of the RGB one."""
        self.stamp += self.period
        self.send(self.rgb, image(rgb_picture(value, **sizes), "rgb8", self.stamp))
        thermal_stamp = self.stamp + 2_000_000
        self.send(self.thermal, image(thermal_picture(value, **sizes), "mono8", thermal_stamp, frame_id="t"))
        return self.stamp

    def stream_until(self, condition: Any, what: str, **sizes: int) -> None:
        """Publish pairs, each when the one before has been taken in, until `condition` holds."""

        def step() -> None:
            self.pair(1, **sizes)
            self.wait_received()
            for _ in range(4):
                self.bench.executor.spin_once(timeout_sec=0.005)

        wait_until(condition, what, step)
