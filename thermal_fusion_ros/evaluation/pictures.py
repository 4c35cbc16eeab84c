"""Reading pictures for scoring: strict, so that no broken file is scored as if it were whole."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from thermal_fusion_ros.bags.pictures import decode
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.evaluation.arrays import GreyImage, Picture8


def read_picture(path: Path) -> Picture8:
    """Decode an 8-bit picture: (H, W) grey or (H, W, 3) BGR, with EXIF orientation applied and alpha dropped.

    Raises :class:`InputError` when the file can't be read, is cut short, or is not 8-bit.
    """
    image = decode(path, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH)
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
