"""What a pair costs in the node: two raw messages in; fused picture, depth and cloud filled into messages' memory.

The same functions as the node's, without DDS, which copies and sends in its own time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.config import Config
from thermal_fusion_ros.depth_stage import pinhole
from thermal_fusion_ros.frames import FramePair, Perception, RgbFrame, ThermalFrame, ThermalKind
from thermal_fusion_ros.geometry.pointcloud import INTENSITY, TEMPERATURE, PointCloudBuilder
from thermal_fusion_ros.messages import rgb_from_message, thermal_from_message
from thermal_fusion_ros.pipeline import Pipeline

CAMERA_HEIGHT_M, HORIZONTAL_FOV_DEG = 1.35, 60.0  # where the configuration leaves them open


@dataclass(frozen=True)
class RawImage:
    """The fields of a sensor_msgs/Image that are read."""

    height: int
    width: int
    encoding: str
    step: int
    data: bytearray
    is_bigendian: int = 0


def with_metres(config: Config) -> Config:
    """`config` with a source of metres, without which there is neither depth in metres nor a cloud."""
    known = {}
    if not config.depth.camera_height_m:
        known["depth.camera_height_m"] = CAMERA_HEIGHT_M
    if not config.depth.horizontal_fov_deg:
        known["depth.horizontal_fov_deg"] = HORIZONTAL_FOV_DEG
    return config.with_values(known)


class FramePath:
    """One pair after the other through a pipeline; memory is kept from pair to pair, as in the node."""

    def __init__(self, config: Config) -> None:
        """`config` as :func:`with_metres` gives it."""
        self.pipeline = Pipeline(config)
        self._config = config
        self._cloud: PointCloudBuilder | None = None
        self._memory: dict[str, NDArray[Any]] = {}
        self._pairs = 0

    def __call__(self, rgb: RawImage, thermal: RawImage) -> dict[str, float]:
        """Milliseconds by stage, in order."""
        begun = time.perf_counter()
        stamp = self._pairs * 33_000_000
        self._pairs += 1
        pair = frames(rgb, thermal, stamp)
        decoded = time.perf_counter()
        perception = self.pipeline.process(pair)
        perceived = time.perf_counter()
        if perception.depth is not None:
            self._make_cloud(perception, perception.depth)
        clouded = time.perf_counter()
        self._fill("fused", perception.fused)
        if perception.depth is not None:
            self._fill("depth", perception.depth)
        filled = time.perf_counter()
        return {
            "decode": (decoded - begun) * 1e3,
            **perception.stage_ms,
            "cloud": (clouded - perceived) * 1e3,
            "fill": (filled - clouded) * 1e3,
        }

    def _make_cloud(self, perception: Perception, depth: NDArray[np.float32]) -> None:
        kelvin = perception.temperature_k
        channel = INTENSITY if kelvin is None else TEMPERATURE
        if self._cloud is None or self._cloud.channel != channel:
            camera = pinhole(depth.shape[1], depth.shape[0], self._config.depth.horizontal_fov_deg)
            self._cloud = PointCloudBuilder(camera, self._config.points, channel)
            self._cloud.lay_over(bytearray(self._cloud.nbytes))
        self._cloud(depth, perception.fused, perception.thermal if kelvin is None else kelvin)

    def _fill(self, topic: str, image: NDArray[Any]) -> None:
        if topic not in self._memory:
            self._memory[topic] = np.empty_like(image)
        np.copyto(self._memory[topic], image)


def frames(rgb: RawImage, thermal: RawImage, stamp_ns: int = 0) -> FramePair:
    """Messages as the pipeline takes them."""
    return FramePair(
        RgbFrame(stamp_ns, rgb_from_message(rgb)),
        ThermalFrame(stamp_ns, thermal_from_message(thermal), ThermalKind.COUNTS),
    )


def scene(height: int, width: int, count: int, seed: int = 0) -> list[tuple[RawImage, RawImage]]:
    """`count` different pairs of messages: colour and 16-bit thermal counts with smooth structure and noise."""
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(count):
        rgb = cv2.resize(
            rng.integers(0, 255, (12, 16, 3), np.uint8), (width, height), interpolation=cv2.INTER_CUBIC
        )
        counts = cv2.resize(rng.normal(8000, 400, (12, 16)).astype(np.float32), (width, height))
        counts = (counts + rng.normal(0, 5, counts.shape)).astype(np.uint16)
        pairs.append(
            (
                RawImage(height, width, "rgb8", 3 * width, bytearray(np.asarray(rgb, np.uint8))),
                RawImage(height, width, "mono16", 2 * width, bytearray(counts)),
            )
        )
    return pairs
