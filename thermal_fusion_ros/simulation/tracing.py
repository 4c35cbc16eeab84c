"""Rays against a world: what each one meets, and what stands between two points."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.simulation.mesh import F32, Mesh, merge
from thermal_fusion_ros.simulation.vectors import carried, row_dot
from thermal_fusion_ros.simulation.worlds import World

I32 = NDArray[np.int32]
MISS = np.int32(-1)
_OUTLINE = 600  # vertices kept of an object to tell its extent
_ACTOR_RANGE = 110.0  # metres from the camera beyond which actors are left out


def _open3d() -> Any:
    try:
        import open3d
    except (ImportError, OSError) as error:
        from thermal_fusion_ros.errors import InputError

        raise InputError(
            f"the simulator needs open3d ({error}): "
            "pip install open3d, and on Debian apt install libusb-1.0-0 libgl1 libgomp1"
        ) from error
    return open3d


def _caster(vertices: F32, triangles: NDArray[np.integer]) -> Any:
    # One thread builds the tree: its layout decides which of two touching faces a ray on their edge reports, and
    # the same seed must give the same bytes.
    scene = _open3d().t.geometry.RaycastingScene(nthreads=1)
    scene.add_triangles(
        np.ascontiguousarray(vertices, np.float32), np.ascontiguousarray(triangles, np.uint32)
    )
    return scene


@dataclass(frozen=True)
class Faces:
    """What is looked up by face number, static faces first, then those of all actors."""

    material: I32
    instance: I32
    smooth: NDArray[np.bool_]
    normals: F32  # F×9, rest frame
    heat: F32  # F×3
    heated: NDArray[np.bool_]
    corners: F32  # F×9, rest frame
    bone: I32  # global bone number; 0 for static


class Stage:
    """A world made ready for rays; shared by all moments and cameras."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.materials = world.palette.table()
        static = world.static
        self.caster = _caster(static.vertices, static.triangles)
        moving = merge([a.mesh for a in world.actors])
        bones = [int(a.mesh.bone.max()) + 1 for a in world.actors]
        self.first_bone = 1 + np.cumsum([0, *bones])
        vertex_bone = np.concatenate(
            [
                np.zeros(0, np.int32),
                *(a.mesh.bone + s for a, s in zip(world.actors, self.first_bone, strict=False)),
            ]
        ).astype(np.int32)
        self.vertices, self.vertex_bone = moving.vertices, vertex_bone
        self.first_vertex = np.cumsum([0] + [len(a.mesh.vertices) for a in world.actors])
        self.first_face = np.cumsum([0] + [len(a.mesh.triangles) for a in world.actors])
        self.triangles = moving.triangles
        self.static_count = len(static.triangles)
        self.faces = self._tables(static, moving)
        self.places = self._places(static)

    def bones(self, t: float, actors: Iterable[int]) -> F32:
        """Poses B×4×4 of all bones at a time, those of `actors` in their places."""
        out = np.tile(np.eye(4, dtype=np.float32), (int(self.first_bone[-1]), 1, 1))
        for i in actors:
            pose = self.world.actors[i].pose(t)
            out[self.first_bone[i] : self.first_bone[i] + len(pose)] = pose
        return out

    def _places(self, static: Mesh) -> dict[int, tuple[F32, I32]]:
        """For each instance some of its vertices (rest frame) and the bones that carry them."""
        out = {}
        for instance in np.unique(static.instance[static.instance > 0]):
            some = np.unique(static.triangles[static.instance == instance])
            some = some[:: max(len(some) // _OUTLINE, 1)]
            out[int(instance)] = (static.vertices[some], np.zeros(len(some), np.int32))
        for i, actor in enumerate(self.world.actors):
            some = np.arange(self.first_vertex[i], self.first_vertex[i + 1])
            some = some[:: max(len(some) // _OUTLINE, 1)]
            out[int(actor.mesh.instance[0])] = (self.vertices[some], self.vertex_bone[some])
        return out

    def _tables(self, static: Mesh, moving: Mesh) -> Faces:
        both = merge([static, moving])
        heat = both.heat[both.triangles]
        bone = np.concatenate(
            [np.zeros(len(static.triangles), np.int32), self.vertex_bone[moving.triangles[:, 0]]]
        )
        return Faces(
            both.material,
            both.instance,
            both.smooth,
            np.ascontiguousarray(both.corner_normals.reshape(-1, 9)),
            np.ascontiguousarray(heat),
            np.abs(heat).max(1) > 0.01 if len(heat) else np.zeros(0, bool),
            np.ascontiguousarray(both.vertices[both.triangles].reshape(-1, 9)),
            bone.astype(np.int32),
        )


@dataclass(frozen=True)
class Hits:
    """What N rays met: `distance` (inf for nothing), `face` (MISS), barycentric `uv`, geometric `normal`."""

    distance: F32
    face: I32
    uv: F32
    normal: F32


class Moment:
    """A stage at one instant: actors in their places, as far as they are near `eye` (3)."""

    def __init__(self, stage: Stage, t: float, eye: F32) -> None:
        self.stage, self.t = stage, t
        self.bones = stage.bones(t, range(len(stage.world.actors)))
        away = self.bones[stage.first_bone[:-1], :2, 3] - eye[:2]
        self.active = np.flatnonzero(np.hypot(*away.T) < _ACTOR_RANGE).tolist()
        self.caster = None
        if self.active:
            v, f, ids, offset = [], [], [], 0
            for i in self.active:
                a, b = stage.first_vertex[i], stage.first_vertex[i + 1]
                c, d = stage.first_face[i], stage.first_face[i + 1]
                v.append(carried(self.bones[stage.vertex_bone[a:b]], stage.vertices[a:b]))
                f.append(stage.triangles[c:d] + (offset - a))
                ids.append(np.arange(c, d, dtype=np.int32))
                offset += b - a
            self.face_ids = np.concatenate(ids) + np.int32(stage.static_count)
            self.boxes = [(part.min(0), part.max(0)) for part in v]
            self.caster = _caster(np.concatenate(v), np.concatenate(f))

    def extent(self, instance: int) -> F32:
        """N×3 world points that span a labelled object, seen or not."""
        vertices, bone = self.stage.places[instance]
        return carried(self.bones[bone], vertices)

    def cast(self, rays: F32, maybe: NDArray[np.intp] | None = None) -> Hits:
        """Nearest hit of N×6 rays (origin, unit direction); only the rays `maybe` can meet an actor (default all)."""
        tensor = _open3d().core.Tensor.from_numpy(rays)
        out = self.stage.caster.cast_rays(tensor)
        distance = out["t_hit"].numpy()
        face = out["primitive_ids"].numpy().astype(np.int32)
        uv, normal = out["primitive_uvs"].numpy(), out["primitive_normals"].numpy()
        face[~np.isfinite(distance)] = MISS
        if self.caster is not None and (maybe is None or len(maybe)):
            some = slice(None) if maybe is None else maybe
            moving = self.caster.cast_rays(
                tensor if maybe is None else _open3d().core.Tensor.from_numpy(rays[maybe])
            )
            met = moving["t_hit"].numpy()
            ahead = np.flatnonzero(met < distance[some])
            if len(ahead):
                at = ahead if maybe is None else maybe[ahead]
                distance[at] = met[ahead]
                face[at] = self.face_ids[moving["primitive_ids"].numpy()[ahead]]
                uv[at] = moving["primitive_uvs"].numpy()[ahead]
                normal[at] = moving["primitive_normals"].numpy()[ahead]
        return Hits(distance, face, uv, normal)

    def blocked(self, rays: F32, far: F32 | float) -> NDArray[np.bool_]:
        """Whether anything stands within `far` along N×6 rays. `far`: one number or N."""
        tensor = _open3d().core.Tensor.from_numpy(rays)
        if np.ndim(far) == 0:
            limit = float(far)
            out = self.stage.caster.test_occlusions(tensor, 0.0, limit).numpy()
            if self.caster is not None:
                out = out | self.caster.test_occlusions(tensor, 0.0, limit).numpy()
            return out
        # Scaled directions put every target at 1, so that one query has many distances.
        scaled = rays.copy()
        scaled[:, 3:] *= np.asarray(far, np.float32)[:, None]
        return self.blocked(scaled, 1.0)


@dataclass(frozen=True)
class Surface:
    """The visible surfaces of N rays that met something (`index` into all rays)."""

    index: NDArray[np.intp]
    position: F32
    distance: F32
    direction: F32  # of the ray
    normal: F32  # towards the viewer
    true_normal: F32  # of the flat face, towards the viewer
    local: F32  # texture coordinates: where the point was when the actor was built
    material: I32
    instance: I32
    heat: F32

    def lit_part(self, chosen: NDArray[np.intp]) -> Surface:
        """Some of them, by their place in these arrays; only what light needs to know, the rest is left empty."""
        empty = np.zeros(0, np.float32)
        return Surface(
            index=np.take(self.index, chosen),
            position=np.take(self.position, chosen, axis=0),
            distance=np.take(self.distance, chosen),
            direction=empty,
            normal=np.take(self.normal, chosen, axis=0),
            true_normal=np.take(self.true_normal, chosen, axis=0),
            local=empty,
            material=np.take(self.material, chosen),
            instance=empty.astype(np.int32),
            heat=empty,
        )


def surface(moment: Moment, rays: F32, hits: Hits) -> Surface:
    """Look up everything about the hit points."""
    faces, static = moment.stage.faces, moment.stage.static_count
    index = np.flatnonzero(hits.face >= 0)
    all_hit = len(index) == len(rays)
    pick = (lambda a: a) if all_hit else (lambda a: np.take(a, index, axis=0))
    face, uv, distance = pick(hits.face), pick(hits.uv), pick(hits.distance)
    direction = pick(rays[:, 3:])
    position = pick(rays[:, :3]) + distance[:, None] * direction
    flat = pick(hits.normal)
    facing = row_dot(flat, direction)
    flat = flat * -np.copysign(np.float32(1), facing)[:, None]
    normal = flat
    soft = np.flatnonzero(faces.smooth[face])
    if len(soft):
        which = np.take(face, soft)
        n3 = np.take(faces.normals, which, axis=0)
        u, v = np.take(uv[:, 0], soft), np.take(uv[:, 1], soft)
        rest = 1 - u - v
        n = np.empty((len(soft), 3), np.float32)
        for axis in range(3):  # numpy is slow along an axis of three
            n[:, axis] = n3[:, axis] * rest + n3[:, 3 + axis] * u + n3[:, 6 + axis] * v
        bone = np.take(faces.bone, which)
        turning = np.flatnonzero(bone)
        if len(turning):
            n[turning] = np.einsum("nij,nj->ni", moment.bones[bone[turning], :3, :3], n[turning])
        n /= np.maximum(np.sqrt(row_dot(n, n)), 1e-6)[:, None]
        thin = moment.stage.materials.translucency[np.take(faces.material, which)] > 0
        away = (row_dot(n, np.take(direction, soft, axis=0)) > 0.15) & ~thin
        n[away] *= -1
        normal = flat.copy()
        normal[soft] = n
    local = position
    moved = np.flatnonzero(face >= static)
    if len(moved):
        c = np.take(faces.corners, face[moved], axis=0)
        u, v = uv[moved, :1], uv[moved, 1:]
        local = position.copy()
        local[moved] = c[:, :3] * (1 - u - v) + c[:, 3:6] * u + c[:, 6:] * v
    heat = np.zeros(len(index), np.float32)
    warm = np.flatnonzero(faces.heated[face])
    if len(warm):
        h = np.take(faces.heat, face[warm], axis=0)
        u, v = uv[warm, 0], uv[warm, 1]
        heat[warm] = h[:, 0] * (1 - u - v) + h[:, 1] * u + h[:, 2] * v
    return Surface(
        index,
        position,
        distance,
        direction,
        normal,
        flat,
        local,
        faces.material[face],
        faces.instance[face],
        heat,
    )
