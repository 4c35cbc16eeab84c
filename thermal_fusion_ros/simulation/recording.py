"""The simulated rig behind the same interface as every recording, and as a rosbag2 with ground truth."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.bags.source import Arrival, Recording
from thermal_fusion_ros.config import SimulationConfig
from thermal_fusion_ros.frames import RgbFrame
from thermal_fusion_ros.simulation.rig import Camera, base_pose
from thermal_fusion_ros.simulation.simulator import FIRST_STAMP_NS, Shot, Simulator
from thermal_fusion_ros.simulation.truth import Truth

if TYPE_CHECKING:
    from thermal_fusion_ros.bags.writer import BagWriter

MAP, BASE = "map", "base_link"
CLOCK_HZ = 50


class SimulatedSource(Recording):
    """Frames of a simulated rig; `truth[stamp_ns, "rgb" | "thermal"]` is filled as they are made."""

    def __init__(self, simulator: Simulator, seconds: float, keep_truth: bool = True) -> None:
        c = simulator.config
        super().__init__(f"simulated {c.world}, {c.condition}, seed {c.seed}")
        self.simulator, self.seconds, self.keep_truth = simulator, seconds, keep_truth
        self.truth: dict[tuple[int, str], Truth] = {}
        self.camera_info = {
            "rgb": camera_info(simulator.rig.rgb),
            "thermal": camera_info(simulator.rig.thermal),
        }

    @property
    def frame_count(self) -> int | None:
        """Of both streams."""
        return self.simulator.frame_count(self.seconds)

    def arrivals(self) -> Iterator[Arrival]:
        """Both streams in order of their stamps."""
        for shot in self.simulator.shots(self.seconds, self.keep_truth):
            if shot.truth is not None:
                stream = "rgb" if isinstance(shot.frame, RgbFrame) else "thermal"
                self.truth[shot.frame.stamp_ns, stream] = shot.truth
            yield Arrival(shot.frame.stamp_ns, shot.frame)


def demo_source(
    seconds: float = 6.0,
    seed: int = 0,
    keep_truth: bool = True,
    **settings: Any,
) -> SimulatedSource:
    """The demo's recording: a street at night in smoke, temperature-linear thermal, no shutter event.

    `settings` are fields of `SimulationConfig`.
    """
    config = SimulationConfig(
        **{"seed": seed, "thermal_output": "tlinear", "shutter_period_s": 0.0, **settings}
    )
    return SimulatedSource(Simulator(config), seconds, keep_truth)


def camera_info(camera: Camera) -> Any:
    """sensor_msgs/CameraInfo (of rosbags) of a simulated camera."""
    from rosbags.typesys import Stores, get_typestore

    types = get_typestore(Stores.ROS2_JAZZY).types
    stamp = types["builtin_interfaces/msg/Time"](sec=0, nanosec=0)
    k = camera.matrix
    return types["sensor_msgs/msg/CameraInfo"](
        header=types["std_msgs/msg/Header"](stamp=stamp, frame_id=camera.frame_id),
        height=camera.height,
        width=camera.width,
        distortion_model="plumb_bob",
        d=np.array(camera.distortion, np.float64),
        k=k.reshape(-1),
        r=np.eye(3).reshape(-1),
        p=np.hstack([k, np.zeros((3, 1))]).reshape(-1),
        binning_x=0,
        binning_y=0,
        roi=types["sensor_msgs/msg/RegionOfInterest"](
            x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
        ),
    )


def write_bag(
    writer: BagWriter,
    simulator: Simulator,
    seconds: float,
    truth: str = "png",
    on_frame: Any = lambda: None,
    jobs: int = 1,
) -> int:
    """Write images, camera_info, TF, clock and ground truth; returns the number of frames.

    `truth`: "png" (lossless 16-bit PNG: depth in millimetres up to 65.5 m and 0 beyond, temperature in 0.01 K,
    instances), "raw" (32FC1 metres and kelvin, mono16 instances) or "none". `jobs` processes render.
    """
    put = _BagParts(writer)
    put.static_tf(simulator)
    next_tick = FIRST_STAMP_NS
    count = 0
    for shot in simulator.shots(seconds, truth != "none", jobs):
        stamp = shot.frame.stamp_ns
        while next_tick <= stamp:
            put.clock(next_tick)
            next_tick += 1_000_000_000 // CLOCK_HZ
        stream = "rgb" if isinstance(shot.frame, RgbFrame) else "thermal"
        camera = simulator.rig.rgb if stream == "rgb" else simulator.rig.thermal
        put.info(stream, camera, stamp)
        writer.write_image(f"/{stream}/image_raw", shot.frame.image, stamp_ns=stamp, frame_id=camera.frame_id)
        if stream == "rgb":
            put.pose(base_pose(simulator.world, shot.capture_s), stamp)
        if shot.truth is not None:
            put.truth(stream, shot, truth)
        count += 1
        on_frame()
    return count


class _BagParts:
    """Messages that a simulated recording has besides its images."""

    def __init__(self, writer: BagWriter) -> None:
        self.writer = writer
        self.infos: dict[str, Any] = {}

    def info(self, stream: str, camera: Camera, stamp: int) -> None:
        if stream not in self.infos:
            self.infos[stream] = camera_info(camera)
        message = replace(self.infos[stream], header=self.writer.header(stamp, camera.frame_id))
        self.writer.write(f"/{stream}/camera_info", message, stamp)

    def clock(self, stamp: int) -> None:
        header = self.writer.header(stamp, "")
        self.writer.write("/clock", self.writer.type("rosgraph_msgs/msg/Clock")(clock=header.stamp), stamp)

    def _transform(self, matrix: NDArray[np.float64]) -> Any:
        from scipy.spatial.transform import Rotation

        x, y, z, w = (float(v) for v in Rotation.from_matrix(matrix[:3, :3]).as_quat())
        t = matrix[:3, 3]
        return self.writer.type("geometry_msgs/msg/Transform")(
            translation=self.writer.type("geometry_msgs/msg/Vector3")(
                x=float(t[0]), y=float(t[1]), z=float(t[2])
            ),
            rotation=self.writer.type("geometry_msgs/msg/Quaternion")(x=x, y=y, z=z, w=w),
        )

    def _stamped(self, parent: str, child: str, matrix: NDArray[np.float64], stamp: int) -> Any:
        return self.writer.type("geometry_msgs/msg/TransformStamped")(
            header=self.writer.header(stamp, parent), child_frame_id=child, transform=self._transform(matrix)
        )

    def static_tf(self, simulator: Simulator) -> None:
        rig = simulator.rig
        transforms = [
            self._stamped(BASE, rig.rgb.frame_id, rig.base_from_rgb, FIRST_STAMP_NS),
            self._stamped(BASE, rig.thermal.frame_id, rig.base_from_thermal, FIRST_STAMP_NS),
        ]
        message = self.writer.type("tf2_msgs/msg/TFMessage")(transforms=transforms)
        self.writer.write("/tf_static", message, FIRST_STAMP_NS)

    def pose(self, world_from_base: NDArray[np.float64], stamp: int) -> None:
        tf = self._stamped(MAP, BASE, world_from_base, stamp)
        self.writer.write("/tf", self.writer.type("tf2_msgs/msg/TFMessage")(transforms=[tf]), stamp)

    def truth(self, stream: str, shot: Shot, form: str) -> None:
        truth, stamp = shot.truth, shot.frame.stamp_ns
        assert truth is not None
        header = self.writer.header(stamp, truth.camera.frame_id)
        base = f"/ground_truth/{stream}"
        text = json.dumps(truth.to_dict(), sort_keys=True)
        self.writer.write(f"{base}/objects", self.writer.type("std_msgs/msg/String")(data=text), stamp)
        pictures = {"depth": truth.depth, "instances": truth.instance.astype(np.uint16)}
        if truth.temperature_k is not None:
            pictures["temperature"] = truth.temperature_k
        for name, picture in pictures.items():
            if form == "raw":
                frame_id = truth.camera.frame_id
                self.writer.write_image(f"{base}/{name}", picture, stamp_ns=stamp, frame_id=frame_id)
            else:
                scale = {"depth": 1000.0, "temperature": 100.0}.get(name, 1.0)
                self._png(f"{base}/{name}/compressed", sixteen_bit(picture, scale), header, stamp)

    def _png(self, topic: str, picture: NDArray[np.uint16], header: Any, stamp: int) -> None:
        data = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].reshape(-1)
        message = self.writer.type("sensor_msgs/msg/CompressedImage")(
            header=header, format="16UC1; png compressed ", data=data
        )
        self.writer.write(topic, message, stamp)


def sixteen_bit(picture: NDArray[Any], scale: float) -> NDArray[np.uint16]:
    """Scaled and rounded to uint16; 0 where there is nothing or it does not fit."""
    scaled = np.nan_to_num(np.asarray(picture, np.float64) * scale, nan=0.0, posinf=0.0)
    return np.where(scaled < 65535.5, np.rint(scaled), 0).astype(np.uint16)
