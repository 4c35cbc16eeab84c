"""Worlds: what stands where, what moves how, and the way the rig goes. Same name and seed, same world."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.simulation import mesh as m
from thermal_fusion_ros.simulation.actors import Actor, Labelled, Lamp, Track
from thermal_fusion_ros.simulation.materials import Palette

Ground = Callable[[float, float], float]


@dataclass(frozen=True)
class World:
    """A finished world. `static` is in world coordinates; instance k of a face is `labelled[k - 1]`."""

    name: str
    seed: int
    palette: Palette
    static: m.Mesh
    actors: Sequence[Actor]
    labelled: Sequence[Labelled]
    lamps: Sequence[Lamp]
    path: Track  # of the rig's foot on the ground
    ground: Ground
    indoor: bool
    bumpiness: float  # metres of vertical shake at the camera
    smoke_sources: NDArray[np.float32]  # N×4: x, y, z, strength


@dataclass
class Builder:
    """Collects the parts of a world."""

    rng: np.random.Generator
    palette: Palette = field(default_factory=Palette)
    parts: list[m.Mesh] = field(default_factory=list)
    actors: list[Actor] = field(default_factory=list)
    labelled: list[Labelled] = field(default_factory=list)
    lamps: list[Lamp] = field(default_factory=list)
    warm_lamps: bool = True

    def add(self, *meshes: m.Mesh) -> None:
        """Unlabelled scenery."""
        self.parts.extend(meshes)

    def label(self, label: str, facts: dict[str, str], moving: bool) -> int:
        """A new instance number."""
        self.labelled.append(Labelled(len(self.labelled) + 1, label, facts, moving))
        return len(self.labelled)

    def add_object(self, label: str, mesh: m.Mesh, **facts: str) -> None:
        """A labelled object that does not move."""
        self.parts.append(mesh.of_instance(self.label(label, facts, moving=False)))

    def add_actor(self, actor: Actor) -> None:
        """A labelled object that moves."""
        number = self.label(actor.label, actor.facts, moving=True)
        self.actors.append(replace(actor, mesh=actor.mesh.of_instance(number)))

    def park(self, actor: Actor) -> None:
        """An actor that will not move: part of the scenery, but labelled."""
        self.add_object(actor.label, actor.still(0.0), **actor.facts)

    def finish(
        self,
        name: str,
        seed: int,
        path: Track,
        ground: Ground,
        indoor: bool,
        bumpiness: float,
        smoke: Sequence[Sequence[float]],
    ) -> World:
        """The world; actors that would meet the rig in its first minute are left out."""
        times = np.arange(0.0, 60.0, 0.25)
        rig = np.array([path(t)[:2] for t in times])
        clear = [
            a
            for a in self.actors
            if min(float(np.hypot(*(a.pose(t)[0, :2, 3] - p))) for t, p in zip(times, rig, strict=True))
            > a.radius + 0.75
        ]
        sources = np.asarray(smoke, np.float32).reshape(-1, 4)
        return World(
            name,
            seed,
            self.palette,
            m.merge(self.parts),
            clear,
            self.labelled,
            self.lamps,
            path,
            ground,
            indoor,
            bumpiness,
            sources,
        )


def names() -> tuple[str, ...]:
    """Every kind of world."""
    return tuple(_makers())


def _makers() -> dict[str, Callable[[int], World]]:
    from thermal_fusion_ros.simulation import indoor, street, trail

    return {
        "street": street.build,
        "trail": trail.build,
        "corridor": indoor.corridor,
        "warehouse": indoor.warehouse,
    }


def build(name: str, seed: int) -> World:
    """The world `name` (see :func:`names`) laid out by `seed`."""
    makers = _makers()
    if name not in makers:
        raise InputError(f"world {name!r}: one of {', '.join(makers)}")
    return makers[name](seed)
