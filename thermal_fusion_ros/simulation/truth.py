"""Exact ground truth of a picture: depth, masks, boxes, distances, temperatures, facts for a caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.simulation.actors import Labelled
from thermal_fusion_ros.simulation.conditions import Condition
from thermal_fusion_ros.simulation.mesh import F32
from thermal_fusion_ros.simulation.renderer import View
from thermal_fusion_ros.simulation.rig import Camera
from thermal_fusion_ros.simulation.worlds import World

SMALLEST_PIXELS = 6  # fewer are nothing anybody could find


@dataclass(frozen=True)
class ObjectTruth:
    """One labelled object as this camera sees it.

    `box` x0 y0 x1 y1 in pixels, x1 and y1 just outside, of the visible part. `distance_m` is the median straight
    distance of the visible points, `depth_m` the median along the optical axis, `nearest_m` the nearest point;
    `bearing_deg` of the box's middle, left positive (REP-103). `position_m` is their centroid in the optical frame.
    `transmission` (0..1) is how much of its light fog or smoke lets through in this camera's spectrum.
    `temperature_k` (median, true surface) is None in the RGB camera. `truncated`: the box touches the picture's edge.
    `full_box` is that of the whole object, hidden parts and parts outside the picture included; `visible_share` (0..1)
    is the area of `box` over that of `full_box`.
    """

    instance: int
    label: str
    box: tuple[int, int, int, int]
    pixels: int
    distance_m: float
    depth_m: float
    nearest_m: float
    bearing_deg: float
    position_m: tuple[float, float, float]
    transmission: float
    truncated: bool
    full_box: tuple[float, float, float, float]
    visible_share: float
    moving: bool
    facts: dict[str, str]
    temperature_k: float | None = None


@dataclass(frozen=True)
class Truth:
    """Everything known about one picture; all images have its size.

    `depth` metres along the optical axis, NaN where there is none (sky); `instance` 0 for nothing labelled;
    `temperature_k` true surface temperature (thermal camera only). `world_from_camera` and `world_from_base` 4×4.
    `frozen`: a shutter event repeats an older picture; everything here belongs to `capture_s`, when it was taken.
    """

    stamp_ns: int
    capture_s: float
    frozen: bool
    camera: Camera
    world_from_camera: NDArray[np.float64]
    world_from_base: NDArray[np.float64]
    depth: F32
    instance: NDArray[np.int32]
    transmission: F32
    objects: tuple[ObjectTruth, ...]
    facts: dict[str, Any]
    temperature_k: F32 | None = None

    def to_dict(self) -> dict[str, Any]:
        """What fits into text: poses, objects and facts (JSON types only)."""
        return {
            "stamp_ns": self.stamp_ns,
            "capture_s": round(self.capture_s, 6),
            "frozen": self.frozen,
            "world_from_camera": np.round(self.world_from_camera, 6).tolist(),
            "objects": [asdict(o) for o in self.objects],
            "facts": self.facts,
        }


def find_objects(
    view: View, labelled: Sequence[Labelled], transmission: F32, temperature_k: F32 | None
) -> tuple[ObjectTruth, ...]:
    """Every labelled object in the picture, nearest first."""
    geometry, camera = view.geometry, view.camera
    flat = geometry.instance.reshape(-1)
    seen = np.flatnonzero(flat)
    if not len(seen):
        return ()
    order = seen[np.argsort(flat[seen], kind="stable")]
    numbers, starts = np.unique(flat[order], return_index=True)
    rays = camera.rays().reshape(-1, 3)
    depth, distance, through = (
        geometry.depth.reshape(-1),
        geometry.distance.reshape(-1),
        transmission.reshape(-1),
    )
    found = []
    for number, pixels in zip(numbers, np.split(order, starts[1:]), strict=True):
        if len(pixels) < SMALLEST_PIXELS:
            continue
        y, x = np.divmod(pixels, camera.width)
        box = (int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1)
        middle = rays[int((box[1] + box[3]) // 2) * camera.width + int((box[0] + box[2]) // 2)]
        where = (rays[pixels] * distance[pixels, None]).mean(0)
        known = labelled[int(number) - 1]
        whole = _full_box(view.extent(int(number)), camera, box)
        found.append(
            ObjectTruth(
                instance=int(number),
                label=known.label,
                box=box,
                pixels=len(pixels),
                distance_m=round(float(np.median(distance[pixels])), 3),
                depth_m=round(float(np.median(depth[pixels])), 3),
                nearest_m=round(float(distance[pixels].min()), 3),
                bearing_deg=round(float(np.degrees(np.arctan2(-middle[0], middle[2]))), 2),
                position_m=tuple(round(float(v), 3) for v in where),  # type: ignore[arg-type]
                transmission=round(float(np.median(through[pixels])), 4),
                truncated=box[0] == 0 or box[1] == 0 or box[2] == camera.width or box[3] == camera.height,
                full_box=whole,
                visible_share=round(min(_area(box) / max(_area(whole), 1e-6), 1.0), 3),
                moving=known.moving,
                facts=known.facts,
                temperature_k=None
                if temperature_k is None
                else round(float(np.median(temperature_k.reshape(-1)[pixels])), 2),
            )
        )
    return tuple(sorted(found, key=lambda o: o.distance_m))


def _area(box: Sequence[float]) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


def _full_box(points: F32, camera: Camera, seen: Sequence[int]) -> tuple[float, float, float, float]:
    """Box of points in the optical frame, as far as the lens model reaches, and of what is seen."""
    ahead = points[points[:, 2] > 0.15]
    inside = ahead[(np.abs(ahead[:, :2]) < 1.3 * ahead[:, 2:]).all(1)]
    low, high = np.array(seen[:2], np.float64), np.array(seen[2:], np.float64)
    if len(inside):
        uv = camera.project(inside)
        low, high = np.minimum(low, uv.min(0)), np.maximum(high, uv.max(0) + 1)
    x0, y0, x1, y1 = (round(float(v), 1) for v in (*low, *high))
    return x0, y0, x1, y1


def scene_facts(world: World, condition: Condition, transmission: F32, depth: F32) -> dict[str, Any]:
    """What a caption may say about the scene as a whole."""
    sigma = condition.extinction
    return {
        "world": world.name,
        "seed": world.seed,
        "condition": condition.name,
        "time": condition.time,
        "air": condition.medium,
        "glare": condition.glare,
        "indoor": world.indoor,
        "air_temperature_k": round(condition.interior_k if world.indoor else condition.air_k, 2),
        # Koschmieder: contrast falls to 5 % over 3/extinction.
        "visibility_m": round(3.0 / sigma, 1) if sigma > 0 else None,
        "mean_transmission": round(float(transmission.mean()), 4),
        "median_depth_m": round(float(np.nanmedian(depth)), 2) if np.isfinite(depth).any() else None,
    }
