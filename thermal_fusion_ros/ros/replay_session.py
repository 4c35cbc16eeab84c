"""A replay over DDS: a recording is published at its own rate, the fusion node answers, every pair is accounted for."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from thermal_fusion_ros import dds
from thermal_fusion_ros.bags.source import Arrival, Source
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.frames import RgbFrame
from thermal_fusion_ros.replay_report import ReplayReport
from thermal_fusion_ros.ros.node_counts import NodeCounts, NodeWatch
from thermal_fusion_ros.ros.node_process import NodeDiedError, NodeProcess
from thermal_fusion_ros.ros.player import Player, prefetch
from thermal_fusion_ros.ros.recorder import Recorder
from thermal_fusion_ros.sensing.pairing import Stream, make_pairer

if TYPE_CHECKING:
    from rclpy.node import Node

    from thermal_fusion_ros.bags.sinks import Sink
    from thermal_fusion_ros.bags.writer import BagWriter
    from thermal_fusion_ros.config import Config

PATIENCE_S = 60.0  # for the node to come up, load its weights and subscribe
SETTLE_S = 30.0  # at the end, for what is under way
_DISCOVERY_S = 0.5  # a match is known here a little before it is known on the other side
_CLOCK_PERIOD_S = 0.02
_NOT_RECORDED = ("/parameter_events", "/rosout")


@dataclass(frozen=True)
class Settings:
    """How to play.

    `namespace`: of all topics and of the node; `node`: name of a running one to use instead of an own one; `clock`:
    publish the recording's time on /clock and let the own node live by it.
    """

    rate: float = 1.0
    loops: int = 1
    namespace: str = "/"
    node: str = ""
    clock: bool = False


def replay(
    source: Source,
    config: Config,
    settings: Settings,
    *,
    sinks: Sequence[Sink] = (),
    bag: BagWriter | None = None,
    on_frame: Callable[[], object] = lambda: None,
) -> ReplayReport:
    """Play `source` to a fusion node with `config` and report.

    Fused frames go to `sinks`, all outputs of the node to `bag`; `on_frame` is called for each frame published.
    A KeyboardInterrupt or the death of the node ends it early with what is done (see the report's notes). Raises
    `InputError` when the source gives nothing or no node listens.
    """
    with _ros_node(settings.namespace) as node, contextlib.ExitStack() as stack:
        own = None
        if not settings.node:
            own = stack.enter_context(
                NodeProcess(config, namespace=settings.namespace, use_sim_time=settings.clock)
            )
        session = Session(
            node, source, settings, config=config, own=own, sinks=sinks, bag=bag, on_frame=on_frame
        )
        return session.run()


class Session:
    """One replay, from the first match to the last count."""

    def __init__(
        self,
        node: Node,
        source: Source,
        settings: Settings,
        *,
        config: Config,
        own: NodeProcess | None,
        sinks: Sequence[Sink],
        bag: BagWriter | None,
        on_frame: Callable[[], object],
    ) -> None:
        self._node, self._source, self._settings, self._own = node, source, settings, own
        self._on_frame = on_frame
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(node)
        self._player = Player(node, source, clock=settings.clock)
        self._recorder = Recorder(node, sinks=sinks, bag=bag, recorded_now=self._recorded_now)
        self._records_all = bag is not None
        self._watch = NodeWatch(node, settings.node or "fusion_node")
        # The player knows every stamp it sent, so it knows which pairs the recording holds, whatever gets lost.
        self._pairer = make_pairer(config.sync)
        self._pairs = 0
        self._published_at: dict[int, float] = {}
        self._anchor: tuple[int, float] | None = None  # a time of the recording and when it was played
        self._clock_told = 0.0

    def run(self) -> ReplayReport:
        """Play, wait for what is under way, count."""
        report = ReplayReport(self._source.name, "dds")
        before = NodeCounts()
        try:
            self._wait_for_node()
            before = self._watch.counts
            try:
                for _ in range(self._settings.loops):
                    self._play()
            finally:
                self._settle(before)
        except KeyboardInterrupt:
            report.interrupted = True
        except NodeDiedError as error:
            report.notes.append(str(error))
            report.failed = True
        finally:
            self._recorder.finish()
        self._fill(report, self._watch.counts - before)
        return report

    def _wait_for_node(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while self._player.unmatched() or not self._watch.active:
            if self._own is not None:
                self._own.check()
            if time.monotonic() > deadline:
                raise InputError(self._nobody())
            self._spin(0.05)
        if self._records_all:
            for topic, kind in self._watch.outputs():
                if topic not in _NOT_RECORDED:
                    self._recorder.subscribe(topic, kind)
            self._recorder.subscribe("/diagnostics", "diagnostic_msgs/msg/DiagnosticArray")
        end = time.monotonic() + _DISCOVERY_S
        while (left := end - time.monotonic()) > 0:
            self._spin(left)

    def _nobody(self) -> str:
        topics = " and ".join(self._player.unmatched())
        who = self._settings.node or "the fusion node"
        if topics:
            return (
                f"nobody subscribed to {topics} within {PATIENCE_S:.0f} s: "
                f"is {who} running, active and in this namespace?"
            )
        return f"{who} sent no /diagnostics within {PATIENCE_S:.0f} s: is that its name, and is it active?"

    def _play(self) -> None:
        """One pass over the source, each frame when it is due."""
        self._anchor = None
        for arrival in prefetch(self._source):
            if self._anchor is None:
                self._anchor = (arrival.time_ns, time.monotonic())
            self._wait_until(self._due(arrival.time_ns))
            self._send(arrival)
        self._pairs += len(self._pairer.flush(self._recorded_now()))
        self._pairer.reset("loop")

    def _send(self, arrival: Arrival) -> None:
        frame = arrival.frame
        is_rgb = isinstance(frame, RgbFrame)
        self._player.publish_clock(arrival.time_ns)
        if is_rgb:
            self._published_at[frame.stamp_ns] = time.monotonic()
        self._player.publish(frame)
        stream = Stream.RGB if is_rgb else Stream.THERMAL
        self._pairs += len(self._pairer.add(stream, frame.stamp_ns, None, arrival.time_ns))
        self._on_frame()
        self._recorder.check()
        if self._own is not None:
            self._own.check()

    def _due(self, time_ns: int) -> float:
        assert self._anchor is not None
        first_ns, started = self._anchor
        return started + (time_ns - first_ns) / 1e9 / self._settings.rate

    def _recorded_now(self) -> int:
        if self._anchor is None:
            return 0
        first_ns, started = self._anchor
        return first_ns + round((time.monotonic() - started) * 1e9 * self._settings.rate)

    def _wait_until(self, due: float) -> None:
        """Let messages in until `due`; at least one look, so that a late player does not go deaf."""
        self._spin(0.0)
        while (left := due - time.monotonic()) > 0:
            self._spin(min(left, _CLOCK_PERIOD_S))

    def _spin(self, seconds: float) -> None:
        self._executor.spin_once(timeout_sec=seconds)
        now = time.monotonic()
        if self._anchor is not None and now - self._clock_told >= _CLOCK_PERIOD_S:
            self._clock_told = now
            self._player.publish_clock(self._recorded_now())

    def _settle(self, before: NodeCounts) -> None:
        """Wait until the node has nothing under way and everything it published has arrived."""
        deadline = time.monotonic() + SETTLE_S
        last, since = None, self._watch.updates
        while time.monotonic() < deadline:
            if self._own is not None:
                self._own.check()
            self._spin(_CLOCK_PERIOD_S)
            counts = self._watch.counts - before
            if (counts, len(self._recorder.fused)) != last:
                last, since = (counts, len(self._recorder.fused)), self._watch.updates
            # Two reports without a change: the node's own numbers, not only ours, stand still.
            if self._watch.updates - since >= 2 and counts.pairs_under_way == 0:
                return

    def _fill(self, report: ReplayReport, counts: NodeCounts) -> None:
        fused = self._recorder.fused
        report.pairs_in = max(self._pairs, counts.pairs)
        report.published = len(fused)
        report.dropped.update(counts.dropped)
        if lost := counts.published - len(fused):
            report.dropped["lost_after_publishing"] += lost
        if missing := report.pairs_in - counts.pairs:
            report.dropped["not_paired_by_node"] += missing
        report.unused.update(counts.unused)
        report.sent, report.received = self._player.sent, counts.received
        report.engine = self._watch.engine
        for stamp, arrived in fused:
            if stamp in self._published_at:
                report.latencies_ms.append((arrived - self._published_at[stamp]) * 1e3)
        report.seconds = fused[-1][1] - fused[0][1] if fused else 0.0
        report.notes += self._source.problems
        if self._own is not None:
            report.notes += self._own.problems()
        report.balance()


@contextlib.contextmanager
def _ros_node(namespace: str) -> Iterator[Node]:
    # The writer's side needs the large shared-memory segment as much as the reader's.
    os.environ.update(dds.environment())
    context = rclpy.Context()
    # Ctrl-C stays a KeyboardInterrupt, so that the table is printed and the bag is closed.
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = rclpy.create_node("thermal_fusion_replay", namespace=namespace, context=context)
        yield node
        node.destroy_node()
    finally:
        context.try_shutdown()
