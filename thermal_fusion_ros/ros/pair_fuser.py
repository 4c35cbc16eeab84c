"""Pairs of messages in, images and clouds out, in a thread of its own; every pair is accounted for."""

from __future__ import annotations

import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.bags.source import thermal_kind
from thermal_fusion_ros.config import Config
from thermal_fusion_ros.errors import EngineError, FrozenError, InputError
from thermal_fusion_ros.frames import CAPTION, FramePair, Perception, RgbFrame, ThermalFrame
from thermal_fusion_ros.geometry.poses import PoseOf
from thermal_fusion_ros.messages import BadMessageError, rgb_from_message, thermal_from_message
from thermal_fusion_ros.newest_only import NewestOnly
from thermal_fusion_ros.ros.ledger import Ledger
from thermal_fusion_ros.ros.log_limiter import LogLimiter
from thermal_fusion_ros.ros.rates import Latencies, RateLimit, RateMeter
from thermal_fusion_ros.sensing.camera import CalibrationError, CameraModel, Floats
from thermal_fusion_ros.sensing.pairing import Pair
from thermal_fusion_ros.sensing.rig import Rig

if TYPE_CHECKING:  # it loads torch
    from thermal_fusion_ros.language.guide import Job, Thought
    from thermal_fusion_ros.language.service import LanguageService


@dataclass(frozen=True, slots=True)
class Received:
    """A message, its stamp, and when it came (monotonic seconds)."""

    message: Any
    stamp_ns: int
    at: float


class PipelineLike(Protocol):
    """What the node needs of :class:`thermal_fusion_ros.pipeline.Pipeline`. Used by the fuser's thread alone."""

    counters: Counter[str]
    # Of frames.FUSED, DEPTH, POINTS, OBJECTS, CAPTION: what somebody subscribes to; the rest may be left out.
    wanted: frozenset[str]
    # Gives the code (64,) of pairs that no prompt of known words guides.
    guidance: Callable[[], NDArray[np.float32]] | None
    engine_name: str
    engine_refused: list[str]

    @property
    def thermal_counters(self) -> Counter[str]:
        """What happened to thermal frames."""

    @property
    def prompt(self) -> str:
        """Text in force."""

    def prepare(self, height: int, width: int) -> None:
        """Build the engine for this size."""

    def process(self, pair: FramePair) -> Perception:
        """Fuse."""

    def check_prompt(self, text: str) -> None:
        """InputError if `text` is not understood. Any thread may call it."""

    def set_prompt(self, text: str) -> None:
        """Guide fusion by `text`."""

    def guide(self) -> Callable[[Job], Thought]:
        """What the language worker works with; called in the worker's thread."""

    @property
    def registration(self) -> dict[str, Any]:
        """How the last pair was registered: level, confidence, drift_px."""

    @property
    def registration_counters(self) -> Counter[str]:
        """How pairs were registered."""

    def set_rig(self, rig: Rig | None, problem: CalibrationError | None, rgb: CameraModel | None) -> None:
        """Calibration from outside, or what is missing or wrong with it; `rgb` where only that is known."""

    def set_down(self, down: Floats | None) -> None:
        """Down (3,) in the RGB optical frame, by TF."""

    def set_range_points(self, points: NDArray[np.float32], stamp_ns: int) -> None:
        """Points (N×3 metres, RGB optical frame) that a range sensor has measured."""

    def update(self, config: Config) -> None:
        """Live parameters."""

    def reset(self) -> None:
        """Forget earlier frames."""


class Outputs(Protocol):
    """Where results go."""

    @property
    def subscribers(self) -> int:
        """How many want them."""

    def wanted(self, stamp_ns: int) -> tuple[frozenset[str], str]:
        """What is to be made of the pair of this stamp; where that is nothing, the reason for the ledger."""

    def publish(self, perception: Perception, camera_info: Any | None) -> int:
        """Publish; the number of images and clouds."""


@dataclass(frozen=True, slots=True)
class _Job:
    pair: Pair  # of Received
    offered: float


