"""From a world, a condition and a camera pose to radiance in both spectra, with exact depth and instance masks.

Deferred: one ray per pixel finds the surfaces, everything after that is arithmetic on arrays; visible light gets extra
rays only where a pixel straddles an edge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.simulation import heat, media, shading, sky
from thermal_fusion_ros.simulation.actors import Lamp
from thermal_fusion_ros.simulation.conditions import Condition
from thermal_fusion_ros.simulation.lights import Light, gather
from thermal_fusion_ros.simulation.mesh import F32
from thermal_fusion_ros.simulation.rig import Camera
from thermal_fusion_ros.simulation.tracing import Hits, Moment, Stage, Surface, surface
from thermal_fusion_ros.simulation.vectors import carried, row_dot, turned
from thermal_fusion_ros.simulation.worlds import World

I32 = NDArray[np.int32]
_SUBPIXELS = ((0.31, -0.27), (-0.33, 0.22), (-0.12, -0.38))
_MEDIUM_GRID = (30, 40)


@dataclass(frozen=True)
class Geometry:
    """Exact truth of one picture: `depth` H×W metres along the optical axis (NaN: sky), `instance` H×W (0: none)."""

    depth: F32
    instance: I32
    distance: F32  # H×W metres along the ray, inf for sky


@dataclass(frozen=True)
class VisiblePicture:
    """Linear radiance H×W×3 and how much of the surface's own light came through the air (H×W, 0..1)."""

    radiance: F32
    transmission: F32


@dataclass(frozen=True)
class ThermalPicture:
    """Arriving band radiance in counts (H×W, no noise), true surface temperature (NaN: sky) and transmission."""

    signal: F32
    temperature_k: F32
    transmission: F32


