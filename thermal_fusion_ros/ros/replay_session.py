"""A replay over DDS: a recording is published at its own rate, the fusion node answers, every pair is accounted for."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import rclpy
from rclpy.exceptions import InvalidNamespaceException
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from rclpy.validate_namespace import validate_namespace

from thermal_fusion_ros import dds
from thermal_fusion_ros.bags.source import Arrival, Source
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.frames import RgbFrame, ThermalFrame
from thermal_fusion_ros.replay_report import ReplayReport, engine_notes
from thermal_fusion_ros.ros.ledger import pace
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
ENGINE_PATIENCE_S = 1200.0  # some backends build for minutes
SETTLE_S = 30.0  # at the end, for what is under way
_CLOCK_PERIOD_S = 0.02
_TRY_S = 1.0
_WARM_UP_NS = 500_000_000  # how long before the recording the first pair is stamped


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
        self._source, self._settings, self._own = source, settings, own
        self._on_frame = on_frame
        self._executor = SingleThreadedExecutor(context=node.context)
        self._executor.add_node(node)
        self._player = Player(node, source, clock=settings.clock)
        self._published_at: dict[int, float] = {}
        self._recorder = Recorder(
            node, sinks=sinks, bag=bag, recorded_now=self._recorded_now, published_at=self._published_at
        )
        self._records_all = bag is not None
        self._watch = NodeWatch(node, _full_name(settings))
        # The player knows every stamp it sent, so it knows which pairs the recording holds, whatever gets lost.
        self._pairer = make_pairer(config.sync)
        self._pairs = 0
        self._anchor: tuple[int, float] | None = None  # a time of the recording and when it was played
        self._clock_told = 0.0

    def run(self) -> ReplayReport:
        """Play, wait for what is under way, count."""
        report = ReplayReport(self._source.name, "dds")
        before = NodeCounts()
        try:
            self._wait_for_node()
            self._warm_up()
            self._start_recording()
            before, self._player.sent = self._watch.counts, Counter()
            logged = self._own.logged() if self._own is not None else 0
            try:
                for _ in range(self._settings.loops):
                    self._play()
            finally:
                # Before and after, the node rightly complains about silence.
                report.notes += self._own.problems(logged) if self._own is not None else []
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

    # Before

    def _wait_for_node(self) -> None:
        """Until both inputs are subscribed to and the node reports, which it does when it is active."""
        deadline = time.monotonic() + PATIENCE_S
        while self._player.unmatched() or not self._watch.reports:
            if time.monotonic() > deadline:
                raise InputError(self._nobody())
            self._look()

    def _nobody(self) -> str:
        who, seconds = self._watch.full_name, f"{PATIENCE_S:.0f} s"
        if topics := " and ".join(self._player.unmatched()):
            return f"nobody subscribed to {topics} within {seconds}: is {who} running and active?"
        return f"{who} sent no /diagnostics within {seconds}: is that the node's full name, and is it active?"

    def _warm_up(self) -> None:
        """Let the node build its engine for this size: a pair from before the recording, before anybody subscribes.

        It also proves that images get through, which a match alone does not.
        """
        pair = _first_pair(self._source)
        pairs, deadline = self._watch.counts.pairs_in, time.monotonic() + PATIENCE_S
        tries = itertools.count()
        while self._watch.counts.pairs_in == pairs:
            if time.monotonic() > deadline:
                raise InputError(f"{self._watch.full_name} receives no pairs: see its /diagnostics")
            # Every try has its own stamp, never 0 (that means none) nor below (no clock goes there).
            stamp = max(pair[0].stamp_ns - _WARM_UP_NS, 1) + next(tries) * 10**6
            self._player.publish_clock(stamp)
            for frame in pair:
                self._player.publish(dataclasses.replace(frame, stamp_ns=stamp))
            self._look(_TRY_S)
        deadline = time.monotonic() + ENGINE_PATIENCE_S
        while self._watch.engine_state != "ready" or self._watch.counts.under_way:
            if time.monotonic() > deadline:
                raise InputError(f"{self._watch.full_name}: {self._watch.engine_state} for too long")
            self._look()

    def _start_recording(self) -> None:
        """Subscribe, and wait until the node knows."""
        others = self._watch.subscribers
        self._recorder.subscribe_fused()
        if self._records_all:
            for topic, kind in self._watch.outputs():
                self._recorder.subscribe(topic, kind)
        deadline = time.monotonic() + PATIENCE_S
        while self._watch.subscribers <= others:
            if time.monotonic() > deadline:
                raise InputError(f"{self._watch.full_name} does not publish {self._recorder.fused_topic}")
            self._look()

    # Playing

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
        self._check()

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

    def _look(self, seconds: float = 0.05) -> None:
        """Let messages in for a while, and see that everybody is alive."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._spin(left)
        self._check()

    def _check(self) -> None:
        self._recorder.check()
        if self._own is not None:
            self._own.check()

    # After

    def _settle(self, before: NodeCounts) -> None:
        """Wait until the node has nothing under way and everything it published has arrived."""
        deadline = time.monotonic() + SETTLE_S
        last: object = None
        since = self._watch.reports
        while time.monotonic() < deadline:
            self._look()
            counts = self._watch.counts - before
            if (counts, len(self._recorder.arrivals)) != last:
                last, since = (counts, len(self._recorder.arrivals)), self._watch.reports
            # Two reports without a change: the node's own numbers, not only ours, stand still.
            if self._watch.reports - since >= 2 and not counts.under_way and not counts.waiting:
                return

    def _fill(self, report: ReplayReport, counts: NodeCounts) -> None:
        arrivals = self._recorder.arrivals
        report.pairs_in = max(self._pairs, counts.pairs_in)
        report.published = len(arrivals)
        report.dropped.update(counts.dropped)
        report.dropped["not_paired_by_node"] = report.pairs_in - counts.pairs_in
        report.dropped["lost_after_publishing"] = max(counts.published - len(arrivals), 0)
        report.dropped = +report.dropped
        report.unused.update(counts.unused)
        report.sent, report.received = dict(self._player.sent), dict(counts.received)
        report.engine = self._watch.engine
        report.notes += engine_notes(self._watch.engine_refused)
        report.latencies_ms = self._recorder.latencies_ms
        report.seconds = arrivals[-1] - arrivals[0] if arrivals else 0.0
        report.notes += self._source.problems
        if advice := pace(report.published, report.dropped):
            report.notes.append(advice)
        report.balance()


