"""What was found in one picture, for a file: the caption, and the objects it speaks of."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.frames import Perception
from thermal_fusion_ros.language.captioner import Captioner
from thermal_fusion_ros.language.glance import glance
from thermal_fusion_ros.language.scene import SeenObject


def account(rgb: NDArray[np.uint8], perception: Perception) -> dict[str, Any]:
    """Caption and objects of a pair that stands alone, as JSON takes them. `rgb` H×W×3 is what was seen."""
    return {
        "caption": Captioner()(glance(rgb, perception)()).text,
        "objects": [_told(seen) for seen in perception.objects],
    }


def _told(seen: SeenObject) -> dict[str, Any]:
    """`distance_m` and `temperature_k` are null where unknown; `box` is x0 y0 x1 y1 in pixels, left is positive."""
    metres = seen.distance if seen.metric else None
    return {
        "label": seen.label,
        "score": round(seen.score, 3),
        "box": [round(edge, 1) for edge in seen.box],
        "distance_m": None if metres is None else round(metres, 2),
        "distance_sigma": None if metres is None else round(seen.sigma, 3),
        "bearing_deg": round(seen.bearing_deg, 1),
        "heat": round(seen.heat, 3),
        "temperature_k": None if seen.temperature_k is None else round(seen.temperature_k, 1),
    }
