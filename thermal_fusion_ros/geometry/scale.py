"""Metric scale: how many metres a unit of relative depth is, from every source there is.

A source gives readings of the logarithm of the scale with their standard errors. Each is filtered over time by
itself; what they then say is compared, the largest group that agrees is averaged, and who differs from it is named.
Nobody is averaged with a source that contradicts: if nobody can tell who is wrong, there is no scale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.config import DepthConfig
from thermal_fusion_ros.detections import Detection
from thermal_fusion_ros.geometry.ground import Ground, GroundFitter
from thermal_fusion_ros.geometry.parallax import ParallaxScale
from thermal_fusion_ros.geometry.scale_readings import (
    Reading,
    from_ground,
    from_objects,
    from_range,
)
from thermal_fusion_ros.sensing.camera import CameraModel, Floats
from thermal_fusion_ros.sensing.rig import Rig

F32 = NDArray[np.float32]

# The sources, named as their parameters in the section `depth`, and the error of log scale that time does not average
# out: a measured mounting height, a population's mean height, calibrations, wheels.
SYSTEMATIC = {
    "camera_height_m": 0.03,
    "object_heights": 0.08,
    "range_points": 0.02,
    "rig_parallax": 0.03,
    "odometry_frame": 0.05,
}

OWN_UNIT = 0.08  # error of log scale of networks that are meant to say camera heights
DRIFT = 0.02  # of log scale in a second (root of): how constant the scale of a network is
ALIKE = 4.0  # readings in a row that share one error
OUTLIER = 4.0  # standard errors
CONVINCING = 5  # outliers in a row that are believed
CONTRADICTION = 3.0  # standard errors between two sources
MOST_UNCERTAIN = 0.25  # sigma of log scale: more is no scale
FASTEST = 0.10  # change of log scale in a second that is passed on
LONGEST_STEP_S = 1.0  # pauses count as no more than this for the rate limit
PARALLAX_PERIOD_S = 0.2
SHORTEST_BASELINE_M = 0.01


@dataclass(frozen=True)
class SourceState:
    """What became of one source.

    `state`: "off" (not configured), "waiting" (no usable reading yet, or none for long), "agreed", "outvoted" (others
    agree on something else), "contradicting" (nobody can tell who is wrong). `scale` and `sigma` (of its logarithm) are
    what it says by itself.
    """

    name: str
    state: str
    reason: str = ""
    scale: float | None = None
    sigma: float | None = None
    readings: int = 0


@dataclass(frozen=True)
class MetricScale:
    """metres = `scale` · relative depth. `scale` is None when there is none, and then `reason` says why.

    `sigma` is the standard error of log scale. `consistent` is False while sources contradict each other and nobody is
    outvoted; a scale that is there nevertheless is the last one that several agreed on.
    """

    scale: float | None
    sigma: float | None
    consistent: bool
    reason: str
    sources: tuple[SourceState, ...] = ()

    @property
    def agreed(self) -> tuple[str, ...]:
        """Names of the sources that the scale is made of."""
        return tuple(source.name for source in self.sources if source.state == "agreed")

    @property
    def outvoted(self) -> dict[str, str]:
        """Names of the sources that were left out because others agree on something else, with the reason."""
        return {source.name: source.reason for source in self.sources if source.state == "outvoted"}

    def to_dict(self) -> dict[str, Any]:
        """Plain Python types, for diagnostics."""
        tree: dict[str, Any] = {"scale": self.scale, "sigma": self.sigma, "consistent": self.consistent}
        tree |= {"reason": self.reason, "agreed": list(self.agreed), "outvoted": self.outvoted}
        for source in self.sources:
            said = "" if source.scale is None else f"{source.scale:.3f} ± {(source.sigma or 0):.0%}"
            tree[f"source {source.name}"] = "; ".join(
                part for part in (source.state, said, source.reason) if part
            )
        return tree


@dataclass(frozen=True)
class Verdict:
    """What a group of sources agree on; `reading` is None when they contradict each other."""

    reading: Reading | None
    agreed: tuple[str, ...]
    outvoted: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""


def combine(said: Mapping[str, Reading]) -> Verdict:
    """The largest group of sources that agree pairwise, averaged with their variances; all others are named.

    Two groups of the same size that share nobody are a contradiction, and so are two sources that differ.
    """
    if not said:
        return Verdict(None, (), {}, "no source of metric scale")
    groups: list[tuple[str, ...]] = []
    for size in range(len(said), 0, -1):
        groups = [group for group in combinations(said, size) if _agree([said[name] for name in group])]
        if groups:
            break
    groups.sort(key=lambda group: _mean([said[name] for name in group])[1])
    best = groups[0]
    rivals = [group for group in groups[1:] if not set(group) & set(best)]
    if rivals:
        words = ", ".join(f"{name} says {np.exp(reading.log_scale):.3g}" for name, reading in said.items())
        return Verdict(None, (), {}, f"sources contradict each other and none can be outvoted: {words}")
    reading, _ = _mean([said[name] for name in best])
    outvoted = {
        name: f"says {np.exp(said[name].log_scale - reading.log_scale):.2f} times what "
        f"{' and '.join(best)} say{'' if len(best) > 1 else 's'}"
        for name in said
        if name not in best
    }
    return Verdict(reading, best, outvoted)


def _agree(readings: Sequence[Reading]) -> bool:
    return all(
        abs(one.log_scale - other.log_scale) <= CONTRADICTION * np.hypot(one.sigma, other.sigma)
        for one, other in combinations(readings, 2)
    )


def _mean(readings: Sequence[Reading]) -> tuple[Reading, float]:
    """Weighted by variance, and chi-square; an error that is too small for the scatter is enlarged."""
    values = np.array([reading.log_scale for reading in readings])
    weights = np.array([reading.sigma for reading in readings]) ** -2
    mean = float((values * weights).sum() / weights.sum())
    chi_square = float(((values - mean) ** 2 * weights).sum())
    excess = max(1.0, chi_square / max(1, len(readings) - 1))
    return Reading(mean, float(np.sqrt(excess / weights.sum()))), chi_square


class SourceFilter:
    """Readings of one source over time: a Kalman filter of one number that drifts slowly."""

    def __init__(self, systematic: float):
        self.systematic = systematic
        self.readings = 0
        self.problem = "no reading yet"
        self._value: float | None = None
        self._variance = np.inf
        self._misfits = 0

    @property
    def estimate(self) -> Reading | None:
        """What the source says now; None without readings, or when they are too long ago."""
        if self._value is None:
            return None
        sigma = float(np.sqrt(self._variance + self.systematic**2))
        return Reading(self._value, sigma) if sigma <= MOST_UNCERTAIN else None

    def advance(self, seconds: float) -> None:
        """Time passes: what was known gets less certain."""
        self._variance += DRIFT**2 * seconds

    def add(self, reading: Reading | str) -> None:
        """Take a reading, or the reason why there is none."""
        if isinstance(reading, str):
            self.problem = reading
            return
        self.problem = ""
        self.readings += 1
        variance = ALIKE * reading.sigma**2
        if self._value is None:
            self._value, self._variance = reading.log_scale, reading.sigma**2
            return
        misfit = reading.log_scale - self._value
        if abs(misfit) > OUTLIER * np.sqrt(self._variance + reading.sigma**2):
            self._misfits += 1
            if self._misfits >= CONVINCING:
                self._value, self._variance, self._misfits = reading.log_scale, reading.sigma**2, 0
            return
        self._misfits = 0
        gain = self._variance / (self._variance + variance)
        self._value += gain * misfit
        self._variance *= 1 - gain

    def set(self, reading: Reading | str) -> None:
        """Take what a source that pools over time itself says now."""
        if isinstance(reading, str):
            self.problem = reading
            return
        self.problem = ""
        self.readings += 1
        self._value, self._variance = reading.log_scale, reading.sigma**2


class ScaleTracker:
    """The scale of one stream of depth pictures. Used by one thread at a time."""

    def __init__(
        self,
        config: DepthConfig,
        camera: CameraModel | None = None,
        rig: Rig | None = None,
        *,
        in_heights: bool = False,
    ):
        """`camera` is the RGB one (taken from `rig` where that is given); without either only nothing is known.

        `in_heights`: relative depth is meant to be in camera heights, as our own networks give it. Then the plane that
        is fitted to it is only one of two opinions on how high the camera is above the ground.
        """
        self._in_heights = in_heights
        self._rig: Rig | None = None
        self._camera: CameraModel | None = None
        self._down: Floats | None = None
        self.config = config
        self.set_cameras(camera, rig)

    def set_cameras(self, camera: CameraModel | None, rig: Rig | None = None) -> None:
        """Calibration that has arrived or changed: what was known is forgotten."""
        self._rig, self._camera = rig, rig.rgb if rig is not None else camera
        self.reset()

    def set_down(self, down: Floats | None) -> None:
        """Down (3,) in the optical frame of the RGB camera, or None where nobody knows how it is mounted."""
        self._down = down
        self._look_for_ground()

    def _look_for_ground(self) -> None:
        self._ground = None if self._camera is None else GroundFitter(self._camera, self._down)

    def configure(self, config: DepthConfig) -> None:
        """Apply changed parameters; a source whose parameter has changed starts afresh."""
        for name, error in SYSTEMATIC.items():
            if getattr(config, name) != getattr(self.config, name):
                self._filters[name] = SourceFilter(error)
        self.config = config

    def reset(self) -> None:
        """A new recording: forget everything."""
        self._filters = {name: SourceFilter(error) for name, error in SYSTEMATIC.items()}
        self._look_for_ground()
        usable = self._rig is not None and self._rig.baseline_m >= SHORTEST_BASELINE_M
        self._parallax = ParallaxScale(self._rig) if self._rig is not None and usable else None
        self._stamp_ns: int | None = None
        self._parallax_ns: int | None = None
        self._value: float | None = None
        self._sigma = np.inf
        self._backed = False  # by several sources
        self._misfits = 0

    def update(
        self,
        stamp_ns: int,
        relative: F32,
        uncertainty: F32 | None = None,
        *,
        gray: NDArray[np.uint8] | None = None,
        thermal: NDArray[np.uint8] | None = None,
        objects: Sequence[Detection] = (),
        range_points: Floats | None = None,
        odometry: Reading | str | None = None,
    ) -> MetricScale:
        """Learn from one frame and return the scale to use for it.

        `relative` H×W float32 along the optical axis of the RGB camera, NaN where invalid, and `uncertainty`, the sigma
        of its logarithm: any size, in the view of the RGB picture. `gray` and `thermal` are uint8 pictures of the
        cameras' own sizes, not registered; boxes of `objects` are in RGB pixels, `range_points` N×3 metres in the RGB
        optical frame, `odometry` what :meth:`MotionStereo.look` says. What is None gives no reading. Arrays are read
        only.
        """
        seconds = 0.0 if self._stamp_ns is None else max(0.0, (stamp_ns - self._stamp_ns) * 1e-9)
        self._stamp_ns = stamp_ns
        for source in self._filters.values():
            source.advance(seconds)
        off = self._off()
        if "camera_height_m" not in off and self._ground is not None:
            self._filters["camera_height_m"].add(self._from_height(self._ground.fit(relative, uncertainty)))
        if "object_heights" not in off and objects and self._camera is not None:
            self._filters["object_heights"].add(from_objects(objects, relative, self._camera, uncertainty))
        if "range_points" not in off and range_points is not None and self._camera is not None:
            self._filters["range_points"].add(from_range(range_points, relative, self._camera))
        if "odometry_frame" not in off and odometry is not None:
            self._filters["odometry_frame"].add(odometry)
        if "rig_parallax" not in off and gray is not None and thermal is not None:
            self._look_for_parallax(stamp_ns, relative, uncertainty, gray, thermal)
        return self._decide(off, seconds)

    @property
    def last(self) -> float | None:
        """The scale that the last frame was given; None while there is none."""
        return None if self._value is None else float(np.exp(self._value))

    def _from_height(self, ground: Ground | str) -> Reading | str:
        if isinstance(ground, str):
            return ground
        height = self.config.camera_height_m
        fitted = from_ground(ground, height)
        if not self._in_heights:
            return fitted
        both, _ = _mean([fitted, Reading(float(np.log(height)), OWN_UNIT)])
        # Two opinions of one network: together they are no surer than the surer of them.
        return Reading(both.log_scale, max(both.sigma, fitted.sigma))

    def _look_for_parallax(
        self,
        stamp_ns: int,
        relative: F32,
        uncertainty: F32 | None,
        gray: NDArray[np.uint8],
        thermal: NDArray[np.uint8],
    ) -> None:
        assert self._parallax is not None
        last = self._parallax_ns
        if last is not None and 0 <= stamp_ns - last < PARALLAX_PERIOD_S * 1e9 * 0.99:
            return
        self._parallax_ns = stamp_ns
        self._parallax.observe(gray, thermal, relative, uncertainty)
        self._filters["rig_parallax"].set(self._parallax.reading() or self._parallax.reason)

    def _off(self) -> dict[str, str]:
        """Sources that cannot be used, with what is missing."""
        config, off = self.config, {}
        if config.camera_height_m <= 0:
            off["camera_height_m"] = "depth.camera_height_m is 0 (unknown)"
        if not config.odometry_frame:
            off["odometry_frame"] = "depth.odometry_frame is not set"
        for name in ("object_heights", "range_points", "rig_parallax"):
            if not getattr(config, name):
                off[name] = f"depth.{name} is false"
        if self._camera is None:
            for name in SYSTEMATIC:
                off.setdefault(name, "the RGB camera is not calibrated")
        if self._parallax is None:
            why = "no calibrated rig" if self._rig is None else "the cameras are too close together"
            off.setdefault("rig_parallax", why)
        return off

    def _decide(self, off: Mapping[str, str], seconds: float) -> MetricScale:
        said = {}
        for name, source in self._filters.items():
            estimate = source.estimate
            if name not in off and estimate is not None:
                said[name] = estimate
        verdict = combine(said)
        if verdict.reading is not None:
            self._follow(verdict.reading, seconds)
            self._backed = len(verdict.agreed) > 1
        elif said and not self._backed:  # a single source was followed, and it is in doubt now
            self._value = None
        else:  # what was known stays known for a while
            self._sigma = float(np.hypot(self._sigma, DRIFT * np.sqrt(seconds)))
        contradiction = bool(said) and verdict.reading is None
        reason = verdict.reason
        known = self._value is not None and self._sigma <= MOST_UNCERTAIN
        if not known and not said:
            missing = "; ".join(
                f"{name}: {off.get(name) or self._filters[name].problem}" for name in SYSTEMATIC
            )
            reason = f"no source of metric scale ({missing})"
        return MetricScale(
            scale=float(np.exp(self._value)) if known and self._value is not None else None,
            sigma=self._sigma if known else None,
            consistent=not contradiction,
            reason=reason,
            sources=tuple(self._state(name, off, said, verdict) for name in SYSTEMATIC),
        )

    def _follow(self, target: Reading, seconds: float) -> None:
        """Move towards what the sources agree on, no faster than :data:`FASTEST`."""
        if self._value is None or self._sigma > MOST_UNCERTAIN:
            self._value, self._sigma, self._misfits = target.log_scale, target.sigma, 0
            return
        gap = target.log_scale - self._value
        # Gliding for seconds through scales that nobody believes in would be worse than one jump.
        self._misfits = self._misfits + 1 if abs(gap) > OUTLIER * target.sigma else 0
        if self._misfits >= CONVINCING:
            self._value, self._sigma, self._misfits = target.log_scale, target.sigma, 0
            return
        most = FASTEST * min(seconds, LONGEST_STEP_S)
        self._value += float(np.clip(gap, -most, most))
        self._sigma = float(np.hypot(target.sigma, target.log_scale - self._value))

    def _state(
        self, name: str, off: Mapping[str, str], said: Mapping[str, Reading], verdict: Verdict
    ) -> SourceState:
        source = self._filters[name]
        if name in off:
            return SourceState(name, "off", off[name])
        if name not in said:
            return SourceState(
                name, "waiting", source.problem or "no reading for long", readings=source.readings
            )
        if name in verdict.agreed:
            state, reason = "agreed", source.problem
        elif name in verdict.outvoted:
            state, reason = "outvoted", verdict.outvoted[name]
        else:
            state, reason = "contradicting", ""
        scale, sigma = float(np.exp(said[name].log_scale)), said[name].sigma
        return SourceState(name, state, reason, scale, sigma, source.readings)