class PairFuser:
    """Decodes, fuses and publishes the newest pair; counts what became of the others.

    Works while :meth:`attach` has given it outputs. `now_ns` is the clock that stamps are compared with. `language` is
    shown what has been fused, and guides fusion. `rate_hz`: pairs a second at most, by their stamps; 0: all. `pose_of`
    says where a frame was at a moment (ns), as a matrix, in a frame that stands still; asked in the fuser's thread.
    `alive`: False once ROS is shut down; what fails then, fails for that.
    """

    def __init__(
        self,
        pipeline: PipelineLike,
        log: LogLimiter,
        now_ns: Callable[[], int],
        language: LanguageService | None = None,
        rate_hz: float = 0.0,
        pose_of: PoseOf = lambda frame, stamp_ns: None,
        alive: Callable[[], bool] = lambda: True,
    ) -> None:
        self.ledger = Ledger()
        self.rate = RateMeter()
        self.latency_stamp, self.latency_arrival = Latencies(), Latencies()
        self.stages: dict[str, Latencies] = {}
        self.camera_info: Any | None = None
        self.camera_size: tuple[int, int] | None = None  # (width, height) that it is for, where it says so
        self.camera_info_withheld = ""  # why it is not published
        self.frozen = self.empty = False
        self.frozen_frames = 0
        self.resets = 0
        self.problem = ""  # the last pair's, empty when it went well
        self.state = "no pair yet"
        self._pipeline, self._log, self._now_ns = pipeline, log, now_ns
        self._language, self._pose_of, self._alive = language, pose_of, alive
        if language is not None:
            pipeline.guidance = language.code
        self._rate_hz, self._limit = rate_hz, RateLimit()
        self._outputs: Outputs | None = None
        self._publishing = threading.Lock()  # held while outputs are used or changed
        self.building = False  # the engine, which takes a while
        self.build_failed = False
        self._engines: dict[tuple[int, int], str] = {}  # their names, by size (height, width)
        self._last_stamp: int | None = None
        self._busy_since: float | None = None
        self._range_points: tuple[NDArray[np.float32], int] | None = None  # the newest, until the next pair
        self._worker: NewestOnly[_Job] = NewestOnly(self._work, name="engine")

    # Called by the node's thread

    def attach(self, outputs: Outputs) -> None:
        """Start publishing to `outputs`."""
        with self._publishing:
            self._outputs = outputs
        self._range_points = None
        self._worker.call(self._forget)

    def detach(self) -> None:
        """Publish nothing any more; waits for a message that is being published, not for the engine."""
        with self._publishing:
            self._outputs = None
        if self._worker.take_back() is not None:
            self.ledger.drop("inactive")

    def close(self, timeout_s: float) -> bool:
        """End the thread; False if the engine is still busy after `timeout_s`."""
        self.detach()
        return self._worker.stop(timeout_s)

    def submit(self, pair: Pair) -> None:
        """Take a pair of :class:`Received`."""
        self.ledger.enter()
        outputs = self._outputs
        if outputs is None:
            self.ledger.drop("inactive")
        elif not outputs.subscribers:
            self.ledger.drop("no_subscriber")
            if self.state == "no pair yet":
                # Building an engine can take minutes: have it ready for the first subscriber.
                self.state = "engine not built yet"
                self._worker.call(lambda: self._prepare(pair.rgb.message))
        elif not self._limit.due(pair.rgb.stamp_ns, self._rate_hz):
            self.ledger.drop("rate_limited")
        else:
            self._limit.take(pair.rgb.stamp_ns, self._rate_hz)
            self._offer(pair)

    def _offer(self, pair: Pair) -> None:
        if self._worker.offer(_Job(pair, time.monotonic())) is not None:
            self.ledger.drop("engine_building" if self.building else "superseded")

    def update(self, config: Config) -> None:
        """Apply live parameters before the next pair."""
        self._rate_hz = config.fusion.rate_hz
        self._worker.call(lambda: self._try("parameters", lambda: self._pipeline.update(config)))

    def set_rig(self, rig: Rig | None, problem: CalibrationError | None, rgb: CameraModel | None) -> None:
        """Calibration, or what is missing or wrong with it, from the next pair on."""
        self._worker.call(lambda: self._try("calibration", lambda: self._pipeline.set_rig(rig, problem, rgb)))

    def set_down(self, down: Floats | None) -> None:
        """How the RGB camera is mounted, from the next pair on."""
        self._worker.call(lambda: self._try("mounting", lambda: self._pipeline.set_down(down)))

    def set_range_points(self, points: NDArray[np.float32], stamp_ns: int) -> None:
        """Measured points (N×3 metres, RGB optical frame), for the next pair; only the newest are kept."""
        self._range_points = points, stamp_ns

    def set_prompt(self, text: str) -> None:
        """Guide fusion by `text` from the next pair on."""
        self._worker.call(lambda: self._try("prompt", lambda: self._pipeline.set_prompt(text)))

    @property
    def busy_s(self) -> float:
        """How long the present pair has been worked on; 0 between pairs."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    # In the worker's thread

    def _forget(self) -> None:
        self._last_stamp = None
        self.frozen = self.empty = False
        self._try("reset", self._reset)

    def _reset(self) -> None:
        """A new recording, or the clock jumped."""
        self._pipeline.reset()
        if self._language is not None:
            self._language.forget()

    def _prepare(self, message: Any) -> None:
        def build() -> None:
            height, width = rgb_from_message(message).shape[:2]
            with self._meeting((height, width)):
                self._pipeline.prepare(height, width)

        self._try("engine", build)

    def _work(self, job: _Job) -> None:
        self._busy_since = time.monotonic()
        self._try("pair", lambda: self._fuse(job), otherwise=self.ledger.drop)
        self._busy_since = None

    def _try(
        self, what: str, action: Callable[[], None], otherwise: Callable[[str], None] | None = None
    ) -> None:
        """Run `action`; whatever it raises is logged, and `otherwise` gets the reason for the ledger."""
        try:
            action()
            return
        except _DroppedError as drop:
            reason = drop.reason
            if drop.problem:
                self.problem = drop.problem
                self._log.warning(reason, drop.problem)
        except CalibrationError as error:
            reason, self.problem = f"calibration_{error.reason}", str(error)
            self._log.warning(reason, str(error))
        except InputError as error:
            reason, self.problem = "refused", str(error)
            self._log.warning(f"{what} refused", str(error))
        except Exception as error:  # a defect must not stop the node; it is shown with its traceback
            reason = "inactive"
            if self._alive():
                reason, self.problem = "error", f"{type(error).__name__}: {error}"
                self._log.error(f"{what} error", traceback.format_exc().rstrip())
        if otherwise is not None:
            otherwise(reason)

    def _fuse(self, job: _Job) -> None:
        rgb: Received = job.pair.rgb
        thermal: Received = job.pair.thermal
        with self._publishing:
            if self._outputs is None:
                raise _DroppedError("inactive")
            wanted, why_nothing = self._outputs.wanted(rgb.stamp_ns)
        if not wanted:
            raise _DroppedError(why_nothing)
        begun = time.monotonic()
        pose = self._pose_of(rgb.message.header.frame_id, rgb.stamp_ns)
        frames = FramePair(_rgb_frame(rgb), _thermal_frame(thermal), pose)
        decoded = time.monotonic()
        if self._last_stamp is not None and rgb.stamp_ns < self._last_stamp:
            self.resets += 1
            self._range_points = None
            self._reset()  # pairs come in order: a recording has looped, or a clock was set
        self._last_stamp = rgb.stamp_ns
        self._pipeline.wanted = wanted
        self._hand_over_range_points()
        perception = self._process(frames)
        shown = self._language is not None and self._language.offer(frames.rgb.image, perception)
        fused = time.monotonic()
        with self._publishing:
            if self._outputs is None:
                raise _DroppedError("inactive")
            published = self._outputs.publish(perception, self._fitting_camera_info(perception))
            if not published and not (shown and wanted == {CAPTION}):
                raise _DroppedError("output_refused" if self._outputs.subscribers else "no_subscriber")
        self.ledger.publish()
        self.problem = ""
        done = time.monotonic()
        self.rate.tick(done)
        self.latency_arrival.add(done - rgb.at)
        self.latency_stamp.add((self._now_ns() - rgb.stamp_ns) / 1e9)
        self._note_stages(
            {
                "pairing": (job.offered - rgb.at) * 1e3,
                "queue": (begun - job.offered) * 1e3,
                "decode": (decoded - begun) * 1e3,
                **perception.stage_ms,
                "publish": (done - fused) * 1e3,
            }
        )

    def _hand_over_range_points(self) -> None:
        measured, self._range_points = self._range_points, None
        if measured is not None:
            self._try("range points", lambda: self._pipeline.set_range_points(*measured))

    def _fitting_camera_info(self, perception: Perception) -> Any | None:
        """The camera_info, unless it is for pictures of another size."""
        height, width = perception.fused.shape[:2]
        told = self.camera_size
        self.camera_info_withheld = ""
        if told is not None and told != (width, height):
            self.camera_info_withheld = (
                f"rgb/camera_info is for {told[0]}x{told[1]}, images are {width}x{height}"
            )
            return None
        return self.camera_info

    def _process(self, frames: FramePair) -> Perception:
        height, width = frames.rgb.image.shape[:2]
        try:
            with self._meeting((height, width)):
                perception = self._pipeline.process(frames)
        except FrozenError:
            self.frozen = True
            self.frozen_frames += 1
            raise _DroppedError("frozen") from None
        self.frozen, self.empty = perception.frozen, perception.empty
        self.frozen_frames += perception.frozen
        return perception

    def _note_stages(self, stage_ms: Mapping[str, float]) -> None:
        for stage, duration in stage_ms.items():
            if stage not in self.stages:
                self.stages = {**self.stages, stage: Latencies()}  # the node may be reading the old one
            self.stages[stage].add(duration / 1e3)

    @contextmanager
    def _meeting(self, size: tuple[int, int]) -> Iterator[None]:
        """Around what builds the engine if `size` (height, width) is new to it: tells why pairs have to wait."""
        new, failure = size not in self._engines, None
        if new:
            self.building = True
            self.state = f"building the engine for {_named(size)}"
        try:
            yield
            if new:
                self._engines[size] = self._pipeline.engine_name
        except Exception as error:
            # Other bad input is a pair's, found when the engine is there. An engine that was there may be built again.
            if isinstance(error, EngineError) or (new and not isinstance(error, InputError)):
                self._engines.pop(size, None)
                failure = error
            raise
        finally:
            self.building, self.build_failed = False, failure is not None
            self.state = "ready" if failure is None else self._without(size, failure)

    def _without(self, size: tuple[int, int], failure: Exception) -> str:
        """What to say when there is no engine for `size`."""
        others = [f"{engine} goes on for {_named(other)}" for other, engine in self._engines.items()]
        first = "" if isinstance(failure, EngineError) else ", or fusing its first pair,"
        why = str(failure).strip().partition("\n")[0] or type(failure).__name__
        rest = ", ".join(others) or "there is no other"
        return f"building the engine for {_named(size)}{first} failed: {why}; {rest}"


def _named(size: tuple[int, int]) -> str:
    height, width = size
    return f"{width}x{height}"


class _DroppedError(Exception):
    """The pair is not published, for `reason`; `problem` is for the log."""

    def __init__(self, reason: str, problem: str = "") -> None:
        super().__init__(reason)
        self.reason, self.problem = reason, problem


def _rgb_frame(received: Received) -> RgbFrame:
    try:
        image = rgb_from_message(received.message)
    except BadMessageError as error:
        raise _DroppedError("rgb_undecodable", f"rgb image: {error}") from error
    return RgbFrame(received.stamp_ns, image, received.message.header.frame_id)


def _thermal_frame(received: Received) -> ThermalFrame:
    try:
        image = thermal_from_message(received.message)
    except BadMessageError as error:
        raise _DroppedError("thermal_undecodable", f"thermal image: {error}") from error
    return ThermalFrame(received.stamp_ns, image, thermal_kind(image), received.message.header.frame_id)