class View:
    """One camera at one pose and moment. Both spectra of the same view share its rays."""

    def __init__(
        self,
        renderer: Renderer,
        camera: Camera,
        world_from_camera: NDArray[np.floating],
        t: float,
        moment: Moment | None = None,
    ):
        self.renderer, self.camera, self.t = renderer, camera, t
        self.pose = np.asarray(world_from_camera, np.float32)
        self.eye = self.pose[:3, 3]
        self.moment = moment or Moment(renderer.stage, t, self.eye)

    def rays(self, pixels: NDArray[np.intp] | None = None, dx: float = 0.0, dy: float = 0.0) -> F32:
        """N×6 world rays of all pixels or of some."""
        d = self.camera.rays(dx, dy).reshape(-1, 1, 3)
        if pixels is not None:
            d = np.take(d, pixels, axis=0)
        out = np.empty((len(d), 6), np.float32)
        out[:, :3] = self.eye
        if len(d):
            out[:, 3:] = turned(d[:, 0], self.pose[:3, :3])
        return out

    def _actor_pixels(self) -> NDArray[np.intp]:
        """Pixels that may show an actor: inside the picture of an actor's bounding box."""
        c = self.camera
        inside = np.zeros((c.height, c.width), bool)
        for low, high in self.moment.boxes if self.moment.caster is not None else ():
            seen = _seen_from(self.pose, np.array(list(product(*zip(low, high, strict=True)))))
            if (seen[:, 2] <= 0.05).all():
                continue
            # What is behind the camera or past the lens model counts as being at the edge of what it covers.
            seen[:, 2] = np.maximum(seen[:, 2], 0.2)
            seen[:, :2] = np.clip(seen[:, :2], -1.3 * seen[:, 2:], 1.3 * seen[:, 2:])
            uv = c.project(seen)
            x0, y0 = np.floor(uv.min(0) - 0.02 * c.width).astype(int)
            x1, y1 = np.ceil(uv.max(0) + 0.02 * c.width).astype(int)
            inside[max(y0, 0) : max(y1 + 1, 0), max(x0, 0) : max(x1 + 1, 0)] = True
        return np.flatnonzero(inside.reshape(-1))

    @cached_property
    def primary(self) -> tuple[F32, Hits, Surface]:
        """Rays, hits and surfaces of the pixel middles."""
        rays = self.rays()
        hits = self.moment.cast(rays, self._actor_pixels())
        return rays, hits, surface(self.moment, rays, hits)

    @cached_property
    def lights(self) -> list[Light]:
        """Lamps that matter here."""
        return gather(
            self.moment,
            self.renderer.condition,
            self.renderer.headlamp(self.pose),
            self.pose,
            self.renderer.most_lamps,
        )

    @cached_property
    def medium(self) -> media.ViewMedium | None:
        """Fog or smoke in this view, with its light; None in clear air."""
        return self._medium(lit=True)

    def _medium(self, lit: bool) -> media.ViewMedium | None:
        c = self.camera
        h, w = _MEDIUM_GRID
        if self.renderer.condition.medium == "clear":
            return None
        rows = np.clip(((np.arange(h) + 0.5) * c.height / h - 0.5).round().astype(int), 0, c.height - 1)
        columns = np.clip(((np.arange(w) + 0.5) * c.width / w - 0.5).round().astype(int), 0, c.width - 1)
        direction = c.rays()[np.ix_(rows, columns)] @ self.pose[:3, :3].T
        return media.prepare(
            self.eye,
            direction,
            self.renderer.condition,
            self.renderer.world,
            self.t,
            self.lights if lit else None,
            (c.height, c.width),
        )

    @cached_property
    def geometry(self) -> Geometry:
        """Depth and masks."""
        _, hits, s = self.primary
        c = self.camera
        shape = (c.height, c.width)
        depth = np.full(shape[0] * shape[1], np.nan, np.float32)
        depth[s.index] = s.distance * c.rays().reshape(-1, 3)[s.index, 2]
        instance = np.zeros(shape[0] * shape[1], np.int32)
        instance[s.index] = s.instance
        return Geometry(depth.reshape(shape), instance.reshape(shape), hits.distance.reshape(shape))

    def extent(self, instance: int) -> F32:
        """N×3 points of a labelled object in the optical frame, hidden ones too."""
        return _seen_from(self.pose, self.moment.extent(instance))

    def motion(self, later: NDArray[np.floating], dt: float, step: int = 4) -> F32:
        """Flow in pixels per second on a grid of every `step`-th pixel; `later` is this camera's pose after `dt`."""
        grid = self._grid(step)
        chosen = grid.reshape(-1)
        _, hits, _ = self.primary
        rays = self.rays(chosen)
        distance = np.minimum(hits.distance[chosen], 300.0)
        point = rays[:, :3] + rays[:, 3:] * distance[:, None]
        stage, face = self.moment.stage, hits.face[chosen]
        moving = np.flatnonzero(face >= stage.static_count)
        if len(moving):
            change = stage.bones(self.t + dt, self.moment.active) @ np.linalg.inv(self.moment.bones)
            point[moving] = carried(change[stage.faces.bone[face[moving]]], point[moving])
        seen = _seen_from(later, point)
        seen[:, 2] = np.maximum(seen[:, 2], 0.05)
        v, u = np.divmod(chosen, self.camera.width)
        flow = (self.camera.project(seen) - np.column_stack([u, v])) / dt
        return np.asarray(flow, np.float32).reshape(*grid.shape, 2)

    def _grid(self, step: int) -> NDArray[np.intp]:
        """Numbers of the pixels in the middle of every `step`-th row and column."""
        c = self.camera
        return np.arange(c.height * c.width).reshape(c.height, c.width)[step // 2 :: step, step // 2 :: step]

    def visible(self) -> VisiblePicture:
        """Render visible light, with more rays along edges."""
        c = self.camera
        count = c.width * c.height
        rays, hits, s = self.primary
        open_map = self._openness()
        radiance, through = self._shade(rays, hits, s, np.arange(count), open_map, 0.0, 0.0)
        shape = (c.height, c.width)
        if self.renderer.extra_rays:
            self._supersample(radiance, open_map)
        else:
            # Real time: no rays to spare, so edges are blurred over their neighbours instead.
            picture = np.minimum(radiance, self.renderer.radiance_limit * 2).reshape(*shape, 3)
            soft = cv2.GaussianBlur(picture, (3, 3), 0.6)
            at = np.flatnonzero(self._edges.reshape(-1))
            radiance[at] = soft.reshape(-1, 3)[at]
        return VisiblePicture(radiance.reshape(*shape, 3), through.reshape(shape))

    def _supersample(self, radiance: F32, open_map: F32) -> None:
        """Average more rays into pixels along edges: all of them for outlines, one among leaves."""
        shape = (self.camera.height, self.camera.width)
        # An edge between two things of one brightness needs no more rays.
        shade = np.sqrt(radiance.mean(1)).reshape(shape)
        around = np.ones((3, 3), np.uint8)
        contrast = cv2.dilate(shade, around) - cv2.erode(shade, around)
        kind = np.where(contrast > 0.04 * (shade + shade.mean()), self._edges, 0).reshape(-1)
        limit = self.renderer.radiance_limit
        leafy = np.flatnonzero(kind == 1)
        sharp = np.flatnonzero(kind == 2)
        weight = np.ones(len(radiance), np.float32)
        edge = np.concatenate([sharp, leafy])
        radiance[edge] = np.minimum(radiance[edge], limit)
        for number, (dx, dy) in enumerate(_SUBPIXELS[: self.renderer.extra_rays]):
            at = edge if number == 0 else sharp
            if not len(at):
                continue
            more = self.rays(at, dx, dy)
            met = self.moment.cast(more)
            extra, _ = self._shade(more, met, surface(self.moment, more, met), at, open_map, dx, dy)
            radiance[at] += np.minimum(extra, limit)
            weight[at] += 1
        radiance[edge] /= weight[edge, None]

    def _openness(self) -> F32:
        """H·W ambient openness, computed on a quarter grid (in real time on a coarser one)."""
        c = self.camera
        if self.renderer.coarse_light and self.renderer.condition.time == "night" and self.lights:
            # Lamps cast shadows; what else there is hardly shows.
            return np.ones(c.height * c.width, np.float32)
        _, hits, _ = self.primary
        grid = self._grid(6 if self.renderer.coarse_light else 4)
        some = grid.reshape(-1)
        rays = self.rays(some)
        part = Hits(hits.distance[some], hits.face[some], hits.uv[some], hits.normal[some])
        s = surface(self.moment, rays, part)
        small = np.ones(len(some), np.float32)
        # The same directions in every frame: noise that moved would flicker.
        reach = 2.2 if not self.renderer.world.indoor else 1.2
        small[s.index] = shading.openness(
            self.moment, s, reach, np.random.default_rng(5), self.renderer.openness_rays
        )
        picture = cv2.blur(small.reshape(grid.shape), (3, 3))
        full: Any = cv2.resize(picture, (c.width, c.height), interpolation=cv2.INTER_LINEAR)
        flat: F32 = full.reshape(-1)
        return flat

    def _shade(
        self, rays: F32, hits: Hits, s: Surface, pixel: NDArray[np.intp], open_map: F32, dx: float, dy: float
    ) -> tuple[F32, F32]:
        r, c = self.renderer, self.renderer.condition
        out = np.empty((len(rays), 3), np.float32)
        missed = np.flatnonzero(hits.face < 0)
        if len(missed):
            out[missed] = sky.radiance(rays[missed, 3:], c, self.t) if not r.world.indoor else 0.002
        coarse = r.coarse_light and s is self.primary[2]
        if len(s.index):
            share = open_map[pixel[s.index]]
            lit = (
                self._coarsely(lambda some, at: self._light(some, share[at]))
                if coarse
                else self._light(s, share)
            )
            angle = self.camera.pixel_angle
            plain = self.renderer.coarse_light
            out[s.index] = shading.reflect(
                self.moment, s, r.stage.materials, c, angle, lit[:, :3], lit[:, 3], plain
            )
        if self.medium is None:
            return out, np.ones(len(rays), np.float32)
        if coarse:
            depth, glow = self._air_coarsely(self.medium)
        else:
            v, u = np.divmod(pixel.astype(np.float32), np.float32(self.camera.width))
            depth, glow = self.medium.look_up(u + np.float32(dx), v + np.float32(dy), hits.distance)
        through = np.exp(-depth)
        out *= through[:, None]
        out += glow
        return out, through

    def _air_coarsely(self, medium: media.ViewMedium) -> tuple[F32, F32]:
        """Optical depth N and scattered light N×3 of every pixel, from every second one but along outlines."""
        c = self.camera
        shape = (c.height, c.width)
        distance = self.primary[1].distance
        some = distance.reshape(shape)[::2, ::2]
        v, u = np.divmod(np.arange(some.size, dtype=np.float32), np.float32(some.shape[1]))
        depth, glow = medium.look_up(u * 2, v * 2, some.reshape(-1))
        small = np.column_stack([depth, glow]).reshape(*some.shape, 4)
        full: Any = cv2.resize(small, (c.width, c.height), interpolation=cv2.INTER_LINEAR)
        air: F32 = full.reshape(-1, 4)
        at = np.flatnonzero(self._edges.reshape(-1))
        v, u = np.divmod(at.astype(np.float32), np.float32(c.width))
        depth, glow = medium.look_up(u, v, distance[at])
        air[at, 0], air[at, 1:] = depth, glow
        return air[:, 0], air[:, 1:]

    def _light(self, s: Surface, share: F32) -> F32:
        """Illumination and sunlit share, N×4."""
        r, c = self.renderer, self.renderer.condition
        sunlit = np.zeros(len(s.index), np.float32)
        if not r.world.indoor and (c.time != "night" or not r.world.lamps):
            sunlit = shading.sunlight(self.moment, s, c, r.stage.materials)
        elif not r.world.indoor:
            sunlit[:] = 0.8  # moonlight among street lamps: too weak to be worth its shadows
        light = shading.illumination(self.moment, s, r.stage.materials, c, self.lights, share, sunlit)
        return np.column_stack([light, sunlit])

    def _coarsely(self, compute: Callable[[Surface, NDArray[np.intp]], F32]) -> F32:
        """`compute(some surfaces, their places)` for every second row and column, the rest interpolated.

        Exact along outlines, where neighbours have nothing to do with each other. For light in real time: it varies
        slowly over a surface but for the edges of shadows, which become a pixel softer.
        """
        c, r = self.camera, self.renderer
        s = self.primary[2]
        flat = np.full(c.height * c.width, -1, np.intp)
        flat[s.index] = np.arange(len(s.index))
        place = flat.reshape(c.height, c.width)
        grid = place[::2, ::2]
        seen = grid >= 0
        chosen = grid[seen]
        values = compute(s.lit_part(chosen), chosen)
        small = np.zeros((*grid.shape, values.shape[1]), np.float32)
        small[seen] = values
        full: Any = cv2.resize(small, (c.width, c.height), interpolation=cv2.INTER_LINEAR)
        out: F32 = full.reshape(c.height * c.width, -1)
        if len(s.index) < len(out):
            out = np.take(out, s.index, axis=0)
        outline = np.flatnonzero((self._edges == 2) & (place >= 0))
        mine = flat[outline]
        row, column = np.divmod(outline, c.width)
        thin = r.stage.materials.translucency > 0
        # Along an outline nothing is interpolated: the nearest neighbour on the same surface lends its light. Leaves
        # turn every way and borrow from any leaf.
        for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
            y = np.minimum((row + down) >> 1, grid.shape[0] - 1)
            x = np.minimum((column + right) >> 1, grid.shape[1] - 1)
            other = grid[y, x]
            material = s.material[mine]
            fits = (other >= 0) & (s.material[other] == material) & (s.instance[other] == s.instance[mine])
            some = np.flatnonzero(fits)
            alike = row_dot(np.take(s.normal, other[some], axis=0), np.take(s.normal, mine[some], axis=0))
            lent = some[(alike > 0.93) | thin[material[some]]]
            out[mine[lent]] = small[y[lent], x[lent]]
            left = np.ones(len(mine), bool)
            left[lent] = False
            mine, row, column = mine[left], row[left], column[left]
        if len(mine):
            out[mine] = compute(s.lit_part(mine), mine)
        return out

    @cached_property
    def _edges(self) -> NDArray[np.uint8]:
        """2 where neighbours show another surface, 1 where both are leaves, else 0."""
        c = self.camera
        _, hits, s = self.primary
        shape = (c.height, c.width)
        count = shape[0] * shape[1]
        cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))

        def spread(picture: NDArray[Any]) -> NDArray[Any]:
            return np.asarray(cv2.morphologyEx(picture, cv2.MORPH_GRADIENT, cross))

        key = np.full(count, -1, np.float32)
        key[s.index] = s.material + 64.0 * s.instance
        inverse = (1 / np.maximum(hits.distance, 0.1)).reshape(shape)
        normal = np.zeros((count, 3), np.float32)
        normal[s.index] = s.normal
        broken = spread(key.reshape(shape)) > 0
        broken |= spread(inverse) > 0.08 * inverse + 0.002
        turn = spread(normal.reshape(*shape, 3)) > 0.35
        broken |= turn[..., 0] | turn[..., 1] | turn[..., 2]
        edge = broken.astype(np.uint8)
        thin = np.zeros(count, np.uint8)
        thin[s.index] = np.take(self.moment.stage.materials.translucency > 0, s.material)
        crowd = cv2.erode(thin.reshape(shape), np.ones((3, 3), np.uint8))
        return np.where(crowd > 0, edge, 2 * edge)

    def thermal(self) -> ThermalPicture:
        """Render 8–14 µm."""
        r, c, camera = self.renderer, self.renderer.condition, self.camera
        rays, hits, s = self.primary
        table = r.stage.materials
        count = len(rays)
        signal: F32 = np.empty(count, np.float32)
        temperature = np.full(count, np.nan, np.float32)
        missed = np.flatnonzero(hits.face < 0)
        if len(missed):
            far = (
                sky.temperature(rays[missed, 3:], c, self.t)
                if not r.world.indoor
                else np.full(len(missed), c.interior_k, np.float32)
            )
            signal[missed] = heat.signal(far)
        if len(s.index):
            sunlit = np.zeros(len(s.index), np.float32)
            if c.sun_heating_k > 0.5 and not r.world.indoor:
                if r.coarse_light:
                    sunlit = self._coarsely(lambda some, _: self._sun_memory(some)[:, None])[:, 0]
                else:
                    sunlit = self._sun_memory(s)
            kelvin = heat.surface_temperature(s, table, c, sunlit, r.world.indoor)
            temperature[s.index] = kelvin
            signal[s.index] = heat.apparent_signal(s, kelvin, table, c, r.world.indoor)
        distance = np.minimum(hits.distance, 2000.0)
        through = np.exp(-np.float32(heat.AIR_EXTINCTION) * distance)
        through[missed] = 1.0  # the sky's temperature is apparent already
        air = c.interior_k if r.world.indoor else c.air_k
        signal = signal * through + (1 - through) * heat.signal(air)
        medium = self.medium if "medium" in self.__dict__ else self._medium(lit=False)
        passed = np.ones(count, np.float32)
        if medium is not None:
            passed = np.exp(-np.float32(c.infrared_share) * self._optical_depth(medium))
            warm = air + (4.0 if c.medium == "smoke" else 0.0)
            signal = signal * passed + (1 - passed) * heat.signal(warm)
        shape = (camera.height, camera.width)
        return ThermalPicture(signal.reshape(shape), temperature.reshape(shape), passed.reshape(shape))

    def _optical_depth(self, medium: media.ViewMedium) -> F32:
        """Of every pixel, N; in real time on every second row and column, as thermal hardly feels it."""
        c = self.camera
        step = 2 if self.renderer.coarse_light else 1
        distance = self.primary[1].distance.reshape(c.height, c.width)[::step, ::step]
        v, u = np.divmod(np.arange(distance.size, dtype=np.float32), np.float32(distance.shape[1]))
        depth, _ = medium.look_up(u * step, v * step, distance.reshape(-1))
        if step > 1:
            full: Any = cv2.resize(depth.reshape(distance.shape), (c.width, c.height))
            depth = full.reshape(-1)
        return depth

    def _sun_memory(self, s: Surface) -> F32:
        """Share of sunlight over the last half hour: half of it is from where the sun stood a while ago."""
        c, table = self.renderer.condition, self.renderer.stage.materials
        if self.renderer.coarse_light:
            return shading.sunlight(self.moment, s, c, table, _turned(c.sun_direction, -0.06))
        past = _turned(c.sun_direction, -0.12)
        before = shading.sunlight(self.moment, s, c, table, past)
        return 0.55 * shading.sunlight(self.moment, s, c, table) + 0.45 * before


