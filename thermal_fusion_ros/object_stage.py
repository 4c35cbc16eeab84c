"""What the pipeline makes of the object head's maps: detections, and with depth and heat, objects in the world."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.config import ObjectsConfig
from thermal_fusion_ros.depth_stage import pinhole
from thermal_fusion_ros.detections import Detection
from thermal_fusion_ros.frames import Perception
from thermal_fusion_ros.geometry.object_depth import BOX_SIGMA
from thermal_fusion_ros.geometry.scale_readings import depth_by_height
from thermal_fusion_ros.language.scene import SeenObject, see
from thermal_fusion_ros.models.graph import OBJECTS
from thermal_fusion_ros.models.objects import STRIDE, decode
from thermal_fusion_ros.sensing.camera import USUAL_FOV_DEG, CameraModel

LEAST_SIGMA = 0.05  # of depth, however sure the network is
SAME = 1e-5  # of depth: what float32 leaves of a distance that went through a picture


def detect(
    outputs: Mapping[str, NDArray[Any]], height: int, width: int, config: ObjectsConfig
) -> list[Detection]:
    """Detections, best first, in the `height`×`width` picture that the graph's `outputs` are of."""
    scores, edges = (outputs[name].transpose(2, 0, 1) for name in OBJECTS)
    stride = STRIDE * max(
        1, round(height / scores.shape[1] / STRIDE)
    )  # twice as wide where fusion looks at half the size
    return decode(scores, edges, (height, width), config.min_score, stride=stride)


def place(
    perception: Perception, detections: list[Detection], camera: CameraModel | None, *, heights: bool = True
) -> None:
    """Fill ``perception.objects``, after its depth. `camera`: what the RGB picture was taken with, where known.

    `heights`: metres are improved by how tall people and vehicles usually are.
    """
    height, width = perception.fused.shape[:2]
    # Of a lens that nothing is known about left is left all the same.
    lens = camera or pinhole(width, height, USUAL_FOV_DEG)
    scale, depth = perception.scale, perception.relative_depth
    factor = None if scale is None else scale.scale
    if depth is not None and factor is not None:
        depth = depth * np.float32(factor)
    perception.objects = see(
        detections,
        perception.thermal,
        depth,
        camera=lens,
        metric=factor is not None,
        sigma=0.0 if scale is None or factor is None else scale.sigma or 0.0,
        depth_sigma=perception.depth_sigma,
        temperature_k=perception.temperature_k,
    )
    if heights and camera is not None and factor is not None:
        perception.objects = tuple(_with_height(seen, detections, camera) for seen in perception.objects)


def _with_height(seen: SeenObject, detections: list[Detection], camera: CameraModel) -> SeenObject:
    """Two opinions on how far it is, weighed by their variances: the depth network's, and its height in the picture.

    Who was brought nearer (:mod:`thermal_fusion_ros.geometry.object_depth`) has one alone: there depth is the height's.
    """
    by_height = depth_by_height(Detection(seen.label, seen.box, seen.score), detections, camera)
    if by_height is None:
        return seen
    logs, weights = [math.log(by_height[0])], [1 / (by_height[1] ** 2 + BOX_SIGMA**2)]
    if seen.depth is not None and seen.depth > 0 and not math.isclose(seen.depth, by_height[0], rel_tol=SAME):
        logs.append(math.log(seen.depth))
        weights.append(max(seen.sigma, LEAST_SIGMA) ** -2)
    depth = math.exp(float(np.average(logs, weights=weights)))
    return replace(seen, depth=depth, sigma=sum(weights) ** -0.5)
