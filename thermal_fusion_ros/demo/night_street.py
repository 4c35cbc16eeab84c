"""A night street in smoke, in both spectra: the demo's recording, made on the fly.

Two and a half dimensions: road, walls and sky are planes seen from 1.6 m height, people and a car are drawn at their
distance. Lamps light the visible image, temperatures the thermal one; smoke thickens with distance and hides the
visible image, hardly the thermal one. Thermal pixels are temperature-linear 16-bit, 0.01 K each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.bags.source import FIRST_STAMP_NS, SECOND_NS, Arrival, Recording, thermal_kind
from thermal_fusion_ros.frames import RgbFrame, ThermalFrame

Image = NDArray[Any]  # float32 H×W, or H×W×3
Point = tuple[float, float]

WIDTH, HEIGHT, FPS = 640, 480, 30
FOCAL_PX, HORIZON_PX, CAMERA_M = 560.0, 215.0, 1.6
ROAD_M, WALL_M, BLOCK_M, FLOOR_M, FAR_M = 4.0, 8.0, 13.0, 3.2, 90.0
LAMPS_XZ = ((-5.2, 11.0), (5.2, 19.0), (-5.2, 29.0), (5.2, 41.0), (-5.2, 56.0))
LAMP_M, LAMP_RGB = 5.5, np.array([1.0, 0.74, 0.42], np.float32)
KELVIN = 273.15
SKIN = (0.42, 0.28, 0.2)
SKY_C, GROUND_C, WALL_C, SMOKE_C = -18.0, 9.0, 7.0, 8.5


@dataclass(frozen=True)
class Walker:
    """A person: start and speed along x and z in metres, and how fast the legs swing."""

    x: float
    z: float
    x_speed: float
    z_speed: float
    clothes: tuple[float, float, float]
    phase: float


WALKERS = (
    Walker(-2.9, 8.5, 0.95, 0.0, (0.045, 0.05, 0.07), 0.0),
    Walker(3.4, 12.5, -0.75, 0.1, (0.08, 0.05, 0.045), 1.7),
    Walker(5.0, 17.0, -0.1, -0.9, (0.05, 0.06, 0.05), 0.6),
    Walker(-5.4, 21.0, 0.1, -0.7, (0.06, 0.055, 0.05), 2.9),
    Walker(1.4, 27.0, 0.5, 0.0, (0.05, 0.05, 0.05), 4.1),
)


class NightStreet(Recording):
    """The clip as a source; the same `seed` gives the same pixels."""

    def __init__(self, seconds: float = 6.0, seed: int = 0) -> None:
        super().__init__("night street in smoke")
        self._frames = round(seconds * FPS)
        self._seed = seed

    @property
    def frame_count(self) -> int | None:
        """Two per instant."""
        return 2 * self._frames

    def arrivals(self) -> Iterator[Arrival]:
        """RGB and thermal of every instant, registered and with the same stamp."""
        scene = Scene(np.random.default_rng(self._seed))
        for index in range(self._frames):
            visible, kelvin = scene.render(index / FPS)
            stamp = FIRST_STAMP_NS + index * SECOND_NS // FPS
            yield Arrival(stamp, RgbFrame(stamp, visible, "rgb_optical_frame"))
            counts = np.rint(kelvin * 100).astype(np.uint16)
            yield Arrival(stamp, ThermalFrame(stamp, counts, thermal_kind(counts), "rgb_optical_frame"))


class Canvas:
    """Both images being painted, and the distance in metres of what is seen in each pixel."""

    def __init__(self, visible: Image, celsius: Image, depth: Image) -> None:
        self.visible, self.celsius, self.depth = visible.copy(), celsius.copy(), depth.copy()

    def stroke(
        self, ends: tuple[Point, Point], width: float, z: float, *, colour: Image, celsius: float
    ) -> None:
        """A thick round line at distance `z`; ends and width in pixels, in or outside of the picture."""
        reach = width / 2 + 2
        (left, right), (top, bottom) = (
            (min(axis) - reach, max(axis) + reach) for axis in zip(*ends, strict=True)
        )
        x, y = max(0, int(left)), max(0, int(top))
        part = (slice(y, max(y, min(HEIGHT, int(bottom)))), slice(x, max(x, min(WIDTH, int(right)))))
        mask = np.zeros(self.depth[part].shape, np.uint8)
        if not mask.size:
            return
        first, last = ((round((px - x) * 16), round((py - y) * 16)) for px, py in ends)
        cv2.line(mask, first, last, 255, max(1, round(width)), cv2.LINE_AA, 4)
        cover = mask.astype(np.float32) / 255
        self.visible[part] += (colour - self.visible[part]) * cover[..., None]
        self.celsius[part] += (celsius - self.celsius[part]) * cover
        self.depth[part] = np.where(cover > 0.5, z, self.depth[part])


def place(x: float, up: float, z: float) -> Point:
    """Pixel of a point: metres right of the camera, above the ground and ahead."""
    scale = FOCAL_PX / z
    return WIDTH / 2 + x * scale, HORIZON_PX + (CAMERA_M - up) * scale


class Scene:
    """Everything that stands still is drawn once; :meth:`render` adds what moves."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        u, v = np.meshgrid(np.arange(WIDTH, dtype=np.float32), np.arange(HEIGHT, dtype=np.float32))
        self._right = (u - WIDTH / 2 + 0.5) / FOCAL_PX  # ray slopes: x / z and y / z, y down
        self._down = (v - HORIZON_PX + 0.5) / FOCAL_PX
        self._grain = _noise(rng, 512, (4, 16, 64))
        self._puffs = [_noise(rng, 1024, octaves) for octaves in ((3, 6, 12), (5, 10, 24))]
        self._depth, self._visible, self._celsius = self._background()
        self._pattern = rng.normal(0, 0.06, (1, WIDTH)).astype(np.float32)  # columns of the detector differ
        # One sheet of noise, looked at through a window that jumps: as good as new noise, and much cheaper.
        self._noise = rng.normal(0, 1, (HEIGHT + 256, WIDTH + 256)).astype(np.float32)

    def render(self, seconds: float) -> tuple[NDArray[np.uint8], Image]:
        """Visible H×W×3 uint8 RGB and thermal H×W float32 kelvin at a time."""
        canvas = Canvas(self._visible, self._celsius, self._depth)
        glare = np.zeros((HEIGHT, WIDTH), np.float32)
        car_z = 52.0 - 6.5 * seconds
        things = [(walker.z + walker.z_speed * seconds, walker) for walker in WALKERS] + [(car_z, None)]
        for z, walker in sorted(things, key=lambda thing: -thing[0]):
            if walker is None:
                glare = self._draw_car(canvas, z)
            else:
                self._draw_walker(canvas, walker, z, seconds)
        visible, celsius, depth = canvas.visible, canvas.celsius, canvas.depth
        thickness = self._smoke(seconds) * np.minimum(depth, 60.0)
        clear = cv2.exp(-0.1 * thickness)[..., None]
        fog = self._fog + glare[..., None] * np.array([0.75, 0.75, 0.68], np.float32)
        visible = fog + (visible + 0.25 * glare[..., None] - fog) * clear
        celsius = cv2.GaussianBlur(celsius, (0, 0), 0.9)
        celsius = SMOKE_C + (celsius - SMOKE_C) * cv2.exp(-0.006 * thickness)
        celsius += self._pattern + 0.05 * self._fresh_noise() + KELVIN
        visible = cv2.sqrt(np.maximum(visible, 0)) + 0.017 * self._fresh_noise()[..., None]
        return cv2.convertScaleAbs(np.maximum(visible, 0), alpha=255), celsius

    def _fresh_noise(self) -> Image:
        row, column = self._rng.integers(0, 256, 2)
        return self._noise[row : row + HEIGHT, column : column + WIDTH]

    def _background(self) -> tuple[Image, Image, Image]:
        right, down = self._right, self._down
        ground_z = np.where(down > 1e-3, CAMERA_M / np.maximum(down, 1e-3), np.inf)
        wall_z = WALL_M / np.maximum(np.abs(right), 1e-3)
        block = np.floor(wall_z / BLOCK_M)
        side = np.where(right < 0, 0, 97)
        roof = 8.0 + 5.0 * _hash(block + side)
        wall_up = CAMERA_M - down * wall_z
        is_ground = ground_z < wall_z
        is_wall = ~is_ground & (wall_up < roof) & (wall_z < FAR_M)
        depth = (
            np.where(is_ground, ground_z, np.where(is_wall, wall_z, FAR_M)).clip(1, FAR_M).astype(np.float32)
        )
        x, up = right * depth, CAMERA_M - down * depth

        # Windows: a grid over the walls, some lit, each lit one a little warm outside.
        column, row = np.floor(depth / 2.6), np.floor(up / FLOOR_M)
        inside = (np.abs(depth / 2.6 - column - 0.5) < 0.27) & (np.abs(up / FLOOR_M - row - 0.55) < 0.26)
        chance = _hash(column * 13 + row * 7 + side)
        window = is_wall & inside & (up > 0.8)
        lit = window & (chance > 0.72)
        grain = self._sample(self._grain, x * 40 + depth * 23, depth * 31 + up * 47)
        marking = is_ground & (np.abs(x) < 0.09) & (depth % 6.0 < 2.6)
        kerb = is_ground & (np.abs(np.abs(x) - ROAD_M) < 0.13)
        pavement = is_ground & (np.abs(x) > ROAD_M)

        paint = np.where(is_ground, 0.10, np.where(is_wall, 0.16 + 0.12 * _hash(block * 3 + side), 0.0))
        paint = np.where(pavement, 0.19, paint) * (0.75 + 0.5 * grain)
        paint = np.where(marking, 0.6, np.where(kerb, 0.34, np.where(window, 0.04, paint)))
        light = np.zeros((HEIGHT, WIDTH), np.float32)
        haze = np.zeros((HEIGHT, WIDTH), np.float32)
        for lamp_x, lamp_z in LAMPS_XZ:
            distance2 = (x - lamp_x) ** 2 + (depth - lamp_z) ** 2 + (up - LAMP_M) ** 2
            light += np.where(depth < FAR_M, 9.0 / (distance2 + 2.0), 0)
            head = (right - lamp_x / lamp_z, down + (LAMP_M - CAMERA_M) / lamp_z)
            angle2 = (head[0] ** 2 + head[1] ** 2) * lamp_z**1.2
            haze += 0.9 * np.exp(-angle2 / 0.012) + 0.28 * np.exp(-angle2 / 0.16)
        visible = (paint * (0.02 + light)).astype(np.float32)[..., None] * LAMP_RGB
        visible += (
            np.array([0.010, 0.013, 0.022], np.float32) * (1 + 4 * np.exp(-np.abs(down) / 0.06))[..., None]
        )
        tint = np.stack([np.ones_like(chance), 0.55 + 0.3 * chance, 0.25 + 0.35 * _hash(column + row)], -1)
        visible += (lit * (0.18 + 0.5 * _hash(column * 5 + row)))[..., None] * tint
        visible += haze[..., None] * LAMP_RGB
        self._fog = np.array([0.085, 0.09, 0.1], np.float32) + 0.6 * haze[..., None] * LAMP_RGB
        celsius = np.where(is_ground, GROUND_C - 1.2 * pavement, WALL_C + 2.0 * _hash(block * 3 + side))
        celsius += np.where(is_ground | is_wall, 0.8 * (grain - 0.5), 0) + 1.0 * marking - 0.7 * kerb
        celsius = np.where(window, WALL_C + 1.0 + 4.5 * lit, celsius)
        sky = ~(is_ground | is_wall)
        celsius = np.where(sky, SKY_C + 16 * np.exp(-np.abs(down) / 0.12), celsius)
        celsius += 22.0 * np.clip(haze - 0.6, 0, 0.5)
        return depth, visible.astype(np.float32), celsius.astype(np.float32)

    @staticmethod
    def _draw_walker(canvas: Canvas, walker: Walker, z: float, seconds: float) -> None:
        x = walker.x + walker.x_speed * seconds
        swing = 0.34 * np.sin(5.6 * seconds + walker.phase)
        if abs(walker.x_speed) < abs(walker.z_speed):
            swing *= 0.4  # seen from the front the legs open less
        left, right = -0.2 - 0.7 * swing, 0.2 + 0.7 * swing
        limbs = [  # ends in metres, width, temperature in °C, skin
            ((0.0, 0.92), (swing, 0.06), 0.17, 17.0, False),
            ((0.0, 0.92), (-swing, 0.06), 0.17, 17.0, False),
            ((0.0, 0.92), (0.0, 1.45), 0.36, 20.5, False),
            ((-0.17, 1.38), (left, 0.92), 0.11, 18.5, False),
            ((0.17, 1.38), (right, 0.92), 0.11, 18.5, False),
            ((left, 0.88), (left, 0.84), 0.1, 29.0, True),
            ((right, 0.88), (right, 0.84), 0.1, 29.0, True),
            ((0.0, 1.6), (0.0, 1.68), 0.2, 32.5, True),
        ]
        lamp = sum(6.0 / ((x - lx) ** 2 + (z - lz) ** 2 + 14.0) for lx, lz in LAMPS_XZ) + 0.05
        for start, end, width, celsius, skin in limbs:
            tone = np.array(SKIN if skin else walker.clothes, np.float32) * np.float32(lamp) * LAMP_RGB
            ends = place(x + start[0], start[1], z), place(x + end[0], end[1], z)
            canvas.stroke(ends, width * FOCAL_PX / z, z, colour=tone, celsius=celsius)

    @staticmethod
    def _draw_car(canvas: Canvas, z: float) -> Image:
        """Draw it from the front; returns the glare of its head-lamps."""
        x, scale = -1.9, FOCAL_PX / z
        body, glass = np.array([0.03, 0.032, 0.04], np.float32), np.array([0.012, 0.014, 0.018], np.float32)
        parts = [  # half length in metres, height, width, colour, temperature in °C
            (0.55, 0.62, 0.66, body, 19.0),
            (0.42, 1.14, 0.56, glass, 12.0),
            (0.4, 1.42, 0.1, body, 10.0),
            (0.4, 0.82, 0.2, body, 33.0),
            (0.26, 0.5, 0.2, glass, 41.0),
        ]
        for side in (-0.72, 0.72):
            tyre = place(x + side, 0.25, z), place(x + side, 0.12, z)
            canvas.stroke(tyre, 0.24 * scale, z, colour=glass, celsius=22.0)
        for half, up, width, colour, celsius in parts:
            ends = place(x - half, up, z), place(x + half, up, z)
            canvas.stroke(ends, width * scale, z, colour=colour, celsius=celsius)
        glare = np.zeros((HEIGHT, WIDTH), np.float32)
        across, along = np.arange(WIDTH, dtype=np.float32), np.arange(HEIGHT, dtype=np.float32)[:, None]
        for side in (-0.68, 0.68):
            lamp = place(x + side, 0.66, z)
            distance2 = ((across - lamp[0]) ** 2 + (along - lamp[1]) ** 2) / np.float32(scale * scale)
            glare += 1.6 * cv2.exp(-distance2 / 0.012) + np.float32(min(0.5, 12 / z)) / (1 + distance2 / 0.25)
            canvas.stroke((lamp, lamp), 0.2 * scale, z, colour=body, celsius=30.0)
        return glare

    def _smoke(self, seconds: float) -> Image:
        """Density per metre, about 0 to 1.6: two layers of drifting puffs, thicker near the ground."""
        near, far = (
            self._sample(
                puffs, self._right * spread + drift * seconds, self._down * spread * 1.4 + rise * seconds
            )
            for puffs, spread, drift, rise in ((self._puffs[0], 620, 46, 9), (self._puffs[1], 900, -22, 6))
        )
        height = np.clip(1.05 + 2.9 * self._down, 0.15, 1)
        return height * (0.22 + 4.2 * np.maximum(near - 0.4, 0) + 0.6 * far)

    @staticmethod
    def _sample(texture: Image, x: Image, y: Image) -> Image:
        return cv2.remap(texture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def _noise(rng: np.random.Generator, size: int, octaves: tuple[int, ...]) -> Image:
    """Tileable smooth noise in [0, 1]: grids of random values, finer ones weaker."""
    total = np.zeros((size, size), np.float32)
    for octave in octaves:
        grid = np.pad(rng.random((octave, octave), np.float32), 3, mode="wrap")
        cell = size // octave
        big = cv2.resize(grid, None, fx=cell, fy=cell, interpolation=cv2.INTER_CUBIC)
        big = cv2.resize(big[3 * cell : -3 * cell, 3 * cell : -3 * cell], (size, size))
        total += big * (octaves[0] / octave)
    low, high = total.min(), total.max()
    return (total - low) / (high - low)


def _hash(value: NDArray[np.floating]) -> Image:
    """A fixed pseudo-random number in [0, 1) for every value."""
    return (np.abs(np.sin(value * 12.9898 + 4.1414) * 43758.5453) % 1.0).astype(np.float32)
