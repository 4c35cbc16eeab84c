"""Triangle meshes and the few solids everything in a simulated world is built from.

Lengths are metres; the world is x forward, y left, z up (REP-103). Winding does not matter: the renderer turns
every normal towards the viewer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

F32 = NDArray[np.floating]  # float32 wherever it is large; numpy's stubs widen what is computed
I32 = NDArray[np.int32]


@dataclass(frozen=True)
class Mesh:
    """V vertices, F triangles and what each of them is made of.

    `corner_normals` F×3×3 is zero on flat faces. `heat` (V) is kelvin added to the surface by something behind it (an
    engine, a radiator). `bone` (V) says which moving part of an actor a vertex hangs on; `instance` (F) is the labelled
    object a face belongs to, 0 for none.
    """

    vertices: F32
    triangles: I32
    material: I32
    corner_normals: F32
    heat: F32
    bone: I32
    instance: I32
    smooth: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))

    @staticmethod
    def of(
        vertices: ArrayLike, triangles: ArrayLike, material: int, normals: ArrayLike | None = None
    ) -> Mesh:
        """A mesh of one material; `normals` (V×3) makes it smooth."""
        v = np.ascontiguousarray(vertices, np.float32).reshape(-1, 3)
        f = np.ascontiguousarray(triangles, np.int32).reshape(-1, 3)
        corner = np.zeros((len(f), 3, 3), np.float32)
        if normals is not None:
            corner = np.asarray(normals, np.float32).reshape(-1, 3)[f]
        return Mesh(
            v,
            f,
            np.full(len(f), material, np.int32),
            corner,
            np.zeros(len(v), np.float32),
            np.zeros(len(v), np.int32),
            np.zeros(len(f), np.int32),
            np.full(len(f), normals is not None),
        )

    def moved(self, offset: ArrayLike) -> Mesh:
        """Translated by `offset` (3)."""
        return replace(self, vertices=self.vertices + np.asarray(offset, np.float32))

    def turned(self, matrix: ArrayLike) -> Mesh:
        """Rotated about the origin by a 3×3 rotation."""
        r = np.asarray(matrix, np.float32)
        return replace(self, vertices=self.vertices @ r.T, corner_normals=self.corner_normals @ r.T)

    def yawed(self, angle: float) -> Mesh:
        """Rotated about z by `angle` radians."""
        return self.turned(rotation_z(angle))

    def scaled(self, factors: ArrayLike) -> Mesh:
        """Scaled per axis; normals follow."""
        s = np.broadcast_to(np.asarray(factors, np.float32), (3,))
        normals = self.corner_normals / s
        return replace(self, vertices=self.vertices * s, corner_normals=unit(normals))

    def on_bone(self, bone: int) -> Mesh:
        """All of it hangs on one bone."""
        return replace(self, bone=np.full(len(self.vertices), bone, np.int32))

    def of_instance(self, instance: int) -> Mesh:
        """All of it belongs to one labelled object."""
        return replace(self, instance=np.full(len(self.triangles), instance, np.int32))

    def heated(self, heat: float | Callable[[F32], NDArray[np.floating]]) -> Mesh:
        """Warmer by `heat` kelvin, a number or a function of the vertices."""
        extra = heat(self.vertices) if callable(heat) else heat
        return replace(self, heat=(self.heat + np.asarray(extra, np.float32)).astype(np.float32))

    def smoothed(self, crease_degrees: float = 40.0) -> Mesh:
        """Normals averaged over neighbours whose faces meet at less than the crease angle; vertices may be repeated."""
        corners = self.vertices[self.triangles]
        cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        unit = cross / np.maximum(np.linalg.norm(cross, axis=1, keepdims=True), 1e-12)
        _, joined = np.unique(np.round(self.vertices, 4), axis=0, return_inverse=True)
        place = joined.reshape(-1)[self.triangles]  # F×3: repeated vertices count as one
        order = np.argsort(place.reshape(-1), kind="stable")
        sorted_place = place.reshape(-1)[order]
        first = np.searchsorted(sorted_place, np.arange(sorted_place[-1] + 1))
        slot = np.arange(len(order)) - first[sorted_place]
        around = np.full((len(first), slot.max() + 1), -1)
        around[sorted_place, slot] = order // 3
        neighbours = around[place]  # F×3×M, -1 where there are fewer
        near = np.einsum("fkmc,fc->fkm", unit[neighbours], unit) > np.cos(np.radians(crease_degrees))
        total = np.einsum("fkmc,fkm->fkc", cross[neighbours], near & (neighbours >= 0))
        out = (total / np.maximum(np.linalg.norm(total, axis=-1, keepdims=True), 1e-12)).astype(np.float32)
        return replace(self, corner_normals=out, smooth=np.ones(len(self.triangles), bool))


def unit(vectors: NDArray[Any]) -> NDArray[Any]:
    """…×3 vectors at length 1."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def rotation_z(angle: float) -> F32:
    """3×3 rotation about z."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]], np.float32)


def rotation_y(angle: float) -> F32:
    """3×3 rotation about y."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]], np.float32)


