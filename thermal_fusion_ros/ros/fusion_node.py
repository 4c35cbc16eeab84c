"""The ROS 2 node: two cameras in, fused images, depth and point clouds out.

A lifecycle node that configures and activates itself unless ``node.autostart`` is false. One thread runs the executor
and takes messages in; another decodes, fuses and publishes the newest pair (see `pair_fuser`); a third thinks about
language at its own low rate (see `language.service`). Topics and diagnostics: README.md and `diagnostics`.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockChange, ClockType, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import String

from thermal_fusion_ros.config import Config
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.geometry.mounting import down_of_pose, parse_tilt
from thermal_fusion_ros.geometry.poses import Matrix, matrix_from
from thermal_fusion_ros.ros import diagnostics, parameters, report
from thermal_fusion_ros.ros.arguments import begin
from thermal_fusion_ros.ros.heartbeat import keep_awake
from thermal_fusion_ros.ros.inputs import CameraInput
from thermal_fusion_ros.ros.log_limiter import LogLimiter, PythonLogBridge
from thermal_fusion_ros.ros.node_outputs import NodeOutputs
from thermal_fusion_ros.ros.overridable import (
    NEWEST,
    RELIABLE,
    SENSOR_DATA,
    create_publisher,
    create_subscription,
)
from thermal_fusion_ros.ros.pair_fuser import PairFuser, PipelineLike, Received
from thermal_fusion_ros.ros.range_input import RangeInput
from thermal_fusion_ros.ros.transforms import TransformLookup
from thermal_fusion_ros.ros.watchdog import explain_silence
from thermal_fusion_ros.sensing.camera import Floats
from thermal_fusion_ros.sensing.pairing import Pair, PairerLike, Stream, make_pairer
from thermal_fusion_ros.sensing.rig_assembly import CAMERAS, WAITING, RigAssembly

if TYPE_CHECKING:  # it loads torch
    from thermal_fusion_ros.language.service import LanguageService

NAME = "fusion_node"
EXPIRE_PERIOD_S = 0.02
TRANSFORM_PERIOD_S = 0.5  # between looks at TF
SAME_DOWN = 0.003  # radians: the camera's mounting has not changed by more
LANGUAGE_PERIOD_S = 1.0  # at most, between looks at what the language worker does
FORWARD_JUMP_S = 10.0  # of simulated time; less is a slow or a fast recording
MANY = 30  # images of a camera; of so many, some should have become pairs
NO_CAMERA = "nothing has come on rgb/camera_info; start the driver's, or set registration.rig"
NO_TF = "depth.odometry_frame is of no use without tf2_ros: install it (apt), or leave the parameter empty"
PATIENCE_S = 3.0  # at the end, for the engine to finish the pair it is working on

PipelineFactory = Callable[[Config], PipelineLike]


def shipped_pipeline(config: Config) -> PipelineLike:
    """The real one; imported late because it takes seconds."""
    from thermal_fusion_ros.pipeline import Pipeline

    return Pipeline(config, language_worker=True)


class FusionNode(LifecycleNode):  # type: ignore[misc] # rclpy has no types
    """Pairs, fuses, publishes, reports. Raises :class:`InputError` for bad parameters."""

    def __init__(self, pipeline_factory: PipelineFactory = shipped_pipeline, **node_options: Any) -> None:
        super().__init__(NAME, automatically_declare_parameters_from_overrides=True, **node_options)
        self._pipeline_factory = pipeline_factory
        self._log = LogLimiter(self.get_logger())
        try:
            self.config = parameters.declare(self, self.get_logger().warning)
        except InputError:
            self.destroy_node()
            raise
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self._pipeline: PipelineLike | None = None
        self._fuser: PairFuser | None = None
        self._language: LanguageService | None = None
        self._refusal_told = ""
        self._pairer: PairerLike | None = None
        self._assembly: RigAssembly | None = None
        self._inputs: dict[Stream, CameraInput] = {}
        self._outputs: NodeOutputs | None = None
        self._range: RangeInput | None = None
        self._rgb_frame: str | None = None  # of the last RGB image
        self._down: Floats | None = None  # in its frame, by TF
        self._transforms: TransformLookup | None = None
        self._resets_seen = 0  # of the fuser: a recording has looped
        self._closers: list[Callable[[], object]] = []  # undo what activating has made
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._expiring: Any = None  # the timer that lets waiting frames go
        self._clock_jumps = 0
        self._told_silent: set[Stream] = set()
        self._since_pair: Counter[Stream] = Counter()  # images
        self._core_log = PythonLogBridge(self.get_logger(), "thermal_fusion_ros")
        self._core_log.open()

    # Lifecycle

    def start(self) -> bool:
        """Configure and activate, unless ``node.autostart`` is false. False if that fails; the log says why."""
        if not self.config.node.autostart:
            self.get_logger().info("waiting to be configured (node.autostart is false)")
            return True
        success = TransitionCallbackReturn.SUCCESS
        return bool(self.trigger_configure() == success and self.trigger_activate() == success)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the network."""
        return self._transition(self._configure, otherwise=self._unconfigure)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe, publish, report."""
        return self._transition(self._activate, otherwise=self._deactivate)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Take all topics away; the network stays loaded."""
        return self._transition(self._deactivate)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unload the network."""
        return self._transition(self._unconfigure)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End everything, from any state."""
        return self._transition(self._unconfigure)

    def close(self) -> bool:
        """End everything; False if the engine is still busy, in which case its thread goes on."""
        self._core_log.close()
        idle = self._unconfigure()
        self.destroy_node()
        return idle

    def destroy_node(self) -> None:
        """Also the services of the lifecycle, which rclpy leaves in the graph until garbage is collected: half gone,
        they keep clients of the next node of this name from finding it ready.
        """
        super().destroy_node()
        self._state_machine.destroy_when_not_in_use()

    def _transition(
        self, action: Callable[[], object], otherwise: Callable[[], object] = lambda: None
    ) -> TransitionCallbackReturn:
        """Run `action`. rclpy would swallow what it raises, so it is logged here."""
        try:
            action()
        except InputError as error:
            self.get_logger().error(str(error))
        except Exception:
            if self.context.ok():  # else it was asked to end in the middle
                self.get_logger().error(traceback.format_exc().rstrip())
        else:
            return TransitionCallbackReturn.SUCCESS
        otherwise()
        return TransitionCallbackReturn.FAILURE

    def _configure(self) -> None:
        started = time.monotonic()
        config = self.config
        self._pairer = make_pairer(config.sync)
        self._assembly = RigAssembly(config.registration)
        self._pipeline = self._pipeline_factory(config)
        self._language = self._make_language(self._pipeline)
        self._fuser = PairFuser(
            self._pipeline,
            self._log,
            self._now_ns,
            self._language,
            config.fusion.rate_hz,
            self._pose_of_camera,
            self.context.ok,
        )
        self._tell_rig()
        self._inputs = {
            stream: CameraInput(
                self,
                stream,
                compressed=config.input.transport == "compressed",
                take=self._on_image,
                log=self._log,
            )
            for stream in Stream
        }
        self._clock_jumps = 0
        self.get_logger().info(f"configured in {time.monotonic() - started:.1f} s")

    def _unconfigure(self) -> bool:
        self._deactivate()
        idle = self._fuser is None or self._fuser.close(PATIENCE_S)
        idle = (self._language is None or self._language.close()) and idle
        self._pipeline = self._fuser = self._language = self._pairer = self._assembly = None
        self._inputs = {}
        return idle

    def _make_language(self, pipeline: PipelineLike) -> LanguageService:
        from thermal_fusion_ros.language.service import LanguageService  # late: it loads torch

        language = LanguageService(self.config.language, pipeline.guide)
        language.set_prompt(self.config.fusion.prompt)
        return language

    def _activate(self) -> None:
        assert self._fuser is not None
        assert self._language is not None
        config = self.config
        self._outputs = NodeOutputs(self, config, self._language)
        self._closers.append(self._outputs.close)
        self._tell_camera()
        self._fuser.attach(self._outputs)
        self._closers.append(self._fuser.detach)  # undone in reverse: before the publishers go
        self._told_silent.clear()
        self._since_pair.clear()
        for camera in self._inputs.values():
            camera.open()
            self._closers.append(camera.close)
        for name in CAMERAS:
            self._subscribe(
                CameraInfo, f"{name}/camera_info", partial(self._on_camera_info, name), SENSOR_DATA
            )
        transforms = self._transforms = TransformLookup(self)
        self._down = None
        self._closers.append(transforms.close)
        self._every(TRANSFORM_PERIOD_S, self._ask_transform)
        if config.depth.odometry_frame and not transforms.available:
            self.get_logger().warning(NO_TF)
        if config.depth.enabled:
            self._listen_to_range()
        self._subscribe(String, "~/prompt", self._on_prompt, NEWEST)
        self._diagnostics = create_publisher(self, DiagnosticArray, "/diagnostics", RELIABLE)
        self._closers.append(partial(self.destroy_publisher, self._diagnostics))
        self._expiring = self._every(EXPIRE_PERIOD_S, self._expire)
        self._every(min(config.input.watchdog_s / 2, 1.0), self._watch)
        self._every(config.node.diagnostics_period_s, self._publish_diagnostics)
        self._every(min(1 / config.language.rate_hz, LANGUAGE_PERIOD_S), self._tend_language)
        jump = self.get_clock().create_jump_callback(
            JumpThreshold(
                min_forward=Duration(seconds=FORWARD_JUMP_S), min_backward=Duration(nanoseconds=-1)
            ),
            post_callback=self._on_clock_jump,
        )
        self._closers.append(jump.unregister)
        topics = " + ".join(camera.topic for camera in self._inputs.values())
        fused = self.resolve_topic_name("fused/image_raw")
        self.get_logger().info(f"active: {topics} -> {fused}")

    def _deactivate(self) -> None:
        while self._closers:
            self._closers.pop()()
        self._outputs = self._range = None
        if self._pairer is not None:
            self._pairer.reset("deactivated")

    def _subscribe(self, kind: Any, topic: str, callback: Callable[[Any], None], qos: QoSProfile) -> None:
        subscription = create_subscription(self, kind, topic, callback, qos)
        self._closers.append(partial(self.destroy_subscription, subscription))

    def _every(self, period_s: float, callback: Callable[[], None]) -> Any:
        # Real time: simulated time may stand still, and then the diagnostics must say so.
        timer = self.create_timer(period_s, callback, clock=self._steady)
        self._closers.append(partial(self.destroy_timer, timer))
        return timer

    # Messages and time

    def _now_ns(self) -> int:
        return int(self.get_clock().now().nanoseconds)

    def _on_image(self, stream: Stream, received: Received) -> None:
        if stream is Stream.RGB:
            self._rgb_frame = received.message.header.frame_id
        if stream in self._told_silent:
            self._told_silent.discard(stream)
            self.get_logger().info(f"{stream.value} images arrive")
        if self._expiring.is_canceled():
            self._expiring.reset()
        if self._pairer is not None:
            self._since_pair[stream] += 1
            self._submit(self._pairer.add(stream, received.stamp_ns, received, self._now_ns()))

    def _expire(self) -> None:
        if all(camera.silent_s > self.config.sync.wait_s + 1.0 for camera in self._inputs.values()):
            self._expiring.cancel()  # nothing waits any more: rest until an image comes
        if self._pairer is not None:
            self._submit(self._pairer.expire(self._now_ns()))

    def _submit(self, pairs: Iterable[Pair]) -> None:
        assert self._fuser is not None
        for pair in pairs:
            self._since_pair.clear()
            self._fuser.submit(pair)

    @property
    def _nothing_pairs(self) -> bool:
        return all(self._since_pair[stream] >= MANY and stream not in self._told_silent for stream in Stream)

    def _on_camera_info(self, camera: str, message: CameraInfo) -> None:
        if self._fuser is None or self._assembly is None:
            return
        if self._assembly.take_camera_info(camera, message):
            self._tell_rig()
            self._tell_camera()
        if camera == "rgb":
            # Nobody is to compute with wrong geometry; a camera that says it is not calibrated says nothing wrong.
            wrong = self._assembly.wrong(camera)
            model = self._assembly.camera(camera)
            withheld = wrong is not None and wrong.reason != "uncalibrated"
            self._fuser.camera_size = None if model is None else model.size
            self._fuser.camera_info = None if withheld else message

    def _ask_transform(self) -> None:
        assert self._transforms is not None
        assert self._fuser is not None
        if self._fuser.resets != self._resets_seen:
            self._resets_seen = self._fuser.resets
            self._transforms.clear()
        wanted = None if self._assembly is None else self._assembly.wanted_transform
        pose = None if wanted is None else self._transforms.pose(*wanted)
        if self._assembly is not None and pose is not None and self._assembly.take_pose(*pose):
            self._tell_rig()
        self._ask_mounting()

    def _ask_mounting(self) -> None:
        """How the RGB camera looks at level ground; a robot may move its head."""
        depth = self.config.depth
        if (
            not (depth.enabled and depth.base_frame and self._rgb_frame)
            or depth.camera_tilt
            or self._fuser is None
            or self._transforms is None
        ):
            return
        pose = self._transforms.pose(depth.base_frame, self._rgb_frame)
        if pose is None:
            return
        down = down_of_pose(matrix_from(*pose))
        if self._down is None or np.abs(down - self._down).max() > SAME_DOWN:
            self._down = down
            self._fuser.set_down(down)

    def _pose_of_camera(self, frame_id: str, stamp_ns: int) -> Matrix | None:
        """Where odometry had the RGB camera; called in the fuser's thread."""
        depth, transforms = self.config.depth, self._transforms
        if not (depth.enabled and depth.odometry_frame and frame_id) or transforms is None:
            return None
        return transforms.moving_pose(depth.odometry_frame, frame_id, stamp_ns)

    def _tell_rig(self) -> None:
        """Hand the rig, or what is wrong with it, to the pipeline."""
        assert self._assembly is not None
        assert self._fuser is not None
        problem = self._assembly.problem
        self._fuser.set_rig(self._assembly.rig, problem, self._assembly.camera("rgb"))
        if problem is not None and problem.reason not in WAITING:
            self._log.warning(f"calibration {problem.reason}", str(problem))

    def _tell_camera(self) -> None:
        """Hand the RGB camera, or why it is not known, to who computes points."""
        if self._outputs is None or self._outputs.depth is None or self._assembly is None:
            return
        rig, wrong = self._assembly.rig, self._assembly.wrong("rgb")
        camera = self._assembly.camera("rgb") if rig is None else rig.rgb
        why = str(wrong) if wrong is not None else NO_CAMERA
        self._outputs.depth.set_camera(why if camera is None else camera)

    def _listen_to_range(self) -> None:
        assert self._fuser is not None
        assert self._transforms is not None
        self._range = RangeInput(
            self,
            self._transforms,
            take=self._fuser.set_range_points,
            wanted=lambda: (
                self.config.depth.range_points and self._outputs is not None and self._outputs.subscribers > 0
            ),
            rgb_frame=lambda: self._rgb_frame,
            log=self._log,
        )
        self._closers.append(self._range.close)

    def _on_prompt(self, message: String) -> None:
        """Operator's text; empty goes back to ``fusion.prompt``, and to the caption where that is empty."""
        if self._pipeline is None or self._fuser is None or self._language is None:
            return
        text = message.data.strip() or self.config.fusion.prompt
        try:
            self._pipeline.check_prompt(text)
        except InputError as error:
            self.get_logger().warning(f"prompt refused: {error}")
            return
        self._fuser.set_prompt(text)
        self._language.set_prompt(text)
        self.get_logger().info(f"prompt: {text!r}")

    def _on_clock_jump(self, jump: TimeJump) -> None:
        """Simulated time was set, switched on or off: a recording loops, or starts.

        Pairing sees a loop in the stamps themselves and loses no frame by it; it starts anew only when it is another
        clock. Silence counts from now.
        """
        self._clock_jumps += 1
        switched = jump.clock_change in (ClockChange.ROS_TIME_ACTIVATED, ClockChange.ROS_TIME_DEACTIVATED)
        if switched and self._pairer is not None:
            self._pairer.reset("another clock")
        for camera in self._inputs.values():
            camera.restart_watch()
        what = "is another clock now" if switched else f"jumped by {jump.delta.nanoseconds / 1e9:+.3f} s"
        self._log.info("time", f"time {what}")

    # Parameters

    def _on_set_parameters(self, changes: list[Any]) -> Any:
        before = self.config
        self.config, result = parameters.answer(
            before, changes, configured=self._pipeline is not None, check=self._check
        )
        if self.config != before:
            self._apply(before)
        return result

    def _check(self, config: Config) -> None:
        parse_tilt(config.depth.camera_tilt)
        if self._pipeline is not None and config.fusion.prompt != self.config.fusion.prompt:
            self._pipeline.check_prompt(config.fusion.prompt)

    def _apply(self, before: Config) -> None:
        if self._pairer is not None:
            self._pairer.update(self.config.sync)
        if self._fuser is not None:
            self._fuser.update(self.config)
        if self._language is not None and self.config.fusion.prompt != before.fusion.prompt:
            self._language.set_prompt(self.config.fusion.prompt)
        if self._outputs is not None:
            self._outputs.update(self.config)

    # Watching and reporting

    def _watch(self) -> None:
        for stream, camera in self._inputs.items():
            if camera.silent_s > self.config.input.watchdog_s and stream not in self._told_silent:
                self._told_silent.add(stream)
                self.get_logger().warning(explain_silence(self, camera))
        if self._now_ns() == 0:
            self._log.warning("no clock", report.NO_CLOCK)
        if self._nothing_pairs:
            self._log.warning("no pairs", report.NO_PAIRS)

    def _tend_language(self) -> None:
        if self._language is None or self._outputs is None:
            return
        if self._language.tend():
            self._log.warning("language", "the language worker had stalled and was replaced")
        state = self._language.state()
        if state.refused and state.prompt != self._refusal_told:
            self.get_logger().warning(f"prompt refused: {state.refused}")
        self._refusal_told = state.prompt if state.refused else ""
        self._outputs.language.publish(state)

    def _publish_diagnostics(self) -> None:
        if self._fuser is None or self._pairer is None or self._pipeline is None or self._outputs is None:
            return
        assert self._assembly is not None
        pairing = self._pairer.report()
        parts = [
            report.pairs(self._fuser),
            *(
                report.camera(
                    camera,
                    pairing,
                    watchdog_s=self.config.input.watchdog_s,
                    explain=partial(explain_silence, self, camera),
                )
                for camera in self._inputs.values()
            ),
            report.output(self._fuser, pairing, self._outputs.subscribers),
            report.depth(self._outputs.depth, self._range),
            report.objects(self._outputs.objects),
            report.engine(self._fuser, self._pipeline),
            *([] if self._language is None else [report.language(self._language.state())]),
            report.sync(
                pairing,
                self.config.sync,
                self._clock_jumps,
                clock_stands=self._now_ns() == 0,
                nothing_pairs=self._nothing_pairs,
            ),
            report.shutter(self._fuser, self._pipeline),
            report.registration(self._fuser, self._pipeline, self._assembly, self.config.registration),
        ]
        self._diagnostics.publish(
            diagnostics.array(
                parts,
                node_name=self.get_name(),
                full_name=self.get_fully_qualified_name(),
                stamp=self.get_clock().now().to_msg(),
            )
        )


