"""sensor_msgs images to numpy: `Image` and `CompressedImage`, of rclpy, of rosbags or any object with their fields.

Needs no ROS. A row may be padded (`step`) and 16-bit pixels may be in either byte order; what needs no conversion is
not copied. Colour conversion, demosaicing and decompression are OpenCV's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.errors import InputError

Array = NDArray[Any]

JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_TAIL = 1024  # bytes at the end in which a whole file has its end marker; some cameras pad with zeros
_JPEG_END, _PNG_END = b"\xff\xd9", b"IEND"


class BadMessageError(InputError):
    """An image message that cannot be used. `reason` is one word for counters, the text is for people."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True)
class Layout:
    """How an encoding stores pixels: `channels` numbers of `dtype` each.

    `to_rgb`: OpenCV's conversion, if it needs one; `row_pairs`: a second plane of half the height follows (NV12, NV21).
    """

    dtype: Any
    channels: int = 1
    to_rgb: int | None = None
    even_width: bool = False
    row_pairs: bool = False

    def row_bytes(self, width: int) -> int:
        """Bytes of one row without padding."""
        return width * self.channels * int(np.dtype(self.dtype).itemsize)

    def rows(self, height: int) -> int:
        """Rows stored for an image of `height`."""
        return height * 3 // 2 if self.row_pairs else height


@cache
def layouts() -> dict[str, Layout]:
    """Every encoding that is understood (REP-2010, sensor_msgs/image_encodings.hpp)."""
    found = {
        "mono8": Layout(np.uint8),
        "8UC1": Layout(np.uint8),
        "mono16": Layout(np.uint16),
        "16UC1": Layout(np.uint16),
        "32FC1": Layout(np.float32),
        "uyvy": Layout(np.uint8, 2, cv2.COLOR_YUV2RGB_UYVY, even_width=True),
        "yuyv": Layout(np.uint8, 2, cv2.COLOR_YUV2RGB_YUY2, even_width=True),
        "nv12": Layout(np.uint8, 1, cv2.COLOR_YUV2RGB_NV12, even_width=True, row_pairs=True),
        "nv21": Layout(np.uint8, 1, cv2.COLOR_YUV2RGB_NV21, even_width=True, row_pairs=True),
    }
    found["yuv422"], found["yuv422_yuy2"] = found["uyvy"], found["yuyv"]
    # OpenCV names a pattern by its second row, ROS by its first.
    bayer = {
        "rggb": cv2.COLOR_BayerBG2RGB,
        "bggr": cv2.COLOR_BayerRG2RGB,
        "gbrg": cv2.COLOR_BayerGR2RGB,
        "grbg": cv2.COLOR_BayerGB2RGB,
    }
    for bits, dtype in ((8, np.uint8), (16, np.uint16)):
        found[f"rgb{bits}"] = Layout(dtype, 3)
        found[f"bgr{bits}"] = Layout(dtype, 3, cv2.COLOR_BGR2RGB)
        found[f"rgba{bits}"] = Layout(dtype, 4, cv2.COLOR_RGBA2RGB)
        found[f"bgra{bits}"] = Layout(dtype, 4, cv2.COLOR_BGRA2RGB)
        found |= {f"bayer_{name}{bits}": Layout(dtype, 1, code) for name, code in bayer.items()}
    return found


def check_message(message: Any) -> None:
    """Raise :class:`BadMessageError` for what can be seen without decoding: sizes, encoding, truncation."""
    if hasattr(message, "encoding"):
        _check_raw(message)
    else:
        _check_compressed(message)


def image_from_message(message: Any) -> Array:
    """The picture of an `Image` or `CompressedImage`.

    RGB H×W×3 (uint8, or uint16 for 16-bit colour) or mono H×W (uint8, uint16, float32), native byte order. It may share
    memory with the message: keep the message, change neither. Raises :class:`BadMessageError`.
    """
    check_message(message)
    return _decode_raw(message) if hasattr(message, "encoding") else _decode_compressed(message)


def rgb_from_message(message: Any) -> NDArray[np.uint8]:
    """H×W×3 uint8 of a colour camera's message; grey becomes three equal channels, of 16 bits the upper 8 are kept."""
    check_rgb_message(message)
    image = image_from_message(message)
    grey_or_rgb: NDArray[np.uint8] = (image >> 8).astype(np.uint8) if image.dtype == np.uint16 else image
    if grey_or_rgb.ndim == 2:
        return np.repeat(grey_or_rgb[:, :, None], 3, axis=2)
    return grey_or_rgb


