"""Reading pictures for scoring: strict, so that no broken file is scored as if it were whole."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.evaluation.arrays import GreyImage, Picture8

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})


def read_picture(path: Path) -> Picture8:
    """Decode an 8-bit picture: (H, W) grey or (H, W, 3) BGR, with EXIF orientation applied and alpha dropped.

    Raises :class:`InputError` when the file can't be read, is cut short, or is not 8-bit.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    if not data:
        raise InputError(f"{path}: the file is empty")
    if _is_cut_short(data):
        raise InputError(f"{path}: the file is cut short; copy or make it again")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error:
        image = None
    if image is None:
        raise InputError(f"{path}: not a picture, or a damaged one")
    if image.dtype != np.uint8:
        raise InputError(
            f"{path}: values are {image.dtype}; metrics need 8-bit pictures, so convert it first"
        )
    return np.asarray(image, dtype=np.uint8)


def grey_of(picture: Picture8) -> GreyImage:
    """Grey values (H, W), whole numbers 0-255, of a picture: 0.299 R + 0.587 G + 0.114 B, rounded.

    The rounding is that of the common metric code. OpenCV's own 8-bit conversion differs from it by one
    level at ties, its grey JPEG decoding by up to twelve.
    """
    if picture.ndim == 3:
        return np.rint(cv2.cvtColor(picture.astype(np.float32), cv2.COLOR_BGR2GRAY)).astype(np.float64)
    return picture.astype(np.float64)


def read_grey(path: Path) -> GreyImage:
    """Grey values (H, W) of a picture file on the 0-255 scale."""
    return grey_of(read_picture(path))


def _is_cut_short(data: bytes) -> bool:
    # Decoders fill the missing part of a cut JPEG with grey, older ones that of a PNG with black, and go on.
    if data.startswith(b"\xff\xd8"):
        # An end marker inside an embedded thumbnail lies before the last start-of-scan.
        return data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")
    return data.startswith(b"\x89PNG") and b"IEND" not in data
