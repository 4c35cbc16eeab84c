"""The fused image as topics. Messages and their buffers are made once, not per frame."""

from __future__ import annotations

import array
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from thermal_fusion_ros.config import OutputConfig
from thermal_fusion_ros.frames import Perception
from thermal_fusion_ros.ros.message_memory import ImageMemory
from thermal_fusion_ros.ros.overridable import NEWEST, create_publisher

if TYPE_CHECKING:
    from rclpy.node import Node

SECOND_NS = 1_000_000_000


class FusedOutputs:
    """`fused/image_raw`, `fused/camera_info` and, if configured, `fused/image_raw/compressed` of a node."""

    def __init__(self, node: Node, config: OutputConfig) -> None:
        self._node = node
        self.jpeg_quality = config.jpeg_quality
        self._image = create_publisher(node, Image, "fused/image_raw", NEWEST)
        self._info = create_publisher(node, CameraInfo, "fused/camera_info", NEWEST)
        self._jpeg = None
        if config.compressed:
            self._jpeg = create_publisher(node, CompressedImage, "fused/image_raw/compressed", NEWEST)
        self._memory = ImageMemory("rgb8")
        self._jpeg_message = CompressedImage(format="rgb8; jpeg compressed bgr8")

    @property
    def subscribers(self) -> int:
        """Subscriptions to the image, in either form."""
        jpeg = self._jpeg.get_subscription_count() if self._jpeg is not None else 0
        return int(self._image.get_subscription_count()) + int(jpeg)

    def publish(self, perception: Perception, camera_info: Any | None) -> int:
        """Publish what somebody subscribes to; the number of images.

        `camera_info`: the RGB camera's last CameraInfo; its header is overwritten.
        """
        header, images = header_of(perception), 0
        if self._image.get_subscription_count():
            message = self._memory.fill(perception.fused)
            message.header = header
            self._image.publish(message)
            images += 1
        if self._jpeg is not None and self._jpeg.get_subscription_count():
            self._jpeg_message.header = header
            self._jpeg_message.data = encode_jpeg(perception.fused, self.jpeg_quality)
            self._jpeg.publish(self._jpeg_message)
            images += 1
        if camera_info is not None and self._info.get_subscription_count():
            camera_info.header = header
            self._info.publish(camera_info)
        return images

    def close(self) -> None:
        """Take the topics away."""
        for publisher in (self._image, self._info, self._jpeg):
            if publisher is not None:
                self._node.destroy_publisher(publisher)


def header_of(perception: Perception) -> Header:
    """Stamp and frame that everything made of `perception` carries."""
    header = Header(frame_id=perception.frame_id)
    header.stamp.sec, header.stamp.nanosec = divmod(perception.stamp_ns, SECOND_NS)
    return header


def encode_jpeg(image: NDArray[np.uint8], quality: int) -> array.array[int]:
    """RGB H×W×3 as the bytes of a JPEG file, in the form that rclpy takes fastest."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    done, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise RuntimeError(f"JPEG encoder failed on {image.shape}")
    data = array.array("B")
    data.frombytes(memoryview(encoded.reshape(-1)))
    return data
