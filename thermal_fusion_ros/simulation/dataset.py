"""Training data from the simulator: samples by number, worker processes, a cache on disk.

Sample `i` of a dataset is the same whoever renders it. Train and held-out datasets never share a world: their seeds
come from different ranges.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import count
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import cv2
import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.files import make_folder, writing
from thermal_fusion_ros.simulation import conditions, crowd, lookout, obstacles, sensors, worlds
from thermal_fusion_ros.simulation import mesh as m
from thermal_fusion_ros.simulation.materials import MaterialTable
from thermal_fusion_ros.simulation.mesh import F32
from thermal_fusion_ros.simulation.renderer import Renderer
from thermal_fusion_ros.simulation.rig import Rig, base_pose, default_rig, mounted
from thermal_fusion_ros.simulation.tracing import Stage
from thermal_fusion_ros.simulation.truth import ObjectTruth, find_objects, scene_facts
from thermal_fusion_ros.worker_pool import WorkerPool

VERSION = 2  # of what a sample looks like; part of the cache's name
_HELD_OUT = 1_000_000_000
_AWAY_M = 1.0  # from obstacles the rig stands
_BEFORE_M, _ASIDE = 3.5, 0.45  # farther than that from the nearest at most; and its tangent to the way ahead
_TRIES = 300  # to find such a place: a world may have none
_NEAREST, _FARTHEST = 0.1, 2000.0


@dataclass(frozen=True)
class DatasetSpec:
    """What to render. Samples come in groups of `per_world` from one world, under changing conditions.

    `registered` renders both spectra from one viewpoint and moment (exact pairs); otherwise the raw rig, two views
    with a baseline. `variety` 0..1 scales how much optics, mounting, surfaces and air differ between samples.
    """

    count: int = 1000
    width: int = 320
    height: int = 240
    seed: int = 0
    split: str = "train"
    worlds: tuple[str, ...] = ("street", "trail", "corridor", "warehouse")
    conditions: tuple[str, ...] = (
        "day",
        "dusk",
        "night",
        "fog",
        "smoke",
        "glare",
        "night+fog",
        "night+smoke",
        "dusk+smoke",
    )
    registered: bool = True
    per_world: int = 12
    variety: float = 1.0
    quality: str = "fine"
    obstacles: bool = False  # boxes and drums where the rig drives
    facing: bool = False  # and the rig stands right before one of them
    raised: bool = False  # from poles and roofs, down on people, of whom there are more

    def __post_init__(self) -> None:
        if self.split not in ("train", "val"):
            raise InputError(f"dataset split {self.split!r}: train or val")
        unknown = sorted(set(self.worlds) - set(worlds.names()))
        if unknown or not self.worlds:
            raise InputError(f"dataset worlds {unknown}: choose among {', '.join(worlds.names())}")
        for name in self.conditions:
            conditions.parse(name)
        if self.count < 1 or self.per_world < 1:
            raise InputError(f"dataset count {self.count}, per_world {self.per_world}: at least 1")
        if self.facing and not self.obstacles:
            raise InputError("dataset facing: there is nothing to face without obstacles")


@dataclass(frozen=True)
class Sample:
    """One pair with its truth. Images of the RGB camera: `rgb` H×W×3 uint8, `depth` H×W float32 metres (NaN: sky),
    `instance` H×W uint16, `objects`. Of the thermal camera: `counts` H×W uint16, `temperature_k` H×W float32 (NaN:
    sky), `thermal_depth`, `thermal_instance`, `thermal_objects`: in a registered pair the same arrays as the RGB ones.

    `transmission` H×W uint8 (255: clear) is how much visible light the air lets through. `k`, `thermal_k` 3×3;
    `thermal_from_rgb` 4×4, and so is `base_from_rgb`, how the camera is mounted above the ground. Depth is rounded to
    0.015 % and temperature to 0.01 K, as the cache stores them.
    """

    index: int
    rgb: NDArray[np.uint8]
    counts: NDArray[np.uint16]
    depth: F32
    instance: NDArray[np.uint16]
    temperature_k: F32
    thermal_depth: F32
    thermal_instance: NDArray[np.uint16]
    transmission: NDArray[np.uint8]
    objects: tuple[ObjectTruth, ...]
    thermal_objects: tuple[ObjectTruth, ...]
    k: NDArray[np.float64]
    thermal_k: NDArray[np.float64]
    distortion: tuple[float, ...]
    thermal_distortion: tuple[float, ...]
    thermal_from_rgb: NDArray[np.float64]
    camera_height_m: float
    base_from_rgb: NDArray[np.float64]
    facts: dict[str, Any]


class SimulatedDataset(Sequence[Sample]):
    """`dataset[i]` renders sample i, or reads it from the cache folder."""

    def __init__(self, spec: DatasetSpec, cache: Path | None = None) -> None:
        self.spec = spec
        self.cache: Path | None = None
        if cache is not None:
            # What is off is left out, so that a new option leaves the names of older folders as they are.
            on = {name: value for name, value in asdict(spec).items() if value is not False}
            key = {**on, "count": 0, "version": VERSION}
            name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:12]
            self.cache = Path(cache) / f"simulated-{spec.split}-{name}"
            make_folder(self.cache)
            told = self.cache / "spec.json"
            with writing(told):
                told.write_text(json.dumps(key, indent=1, sort_keys=True) + "\n")
        self._group: tuple[int, worlds.World, Stage, F32] | None = None

    def __len__(self) -> int:
        return self.spec.count

    def __getitem__(self, index: Any) -> Any:
        """Sample `index` (0 ≤ index < len); slices give lists."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        file = self._file(index)
        if file is not None and file.exists():
            try:
                return load(file, index, self._drawn(index)[2].base_from_rgb)
            except (OSError, ValueError, KeyError, BadZipFile):
                file.unlink(missing_ok=True)  # a write that was cut short: render it again
        sample = self._render(index)
        if file is not None:
            save(file, sample)
        return sample

    def _file(self, index: int) -> Path | None:
        return None if self.cache is None else self.cache / f"{index:07d}.npz"

    def _world(self, group: int) -> tuple[worlds.World, Stage, F32]:
        """World, stage, and where its obstacles are, N×3 x, y, radius, or its crowds, N×2."""
        if self._group is None or self._group[0] != group:
            rng = np.random.default_rng([self.spec.seed, group, 6])
            name = self.spec.worlds[group % len(self.spec.worlds)]
            layout = int(rng.integers(1, _HELD_OUT)) + (_HELD_OUT if self.spec.split == "val" else 0)
            world = worlds.build(name, layout)
            places: F32 = np.zeros((0, 3), np.float32)
            if self.spec.obstacles:
                things, places = obstacles.scatter(world, np.random.default_rng([self.spec.seed, group, 7]))
                world = obstacles.with_things(world, things)
            if self.spec.raised:
                world, places = crowd.gather(world, np.random.default_rng([self.spec.seed, group, 9]))
            stage = Stage(world)
            stage.materials = vary_materials(stage.materials, rng, 0.6 * self.spec.variety)
            self._group = (group, world, stage, places)
        return self._group[1:]

    def _drawn(self, index: int) -> tuple[np.random.Generator, conditions.Condition, Rig]:
        """What is decided before anything is rendered, and the generator as it is then."""
        spec = self.spec
        rng = np.random.default_rng([spec.seed, index, 8])
        name = str(rng.choice(spec.conditions))
        condition = conditions.parse(name, int(rng.integers(1, 2**31)) if spec.variety > 0 else 0)
        if condition.extinction > 0:  # from a haze to a wall
            factor = float(np.exp(spec.variety * rng.uniform(-1.0, 0.7)))
            condition = replace(condition, extinction=condition.extinction * factor)
        rig = default_rig(spec.width, spec.height, spec.width, spec.height)
        rig = lookout.raise_camera(rig, rng) if spec.raised else vary_rig(rig, rng, spec.variety)
        return rng, condition, rig.registered() if spec.registered else rig

    def _render(self, index: int) -> Sample:
        spec = self.spec
        world, stage, places = self._world(index // spec.per_world)
        rng, condition, rig = self._drawn(index)
        headlamp = (
            str(rng.choice(["auto", "auto", "on", "off"])) if spec.variety > 0 and world.indoor else "auto"
        )
        renderer = Renderer(world, condition, spec.quality, headlamp, stage)
        if spec.raised:
            t, base = lookout.stand(world, rig, places, rng)
        else:
            t, base = _stand_clear(world, rng, spec, places)
        sensor = sensors.ThermalSensor(
            spec.height,
            spec.width,
            int(rng.integers(0, 2**31)),
            netd_k=0.05 * float(np.exp(spec.variety * rng.normal(0, 0.5))),
            blur_px=float(np.clip(0.75 * spec.width / 640 + 0.2 * spec.variety * rng.normal(), 0.3, 1.4)),
            pattern=float(np.exp(spec.variety * rng.normal(0, 0.4))),
        )
        eye = renderer.view(rig.rgb, base @ rig.base_from_rgb, t)
        visible = eye.visible()
        dt = 0.004
        drift = base_pose(world, t + dt) @ np.linalg.inv(base_pose(world, t))
        flow = eye.motion(drift @ base @ rig.base_from_rgb, dt)
        rgb = sensors.develop(
            sensors.smear(visible.radiance, flow, sensors.EXPOSURE_S[condition.time]), condition, rng
        )
        warm = (
            eye
            if spec.registered
            else renderer.view(rig.thermal, base @ rig.base_from_thermal, t, eye.moment)
        )
        thermal = warm.thermal()
        counts = sensor.read(thermal.signal, float(rng.uniform(0, 60)), rng)
        depth, instance = _rounded_depth(eye.geometry.depth), eye.geometry.instance.astype(np.uint16)
        temperature = _rounded_kelvin(thermal.temperature_k)
        objects = find_objects(eye, world.labelled, visible.transmission, None)
        return Sample(
            index=index,
            rgb=rgb,
            counts=counts,
            depth=depth,
            instance=instance,
            temperature_k=temperature,
            thermal_depth=depth if spec.registered else _rounded_depth(warm.geometry.depth),
            thermal_instance=instance if spec.registered else warm.geometry.instance.astype(np.uint16),
            transmission=np.rint(visible.transmission * 255).astype(np.uint8),
            objects=objects,
            thermal_objects=find_objects(warm, world.labelled, thermal.transmission, thermal.temperature_k),
            k=rig.rgb.matrix,
            thermal_k=rig.thermal.matrix,
            distortion=rig.rgb.distortion,
            thermal_distortion=rig.thermal.distortion,
            thermal_from_rgb=rig.thermal_from_rgb,
            camera_height_m=round(float(rig.base_from_rgb[2, 3]), 4),
            base_from_rgb=rig.base_from_rgb,
            facts=scene_facts(world, condition, visible.transmission, eye.geometry.depth),
        )

    def samples(self, workers: int = 0) -> Iterator[Sample]:
        """All samples in order, rendered by `workers` processes (0: here).

        With a cache, workers write files and only these are read back, so the next pass renders nothing.
        """
        indices = range(len(self))
        if workers <= 0:
            for index in indices:
                yield self[index]
            return
        size = self.spec.per_world
        groups = [indices[i : i + size] for i in range(0, len(indices), size)]
        folder = self.cache.parent if self.cache is not None else None
        stop = get_context("spawn").Event()
        with WorkerPool(workers, _start_worker, (self.spec, folder, stop)) as pool:
            try:
                pending = [pool.submit(_work, group) for group in groups]
                for group, done in zip(groups, pending, strict=True):
                    result = done.result()
                    for k, index in enumerate(group):
                        yield self[index] if result is None else result[k]
            finally:
                stop.set()  # the pool waits for groups that have been begun, and one takes many seconds

    def batches(
        self, size: int, workers: int = 0, seed: int | None = None
    ) -> Iterator[dict[str, NDArray[Any]]]:
        """Stacked arrays `rgb counts depth instance temperature_k transmission` of `size` samples; the rest is dropped.

        With a seed the order is shuffled (needs the cache, or renders worlds again and again).
        """
        names = ("rgb", "counts", "depth", "instance", "temperature_k", "transmission")
        order: Iterator[Sample]
        if seed is None:
            order = self.samples(workers)
        else:
            order = (self[int(i)] for i in np.random.default_rng(seed).permutation(len(self)))
        batch: list[Sample] = []
        for sample in order:
            batch.append(sample)
            if len(batch) == size:
                yield {name: np.stack([getattr(s, name) for s in batch]) for name in names}
                batch = []


_worker: SimulatedDataset | None = None
_stop: Event | None = None


def _start_worker(spec: DatasetSpec, cache: Path | None, stop: Event) -> None:
    global _worker, _stop  # one dataset per worker process, so that a world is built once per group
    os.environ["OMP_NUM_THREADS"] = "1"
    cv2.setNumThreads(1)
    _worker, _stop = SimulatedDataset(spec, cache), stop


def _work(indices: range) -> list[Sample] | None:
    """The samples, None where they are in the cache; fewer of them once nobody wants them any more."""
    assert _worker is not None
    assert _stop is not None
    made = []
    for index in indices:
        if _stop.is_set():
            break
        made.append(_worker[index])
    return None if _worker.cache is not None else made


def _stand(
    world: worlds.World, rng: np.random.Generator, variety: float
) -> tuple[float, NDArray[np.float64]]:
    """Somewhere on the rig's way: when it is there, and world_from_base."""
    t = float(rng.uniform(0.0, 55.0))
    base = base_pose(world, t)
    if variety > 0:
        base[:3, 3] += base[:3, 1] * 0.25 * variety * rng.normal()
        base[:3, :3] = base[:3, :3] @ m.rotation_z(0.20 * variety * rng.normal())
    return t, base


def _stand_clear(
    world: worlds.World, rng: np.random.Generator, spec: DatasetSpec, places: F32
) -> tuple[float, NDArray[np.float64]]:
    """As :func:`_stand`, away from all obstacles, N×3 x, y, radius; if the rig is to face one, near the nearest."""
    for tries in count():
        t, base = _stand(world, rng, spec.variety)
        between = (places[:, :2] - base[:2, 3]) @ base[:2, :2]  # ahead, to the left
        away = np.hypot(*between.T) - places[:, 2]
        ahead = np.abs(between[:, 1]) < _ASIDE * between[:, 0]
        if np.all(away >= _AWAY_M) and (
            not spec.facing or tries >= _TRIES or np.any(ahead & (away < _BEFORE_M))
        ):
            break
    return t, base


def vary_rig(rig: Rig, rng: np.random.Generator, variety: float) -> Rig:
    """Another lens and mounting: field of view, height, pitch, roll."""
    if variety <= 0:
        return rig
    zoom = float(np.exp(variety * rng.normal(0.0, 0.14)))
    pitch, roll = np.radians(variety * rng.normal(1.0, 3.0)), np.radians(variety * rng.normal(0.0, 1.6))
    height = float(np.clip(1.35 + variety * rng.normal(0, 0.3), 0.5, 2.2))
    return rig.remounted(mounted(0.3, height, pitch, roll), zoom)


def vary_materials(table: MaterialTable, rng: np.random.Generator, strength: float) -> MaterialTable:
    """Surfaces of other colours, roughness and thermal behaviour: what must not be learnt by heart."""
    if strength <= 0:
        return table
    n = len(table.gloss)

    def around(values: NDArray[np.float32], spread: float, low: float, high: float) -> NDArray[np.float32]:
        shape = values.shape
        return np.clip(values * np.exp(strength * rng.normal(0, spread, shape)), low, high).astype(np.float32)

    tint = np.exp(strength * (rng.normal(0, 0.30, (n, 1)) + rng.normal(0, 0.10, (n, 3)))).astype(np.float32)
    return replace(
        table,
        color=np.clip(table.color * tint, 0.004, 0.9),
        second=np.clip(table.second * tint, 0.004, 0.9),
        grain=around(table.grain, 0.6, 0.0, 0.5),
        gloss=around(table.gloss, 0.4, 0.0, 0.4),
        emissivity=np.clip(
            table.emissivity + (strength * rng.normal(0, 0.02, n)).astype(np.float32), 0.4, 0.99
        ),
        absorptivity=around(table.absorptivity, 0.25, 0.1, 0.97),
        inertia=around(table.inertia, 0.3, 0.0, 1.0),
        heat=around(table.heat, 0.4, 0.0, 60.0),
        body=np.where(table.body > 0.7, table.body, around(table.body, 0.3, 0.0, 0.7)).astype(np.float32),
        interior=around(table.interior, 0.4, 0.0, 0.6),
    )


def _code_depth(depth: F32) -> NDArray[np.uint16]:
    span = np.log(_FARTHEST / _NEAREST)
    inside = np.clip(np.nan_to_num(depth, nan=_NEAREST), _NEAREST, _FARTHEST)
    code = 1 + np.rint(np.log(inside / _NEAREST) / span * 65534)
    return np.where(np.isfinite(depth), code, 0).astype(np.uint16)


def _decode_depth(code: NDArray[np.uint16]) -> F32:
    span = np.log(_FARTHEST / _NEAREST)
    depth = _NEAREST * np.exp((code.astype(np.float64) - 1) / 65534 * span)
    return np.where(code > 0, depth, np.nan).astype(np.float32)


def _rounded_depth(depth: F32) -> F32:
    return _decode_depth(_code_depth(depth))


def _code_kelvin(kelvin: F32) -> NDArray[np.uint16]:
    return np.where(np.isfinite(kelvin), np.rint(np.nan_to_num(kelvin) * 100), 0).astype(np.uint16)


def _decode_kelvin(code: NDArray[np.uint16]) -> F32:
    return np.where(code > 0, code / 100.0, np.nan).astype(np.float32)


def _rounded_kelvin(kelvin: F32) -> F32:
    return _decode_kelvin(_code_kelvin(kelvin))


def _png(picture: NDArray[Any]) -> NDArray[np.uint8]:
    return cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].reshape(-1)