def thermal_from_message(message: Any) -> Array:
    """H×W uint8, uint16 or float32 of a thermal camera's message; the colour of one that only sends video becomes grey.

    A 16-bit image that went through JPEG is refused: what was measured is lost in it.
    """
    check_thermal_message(message)
    image = image_from_message(message)
    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def check_rgb_message(message: Any) -> None:
    """:func:`check_message`, and nothing that only a thermal or depth camera sends."""
    check_message(message)
    if getattr(message, "encoding", "") == "32FC1":
        raise BadMessageError("encoding", "32FC1 is no colour image: publish rgb8, bgr8 or mono8")


def check_thermal_message(message: Any) -> None:
    """:func:`check_message`, and no JPEG made of 16 bits."""
    check_message(message)
    if not hasattr(message, "encoding"):
        _refuse_jpeg_of_16_bits(message)


def describe(message: Any) -> str:
    """Encoding and size as far as the message tells, for diagnostics: `bgr8 640x480`."""
    if hasattr(message, "encoding"):
        return f"{message.encoding} {message.width}x{message.height}"
    return str(message.format)


def stamp_ns(message: Any) -> int:
    """Stamp of the header in nanoseconds."""
    stamp = message.header.stamp
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def _check_raw(message: Any) -> Layout:
    layout = layouts().get(message.encoding)
    if layout is None:
        raise BadMessageError(
            "encoding", f"encoding {message.encoding!r} is not understood; known: {', '.join(layouts())}"
        )
    height, width = int(message.height), int(message.width)
    if height == 0 or width == 0:
        raise BadMessageError("empty", f"the image is {width}x{height} pixels")
    if layout.even_width and (width % 2 or (layout.row_pairs and height % 2)):
        raise BadMessageError("size", f"{message.encoding} needs even sizes, the image is {width}x{height}")
    row = layout.row_bytes(width)
    step = int(message.step) or row  # some drivers leave it 0
    if step < row:
        raise BadMessageError(
            "step", f"step is {step}, but {width} pixels of {message.encoding} take {row} bytes a row"
        )
    if step % np.dtype(layout.dtype).itemsize:
        raise BadMessageError("step", f"step is {step}, which cuts a pixel of {message.encoding} in two")
    wanted = step * (layout.rows(height) - 1) + row  # the last row may come without its padding
    if len(message.data) < wanted:
        raise BadMessageError(
            "short_data",
            f"{len(message.data)} bytes of data, "
            f"but {width}x{height} {message.encoding} with step {step} takes {wanted}",
        )
    return layout


def _decode_raw(message: Any) -> Array:
    layout = layouts()[message.encoding]
    height, width = int(message.height), int(message.width)
    dtype = np.dtype(layout.dtype)
    step = int(message.step) or layout.row_bytes(width)
    numbers: Array = np.ndarray(
        (layout.rows(height), width * layout.channels),
        dtype.newbyteorder(">" if message.is_bigendian else "<"),
        buffer=_bytes(message.data),
        strides=(step, dtype.itemsize),
    )
    numbers = numbers.astype(dtype, copy=False)  # native byte order
    image = numbers if layout.channels == 1 else numbers.reshape(height, width, layout.channels)
    return image if layout.to_rgb is None else cv2.cvtColor(image, layout.to_rgb)


def _check_compressed(message: Any) -> None:
    head = bytes(memoryview(_bytes(message.data))[:8])
    if not head:
        raise BadMessageError("empty", "a compressed image without data")
    tail = bytes(memoryview(_bytes(message.data))[-_TAIL:])
    if head.startswith(JPEG):
        whole = _JPEG_END in tail
    elif head == PNG:
        whole = _PNG_END in tail
    else:
        raise BadMessageError("encoding", f"format {message.format!r} holds neither JPEG nor PNG data")
    if not whole:
        raise BadMessageError(
            "short_data",
            f"the {message.format!r} data ends after {len(message.data)} bytes without its end marker",
        )


def _decode_compressed(message: Any) -> Array:
    try:
        image = cv2.imdecode(np.frombuffer(_bytes(message.data), np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise BadMessageError(
            "undecodable", f"{message.format!r} data cannot be decoded: {error.err}"
        ) from error
    if image is None:
        raise BadMessageError("undecodable", f"{message.format!r} data cannot be decoded")
    if image.ndim == 2:
        return image
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB if image.shape[2] == 3 else cv2.COLOR_BGRA2RGB)


def _refuse_jpeg_of_16_bits(message: Any) -> None:
    source = message.format.partition(";")[0].strip()
    if source in ("mono16", "16UC1") and bytes(memoryview(_bytes(message.data))[:3]) == JPEG:
        raise BadMessageError(
            "jpeg_16bit",
            f"format {message.format!r}: JPEG has 8 bits, the measurement is lost; "
            "set the camera's image_transport to png (parameter `<topic>.compressed.format`)",
        )


def _bytes(data: Any) -> Any:
    """The buffer of a message's `data`, whatever kind of sequence it is."""
    return data if hasattr(data, "tobytes") or isinstance(data, (bytes, bytearray)) else bytes(data)
