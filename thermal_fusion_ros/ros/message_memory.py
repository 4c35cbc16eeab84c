"""Messages whose memory is written into again and again: nothing of the size of an image is allocated per frame."""

from __future__ import annotations

import array
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image


def lend_memory(message: Any, nbytes: int) -> Any:
    """Give `message` as many bytes of data; the buffer that can be written into.

    rclpy copies the data as a whole when it publishes, so one array.array serves all frames. It may also copy on
    assignment, hence the look into the message's own, which must never be resized while numpy sees it.
    """
    message.data = array.array("B", bytes(nbytes))
    return message.data


class ImageMemory:
    """An Image `message` of one encoding, filled by :meth:`fill`; header and encoding are the owner's to change."""

    def __init__(self, encoding: str) -> None:
        self.message = Image(encoding=encoding, is_bigendian=0)
        self._pixels: NDArray[Any] = np.empty((0, 0))

    def fill(self, image: NDArray[Any]) -> Image:
        """The message with `image`, H×W or H×W×C, whose bytes are what the encoding says."""
        if self._pixels.shape != image.shape or self._pixels.dtype != image.dtype:
            memory = lend_memory(self.message, image.nbytes)
            self._pixels = np.frombuffer(memory, image.dtype).reshape(image.shape)
            self.message.height, self.message.width = image.shape[:2]
            self.message.step = image.nbytes // image.shape[0]
        np.copyto(self._pixels, image)
        return self.message
