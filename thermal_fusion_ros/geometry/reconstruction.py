"""A coloured mesh of what a recording shows: depth pictures and poses into open3d's truncated signed distance grid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.geometry.poses import PoseError
from thermal_fusion_ros.geometry.reconstruction_frames import DepthFrame, Skip
from thermal_fusion_ros.geometry.reconstruction_mesh import Mesh
from thermal_fusion_ros.geometry.reconstruction_poses import Poses
from thermal_fusion_ros.geometry.reconstruction_volume import GREY, Flat, Flattener, Volume
from thermal_fusion_ros.sensing.camera import CameraModel

FEWEST_FRAMES = 2
VOXEL_RANGE_M = (0.002, 2.0)
DEPTH_RANGE_M = (0.2, 500.0)
SHOWN_PERCENTILES = (1.0, 99.0)  # of the temperatures: what the colours are spread over
LEAST_SPAN_K = 4.0  # ... at least, so that noise does not become colour
KELVIN_0C = 273.15


@dataclass(frozen=True)
class Grid:
    """`voxel_m`: edge of a voxel; `max_depth_m`: depth beyond it is not used. InputError outside of reason."""

    voxel_m: float = 0.05
    max_depth_m: float = 10.0

    def __post_init__(self) -> None:
        """Check both."""
        for name, value, (low, high) in (
            ("--voxel", self.voxel_m, VOXEL_RANGE_M),
            ("--max-depth", self.max_depth_m, DEPTH_RANGE_M),
        ):
            if not low <= value <= high:
                raise InputError(f"{name} {value:g}: between {low:g} and {high:g} metres")


@dataclass
class Reconstruction:
    """The mesh and how it came about. Every frame is used or counted in `skipped` by reason: the sums match.

    `path` N×3: where the camera was. `shown_k`: the temperatures (kelvin) at the two ends of the colours.
    """

    mesh: Mesh
    path: NDArray[np.float64]
    poses: Poses
    frames_in: int = 0
    used: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    interrupted: bool = False
    shown_k: tuple[float, float] | None = None

    @property
    def path_m(self) -> float:
        """How far the camera went."""
        return float(np.linalg.norm(np.diff(self.path, axis=0), axis=1).sum())

    def to_json(self) -> dict[str, Any]:
        """Machine-readable; metres."""
        low, high = self.mesh.extent
        result: dict[str, Any] = {
            "frames": {"in": self.frames_in, "used": self.used, "skipped": dict(self.skipped)},
            "poses": {
                "source": self.poses.kind,
                "topic": self.poses.topic,
                "world_frame": self.poses.world_frame,
                "path_m": round(self.path_m, 4),
            },
            "vertices": len(self.mesh.vertices),
            "triangles": len(self.mesh.triangles),
            "extent_m": {"min": np.round(low, 4).tolist(), "max": np.round(high, 4).tolist()},
            "interrupted": self.interrupted,
            "notes": self.notes,
        }
        if self.mesh.temperature_k is not None:
            measured = self.mesh.temperature_k[np.isfinite(self.mesh.temperature_k)] - KELVIN_0C
            low_high = (
                [round(float(v), 2) for v in (measured.min(), measured.max())] if len(measured) else None
            )
            result["temperature_c"] = low_high
        return result


def reconstruct(
    frames: Iterable[DepthFrame | Skip],
    choose: Callable[[DepthFrame], Poses],
    grid: Grid,
    on_frame: Callable[[], object] = lambda: None,
) -> Reconstruction:
    """Integrate `frames`, which are all coloured alike; `choose` gives the poses, from the first frame.

    A frame without a pose or without depth in reach is counted and left out; KeyboardInterrupt ends it early with what
    is done. Raises :class:`InputError` when too little is left.
    """
    work = _Work(grid, choose)
    interrupted = False
    try:
        for item in frames:
            work.take(item)
            on_frame()
    except KeyboardInterrupt:
        if work.used < FEWEST_FRAMES:
            raise
        interrupted = True
    result = work.finish()
    result.interrupted = interrupted
    return result


class _Work:
    """The loop's state."""

    def __init__(self, grid: Grid, choose: Callable[[DepthFrame], Poses]) -> None:
        self.volume = Volume(grid.voxel_m, grid.max_depth_m)
        self.poses: Poses | None = None
        self.skipped: Counter[str] = Counter()
        self.notes: list[str] = []
        self.frames_in = self.used = 0
        self.temperature = False
        self._grid, self._choose = grid, choose
        self._flatteners: dict[int, tuple[CameraModel, Flattener]] = {}
        self._path: list[NDArray[np.float64]] = []

    def take(self, item: DepthFrame | Skip) -> None:
        """One frame."""
        self.frames_in += 1
        if isinstance(item, Skip):
            self._skip(item.reason, item.text)
            return
        if self.poses is None:
            self.poses = self._choose(item)
        flat = self._flat(item)
        try:
            pose = self.poses(item, flat)
        except PoseError as error:
            self._skip(error.reason, str(error))
            return
        if not self.volume.add(flat, pose):
            self._skip("no_depth", f"no depth nearer than --max-depth {self._grid.max_depth_m:g} m")
            return
        self.used += 1
        self.temperature = item.temperature_k is not None
        self._path.append(pose[:3, 3])

    def _skip(self, reason: str, text: str) -> None:
        # One line for each reason: the first tells enough.
        if text and not self.skipped[reason]:
            self.notes.append(f"{reason}: {text}")
        self.skipped[reason] += 1

    def _flat(self, frame: DepthFrame) -> Flat:
        known = self._flatteners.get(id(frame.camera))
        if known is None:  # the camera is kept with it: its id stays its own
            known = self._flatteners[id(frame.camera)] = (frame.camera, Flattener(frame.camera))
        flattener = known[1]
        depth = flattener.depth(frame.depth)
        if frame.temperature_k is not None:
            measured = np.isfinite(frame.temperature_k)
            kelvin = np.where(measured, frame.temperature_k, 0)
            channels = flattener.picture(np.dstack([kelvin, measured, np.zeros_like(kelvin)]))
        elif frame.colour is not None:
            channels = flattener.picture(frame.colour)
        else:
            channels = np.full((*depth.shape, 3), GREY, np.float32)
        return Flat(depth, channels, flattener.flat.k)

    def finish(self) -> Reconstruction:
        """The mesh; InputError when there is none."""
        told = ", ".join(
            f"{reason} {count}" for reason, count in self.skipped.most_common() if reason != "every"
        )
        why = f" (left out: {told}; {'; '.join(self.notes)})" if told else ""
        if self.used < FEWEST_FRAMES or self.poses is None:
            raise InputError(
                f"{self.used} of {self.frames_in} frames could be used, a reconstruction needs {FEWEST_FRAMES}{why}"
            )
        mesh = self.volume.mesh(temperature=self.temperature)
        if not len(mesh.triangles):
            raise InputError(
                f"{self.used} frames show no surface: raise --max-depth {self._grid.max_depth_m:g} or --voxel "
                f"{self._grid.voxel_m:g}, or check the poses{why}"
            )
        shown = None
        if mesh.temperature_k is not None:
            mesh, shown = painted(mesh)
        return Reconstruction(
            mesh,
            np.array(self._path),
            self.poses,
            self.frames_in,
            self.used,
            self.skipped,
            self.notes,
            shown_k=shown,
        )


