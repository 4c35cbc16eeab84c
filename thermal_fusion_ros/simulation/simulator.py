"""The simulated rig at work: frames of both cameras in time order, each with its ground truth."""

from __future__ import annotations

import ctypes
import heapq
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.config import SimulationConfig
from thermal_fusion_ros.frames import RgbFrame, ThermalFrame, ThermalKind
from thermal_fusion_ros.simulation import conditions, heat, sensors, worlds
from thermal_fusion_ros.simulation.renderer import Renderer, View
from thermal_fusion_ros.simulation.rig import Camera, Rig, Timing, base_pose, default_rig
from thermal_fusion_ros.simulation.truth import Truth, find_objects, scene_facts
from thermal_fusion_ros.worker_pool import WorkerPool

FIRST_STAMP_NS = 1_000_000_000  # 0 would read as "no stamp" in ROS
TLINEAR_K = 0.01
# In real time pictures are rendered with fewer rays, this share of their pixels each way: colour is as soft as a camera
# with a Bayer pattern, and the thermal lens blurs most of what is lost away in any case, and blurs less for it.
LIVE_RGB_SHARE, LIVE_THERMAL_SHARE = 0.85, 0.7
LENS_BLUR_PX, LIVE_BLUR_PX = 0.75, 0.6
_FLOW_DT = 0.004


@dataclass(frozen=True)
class Shot:
    """A frame, when it was taken, and what is true about it (None when not asked for)."""

    frame: RgbFrame | ThermalFrame
    capture_s: float
    truth: Truth | None


def rig_of(config: SimulationConfig) -> Rig:
    """The rig a configuration describes."""
    rig = default_rig(
        config.width,
        config.height,
        config.thermal_width,
        config.thermal_height,
        config.baseline_m,
        config.camera_height_m,
    )
    return replace(
        rig,
        rgb_timing=Timing(config.rgb_rate_hz),
        thermal_timing=Timing(config.thermal_rate_hz, config.thermal_phase_s, config.thermal_latency_s),
        headlamp=config.headlamp,
    )