def spin_safely(executor: Any, node: FusionNode, timeout_s: float | None = None) -> None:
    """One callback. What it raises is logged and the node goes on: a bad service request raises through rclpy."""
    try:
        executor.spin_once(timeout_sec=timeout_s)
    except ExternalShutdownException:
        pass
    except Exception:
        if node.context.ok():
            node.get_logger().error(traceback.format_exc().rstrip())


def main(args: list[str] | None = None) -> int:
    """`ros2 run thermal_fusion_ros fusion_node`: 0 when asked to end, 2 for bad parameters."""
    code = 0
    executor: Any = None
    node: FusionNode | None = None
    try:
        begin(args)
        executor = SingleThreadedExecutor()
        node = FusionNode()
        executor.add_node(node)
        keep_awake(node)
        if node.start():
            while rclpy.ok():
                spin_safely(executor, node)
        elif rclpy.ok():  # else it was asked to end while it started
            code = 2
    except InputError as error:
        print(f"{NAME}: {error}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        pass
    except Exception:
        if rclpy.ok():  # else it was interrupted in the middle of something
            raise
    finally:
        idle = node is None
        with contextlib.suppress(KeyboardInterrupt):  # impatient people interrupt the end, too
            if executor is not None:
                executor.shutdown()
            if node is not None:
                idle = node.close()
            rclpy.try_shutdown()
    if not idle:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # an engine that is being built cannot be interrupted, and must not hold up the end
    return code


if __name__ == "__main__":
    sys.exit(main())
