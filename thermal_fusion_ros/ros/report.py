"""The parts of the node's diagnostics, made from its counters; the keys are documented in `diagnostics`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from thermal_fusion_ros.config import RegistrationConfig, SyncConfig
from thermal_fusion_ros.depth_stage import UNUSED
from thermal_fusion_ros.ros.depth_outputs import DepthOutputs
from thermal_fusion_ros.ros.diagnostics import ERROR, OK, WARN, Part
from thermal_fusion_ros.ros.inputs import CameraInput
from thermal_fusion_ros.ros.ledger import pace
from thermal_fusion_ros.ros.object_outputs import ObjectOutputs
from thermal_fusion_ros.ros.pair_fuser import PairFuser, PipelineLike
from thermal_fusion_ros.ros.range_input import RangeInput
from thermal_fusion_ros.sensing.pairing import PairingReport
from thermal_fusion_ros.sensing.rig_assembly import WAITING, RigAssembly
from thermal_fusion_ros.sensing.thermal import SHOWS_NOTHING

if TYPE_CHECKING:  # it loads torch
    from thermal_fusion_ros.language.service import LanguageState

NO_CLOCK = "use_sim_time is true, but nothing has come on /clock: play with --clock, or set it to false"
NO_PAIRS = (
    "images of both cameras arrive, but none of them make a pair: unused.* of rgb and thermal in /diagnostics say why; "
    "see sync.tolerance_s and sync.thermal_offset_s"
)
TOPICS = {"depth": "depth/image_raw", "relative": "depth/relative", "points": "points"}
STUCK_S = 5.0  # a pair should have been fused long before, if no engine is being built


def pairs(fuser: PairFuser) -> Part:
    """Where the pairs went."""
    part = Part("pairs")
    balance = fuser.ledger.balance()
    part.put(pairs_in=balance.pairs_in, published=balance.published, under_way=balance.under_way)
    part.put_counts("dropped", balance.dropped)
    if fuser.problem:
        part.note(f"last pair not published: {fuser.problem}", WARN)
    if advice := pace(balance.published, balance.dropped):
        part.note(advice)
    return part


def camera(
    source: CameraInput, report: PairingReport, *, watchdog_s: float, explain: Callable[[], str]
) -> Part:
    """One input."""
    stream = source.stream.value
    part = Part(stream)
    prefix = f"{stream}_"
    unused = Counter(source.unusable)
    unused.update(
        {
            reason.removeprefix(prefix): count
            for reason, count in report.dropped.items()
            if reason.startswith(prefix)
        }
    )
    part.put(
        topic=source.topic,
        type=source.type_name,
        received=source.received,
        used=report.used[stream],
        waiting=report.buffered[stream],
    )
    part.put_counts("unused", unused)
    part.put(
        rate_hz=source.rate.rate_now(),
        silent_s=source.silent_s,
        image=source.image or None,
        publishers=source.publishers,
        lost=source.lost,
        stamped_on_arrival=source.stamped_on_arrival,
        size_changes=source.size_changes,
    )
    if source.silent_s > watchdog_s:
        part.note(f"stale: {explain()}", ERROR)
    if source.problem:
        part.note(f"last image skipped: {source.problem}", WARN)
    if problem := source.qos_problem:
        part.note(problem, WARN)
    return part


def output(fuser: PairFuser, report: PairingReport, subscribers: int) -> Part:
    """What is published and how fast."""
    part = Part("output")
    part.put(subscribers=subscribers, rate_hz=fuser.rate.rate_now())
    latencies = {"latency_arrival_ms": fuser.latency_arrival}
    if "rgb" not in report.other_clock:
        latencies["latency_stamp_ms"] = fuser.latency_stamp
    for name, values in latencies.items():
        found = values.percentiles_ms(50, 99)
        if found is not None:
            part.values |= {f"{name}.p50": found[0], f"{name}.p99": found[1]}
    for stage, values in fuser.stages.items():
        median = values.percentiles_ms(50)
        if median is not None:
            part.values[f"stage_ms.{stage}"] = median[0]
    if not subscribers:
        part.note("nobody subscribes: nothing is fused")
    return part


def engine(fuser: PairFuser, pipeline: PipelineLike) -> Part:
    """What runs the network."""
    part = Part("engine")
    part.put(name=pipeline.engine_name, state=fuser.state, prompt=pipeline.prompt)
    part.values |= {f"refused.{n}": why for n, why in enumerate(list(pipeline.engine_refused))}
    part.put_counts("count", dict(pipeline.counters))
    if fuser.build_failed:
        part.note(fuser.state, ERROR)
    if fuser.busy_s > STUCK_S:
        if fuser.building:
            part.note(f"{fuser.state} since {fuser.busy_s:.0f} s")
        else:
            part.note(f"stuck in one pair for {fuser.busy_s:.0f} s", ERROR)
    return part


def sync(
    report: PairingReport, config: SyncConfig, clock_jumps: int, *, clock_stands: bool, nothing_pairs: bool
) -> Part:
    """Clocks and pairing. `clock_stands`: simulated time has not begun."""
    part = Part("sync")
    if clock_stands:
        part.note(NO_CLOCK, WARN)
    if nothing_pairs:
        part.note(NO_PAIRS, WARN)

    def ms(seconds: float | None) -> float | None:
        return None if seconds is None else seconds * 1e3

    part.put(
        measured_offset_ms=ms(report.measured_offset_s),
        measured_jitter_ms=ms(report.measured_jitter_s),
        unexplained_offset_ms=ms(report.unexplained_offset_s),
        applied_offset_ms=ms(report.applied_offset_s),
        residual_ms=ms(report.residual_s),
        waited_ms=ms(report.waited_s),
        waited_worst_ms=ms(report.waited_worst_s),
        clock_jumps=clock_jumps,
        other_clock=", ".join(report.other_clock) or "no",
    )
    part.put_counts("stamp_jumps", report.jumps)
    if report.other_clock:
        part.note(
            f"stamps of {', '.join(report.other_clock)} are of another clock than this computer's: ages are not judged"
        )
    offset = report.unexplained_offset_s
    if offset is not None and abs(offset) > max(config.tolerance_s, 2 * (report.measured_jitter_s or 0.0)):
        part.note(
            f"thermal stamps are {offset * 1e3:+.0f} ms off the RGB stamps by arrival: see sync.thermal_offset_s",
            WARN,
        )
    return part


def shutter(fuser: PairFuser, pipeline: PipelineLike) -> Part:
    """Whether the thermal camera repeats a frame."""
    part = Part("shutter")
    part.put(frozen=fuser.frozen, frozen_frames=fuser.frozen_frames)
    part.put_counts("thermal", dict(pipeline.thermal_counters))
    if fuser.frozen:
        part.note("the thermal camera repeats a frame (shutter closed)", WARN)
    if fuser.empty:
        part.note(SHOWS_NOTHING, WARN)
    if pipeline.thermal_counters["implausible_temperature"]:
        part.note("implausible temperatures: check thermal.kind and thermal.resolution_k", WARN)
    return part


def registration(
    fuser: PairFuser, pipeline: PipelineLike, assembly: RigAssembly, config: RegistrationConfig
) -> Part:
    """How thermal comes into the RGB frame, and what is missing for it."""
    part = Part("rig")
    last = pipeline.registration
    part.put(
        wanted=config.level,
        level=last.get("level", "none"),
        confidence=last.get("confidence"),
        drift_px=last.get("drift_px"),
        calibration="known" if assembly.rig is not None else "unknown",
    )
    part.put_counts("count", dict(pipeline.registration_counters))
    problem = assembly.problem
    if problem is not None and config.level in ("auto", "depth", "plane"):  # the others need no calibration
        part.put(problem=problem.reason)
        waiting, needed = problem.reason in WAITING, config.level in ("depth", "plane")
        if needed or not waiting:
            used = needed or config.level == "auto"
            part.note(str(problem), ERROR if used and not waiting else WARN)
        elif not config.matrix:
            part.note(f"thermal is taken as registered: {problem}")
    if fuser.camera_info_withheld:
        part.note(f"fused/camera_info is not published: {fuser.camera_info_withheld}", ERROR)
    if last.get("confidence", 1.0) < config.online_confidence:
        held = "the last estimate stays" if last.get("level") == "online" else "nothing is shifted"
        part.note(f"online: the structure that both spectra share is too weak; {held}", WARN)
    return part


def depth(outputs: DepthOutputs | None, measured: RangeInput | None) -> Part:
    """Where metres come from, and what is not published for want of them. None: ``depth.enabled`` is false."""
    part = Part("depth")
    if outputs is None:
        part.note("depth.enabled is false: neither depth nor points")
        return part
    refused = dict(outputs.refused)
    for name, subscribers in outputs.counts.items():
        part.values |= {f"subscribers.{name}": subscribers, f"rate_hz.{name}": outputs.rates[name].rate_now()}
        if name in refused:
            part.values[f"refused.{name}"] = refused[name]
            topic = TOPICS[name]
            part.note(f"{topic} refused: {refused[name]}", WARN if subscribers else OK)
    part.values |= dict(_flat("scale", outputs.scale_state))
    motion = outputs.scale_state.get("motion", "")
    if motion.startswith(UNUSED):
        part.note(f"depth.odometry_frame {motion}", WARN)
    if measured is not None and measured.received:
        part.values |= {
            "range.received": measured.received, "range.used": measured.used, "range.points": measured.points,
        }  # fmt: skip
        if measured.refused:
            part.values["refused.range"] = measured.refused
            part.note(f"{measured.topic} refused: {measured.refused}", WARN)
    return part


def objects(outputs: ObjectOutputs | None) -> Part:
    """What was found, and why there are no markers. None: ``objects.enabled`` is false."""
    part = Part("objects")
    if outputs is None:
        part.note("objects.enabled is false: nothing is looked for")
        return part
    subscribers = outputs.subscribers
    part.put(
        subscribers=subscribers,
        seen=outputs.seen,
        rate_hz=outputs.rate.rate_now(),
        refused=outputs.refused or None,
    )
    if outputs.refused:
        part.note(f"objects refused: {outputs.refused}", WARN if subscribers else OK)
    return part


def language(state: LanguageState) -> Part:
    """What is said of the scene, what guides fusion, and how the worker does that thinks of it."""
    part = Part("language")
    part.put(
        state=state.worker,
        caption=None if state.caption is None else state.caption.text,
        prompt=state.prompt,
        text=state.text,
        embedding=state.embedding_name,
        embedding_age_s=state.age_s,
        weight=state.weight,
        problem=state.problem or None,
        refused=state.refused or None,
        restarts=state.restarts,
    )
    if state.problem:
        part.note(state.problem, WARN)
    if state.refused:
        part.note(f"prompt refused: {state.refused}", WARN)
    return part


def _flat(name: str, tree: Any) -> Iterator[tuple[str, Any]]:
    """Dotted keys of nested mappings; lists become text."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _flat(f"{name}.{key}", value)
    else:
        yield name, ", ".join(map(str, tree)) if isinstance(tree, (list, tuple)) else tree