def rotation_x(angle: float) -> F32:
    """3×3 rotation about x."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]], np.float32)


def merge(meshes: Sequence[Mesh]) -> Mesh:
    """One mesh of many."""
    if not meshes:
        return Mesh.of(np.zeros((0, 3)), np.zeros((0, 3)), 0)
    starts = np.cumsum([0] + [len(m.vertices) for m in meshes[:-1]])
    return Mesh(
        np.concatenate([m.vertices for m in meshes]),
        np.concatenate([m.triangles + np.int32(s) for m, s in zip(meshes, starts, strict=True)]),
        np.concatenate([m.material for m in meshes]),
        np.concatenate([m.corner_normals for m in meshes]),
        np.concatenate([m.heat for m in meshes]),
        np.concatenate([m.bone for m in meshes]),
        np.concatenate([m.instance for m in meshes]),
        np.concatenate([m.smooth for m in meshes]),
    )


_BOX = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)], np.float32)
_BOX_FACES = [
    (0, 1, 3),
    (0, 3, 2),
    (4, 6, 7),
    (4, 7, 5),
    (0, 4, 5),
    (0, 5, 1),
    (2, 3, 7),
    (2, 7, 6),
    (0, 2, 6),
    (0, 6, 4),
    (1, 5, 7),
    (1, 7, 3),
]


def box(size: ArrayLike, center: ArrayLike, material: int) -> Mesh:
    """An axis-aligned box."""
    return Mesh.of(_BOX * np.asarray(size, np.float32) + np.asarray(center, np.float32), _BOX_FACES, material)


def span(corner: ArrayLike, opposite: ArrayLike, material: int) -> Mesh:
    """The box between any two opposite corners."""
    a, b = np.asarray(corner, np.float32), np.asarray(opposite, np.float32)
    return box(np.abs(b - a), (a + b) / 2, material)


def quad(corners: ArrayLike, material: int) -> Mesh:
    """A flat face through four corners in order."""
    return Mesh.of(corners, [(0, 1, 2), (0, 2, 3)], material)


def rectangle(corner: tuple[float, float], opposite: tuple[float, float], z: float, material: int) -> Mesh:
    """A level rectangle between two opposite corners (x, y) at height `z`."""
    (x0, y0), (x1, y1) = corner, opposite
    return quad([[x0, y0, z], [x1, y0, z], [x1, y1, z], [x0, y1, z]], material)


def ellipsoid(center: ArrayLike, radii: ArrayLike, material: int, around: int = 14, rings: int = 8) -> Mesh:
    """A smooth ellipsoid."""
    theta = np.linspace(0, np.pi, rings + 1)
    phi = np.linspace(0, 2 * np.pi, around, endpoint=False)
    unit = np.stack(
        [
            np.sin(theta)[:, None] * np.cos(phi),
            np.sin(theta)[:, None] * np.sin(phi),
            np.broadcast_to(np.cos(theta)[:, None], (rings + 1, around)),
        ],
        -1,
    ).reshape(-1, 3)
    r = np.broadcast_to(np.asarray(radii, np.float64), (3,))
    normals = unit / r
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return Mesh.of(
        unit * r + np.asarray(center), grid_faces(rings + 1, around, closed=True), material, normals
    )


def grid_faces(rows: int, columns: int, closed: bool) -> I32:
    """Two triangles between four neighbours of a grid of vertices; `closed` joins the last column to the first."""
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(columns if closed else columns - 1), indexing="ij")
    k = (j + 1) % columns
    a, b, c, d = i * columns + j, i * columns + k, (i + 1) * columns + k, (i + 1) * columns + j
    return np.stack([a, b, c, a, c, d], -1).reshape(-1, 3).astype(np.int32)


def tube(
    points: Any, radii: ArrayLike, material: int, around: int = 10, caps: bool = True, flat: float = 1.0
) -> Mesh:
    """A smooth tube along N points with N radii; `flat` squeezes it across the second axis; round caps close it."""
    p = np.asarray(points, np.float64).reshape(-1, 3)
    r = np.broadcast_to(np.asarray(radii, np.float64), (len(p),)).copy()
    if caps:
        first, last = unit(p[0] - p[1]), unit(p[-1] - p[-2])
        steps = np.array([0.98, 0.75, 0.4])
        width = np.sqrt(1 - steps**2)
        p = np.vstack([p[0] + first * r[0] * steps[:, None], p, p[-1] + last * r[-1] * steps[::-1, None]])
        r = np.concatenate([r[0] * width, r, r[-1] * width[::-1]])
    tangent = unit(np.asarray(np.gradient(p, axis=0)))
    reference = np.where(np.abs(tangent[:, 2:3]) < 0.9, [[0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]])
    if np.abs(tangent[:, 2]).max() > 0.9:  # one reference for the whole tube: no twist
        reference = np.broadcast_to([[1.0, 0.0, 0.0]], p.shape)
        if np.abs(tangent[:, 0]).max() > 0.9:
            reference = np.broadcast_to([[0.0, 1.0, 0.0]], p.shape)
    side = unit(np.cross(tangent, reference))
    up = np.cross(side, tangent)
    phi = np.linspace(0, 2 * np.pi, around, endpoint=False)
    direction = np.cos(phi)[None, :, None] * up[:, None] + flat * np.sin(phi)[None, :, None] * side[:, None]
    v = p[:, None] + direction * r[:, None, None]
    normal = np.cos(phi)[None, :, None] * up[:, None] * flat + np.sin(phi)[None, :, None] * side[:, None]
    slope = np.gradient(r) / np.maximum(np.linalg.norm(np.gradient(p, axis=0), axis=1), 1e-9)
    normal = unit(normal - tangent[:, None] * slope[:, None, None])
    mesh = Mesh.of(v.reshape(-1, 3), grid_faces(len(p), around, closed=True), material, normal.reshape(-1, 3))
    if not caps:
        return mesh
    ends = [
        Mesh.of(
            np.vstack([v[i], v[i].mean(0)]),
            [(k, (k + 1) % around, around) for k in range(around)],
            material,
            np.vstack([normal[i], out]),
        )
        for i, out in ((0, first), (-1, last))
    ]
    return merge([mesh, *ends])


def cylinder(start: ArrayLike, end: ArrayLike, radius: float, material: int, around: int = 14) -> Mesh:
    """A cylinder with flat ends, smooth round its side."""
    a, b = np.asarray(start, np.float64), np.asarray(end, np.float64)
    side = tube([a, b], radius, material, around, caps=False)
    rim = side.vertices.reshape(2, around, 3)
    fan = [(k, (k + 1) % around, around) for k in range(around)]
    return merge([side, *(Mesh.of(np.vstack([rim[i], c]), fan, material) for i, c in ((0, a), (1, b)))])


def cone(
    base: ArrayLike, height: float, radius: float, material: int, around: int = 12, top: float = 0.0
) -> Mesh:
    """An upright cone or its frustum."""
    b = np.asarray(base, np.float64)
    return tube([b, b + np.array([0, 0, height])], [radius, max(top, 1e-3)], material, around, caps=False)


def loft(sections: ArrayLike, material: int, closed: bool = False) -> Mesh:
    """A skin over S sections of P points each (S×P×3); `closed` joins the last point of a section to its first."""
    s = np.asarray(sections, np.float32)
    return Mesh.of(s.reshape(-1, 3), grid_faces(s.shape[0], s.shape[1], closed), material)


def shards(
    centers: ArrayLike,
    normals: ArrayLike,
    sizes: ArrayLike,
    material: int | I32,
    rng: np.random.Generator,
    facing: ArrayLike | None = None,
    stretch: float = 1.0,
) -> Mesh:
    """N small triangles (leaves, grass): random turn in their plane; shaded along `normals`, lying across `facing`.

    A triangle per leaf, not a textured card: exact in both spectra, in depth and in the masks.
    """
    c = np.asarray(centers, np.float64).reshape(-1, 3)
    n = len(c)
    f = np.asarray(normals if facing is None else facing, np.float64).reshape(-1, 3)
    other = rng.normal(size=(n, 3))
    u = unit(np.cross(f, other))
    w = unit(np.cross(f, u))
    size = np.broadcast_to(np.asarray(sizes, np.float64), (n,))[:, None]
    v = np.stack(
        [c - 0.6 * size * u, c + 0.6 * size * u + 0.25 * size * w, c + stretch * size * w], 1
    ).reshape(-1, 3)
    mesh = Mesh.of(
        v, np.arange(3 * n).reshape(-1, 3), 0, np.repeat(np.asarray(normals, np.float64), 3, axis=0)
    )
    return replace(mesh, material=np.broadcast_to(np.asarray(material, np.int32), (n,)).copy())