def painted(mesh: Mesh) -> tuple[Mesh, tuple[float, float] | None]:
    """A mesh with temperatures in false colours (inferno; grey where nothing was measured), and their two ends, K."""
    assert mesh.temperature_k is not None
    measured = np.isfinite(mesh.temperature_k)
    if not measured.any():
        return mesh, None
    low, high = (float(v) for v in np.percentile(mesh.temperature_k[measured], SHOWN_PERCENTILES))
    if high - low < LEAST_SPAN_K:
        low, high = (low + high - LEAST_SPAN_K) / 2, (low + high + LEAST_SPAN_K) / 2
    colours = np.full((len(measured), 3), GREY, np.uint8)
    colours[measured] = false_colours((mesh.temperature_k[measured] - low) / (high - low))
    return Mesh(mesh.vertices, mesh.triangles, mesh.normals, colours, mesh.temperature_k), (low, high)


def false_colours(share: NDArray[Any]) -> NDArray[np.uint8]:
    """N×3 RGB of N numbers between 0 (cold) and 1."""
    level = np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8).reshape(-1, 1)
    # The darkest eighth is left out: shading would make one black of it.
    level = (32 + level.astype(np.uint16) * 223 // 255).astype(np.uint8)
    return np.ascontiguousarray(cv2.applyColorMap(level, cv2.COLORMAP_INFERNO)[:, 0, ::-1])
