"""A picture of a mesh from outside, without a window or a GPU: rays into open3d's RaycastingScene, shaded here.

Surfaces that are seen from behind are looked through, so that rooms open like a doll's house.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.geometry.reconstruction_mesh import Mesh
from thermal_fusion_ros.geometry.reconstruction_volume import open3d

F32 = NDArray[np.float32]
Picture = NDArray[np.uint8]

SUPERSAMPLING = 2  # rays along each side of a pixel
ELEVATION_DEG, AZIMUTH_DEG = 40.0, 32.0  # above the horizon, and off the way the camera went
FIELD_OF_VIEW_DEG = 36.0
FILL = 0.86  # of the picture
OUTLYING = 0.5  # percent of the vertices that may lie outside of it, at each side
LAYERS = 8  # surfaces seen from behind that a ray goes through
STEP_M = 1e-3
EXPOSURE = 1.1
SKIN = 0.05  # of the reach: how far off the surface its surroundings are looked at from
LIGHT = (-0.35, 0.75, 0.55)  # right, up, towards the viewer
AMBIENT, LEAST_OPEN = 0.5, 0.25
OCCLUSION_RAYS, MOST_OCCLUSION_RAYS = 48, 8_000_000  # of a vertex, of all vertices
SMOOTHING_ROUNDS = 3
OCCLUSION_SHARE, OCCLUSION_RANGE_M = (
    0.05,
    (0.2, 1.5),
)  # of the diagonal: how far something darkens its surroundings
BRIGHT_PERCENTILE, BRIGHT = 95.0, 205.0  # of the colours: pictures of the night are brought up to this
GAINS = (0.8, 3.0)
TOP, BOTTOM = (58, 64, 74), (22, 24, 29)  # background
PATH, TEXT = (90, 225, 255), (232, 236, 240)
FONT = cv2.FONT_HERSHEY_SIMPLEX
KELVIN_0C = 273.15


@dataclass(frozen=True)
class Eye:
    """A pinhole camera: `axes` 3×3, rows right, up, back; `tangent` half the height at distance 1."""

    place: NDArray[np.float64]
    axes: NDArray[np.float64]
    tangent: float

    def rays(self, width: int, height: int) -> F32:
        """(height·width)×6: origins and unit directions through the middles of the pixels."""
        x = (np.arange(width) + 0.5 - width / 2) * (2 * self.tangent / height)
        y = (height / 2 - np.arange(height) - 0.5) * (2 * self.tangent / height)
        local = np.stack([*np.meshgrid(x, y), np.full((height, width), -1.0)], -1).reshape(-1, 3)
        local /= np.linalg.norm(local, axis=1, keepdims=True)
        out = np.empty((len(local), 6), np.float32)
        out[:, :3], out[:, 3:] = self.place, local @ self.axes
        return out

    def pixels(self, points: NDArray[np.float64], width: int, height: int) -> NDArray[np.float64]:
        """N×2 of N×3 points."""
        right, up, back = ((points - self.place) @ self.axes.T).T
        scale = height / (2 * self.tangent) / -back
        return np.stack([width / 2 + right * scale, height / 2 - up * scale], -1)


def overview(points: NDArray[np.float64], path: NDArray[np.float64], aspect: float) -> Eye:
    """An eye that sees `path` and all of `points` but outliers, from behind and above the path (both N×3, z up)."""
    heading = path[-1, :2] - path[0, :2] if len(path) else np.zeros(2)
    angle = np.arctan2(heading[1], heading[0]) if np.linalg.norm(heading) > 0.1 else 0.0
    angle += np.radians(AZIMUTH_DEG)
    elevation = np.radians(ELEVATION_DEG)
    back = np.array(
        [-np.cos(angle) * np.cos(elevation), -np.sin(angle) * np.cos(elevation), np.sin(elevation)]
    )
    right = np.cross([0.0, 0.0, 1.0], back)
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(back, right), back])
    tangent = float(np.tan(np.radians(FIELD_OF_VIEW_DEG) / 2))
    low, high = (np.percentile(points @ axes.T, q, axis=0) for q in (OUTLYING, 100 - OUTLYING))
    local = np.concatenate([points[:: max(1, len(points) // 20_000)], path]) @ axes.T
    needed_for_path = np.arange(len(local)) >= len(local) - len(path)
    local = local[needed_for_path | ((local >= low) & (local <= high)).all(axis=1)]
    limits = np.array([tangent * aspect, tangent]) * FILL
    # A point stays inside while its distance along the axis is at least |offset| / limit. The offset of the eye and
    # the distance that the two sides then need depend on each other only a little.
    middle = (local.min(axis=0) + local.max(axis=0)) / 2
    for _ in range(4):
        offset = (local - middle)[:, :2]
        needed = local[:, 2, None] + np.abs(offset) / limits
        distance = needed.max()
        ahead = np.maximum(distance - local[:, 2], 1e-3)[:, None]
        seen = offset / ahead
        middle[:2] += (seen.min(axis=0) + seen.max(axis=0)) / 2 * (distance - middle[2])
    return Eye(np.array([*middle[:2], distance]) @ axes, axes, tangent)


def render(
    mesh: Mesh,
    path: NDArray[np.float64],
    caption: str = "",
    shown_k: tuple[float, float] | None = None,
    size: tuple[int, int] = (1120, 840),
) -> Picture:
    """H×W×3 of a mesh with triangles; `path` N×3 the way of the camera, `size` width and height.

    `shown_k`: kelvin at the ends of the colours, for the scale beside a mesh painted by temperature.
    """
    o3d = open3d()
    middle = mesh.vertices.mean(axis=0)  # rays have single precision
    vertices, way = mesh.vertices - middle, np.asarray(path, np.float64).reshape(-1, 3) - middle
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(vertices.astype(np.float32), mesh.triangles.astype(np.uint32))
    width, height = size
    eye = overview(vertices, way, width / height)
    reach = float(np.clip(OCCLUSION_SHARE * np.linalg.norm(np.ptp(vertices, axis=0)), *OCCLUSION_RANGE_M))
    colours = mesh.colours.astype(np.float32) * (1.0 if shown_k else _gain(mesh.colours))
    many = (SUPERSAMPLING * width, SUPERSAMPLING * height)
    open_ = _openness(o3d, scene, vertices.astype(np.float32), mesh.normals, reach)
    open_ = _smoothed(open_, mesh.triangles)
    shade = _Shader(o3d, scene, mesh, np.concatenate([colours, open_[:, None]], axis=1), eye)
    rows = [shade(part) for part in np.array_split(eye.rays(*many), 16)]
    shaded = np.concatenate(rows).reshape(many[1], many[0], 4)
    small = cv2.resize(shaded, size, interpolation=cv2.INTER_AREA)
    picture = small[..., :3] + (1 - small[..., 3:]) * _background(width, height)
    out = np.ascontiguousarray(np.clip(np.rint(picture), 0, 255), np.uint8)
    _draw_path(out, eye.pixels(way, width, height))
    if shown_k:
        _draw_scale(out, *shown_k)
    if caption:
        cv2.putText(out, caption, (24, height - 24), FONT, 0.55, TEXT, 1, cv2.LINE_AA)
    return out


def _gain(colours: Picture) -> float:
    bright = float(np.percentile(colours.max(axis=1), BRIGHT_PERCENTILE))
    return float(np.clip(BRIGHT / max(bright, 1.0), *GAINS))


def _background(width: int, height: int) -> F32:
    share = np.linspace(0, 1, height)[:, None, None]
    shade = (1 - share) * np.array(TOP) + share * np.array(BOTTOM)
    return np.repeat(shade, width, axis=1).astype(np.float32)


class _Shader:
    """Colour and cover (N×4: red, green, blue times cover, cover) of rays."""

    def __init__(self, o3d: Any, scene: Any, mesh: Mesh, lit: F32, eye: Eye) -> None:
        """`lit` N×4: what is interpolated between the vertices: colour, and how open to its surroundings each is."""
        self._o3d, self._scene, self._mesh = o3d, scene, mesh
        self._carried = np.concatenate([lit, mesh.normals], axis=1)
        light = np.asarray(LIGHT) @ eye.axes
        self._light = (light / np.linalg.norm(light)).astype(np.float32)

    def __call__(self, rays: F32) -> F32:
        out = np.zeros((len(rays), 4), np.float32)
        for at, hit in self._faced(rays):
            corners = self._mesh.triangles[hit["primitive_ids"]]
            u, v = hit["primitive_uvs"].T[:, :, None]
            found = (1 - u - v) * self._carried[corners[:, 0]]
            found += u * self._carried[corners[:, 1]] + v * self._carried[corners[:, 2]]
            light = AMBIENT + (1 - AMBIENT) * np.clip(_unit(found[:, 4:]) @ self._light, 0, 1)
            light *= LEAST_OPEN + (1 - LEAST_OPEN) * found[:, 3]
            out[at, :3] = np.minimum(found[:, :3] * (EXPOSURE * light)[:, None], 255)
            out[at, 3] = 1
        return out

    def _faced(self, rays: F32) -> Any:
        """(indices of rays, what they hit) for the first surfaces that face them."""
        left = np.arange(len(rays))
        gone = np.zeros(len(rays), np.float32)
        for _ in range(LAYERS):
            if not len(left):
                return
            some = rays[left].copy()
            some[:, :3] += gone[left, None] * some[:, 3:]
            answer = self._scene.cast_rays(self._o3d.core.Tensor(some))
            hit = {
                name: answer[name].numpy()
                for name in ("t_hit", "primitive_ids", "primitive_uvs", "primitive_normals")
            }
            met = np.isfinite(hit["t_hit"])
            facing = met & ((hit["primitive_normals"] * some[:, 3:]).sum(axis=1) < 0)
            hit["t_hit"] = hit["t_hit"] + gone[left]
            if facing.any():
                yield left[facing], {name: values[facing] for name, values in hit.items()}
            behind = met & ~facing
            gone[left[behind]] = hit["t_hit"][behind] + np.float32(STEP_M)
            left = left[behind]


def _openness(o3d: Any, scene: Any, vertices: F32, normals: F32, reach: float) -> F32:
    """N: share of the directions above each vertex (cosine-weighted) in which nothing is within `reach`."""
    rng = np.random.default_rng(0)
    rounds = int(np.clip(MOST_OCCLUSION_RAYS // max(len(vertices), 1), 4, OCCLUSION_RAYS))
    start = vertices + np.float32(SKIN * reach) * normals
    free = np.zeros(len(vertices), np.float32)
    for _ in range(rounds):
        direction = _unit(rng.standard_normal(vertices.shape, np.float32))
        direction = _unit(direction + normals * np.float32(1.001))
        rays = o3d.core.Tensor(np.concatenate([start, direction], axis=1))
        free += ~scene.test_occlusions(rays, 0.0, reach).numpy()
    return free / np.float32(rounds)


def _smoothed(values: F32, triangles: NDArray[np.int32]) -> F32:
    """`values` of the vertices, each replaced by the mean over its triangles."""
    count = np.bincount(triangles.ravel(), minlength=len(values))
    for _ in range(SMOOTHING_ROUNDS):
        around = np.repeat(values[triangles].mean(axis=1), 3)
        total = np.bincount(triangles.ravel(), weights=around, minlength=len(values))
        values = (total / np.maximum(count, 1)).astype(np.float32)
    return values


def _unit(vectors: F32) -> F32:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-6))


def _draw_path(picture: Picture, pixels: NDArray[np.float64]) -> None:
    if len(pixels) < 2 or not np.isfinite(pixels).all():
        return
    fine = np.rint(pixels * 16).astype(np.int32).reshape(-1, 1, 2)
    cv2.polylines(picture, [fine], False, (20, 30, 40), 5, cv2.LINE_AA, 4)
    cv2.polylines(picture, [fine], False, PATH, 2, cv2.LINE_AA, 4)
    cv2.circle(picture, tuple(int(v) for v in fine[0, 0]), 6 * 16, PATH, -1, cv2.LINE_AA, 4)


def _draw_scale(picture: Picture, low_k: float, high_k: float) -> None:
    """A bar of the false colours with °C."""
    from thermal_fusion_ros.geometry.reconstruction import false_colours

    height, width = picture.shape[:2]
    length, x, y = height // 3, width - 90, height // 12
    bar = false_colours(np.linspace(1, 0, length))
    picture[y : y + length, x : x + 16] = bar[:, None]
    cv2.rectangle(picture, (x - 1, y - 1), (x + 16, y + length), TEXT, 1, cv2.LINE_AA)
    for share in (0.0, 0.5, 1.0):
        celsius = low_k + share * (high_k - low_k) - KELVIN_0C
        at = (x + 24, y + round((1 - share) * length) + 5)
        cv2.putText(picture, f"{celsius:.0f}", at, FONT, 0.5, TEXT, 1, cv2.LINE_AA)
    cv2.putText(picture, "C", (x + 2, y - 10), FONT, 0.45, TEXT, 1, cv2.LINE_AA)
    cv2.circle(picture, (x - 4, y - 18), 2, TEXT, 1, cv2.LINE_AA)
