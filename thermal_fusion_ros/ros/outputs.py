"""The fused image as topics. Messages and their buffers are made once, not per frame."""

from __future__ import annotations

import array
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from thermal_fusion_ros.config import OutputConfig
from thermal_fusion_ros.frames import Perception
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
        try:
            self._publish(perception, camera_info)
        except Exception:
            if self._node.context.ok():  # else ROS was shut down in the middle
                raise

    def _publish(self, perception: Perception, camera_info: Any | None) -> None:
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
            # rclpy copies the data as a whole when it publishes, so one array.array serves all frames. It may also copy
            # on assignment, hence the look into the message's own. That must never be resized while numpy sees it.
            message = self._image_message
            message.data = array.array("B", bytes(fused.nbytes))
            self._pixels = np.frombuffer(message.data, np.uint8).reshape(fused.shape)
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
