"""The fused image as topics. Messages and their buffers are made once, not per frame."""

from __future__ import annotations

import array
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rclpy.qos import QoSHistoryPolicy, QoSProfile, QoSReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from thermal_fusion_ros.config import OutputConfig
from thermal_fusion_ros.frames import Perception

if TYPE_CHECKING:
    from rclpy.node import Node

SECOND_NS = 1_000_000_000
# RViz subscribes reliably; a late frame is worth nothing to it, so only the newest is kept.
QOS = QoSProfile(history=QoSHistoryPolicy.KEEP_LAST, depth=1, reliability=QoSReliabilityPolicy.RELIABLE)


class FusedOutputs:
    """`fused/image_raw`, `fused/camera_info` and, if configured, `fused/image_raw/compressed` of a node."""

    def __init__(self, node: Node, config: OutputConfig) -> None:
        self._node = node
        self.jpeg_quality = config.jpeg_quality

        def publisher(kind: Any, topic: str) -> Any:
            overridable = QoSOverridingOptions.with_default_policies()
            return node.create_publisher(kind, topic, QOS, qos_overriding_options=overridable)

        self._image = publisher(Image, "fused/image_raw")
        self._info = publisher(CameraInfo, "fused/camera_info")
        self._jpeg = publisher(CompressedImage, "fused/image_raw/compressed") if config.compressed else None
        self._image_message = Image(encoding="rgb8", is_bigendian=0)
        self._jpeg_message = CompressedImage(format="rgb8; jpeg compressed bgr8")
        self._pixels: NDArray[np.uint8] = np.empty((0, 0, 3), np.uint8)  # the memory of the image message

    @property
    def subscribers(self) -> int:
        """Subscriptions to the image, in either form."""
        jpeg = self._jpeg.get_subscription_count() if self._jpeg is not None else 0
        return int(self._image.get_subscription_count()) + int(jpeg)

    def publish(self, perception: Perception, camera_info: Any | None) -> None:
        """Publish what somebody subscribes to.

        `camera_info`: the RGB camera's last CameraInfo; its header is overwritten.
        """
        header = self._image_message.header
        header.stamp.sec, header.stamp.nanosec = divmod(perception.stamp_ns, SECOND_NS)
        header.frame_id = perception.frame_id
        if self._image.get_subscription_count():
            self._fill(perception.fused)
            self._image.publish(self._image_message)
        if self._jpeg is not None and self._jpeg.get_subscription_count():
            self._jpeg_message.header = header
            self._jpeg_message.data = encode_jpeg(perception.fused, self.jpeg_quality)
            self._jpeg.publish(self._jpeg_message)
        if camera_info is not None and self._info.get_subscription_count():
            camera_info.header = header
            self._info.publish(camera_info)

    def close(self) -> None:
        """Take the topics away."""
        for publisher in (self._image, self._info, self._jpeg):
            if publisher is not None:
                self._node.destroy_publisher(publisher)

    def _fill(self, fused: NDArray[np.uint8]) -> None:
        if self._pixels.shape != fused.shape:
            # rclpy takes an array.array as it is and copies it when it publishes, so one buffer serves all frames.
            # An array that numpy looks into must never be resized: a new size gets a new one.
            memory = array.array("B", bytes(fused.nbytes))
            self._pixels = np.frombuffer(memory, np.uint8).reshape(fused.shape)
            message = self._image_message
            message.data = memory
            message.height, message.width = fused.shape[:2]
            message.step = fused.shape[1] * 3
        np.copyto(self._pixels, fused)


def encode_jpeg(image: NDArray[np.uint8], quality: int) -> array.array[int]:
    """RGB H×W×3 as the bytes of a JPEG file, in the form that rclpy takes fastest."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    done, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise RuntimeError(f"JPEG encoder failed on {image.shape}")
    data = array.array("B")
    data.frombytes(memoryview(encoded.reshape(-1)))
    return data