def _seen_from(pose: NDArray[np.floating], points: F32) -> NDArray[np.float64]:
    """N×3 world points in the frame at `pose`."""
    inverse = np.linalg.inv(np.asarray(pose, np.float64))
    return np.asarray(points @ inverse[:3, :3].T + inverse[:3, 3])


def _turned(direction: F32, angle: float) -> F32:
    c, s = np.cos(angle), np.sin(angle)
    x, y, z = direction
    return np.array([c * x - s * y, s * x + c * y, z], np.float32)


class Renderer:
    """A world under one condition. `quality` "fine" is for pictures and training, "live" for real time."""

    radiance_limit = 3.0  # of one sample along an edge: a lamp's rim must not be as bright as its middle

    def __init__(
        self,
        world: World,
        condition: Condition,
        quality: str = "fine",
        headlamp: str = "auto",
        stage: Stage | None = None,
    ):
        self.world, self.condition = world, condition
        self.stage = stage or Stage(world)
        self.extra_rays = 3 if quality == "fine" else 0
        self.openness_rays = 6 if quality == "fine" else 2
        self.most_lamps = 24 if quality == "fine" else 8
        self.coarse_light = quality != "fine"
        dark = condition.time == "night" and condition.lamps > 0 and (world.indoor or not world.lamps)
        self._headlamp = headlamp == "on" or (headlamp == "auto" and dark)

    def headlamp(self, pose: NDArray[np.floating]) -> tuple[Lamp, ...]:
        """The robot's own lamp, beside the camera at `pose`."""
        if not self._headlamp:
            return ()
        right, down, ahead, eye = pose[:3, 0], pose[:3, 1], pose[:3, 2], pose[:3, 3]
        at = eye - 0.12 * right + 0.25 * down + 0.05 * ahead
        axis = ahead + 0.03 * down
        color = (11.0, 10.7, 10.2)
        return (Lamp(tuple(map(float, at)), color, tuple(map(float, axis)), 0.62, 28.0, "always"),)  # type: ignore[arg-type]

    def view(
        self, camera: Camera, world_from_camera: NDArray[np.floating], t: float, moment: Moment | None = None
    ) -> View:
        """A camera in this world at time `t`."""
        return View(self, camera, world_from_camera, t, moment)
