"""A coloured triangle mesh in the world frame: small pieces removed, written as PLY."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.files import write_whole

FAR_FROM_ORIGIN_M = (
    5000.0  # float32 is coarser than half a millimetre beyond: coordinates are written as doubles
)


@dataclass(frozen=True)
class Mesh:
    """`vertices` N×3 float64 metres, `triangles` M×3 int32, `normals` N×3 float32 (out of the surface).

    `colours` N×3 uint8 RGB; `temperature_k` N float32 kelvin where that was asked for, NaN where nobody measured.
    """

    vertices: NDArray[np.float64]
    triangles: NDArray[np.int32]
    normals: NDArray[np.float32]
    colours: NDArray[np.uint8]
    temperature_k: NDArray[np.float32] | None = None

    @property
    def extent(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lowest and highest x y z."""
        return self.vertices.min(axis=0), self.vertices.max(axis=0)

    def without_small_pieces(self, fewest_triangles: int) -> Mesh:
        """Only connected pieces of at least so many triangles, and the vertices that these use."""
        from scipy.sparse import coo_matrix
        from scipy.sparse.csgraph import connected_components

        if not len(self.triangles):
            return self
        a, b, c = self.triangles.T
        count = len(self.vertices)
        edges = coo_matrix((np.ones(2 * len(a), bool), (np.r_[a, b], np.r_[b, c])), (count, count))
        piece = connected_components(edges, directed=False)[1][a]
        kept = self.triangles[np.bincount(piece)[piece] >= fewest_triangles]
        used = np.zeros(count, bool)
        used[kept] = True
        number = np.cumsum(used) - 1
        return Mesh(
            self.vertices[used],
            number[kept].astype(np.int32),
            self.normals[used],
            self.colours[used],
            None if self.temperature_k is None else self.temperature_k[used],
        )


def write_ply(path: Path, mesh: Mesh) -> None:
    """Binary PLY with normals, colours and, where the mesh has it, `temperature` (kelvin) of every vertex.

    Raises :class:`InputError` when the file can't be written.
    """
    place = "<f8" if len(mesh.vertices) and np.abs(mesh.vertices).max() > FAR_FROM_ORIGIN_M else "<f4"
    fields: list[tuple[str, str, NDArray[Any]]] = [
        *((name, place, mesh.vertices[:, i]) for i, name in enumerate("xyz")),
        *((f"n{name}", "<f4", mesh.normals[:, i]) for i, name in enumerate("xyz")),
        *((name, "u1", mesh.colours[:, i]) for i, name in enumerate(("red", "green", "blue"))),
    ]
    if mesh.temperature_k is not None:
        fields.append(("temperature", "<f4", mesh.temperature_k))
    vertices = np.empty(len(mesh.vertices), [(name, kind) for name, kind, _ in fields])
    for name, _, values in fields:
        vertices[name] = values
    faces = np.empty(len(mesh.triangles), [("count", "u1"), ("corners", "<i4", 3)])
    faces["count"], faces["corners"] = 3, mesh.triangles
    names = {"<f4": "float", "<f8": "double", "u1": "uchar"}
    header = [
        "ply",
        "format binary_little_endian 1.0",
        "comment metres, kelvin",
        f"element vertex {len(vertices)}",
        *(f"property {names[kind]} {name}" for name, kind, _ in fields),
        f"element face {len(faces)}",
        "property list uchar int vertex_indices",
        "end_header\n",
    ]
    write_whole(path, b"".join(("\n".join(header).encode(), vertices.tobytes(), faces.tobytes())))
