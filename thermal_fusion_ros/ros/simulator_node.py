"""The simulated rig as two live cameras: images, camera_info, TF, and ground truth for who subscribes to it."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import threading
import time
import traceback
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import replace
from typing import Any

import numpy as np
import rclpy
from geometry_msgs.msg import PoseStamped, TransformStamped
from numpy.typing import NDArray
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from rosgraph_msgs.msg import Clock
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import Image
from std_msgs.msg import String

from thermal_fusion_ros.config import Config, parameters
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.frames import RgbFrame
from thermal_fusion_ros.parameter import Parameter, Spec
from thermal_fusion_ros.ros.arguments import begin
from thermal_fusion_ros.ros.heartbeat import keep_awake
from thermal_fusion_ros.ros.message_memory import ImageMemory
from thermal_fusion_ros.ros.parameters import take
from thermal_fusion_ros.ros.player import StreamPublisher
from thermal_fusion_ros.simulation.recording import BASE, MAP, camera_info
from thermal_fusion_ros.simulation.rig import base_pose
from thermal_fusion_ros.simulation.simulator import FIRST_STAMP_NS, Shot, Simulator, render

try:
    from tf2_msgs.msg import TFMessage  # type: ignore[import-not-found]
except ImportError:  # the PyPI wheels of ROS have none
    TFMessage = None

NAME = "simulator"
SECTION = "simulation."
CLOCK = Parameter(
    "clock",
    False,
    Spec(
        "Stamps count from the start of the simulation, and /clock tells that time; else they are of ROS time."
    ),
)
SECOND_NS = 1_000_000_000
STREAMS = ("rgb", "thermal")
WORKERS = 2  # processes that render: two threads would wait for each other's GIL a third of the time


class Schedule:
    """Which captures are due: the faster camera sets the pace, the slower one joins its nearest tick.

    Both cameras of a pair are rendered for the same moment, however late the machine is; ticks that are over before
    they could be rendered are skipped and counted.
    """

    def __init__(self, rgb_hz: float, thermal_hz: float, thermal_phase_s: float) -> None:
        self.rates = {"rgb": rgb_hz, "thermal": thermal_hz}
        self.phases = {"rgb": 0.0, "thermal": thermal_phase_s}
        self.leader = max(STREAMS, key=lambda s: self.rates[s])
        self.last = dict.fromkeys(STREAMS, -1)
        self.skipped = 0

    def wait_s(self, elapsed_s: float) -> float:
        """Seconds until the next tick."""
        due = (self.last[self.leader] + 1) / self.rates[self.leader] + self.phases[self.leader]
        return max(due - elapsed_s, 0.0)

    def take(self, elapsed_s: float) -> dict[str, float]:
        """Capture times (s) to render now, by stream; the newest that are due."""
        rate, phase = self.rates[self.leader], self.phases[self.leader]
        tick = int((elapsed_s - phase) * rate + 1e-6)
        self.skipped += max(tick - self.last[self.leader] - 1, 0)
        moment = tick / rate + phase
        out = {}
        for stream in STREAMS:
            number = tick
            if stream != self.leader:
                number = max(int(np.floor((moment - self.phases[stream]) * self.rates[stream] + 0.5)), 0)
            if number > self.last[stream]:
                self.last[stream] = number
                out[stream] = number / self.rates[stream] + self.phases[stream]
        return out


def own_parameters() -> list[Parameter]:
    """What the node reads. Real time is what it is for, unless somebody asks for beauty."""
    live = {"simulation.quality": "live"}
    return [CLOCK] + [
        replace(parameter, default=live.get(parameter.name, parameter.default))
        for parameter in parameters()
        if parameter.name.startswith(SECTION)
    ]


class SimulatorNode(Node):  # type: ignore[misc] # rclpy has no types
    """Renders in processes of its own; parameters are `clock` and the section `simulation`, read at the start.

    Raises :class:`InputError` for bad ones.
    """

    def __init__(self, **node_options: Any) -> None:
        super().__init__(NAME, automatically_declare_parameters_from_overrides=True, **node_options)
        try:
            values = take(self, own_parameters(), self.get_logger().warning)
            self._simulated_clock = bool(values.pop(CLOCK.name))
            self.simulator = Simulator(Config().with_values(values).simulation)
        except InputError:
            self.destroy_node()
            raise
        rig, self._streams, self._truth = self.simulator.rig, {}, {}
        for name in STREAMS:
            self._streams[name] = StreamPublisher(self, name, camera_info(getattr(rig, name)))
            topics = {"objects": String, "depth": Image, "instances": Image}
            if name == "thermal":
                topics["temperature"] = Image
            self._truth[name] = {
                topic: self.create_publisher(kind, f"ground_truth/{name}/{topic}", 5)
                for topic, kind in topics.items()
            }
        self._pose = self.create_publisher(PoseStamped, "ground_truth/pose", 5)
        self._clock_topic = self.create_publisher(Clock, "/clock", 10) if self._simulated_clock else None
        self._tf = None
        if TFMessage is None:
            self.get_logger().warning(
                "no TF: tf2_msgs is not installed; ground_truth/pose has the robot's pose"
            )
        else:
            latched = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
            self._tf = self.create_publisher(TFMessage, "/tf", 10)
            self._static = self.create_publisher(TFMessage, "/tf_static", latched)
            parts = ((rig.rgb.frame_id, rig.base_from_rgb), (rig.thermal.frame_id, rig.base_from_thermal))
            self._static.publish(
                TFMessage(transforms=[_transform(BASE, f, pose, self._now_ns()) for f, pose in parts])
            )
        self.schedule = Schedule(
            rig.rgb_timing.rate_hz, rig.thermal_timing.rate_hz, rig.thermal_timing.phase_s
        )
        self.published = dict.fromkeys(STREAMS, 0)
        self.failed = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="simulation", daemon=True)

    def start(self) -> None:
        """Begin to render and publish."""
        self._thread.start()

    def close(self) -> None:
        """Stop rendering; returns when the last picture is out."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self.destroy_node()

    def _now_ns(self) -> int:
        return FIRST_STAMP_NS if self._simulated_clock else int(self.get_clock().now().nanoseconds)

    def _run(self) -> None:
        pool = self.simulator.workers(WORKERS)
        # Workers inherit this: Ctrl-C is sent to them too, but ending is this process's affair. Not before the pool is
        # made: its helper process unblocks the signal.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._play(pool)
        except Exception:
            if self._stop.is_set() or not rclpy.ok(context=self.context):
                return  # the end of the process came in the middle of a publication
            # Without its pictures the node is of no use: end loudly instead of standing there silent.
            self.get_logger().fatal(traceback.format_exc().rstrip())
            self.failed = True
            rclpy.try_shutdown(context=self.context)
        finally:
            # Not by killing the workers: one that dies in the middle of handing a picture over blocks the reader.
            pool.shutdown(cancel_futures=True)

    def _play(self, pool: ProcessPoolExecutor) -> None:
        def submit(name: str, t: float) -> Future[Shot]:
            return pool.submit(render, STREAMS.index(name), t, self._wants_truth(name))

        # First pictures fill caches and take seconds: time starts after each worker, most likely, has made both.
        for name in STREAMS:
            first = [submit(name, 0.0) for _ in range(WORKERS)]
            while wait(first, timeout=0.1).not_done and not self._stop.is_set():
                pass
        start, self._offset_ns = time.monotonic(), self._now_ns() - FIRST_STAMP_NS
        report = start + 10
        pending: deque[dict[str, Future[Shot]]] = deque()
        while not self._stop.is_set():
            while pending and all(done.done() for done in pending[0].values()):
                for name, done in pending.popleft().items():
                    if self._stop.is_set() or not rclpy.ok(context=self.context):
                        return
                    self._publish(name, done.result())
            # The colour picture takes longer than the thermal one: the next pair begins on the core that is free.
            running = [done for shots in pending for done in shots.values() if not done.done()]
            if len(running) >= WORKERS:
                wait(running, timeout=0.1, return_when=FIRST_COMPLETED)
                continue
            idle = self.schedule.wait_s(time.monotonic() - start)
            if idle > 0:
                self._stop.wait(min(idle, 0.02))
                continue
            due = self.schedule.take(time.monotonic() - start)
            pending.append({name: submit(name, t) for name, t in due.items()})
            if time.monotonic() > report:
                rgb, thermal = (self.published[name] / (time.monotonic() - start) for name in STREAMS)
                skipped = self.schedule.skipped
                self.get_logger().info(f"RGB {rgb:.1f} Hz, thermal {thermal:.1f} Hz, {skipped} ticks skipped")
                report = time.monotonic() + 30

    def _wants_truth(self, name: str) -> bool:
        return any(p.get_subscription_count() for p in self._truth[name].values())

    def _publish(self, name: str, shot: Shot) -> None:
        frame = shot.frame
        stamp_ns = frame.stamp_ns + (0 if self._simulated_clock else self._offset_ns)
        moved = type(frame)(**{**{f: getattr(frame, f) for f in frame.__slots__}, "stamp_ns": stamp_ns})
        self._streams[name].publish(moved)
        self.published[name] += 1
        if self._clock_topic is not None:
            message = Clock()
            message.clock.sec, message.clock.nanosec = divmod(stamp_ns, SECOND_NS)
            self._clock_topic.publish(message)
        if isinstance(frame, RgbFrame):
            self._publish_pose(base_pose(self.simulator.world, shot.capture_s), stamp_ns)
        if shot.truth is not None:
            self._publish_truth(name, shot, stamp_ns)

    def _publish_pose(self, pose: NDArray[np.float64], stamp_ns: int) -> None:
        transform = _transform(MAP, BASE, pose, stamp_ns)
        message = PoseStamped(header=transform.header)
        message.pose.orientation = transform.transform.rotation
        translation = transform.transform.translation
        message.pose.position.x, message.pose.position.y, message.pose.position.z = (
            translation.x,
            translation.y,
            translation.z,
        )
        self._pose.publish(message)
        if self._tf is not None:
            self._tf.publish(TFMessage(transforms=[transform]))

    def _publish_truth(self, name: str, shot: Shot, stamp_ns: int) -> None:
        truth, topics = shot.truth, self._truth[name]
        assert truth is not None
        if topics["objects"].get_subscription_count():
            text = {**truth.to_dict(), "stamp_ns": stamp_ns}
            topics["objects"].publish(String(data=json.dumps(text, sort_keys=True)))
        pictures: dict[str, tuple[NDArray[Any] | None, str]] = {
            "depth": (truth.depth, "32FC1"),
            "instances": (truth.instance.astype(np.uint16), "mono16"),
            "temperature": (truth.temperature_k, "32FC1"),
        }
        for topic, (picture, encoding) in pictures.items():
            if picture is not None and topic in topics and topics[topic].get_subscription_count():
                topics[topic].publish(_image(picture, encoding, truth.camera.frame_id, stamp_ns))


