"""Things that move: a mesh hung on bones, a label, and where every bone is at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from thermal_fusion_ros.simulation.materials import Color
from thermal_fusion_ros.simulation.mesh import F32, Mesh
from thermal_fusion_ros.simulation.vectors import carried

Pose = Callable[[float], F32]  # seconds -> B×4×4, world from bone


@dataclass(frozen=True)
class Lamp:
    """A light. `cone` is the cosine of its half-angle (-1 shines all round); intensity falls as 1/d² from 1 m."""

    position: tuple[float, float, float]
    color: Color
    direction: tuple[float, float, float] = (0.0, 0.0, -1.0)
    cone: float = -1.0
    reach: float = 22.0
    switch: str = "street"


@dataclass(frozen=True)
class Actor:
    """One moving, labelled object. `facts` are words about it (colour, what it does)."""

    label: str
    mesh: Mesh
    pose: Pose
    facts: dict[str, str] = field(default_factory=dict)
    lamps: Sequence[Lamp] = ()  # in the frame of bone 0
    radius: float = 0.6  # of the space it needs on the ground

    def still(self, t: float) -> Mesh:
        """What it looks like at a time, in world coordinates: a mesh that does not move."""
        pose, mesh = self.pose(t), self.mesh
        corner = mesh.bone[mesh.triangles]
        vertices = carried(pose[mesh.bone], mesh.vertices)
        normals = np.einsum("fkij,fkj->fki", pose[corner, :3, :3], mesh.corner_normals)
        posed = replace(mesh, vertices=vertices.astype(np.float32), corner_normals=normals.astype(np.float32))
        return replace(posed, bone=np.zeros_like(mesh.bone))


@dataclass(frozen=True)
class Labelled:
    """What is known of a labelled object, moving or not; instance numbers start at 1."""

    instance: int
    label: str
    facts: dict[str, str]
    moving: bool


class Track:
    """A way along a polyline at constant speed: position and heading by time, corners rounded.

    A closed track is walked for ever; an open one is walked to its end and back.
    """

    def __init__(
        self, points: Any, speed: float, start: float = 0.0, closed: bool = True, rounding: float = 1.0
    ):
        corners = np.asarray(points, np.float64).reshape(-1, 2)
        if closed:
            corners = np.vstack([corners, corners[:1]])
        length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(corners, axis=0), axis=1))])
        count = int(max(64, min(4000, length[-1] / 0.1)))
        s = np.linspace(0, length[-1], count)
        line = np.column_stack([np.interp(s, length, corners[:, i]) for i in (0, 1)])
        width = max(1, int(rounding / (length[-1] / count)))
        kernel = np.hanning(2 * width + 3)
        kernel /= kernel.sum()
        pad = len(kernel) // 2
        if closed:
            padded = np.vstack([line[-1 - pad : -1], line, line[1 : 1 + pad]])
        else:  # reflect through the ends, which keeps them in place
            padded = np.vstack([2 * line[0] - line[pad:0:-1], line, 2 * line[-1] - line[-2 : -2 - pad : -1]])
        self.line = np.column_stack([np.convolve(padded[:, i], kernel, "valid") for i in (0, 1)])
        self.s = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(self.line, axis=0), axis=1))])
        self.length = float(self.s[-1])
        self.speed, self.start, self.closed = speed, start, closed

    def distance(self, t: float) -> float:
        """Metres gone by time `t` (not wrapped)."""
        return self.start + self.speed * t

    def __call__(self, t: float) -> tuple[float, float, float]:
        """x, y and heading at time `t`."""
        s = self.distance(t)
        if self.closed:
            s, sign = s % self.length, 1.0
        else:
            s = s % (2 * self.length)
            s, sign = (s, 1.0) if s <= self.length else (2 * self.length - s, -1.0)
        x, y = (float(np.interp(s, self.s, self.line[:, i])) for i in (0, 1))
        e = 0.4
        low, high = max(s - e, 0.0), min(s + e, self.length)
        dx, dy = (
            float(np.interp(high, self.s, self.line[:, i]) - np.interp(low, self.s, self.line[:, i]))
            for i in (0, 1)
        )
        return x, y, float(np.arctan2(sign * dy, sign * dx))


def place(x: float, y: float, z: float, yaw: float) -> F32:
    """4×4 pose on the ground."""
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, -s, 0, x], [s, c, 0, y], [0, 0, 1, z], [0, 0, 0, 1]], np.float32)
