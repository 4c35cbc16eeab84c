"""`python -m benchmark.scale`: metric scale of relative depth, by source, on drives of the simulated raw rig.

Relative depth is the exact one in an unknown unit with the errors of a network: a smooth factor (10 %, another one in
every frame) and blurred edges. The thermal camera is 10 cm beside the RGB one and takes its pictures 8 ms later.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmark.markdown import table
from thermal_fusion_ros.config import DepthConfig, SimulationConfig, ThermalConfig
from thermal_fusion_ros.detections import Detection
from thermal_fusion_ros.geometry.motion_stereo import MotionStereo
from thermal_fusion_ros.geometry.poses import Matrix
from thermal_fusion_ros.geometry.scale import MetricScale, ScaleTracker
from thermal_fusion_ros.geometry.scale_readings import Reading
from thermal_fusion_ros.sensing.rig import Rig
from thermal_fusion_ros.sensing.thermal import ThermalProcessor
from thermal_fusion_ros.simulation.simulator import Simulator

F32 = NDArray[np.float32]

UNIT_M = 1.7  # what the unit of relative depth is: nobody is told
ERROR, BLUR_PX = 0.10, 1.5  # of log depth; of its edges, in a picture 320 wide
FRAMES, PERIOD_S, START_S = 50, 0.1, 1.0
SKY_M = 200.0
VISIBLE_SHARE = 0.97
RANGE_POINTS, RANGE_NOISE = 60, 0.02
WORLDS, CONDITIONS = ("street", "corridor", "warehouse"), ("day", "night")
ALONE = DepthConfig(object_heights=False, range_points=False, rig_parallax=False)


@dataclass(frozen=True)
class Frame:
    """What the tracker is given, but for the true `depth` H×W metres in place of the network's."""

    stamp_ns: int
    picture: NDArray[np.uint8]
    gray: NDArray[np.uint8]
    thermal: NDArray[np.uint8]
    depth: F32
    world_from_camera: Matrix
    objects: list[Detection]
    range_points: NDArray[np.float64]


def simulator(world: str, condition: str, seed: int) -> Simulator:
    """The raw rig at 320×240."""
    return Simulator(
        SimulationConfig(
            world=world,
            condition=condition,
            seed=seed,
            width=320,
            height=240,
            thermal_width=320,
            thermal_height=240,
            quality="live",
            shutter_period_s=0.0,
        )
    )


def drive(sim: Simulator, frames: int = FRAMES, period_s: float = PERIOD_S) -> Iterator[Frame]:
    """Pairs of the raw rig in motion."""
    processor = ThermalProcessor(ThermalConfig())
    random = np.random.default_rng(7)
    for index in range(frames):
        second = START_S + index * period_s
        seen = sim.rgb(second)
        felt = processor(sim.thermal(second + sim.config.thermal_phase_s, truth=False).frame)
        assert seen.truth is not None
        yield Frame(
            seen.frame.stamp_ns,
            seen.frame.image,
            cv2.cvtColor(seen.frame.image, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False),
            felt.display.copy(),
            seen.truth.depth,
            seen.truth.world_from_camera,
            [
                Detection(o.label, o.box)
                for o in seen.truth.objects
                if o.visible_share > VISIBLE_SHARE and not o.truncated
            ],
            _ranges(sim, seen.truth.depth, random),
        )


def _ranges(sim: Simulator, depth: F32, random: np.random.Generator) -> NDArray[np.float64]:
    """Sparse noisy points (N×3); a tenth lies behind what the camera sees, as from a sensor elsewhere."""
    height, width = depth.shape
    v, u = random.integers(0, height, RANGE_POINTS), random.integers(0, width, RANGE_POINTS)
    z = depth[v, u] * np.exp(random.normal(0, RANGE_NOISE, RANGE_POINTS))
    z[: RANGE_POINTS // 10] *= 1.8
    rays = sim.rig.rgb.rays()[v, u].astype(np.float64)
    points = rays / rays[:, 2:] * z[:, None]
    return points[np.isfinite(points).all(axis=1)]


def as_predicted(
    depth: F32, random: np.random.Generator, sigma: float = ERROR, blur_px: float = BLUR_PX
) -> F32:
    """`depth` as a network would see it, in units of :data:`UNIT_M`."""
    height, width = depth.shape
    coarse = random.normal(size=(6, 8)).astype(np.float32)
    factor = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    factor *= sigma / factor.std()
    known = np.isfinite(depth)
    smooth = cv2.GaussianBlur(np.log(np.where(known, depth, np.float32(SKY_M))), (0, 0), blur_px)
    return np.where(known, np.exp(smooth + factor) / UNIT_M, np.nan).astype(np.float32)


def by_odometry(stereo: MotionStereo, frame: Frame, relative: F32, rig: Rig) -> Reading | str:
    """What earlier pictures say, with nothing to begin with."""
    sigma = np.full_like(relative, ERROR)
    return stereo.look(relative, sigma, frame.picture, rig.rgb, frame.world_from_camera, frame.stamp_ns)


def rows(sim: Simulator, rig: Rig, frames: int) -> list[tuple[str, MetricScale]]:
    """Result of the last frame by what was configured."""
    height = sim.config.camera_height_m
    everything = DepthConfig(camera_height_m=height, odometry_frame="odom")
    configs = {
        "parallax": replace(ALONE, rig_parallax=True),
        "height": replace(ALONE, camera_height_m=height),
        "objects": replace(ALONE, object_heights=True),
        "range": replace(ALONE, range_points=True),
        "odometry": replace(ALONE, odometry_frame="odom"),
        "all": everything,
        "all, height twice too large": replace(everything, camera_height_m=2 * height),
    }
    trackers = {name: ScaleTracker(config, rig=rig) for name, config in configs.items()}
    random, stereo = np.random.default_rng(1), MotionStereo()
    last: dict[str, MetricScale] = {}
    for frame in drive(sim, frames):
        relative = as_predicted(frame.depth, random)
        looked = by_odometry(stereo, frame, relative, rig)
        for name, tracker in trackers.items():
            last[name] = tracker.update(
                frame.stamp_ns,
                relative,
                gray=frame.gray,
                thermal=frame.thermal,
                objects=frame.objects,
                range_points=frame.range_points,
                odometry=looked,
            )
    return list(last.items())


def _error(result: MetricScale) -> str:
    if result.scale is None:
        return "none"
    return f"{result.scale / UNIT_M - 1:+.1%} ± {result.sigma:.0%}"


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmark.scale", description=__doc__)
    parser.add_argument("--seed", type=int, default=11, help="of the first world; the next has the next")
    parser.add_argument("--frames", type=int, default=FRAMES)
    args = parser.parse_args()
    cv2.setNumThreads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    lines, header = [], ["scene"]
    for index, world in enumerate(WORLDS):
        for condition in CONDITIONS:
            sim = simulator(world, condition, args.seed + index)
            results = rows(sim, sim.rig.calibration(), args.frames)
            header = ["scene", *(name for name, _ in results), "outvoted in the last"]
            named = ", ".join(results[-1][1].outvoted) or "none"
            lines.append([f"{world}, {condition}", *(_error(result) for _, result in results), named])
            print(lines[-1][0], file=sys.stderr)
    print(f"## Error of scale after {args.frames} frames, ± what it says of itself\n\n{table(header, lines)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