def _unpng(data: NDArray[np.uint8]) -> Any:
    picture = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if picture is None:
        raise ValueError("not a picture")
    return picture


def save(file: Path, sample: Sample) -> None:
    """Write a sample; the file appears whole or not at all. Raises `InputError` when that fails."""
    text = {
        "objects": [asdict(o) for o in sample.objects],
        "thermal_objects": [asdict(o) for o in sample.thermal_objects],
        "distortion": sample.distortion,
        "thermal_distortion": sample.thermal_distortion,
        "camera_height_m": sample.camera_height_m,
        "facts": sample.facts,
    }
    arrays: dict[str, Any] = {
        "rgb": _png(sample.rgb),
        "counts": _png(sample.counts),
        "depth": _png(_code_depth(sample.depth)),
        "instance": _png(sample.instance),
        "temperature_k": _png(_code_kelvin(sample.temperature_k)),
        "transmission": _png(sample.transmission),
        "k": sample.k,
        "thermal_k": sample.thermal_k,
        "thermal_from_rgb": sample.thermal_from_rgb,
        "text": np.array(json.dumps(text)),
    }
    if sample.thermal_depth is not sample.depth:
        arrays["thermal_depth"] = _png(_code_depth(sample.thermal_depth))
        arrays["thermal_instance"] = _png(sample.thermal_instance)
    part = file.with_name(f".{file.name}.{os.getpid()}.part")  # another training may render the same
    with writing(file):
        try:
            with part.open("wb") as stream:
                np.savez(stream, **arrays)
            part.replace(file)
        finally:
            part.unlink(missing_ok=True)


