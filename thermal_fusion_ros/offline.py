"""The online path over a recording, without ROS or a clock: same pairing, same pipeline, same pixels."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from scipy.spatial.transform import Rotation

from thermal_fusion_ros.bags.pairs import paired
from thermal_fusion_ros.bags.sinks import DepthSink
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.frames import FramePair, Perception, RgbFrame
from thermal_fusion_ros.geometry.mounting import down_of_pose
from thermal_fusion_ros.geometry.poses import FrameTree, PoseError, PoseOf, poses_in
from thermal_fusion_ros.replay_report import ReplayReport, engine_notes
from thermal_fusion_ros.sensing.pairing import Pair, make_pairer
from thermal_fusion_ros.sensing.rig_assembly import WAITING, RigAssembly

if TYPE_CHECKING:
    from thermal_fusion_ros.bags.sinks import Sink
    from thermal_fusion_ros.bags.source import Arrival, Source
    from thermal_fusion_ros.config import Config, RegistrationConfig
    from thermal_fusion_ros.pipeline import Pipeline
    from thermal_fusion_ros.sensing.camera import CalibrationError

MOUNTING_S = 10.0  # of /tf: where cameras sit is asked once, at the first picture, and often said again
UNKNOWN_RIG = {
    "waiting_camera_info": "the recording does not have the camera_info of both cameras",
    "waiting_transform": "TF of the recording does not say where the thermal camera was at the first picture "
    "(registration.thermal_in_rgb does)",
}


def run_offline(
    source: Source,
    config: Config,
    pipeline: Pipeline,
    sinks: Sequence[Sink] = (),
    *,
    loops: int = 1,
    on_frame: Callable[[], object] = lambda: None,
) -> ReplayReport:
    """Fuse every pair of `source`, `loops` times, into `sinks`.

    `on_frame` is called for each frame read. A pair the pipeline refuses is counted and noted, and the run
    goes on; a KeyboardInterrupt ends it early with what is done. Raises `InputError` when the source gives
    nothing.
    """
    report = ReplayReport(source.name, "offline", sent={"rgb": 0, "thermal": 0})
    world = config.depth.odometry_frame if config.depth.enabled else ""
    tree = source.transforms() if world else source.transforms(MOUNTING_S)
    problem = tell_cameras(source, config, pipeline, tree)
    pairer = make_pairer(config.sync)
    fuser = _Fuser(pipeline, sinks, report, poses_in(world, tree))
    try:
        for _ in range(loops):
            for pair in paired(_counted(source, report, on_frame), pairer):
                fuser.fuse(pair)
            pairer.reset("loop")
            pipeline.reset()
    except KeyboardInterrupt:
        report.interrupted = True
    report.unused.update(pairer.counters)
    if not report.pairs_in and all(report.sent.values()):
        report.notes.append(
            f"no RGB frame has a thermal one within {config.sync.tolerance_s * 1e3:.0f} ms: if the thermal camera's "
            "clock differs, say by how much with sync.thermal_offset_s"
        )
    report.engine = pipeline.engine_name
    report.notes += engine_notes(pipeline.engine_refused)
    report.notes += source.problems
    if report.published:
        report.notes += alignment_notes(config, problem, pipeline.registration_counters)
    if world and fuser.unplaced:
        report.notes.append(
            f"{fuser.unplaced} of {report.pairs_in} pairs: TF of the recording does not say where the camera was in "
            f"{world!r} (depth.odometry_frame); their depth is the network's alone"
        )
    report.balance()
    return report


def tell_cameras(
    source: Source, config: Config, pipeline: Pipeline, tree: FrameTree
) -> CalibrationError | None:
    """What the recording and its TF (`tree`) say about the cameras and how they are mounted.

    The configuration goes before it, as on a robot. Returns what is missing for the rig, or wrong with it.
    """
    assembly = RigAssembly(config.registration)
    for name, info in source.camera_info.items():
        assembly.take_camera_info(name, info)
    stamp = next((frame.stamp_ns for frame in source), 0) if tree.tracks else 0
    if assembly.wanted_transform is not None:
        with suppress(PoseError):
            pose = tree.lookup(*assembly.wanted_transform, stamp)
            assembly.take_pose(pose[:3, 3], Rotation.from_matrix(pose[:3, :3]).as_quat())
    camera = assembly.camera("rgb") if assembly.rig is None else assembly.rig.rgb
    if camera is not None or source.camera_info:
        pipeline.set_rig(assembly.rig, assembly.problem, camera)
    if config.depth.base_frame and camera is not None and camera.frame_id:
        with suppress(PoseError):
            pipeline.set_down(down_of_pose(tree.lookup(config.depth.base_frame, camera.frame_id, stamp)))
    return assembly.problem


def alignment_notes(config: Config, problem: CalibrationError | None, counters: Counter[str]) -> list[str]:
    """A line where pairs were fused though nobody knows how thermal lies on the RGB pictures.

    `counters`: pairs by how they were registered.
    """
    registration = config.registration
    guesses = registration.level == "auto" and not registration.matrix
    if guesses and problem is not None and problem.reason in WAITING:
        return [
            "thermal is taken as registered and only stretched to the RGB picture: "
            f"{UNKNOWN_RIG.get(problem.reason, problem)}; if it is not registered, set registration.rig (the file of "
            "`thermal-fusion calibrate`) or registration.level=online; if it is, registration.level=none"
        ]
    if registration.level in ("auto", "depth") and counters["plane"] > 1 and not counters["depth"]:
        return [_plane_note(registration, depth_enabled=config.depth.enabled)]
    guessed = counters["none"] + counters["homography"]
    if registration.level == "online" and guessed:
        held = "by registration.matrix alone" if registration.matrix else "as it is"
        return [
            f"{guessed} of {guessed + counters['online']} pairs: registration.level=online found too little structure "
            f"that both spectra share, thermal was laid over {held}; registration.rig (the file of "
            "`thermal-fusion calibrate`) needs none"
        ]
    return []


def _plane_note(config: RegistrationConfig, *, depth_enabled: bool) -> str:
    far = f"{config.plane_distance_m:g} m" if config.plane_distance_m else "infinitely far"
    metres = "depth.camera_height_m" if depth_enabled else "depth.enabled=true"
    return (
        f"no depth in metres: thermal was laid over as if everything were {far} away, and is off where it is not; set "
        f"{metres}, or the distance that matters (registration.plane_distance_m)"
    )


def _counted(source: Source, report: ReplayReport, on_frame: Callable[[], object]) -> Iterator[Arrival]:
    for arrival in source.arrivals():
        stream = "rgb" if isinstance(arrival.frame, RgbFrame) else "thermal"
        report.sent[stream] += 1
        on_frame()
        yield arrival


class _Fuser:
    """Fuses pairs into sinks, and counts and times what it does."""

    def __init__(
        self, pipeline: Pipeline, sinks: Sequence[Sink], report: ReplayReport, pose_of: PoseOf
    ) -> None:
        self._pipeline, self._sinks, self._report = pipeline, sinks, report
        self._pose_of = pose_of
        self.unplaced = 0  # pairs of which nobody knows where they were taken
        self._prepared: set[tuple[int, ...]] = set()
        self._first: float | None = None

    def fuse(self, pair: Pair) -> None:
        """Fuse one pair of frames, or count why not."""
        report = self._report
        report.pairs_in += 1
        pose = self._pose_of(pair.rgb.frame_id, pair.rgb.stamp_ns)
        self.unplaced += pose is None
        try:
            self._prepare(pair.rgb.image.shape)
            started = time.perf_counter()
            result: Perception = self._pipeline.process(FramePair(pair.rgb, pair.thermal, pose))
        except InputError as error:
            report.dropped["refused"] += 1
            if str(error) not in report.notes:
                report.notes.append(str(error))
            return
        done = time.perf_counter()
        report.latencies_ms.append((done - started) * 1e3)
        report.published += 1
        for sink in self._sinks:
            sink.add(result.stamp_ns, result.frame_id, result.fused)
            if isinstance(sink, DepthSink) and result.depth is not None:
                sink.add_depth(result.stamp_ns, result.depth)
        self._first = self._first or done
        report.seconds = done - self._first

    def _prepare(self, shape: tuple[int, ...]) -> None:
        """Build the engine for a new size outside of the time that is measured."""
        if shape not in self._prepared:
            self._prepared.add(shape)
            self._pipeline.prepare(shape[0], shape[1])
