"""`python -m benchmark.boxes`: boxes at known places of simulated worlds, and where the cloud has them in the map.

The whole way: the raw rig drives towards three boxes, its recording (with TF) is read as a bag and replayed through the
pipeline with the networks that ship, depth becomes a cloud of the RGB camera, and TF takes that to the map. What is
told is what somebody who has built the rig would tell: the pose of the thermal camera and how the RGB one is mounted.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmark.markdown import table
from thermal_fusion_ros.bags.source import open_source
from thermal_fusion_ros.bags.writer import BagWriter
from thermal_fusion_ros.cli.demo import known_rig
from thermal_fusion_ros.config import Config, PointsConfig, SimulationConfig
from thermal_fusion_ros.geometry.pointcloud import PointCloudBuilder
from thermal_fusion_ros.geometry.poses import FrameTree
from thermal_fusion_ros.offline import run_offline
from thermal_fusion_ros.pipeline import Pipeline
from thermal_fusion_ros.simulation import mesh, worlds
from thermal_fusion_ros.simulation.obstacles import with_things
from thermal_fusion_ros.simulation.recording import MAP, write_bag
from thermal_fusion_ros.simulation.rig import base_pose
from thermal_fusion_ros.simulation.simulator import FIRST_STAMP_NS, Simulator
from thermal_fusion_ros.simulation.truth import Truth

F32, F64 = NDArray[np.float32], NDArray[np.float64]

SECONDS = 1.0  # of the drive; boxes stand before where it ends
PLACES = ((3.0, 0.75), (5.0, -0.7), (8.0, 0.15))  # ahead of base_link and to its left, metres
SIZE = (0.6, 0.6, 0.9)
NEAR = 0.05  # of the distance: at its place
FEWEST = 20  # points of a box that is to be seen
SCENES = tuple(
    (world, condition, seed)
    for seed, world in enumerate(("street", "trail", "corridor", "warehouse"), 21)
    for condition in ("day", "night", "smoke")
)


@dataclass(frozen=True)
class Placed:
    """A box as the cloud has it. Shares of its distance: `along` is how much farther than it is (the median point),
    `off` how far from its place in any direction. `near`: share of its pixels that have a point within
    :data:`NEAR` of where they are; a box that depth does not know can lie in the middle of the ground around it and be
    at its place by chance, its pixels cannot.
    """

    along: float
    off: float
    near: float


class LastDepth:
    """A sink that keeps the depth of the last frame."""

    def __init__(self) -> None:
        self.stamp_ns, self.fused = 0, np.empty((0, 0, 3), np.uint8)
        self.depth: F32 | None = None

    def add(self, stamp_ns: int, frame_id: str, image: NDArray[np.uint8]) -> None:
        """Keep a copy."""
        del frame_id
        self.stamp_ns, self.fused = stamp_ns, image.copy()

    def add_depth(self, stamp_ns: int, depth: F32) -> None:
        """Keep a copy."""
        del stamp_ns
        self.depth = depth.copy()


def middles(world: worlds.World, second: float) -> list[F64]:
    """Where in the map boxes are put: before where the rig is at `second`."""
    pose = base_pose(world, second)
    feet = [(pose @ [ahead, left, 0, 1])[:2] for ahead, left in PLACES]
    return [np.array([x, y, world.ground(x, y) + SIZE[2] / 2]) for x, y in feet]


def with_boxes(world: worlds.World, second: float = SECONDS) -> worlds.World:
    """`world` with boxes of cardboard at their :func:`middles`; their instances come last."""
    boxes = [mesh.box(SIZE, middle, world.palette("cardboard")) for middle in middles(world, second)]
    return with_things(world, boxes, "box")


def drive(
    simulator: Simulator,
    folder: Path,
    config: Config,
    seconds: float = SECONDS,
    *,
    tilt: bool = True,
    odometry: bool = False,
) -> tuple[LastDepth, FrameTree]:
    """What the pipeline made of the last pair of a recorded drive, and TF.

    Without `tilt` the height alone is told; with `odometry` TF tells how the robot moved.
    """
    path = folder / "drive.mcap"
    with BagWriter(path) as writer:
        write_bag(writer, simulator, seconds, truth="none")
    config = config.with_values(known_rig(simulator.rig, config))
    if not tilt:
        config = config.with_values({"depth.camera_tilt": ""})
    if odometry:
        config = config.with_values({"depth.odometry_frame": MAP})
    last = LastDepth()
    source = open_source(path)
    run_offline(source, config, Pipeline(config), [last])
    return last, source.transforms()


@lru_cache(maxsize=1)  # it takes a second to render
def _truth(simulator: Simulator, stamp_ns: int) -> Truth:
    truth = simulator.rgb((stamp_ns - FIRST_STAMP_NS) / 1e9).truth
    assert truth is not None
    return truth


def cloud_in_map(simulator: Simulator, last: LastDepth, tree: FrameTree) -> F64:
    """h×w×3 points of the cloud that would be published, in the map by TF; NaN where there is none."""
    assert last.depth is not None
    cloud = PointCloudBuilder(simulator.rig.calibration().rgb, PointsConfig())(last.depth, last.fused, None)
    return _moved(cloud, tree.lookup(MAP, simulator.rig.rgb.frame_id, last.stamp_ns))


def placed(simulator: Simulator, last: LastDepth, found: F64) -> list[Placed | None]:
    """The boxes in a cloud of :func:`cloud_in_map`; None for one that is hardly to be seen or has no point."""
    truth = _truth(simulator, last.stamp_ns)
    everything = PointCloudBuilder(simulator.rig.calibration().rgb, PointsConfig(edge=0.0))
    wanted = _moved(everything(truth.depth, last.fused, None), truth.world_from_camera)
    step, eye = everything.stride, truth.world_from_camera[:3, 3]
    results: list[Placed | None] = []
    for box in simulator.world.labelled[-len(PLACES) :]:
        its = truth.instance[::step, ::step] == box.instance
        has = its & np.isfinite(found).all(-1)
        if its.sum() < FEWEST or not has.any():
            results.append(None)
            continue
        place, seen = np.median(wanted[its], axis=0), np.median(found[has], axis=0)
        distance = float(np.linalg.norm(place - eye))
        off = np.linalg.norm(found - wanted, axis=-1)
        near = float((off[its] < NEAR * distance).mean())  # NaN is not near
        along = float(np.linalg.norm(seen - eye)) / distance - 1
        results.append(Placed(along, float(np.linalg.norm(seen - place)) / distance, near))
    return results


def _moved(cloud: NDArray[Any], pose: F64) -> F64:
    points = np.stack([cloud[axis] for axis in "xyz"], axis=-1).astype(np.float64)
    return np.asarray(points @ pose[:3, :3].T + pose[:3, 3])


def scene(world: str, condition: str, seed: int, **told: bool) -> tuple[list[Placed | None], float]:
    """Boxes of one world, by place, and AbsRel of all that is seen; none where depth got no metres.

    What is `told`: see :func:`drive`.
    """
    config = SimulationConfig(
        world=world, condition=condition, seed=seed, quality="live", shutter_period_s=0.0
    )
    simulator = Simulator(config, world=with_boxes(worlds.build(world, seed)))
    with tempfile.TemporaryDirectory() as folder:
        last, tree = drive(simulator, Path(folder), Config(), **told)
    if last.depth is None:
        return [None] * len(PLACES), float("nan")
    truth = _truth(simulator, last.stamp_ns).depth
    error = float(np.nanmean(np.abs(last.depth - truth) / truth))
    return placed(simulator, last, cloud_in_map(simulator, last, tree)), error


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmark.boxes", description=__doc__)
    parser.add_argument("--scenes", type=int, default=len(SCENES), help="only so many of them")
    parser.add_argument("--no-tilt", action="store_true", help="depth.camera_tilt is not told")
    parser.add_argument("--odometry", action="store_true", help="depth.odometry_frame is told")
    args = parser.parse_args()
    cv2.setNumThreads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    lines: list[list[str]] = []
    everything: list[Placed] = []
    errors: list[float] = []
    for world, condition, seed in SCENES[: args.scenes]:
        boxes, error = scene(world, condition, seed, tilt=not args.no_tilt, odometry=args.odometry)
        errors.append(error)
        cells = ["not seen" if box is None else f"{box.along:+.0%}, {box.near:.0%}" for box in boxes]
        lines.append([f"{world}, {condition}", *cells])
        everything += [box for box in boxes if box is not None]
        print(" | ".join(lines[-1]), file=sys.stderr)
    off, near = (np.array([getattr(box, name) for box in everything]) for name in ("off", "near"))
    header = ["scene", *(f"box {ahead:.0f} m ahead" for ahead, _ in PLACES)]
    print(table(header, lines))
    print(
        f"\nHow much farther than it is a box lies in the map, and the share of its pixels within {NEAR:.0%} of their "
        f"distance. Off its place: median {np.median(off):.0%}, {int((off <= NEAR).sum())} of {len(off)} boxes within "
        f"{NEAR:.0%}; of their pixels, {near.mean():.0%}. All that is seen, not only boxes: AbsRel "
        f"{np.nanmean(errors):.3f}."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