def load(file: Path, index: int, base_from_rgb: NDArray[np.float64]) -> Sample:
    """Read what :func:`save` wrote; the mounting is not stored, for it can be drawn again."""
    with np.load(file, allow_pickle=False) as data:
        text = json.loads(str(data["text"]))
        depth, instance = _decode_depth(_unpng(data["depth"])), _unpng(data["instance"])
        two = "thermal_depth" in data
        return Sample(
            index=index,
            rgb=_unpng(data["rgb"]),
            counts=_unpng(data["counts"]),
            depth=depth,
            instance=instance,
            temperature_k=_decode_kelvin(_unpng(data["temperature_k"])),
            thermal_depth=_decode_depth(_unpng(data["thermal_depth"])) if two else depth,
            thermal_instance=_unpng(data["thermal_instance"]) if two else instance,
            transmission=_unpng(data["transmission"]),
            objects=_objects(text["objects"]),
            thermal_objects=_objects(text["thermal_objects"]),
            k=data["k"],
            thermal_k=data["thermal_k"],
            distortion=tuple(text["distortion"]),
            thermal_distortion=tuple(text["thermal_distortion"]),
            thermal_from_rgb=data["thermal_from_rgb"],
            camera_height_m=text["camera_height_m"],
            base_from_rgb=base_from_rgb,
            facts=text["facts"],
        )


def _objects(rows: list[dict[str, Any]]) -> tuple[ObjectTruth, ...]:
    return tuple(
        ObjectTruth(**{**row, **{key: tuple(row[key]) for key in ("box", "full_box", "position_m")}})
        for row in rows
    )