class Simulator:
    """A rig in a world. Any moment can be asked for in any order; the same moment gives the same bytes."""

    def __init__(
        self, config: SimulationConfig, rig: Rig | None = None, world: worlds.World | None = None
    ) -> None:
        self.config = config
        self.condition = conditions.parse(config.condition)
        self._own_world = world is not None
        self.world = world or worlds.build(config.world, config.seed)
        self.rig = rig or rig_of(config)
        self.renderer = Renderer(self.world, self.condition, config.quality, self.rig.headlamp)
        eye = self.rig.thermal
        self._fine = config.quality == "fine"
        blur = LENS_BLUR_PX if self._fine else LIVE_BLUR_PX
        self.sensor = sensors.ThermalSensor(eye.height, eye.width, config.seed, config.netd_k, blur)
        self._frozen: tuple[float, Shot] | None = None

    def _view(self, camera: Camera, base_from_camera: NDArray[np.float64], t: float) -> View:
        return self.renderer.view(camera, base_pose(self.world, t) @ base_from_camera, t)

    def _flow(self, view: View, base_from_camera: NDArray[np.float64], t: float) -> NDArray[np.float32]:
        later = base_pose(self.world, t + _FLOW_DT) @ base_from_camera
        return view.motion(later, _FLOW_DT, 4 if self._fine else 8)

    def _rng(self, camera: int, t: float) -> np.random.Generator:
        return np.random.default_rng([self.config.seed, camera, round(t * 1e6)])

    def rgb(self, t: float, truth: bool = True) -> Shot:
        """The RGB picture taken at second `t`."""
        rig, c = self.rig, self.condition
        view = self._view(rig.rgb, rig.base_from_rgb, t)
        seen = view if self._fine else self._coarser(view, LIVE_RGB_SHARE)
        picture = seen.visible()
        linear, exposure = picture.radiance, sensors.EXPOSURE_S[c.time]
        if self._fine or exposure > 0.01:
            linear = sensors.smear(linear, self._flow(seen, rig.base_from_rgb, t), exposure)
        if seen is not view:
            full = (rig.rgb.width, rig.rgb.height)
            linear = np.asarray(cv2.resize(linear, full, interpolation=cv2.INTER_LINEAR), np.float32)
            picture = view.visible() if truth else picture
        stamp = FIRST_STAMP_NS + round((t + rig.rgb_timing.latency_s) * 1e9)
        frame = RgbFrame(stamp, sensors.develop(linear, c, self._rng(0, t)), rig.rgb.frame_id)
        return Shot(
            frame, t, self._truth(view, picture.transmission, None, stamp, t, False) if truth else None
        )

    def shutter(self, t: float) -> tuple[float, bool]:
        """(capture time of what the thermal camera shows at `t`, whether a shutter event has frozen it)."""
        period, freeze = self.config.shutter_period_s, self.config.shutter_freeze_s
        if period <= 0 or freeze <= 0:
            return t, False
        # The first event comes half a period in: short recordings have one, and it is not their first picture.
        inside = (t - period / 2) % period
        if t < period / 2 or inside >= freeze:
            return t, False
        timing = self.rig.thermal_timing
        shown = (
            np.floor((t - inside - timing.phase_s) * timing.rate_hz + 1e-6) / timing.rate_hz + timing.phase_s
        )
        return (float(shown), True) if shown < t - 1e-9 else (t, False)

    def thermal(self, t: float, truth: bool = True) -> Shot:
        """The thermal picture delivered for second `t`; an older one while the shutter is closed."""
        rig, config = self.rig, self.config
        taken, frozen = self.shutter(t)
        stamp = FIRST_STAMP_NS + round((t + rig.thermal_timing.latency_s) * 1e9)
        if frozen and self._frozen and self._frozen[0] == taken and (self._frozen[1].truth or not truth):
            return self._restamped(self._frozen[1], stamp)
        view = self._view(rig.thermal, rig.base_from_thermal, taken)
        picture = view.thermal() if self._fine or truth else None
        if self._fine and picture is not None:
            flow = self._flow(view, rig.base_from_thermal, taken)
            signal = sensors.smear(picture.signal, flow, sensors.TIME_CONSTANT_S)
        else:
            signal = self._live_signal(view)
        period = config.shutter_period_s
        since = taken if period <= 0 or taken < period / 2 else (taken - period / 2) % period
        counts = self.sensor.read(signal, since, self._rng(1, taken))
        kind = ThermalKind.COUNTS
        if config.thermal_output == "tlinear":
            counts = np.clip(np.rint(heat.kelvin_of_counts(counts) / TLINEAR_K), 0, 65535).astype(np.uint16)
            kind = ThermalKind.TLINEAR
        known = (
            self._truth(view, picture.transmission, picture.temperature_k, stamp, taken, frozen)
            if truth and picture is not None
            else None
        )
        shot = Shot(ThermalFrame(stamp, counts, kind, rig.thermal.frame_id), taken, known)
        if frozen:
            self._frozen = (taken, shot)
        return shot

    def _live_signal(self, view: View) -> NDArray[np.float32]:
        """What arrives at the thermal detector, H×W, from fewer rays than pixels."""
        c = view.camera
        signal = self._coarser(view, LIVE_THERMAL_SHARE).thermal().signal
        return np.asarray(cv2.resize(signal, (c.width, c.height), interpolation=cv2.INTER_LINEAR))

    def _coarser(self, view: View, share: float) -> View:
        """The same view with this share of its pixels each way."""
        c = view.camera
        few = c.resized(max(round(c.width * share), 16), max(round(c.height * share), 16))
        return View(self.renderer, few, view.pose, view.t, view.moment)

    @staticmethod
    def _restamped(shot: Shot, stamp: int) -> Shot:
        truth = None if shot.truth is None else replace(shot.truth, stamp_ns=stamp)
        return Shot(replace(shot.frame, stamp_ns=stamp), shot.capture_s, truth)

    def _truth(
        self,
        view: View,
        transmission: NDArray[np.float32],
        temperature: NDArray[np.float32] | None,
        stamp: int,
        t: float,
        frozen: bool,
    ) -> Truth:
        geometry = view.geometry
        return Truth(
            stamp_ns=stamp,
            capture_s=t,
            frozen=frozen,
            camera=view.camera,
            world_from_camera=view.pose.astype(np.float64),
            world_from_base=base_pose(self.world, t),
            depth=geometry.depth,
            instance=geometry.instance,
            transmission=transmission,
            objects=find_objects(view, self.world.labelled, transmission, temperature),
            facts=scene_facts(self.world, self.condition, transmission, geometry.depth),
            temperature_k=temperature,
        )

    def frame_count(self, seconds: float) -> int:
        """How many shots :meth:`shots` gives."""
        return len(self.rig.rgb_timing.captures(seconds)) + len(self.rig.thermal_timing.captures(seconds))

    def shots(self, seconds: float, truth: bool = True, jobs: int = 1) -> Iterator[Shot]:
        """All frames of both cameras taken before `seconds`, in order of their stamps.

        `jobs` processes render ahead (1: this one alone); the frames are the same.
        """
        rgb = ((t + self.rig.rgb_timing.latency_s, 0, t) for t in self.rig.rgb_timing.captures(seconds))
        thermal = (
            (t + self.rig.thermal_timing.latency_s, 1, t) for t in self.rig.thermal_timing.captures(seconds)
        )
        captures = [(camera, t) for _, camera, t in heapq.merge(rgb, thermal)]
        if jobs <= 1 or self._own_world:
            for camera, t in captures:
                yield self.thermal(t, truth) if camera else self.rgb(t, truth)
            return
        with self.workers(jobs) as pool:
            ahead: deque[Future[Shot]] = deque()
            for camera, t in captures:
                ahead.append(pool.submit(render, camera, t, truth))
                if len(ahead) > 3 * jobs:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()

    def workers(self, jobs: int) -> WorkerPool:
        """`jobs` processes that each have this rig and world, for :func:`render`; they start with the first task."""
        return WorkerPool(jobs, _start_worker, (self.config, self.rig))


_worker: Simulator | None = None


def _start_worker(config: SimulationConfig, rig: Rig) -> None:
    global _worker  # noqa: PLW0603  # one world per process
    cv2.setNumThreads(1)
    _keep_memory()
    _worker = Simulator(config, rig)


def _keep_memory() -> None:
    """Have glibc keep what arrays of a picture's size give back: fetching it anew costs a tenth of the time."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return  # another C library
    trim_threshold, mmap_threshold = -1, -3  # malloc.h
    mallopt(mmap_threshold, 32 << 20)
    mallopt(trim_threshold, 1 << 30)


def render(camera: int, t: float, truth: bool) -> Shot:
    """In a worker: the shot of the RGB (0) or thermal (1) camera at second `t`."""
    assert _worker is not None
    return _worker.thermal(t, truth) if camera else _worker.rgb(t, truth)