def _full_name(settings: Settings) -> str:
    name = settings.node or "fusion_node"
    return name if name.startswith("/") else f"{settings.namespace.rstrip('/')}/{name}"


def _first_pair(source: Source) -> tuple[RgbFrame, ThermalFrame]:
    """The first frame of each stream."""
    rgb: RgbFrame | None = None
    thermal: ThermalFrame | None = None
    for frame in source:
        if isinstance(frame, RgbFrame):
            rgb = rgb or frame
        else:
            thermal = thermal or frame
        if rgb is not None and thermal is not None:
            return rgb, thermal
    raise InputError(f"{source.name}: no frame of the {'thermal' if rgb else 'RGB'} camera in it")


@contextlib.contextmanager
def _ros_node(namespace: str) -> Iterator[Node]:
    try:
        validate_namespace(namespace)
    except InvalidNamespaceException as error:
        raise InputError(f"--namespace {namespace}: {error}") from error
    # The writer's side needs the large shared-memory segment as much as the reader's.
    os.environ.update(dds.environment())
    context = rclpy.Context()
    # Being asked to end is like Ctrl-C: otherwise the node would be left behind.
    terminate = signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Ctrl-C stays a KeyboardInterrupt, so that the table is printed and the bag is closed.
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = rclpy.create_node("thermal_fusion_replay", namespace=namespace, context=context)
        yield node
        node.destroy_node()
    finally:
        context.try_shutdown()
        signal.signal(signal.SIGTERM, terminate)
