"""The array types that the metrics pass around."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GreyImage = NDArray[np.float64]  # (H, W), 0-255
GreyLevels = NDArray[np.uint8]  # (H, W), the same rounded to 256 levels
Picture8 = NDArray[np.uint8]  # (H, W) grey or (H, W, 3) BGR, as decoded from a file
Mask = NDArray[np.bool_]
