"""Where fused frames go besides the screen: picture folders and bags."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from thermal_fusion_ros.bags.pictures import write_picture
from thermal_fusion_ros.bags.source import SECOND_NS
from thermal_fusion_ros.bags.writer import BagWriter
from thermal_fusion_ros.files import make_folder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FUSED_TOPIC = "/fused/image_raw"


class Sink(Protocol):
    """Takes fused frames one by one; the image may be overwritten after the call."""

    def add(self, stamp_ns: int, frame_id: str, image: NDArray[np.uint8]) -> None:
        """Take an H×W×3 RGB image."""


@runtime_checkable
class DepthSink(Protocol):
    """A sink that also takes depth, of the frames that have it in metres; before or after their fused image."""

    def add_depth(self, stamp_ns: int, depth: NDArray[np.float32]) -> None:
        """Take H×W float32 metres, NaN where invalid."""


class PictureSink:
    """Writes `SECONDS.NANOSECONDS.png` into a folder, which is made when missing."""

    def __init__(self, folder: Path) -> None:
        make_folder(folder)
        self.folder = folder

    def add(self, stamp_ns: int, frame_id: str, image: NDArray[np.uint8]) -> None:
        """Write one picture."""
        del frame_id
        sec, nanosec = divmod(stamp_ns, SECOND_NS)
        write_picture(self.folder / f"{sec:010d}.{nanosec:09d}.png", image)


class BagSink:
    """Writes the fused frames alone; what replay without ROS records."""

    def __init__(self, writer: BagWriter) -> None:
        self.writer = writer

    def add(self, stamp_ns: int, frame_id: str, image: NDArray[np.uint8]) -> None:
        """Write one image message."""
        self.writer.write_image(FUSED_TOPIC, image, stamp_ns=stamp_ns, frame_id=frame_id)