def _image(picture: NDArray[Any], encoding: str, frame_id: str, stamp_ns: int) -> Image:
    message = ImageMemory(encoding).fill(picture)
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, SECOND_NS)
    message.header.frame_id = frame_id
    return message


def _transform(parent: str, child: str, pose: NDArray[np.float64], stamp_ns: int) -> TransformStamped:
    out = TransformStamped(child_frame_id=child)
    out.header.frame_id = parent
    out.header.stamp.sec, out.header.stamp.nanosec = divmod(stamp_ns, SECOND_NS)
    x, y, z = (float(v) for v in pose[:3, 3])
    out.transform.translation.x, out.transform.translation.y, out.transform.translation.z = x, y, z
    a, b, c, d = (float(v) for v in Rotation.from_matrix(pose[:3, :3]).as_quat())
    turn = out.transform.rotation
    turn.x, turn.y, turn.z, turn.w = a, b, c, d
    return out


def main(args: list[str] | None = None) -> int:
    """`python -m thermal_fusion_ros.ros.simulator_node`: 0 when asked to end, 2 for bad parameters."""
    node: SimulatorNode | None = None
    code = 0
    try:
        begin(args)
        node = SimulatorNode()
        keep_awake(node)
        node.start()
        rclpy.spin(node)
    except InputError as error:
        print(f"{NAME}: {error}", file=sys.stderr)
        code = 2
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception:
        if rclpy.ok():  # else it was asked to end in the middle of something, a world being built for example
            raise
    finally:
        with contextlib.suppress(KeyboardInterrupt):
            if node is not None:
                node.close()
                code = 1 if node.failed else code
            rclpy.try_shutdown()
    return code


if __name__ == "__main__":
    sys.exit(main())
