"""What the node says about itself while it is active: a DiagnosticArray every ``node.diagnostics_period_s``.

Every status is named ``<node name>: <part>`` and has the node's full name as its hardware_id. Values are text; keys may
be added, none is renamed. Numbers count from when the node configured.

======== =============================================================================================================
part     keys
======== =============================================================================================================
pairs    ``pairs_in``, ``published``, ``under_way``, ``dropped.<reason>``, with
         pairs_in = published + under_way + sum of dropped. Reasons: `no_subscriber`; `superseded` (a newer pair came
         before the engine was free); `engine_building`; `refused` (by the pipeline, see the message);
         `rgb_undecodable`, `thermal_undecodable`; `frozen` (``thermal.fuse_frozen`` is false); `inactive`; `error`;
         `rate_limited` (``fusion.rate_hz``; or only points or captions are wanted, and not yet due);
         `output_refused` (only depth or points are subscribed to, and cannot be made: see depth);
         `calibration_<reason>` (wrong, contradictory, or still awaited: see rig)
rgb,     ``topic``, ``type``, ``received``, ``used``, ``waiting``, ``unused.<reason>``, with
thermal  received = used + waiting + sum of unused. Reasons: `short_data`, `encoding`, `empty`, `step`, `size`,
         `undecodable`, `jpeg_16bit` (bad messages) and the pairer's: `unpaired`, `stale`, `future`, `duplicate`,
         `out_of_order`, `expired`, `overflow`, `reset`. Also ``rate_hz``, ``silent_s``, ``image`` (encoding and size),
         ``publishers``, ``lost`` (by the middleware), ``stamped_on_arrival`` (header stamp zero), ``size_changes``
output   ``subscribers``, ``rate_hz``, ``latency_stamp_ms.p50``, ``.p99`` (RGB stamp to published; absent where stamps
         are of another clock), ``latency_arrival_ms.p50``, ``.p99`` (arrival of the RGB message to published),
         ``stage_ms.<stage>`` (median)
engine   ``name``, ``state`` (`ready`, what is being built, or what could not be built and which engine goes on),
         ``refused.<n>`` (why a faster backend is not used), ``prompt``, ``count.<what>``
sync     ``measured_offset_ms``, ``measured_jitter_ms``, ``unexplained_offset_ms``, ``applied_offset_ms``,
         ``residual_ms``, ``waited_ms``, ``waited_worst_ms``, ``stamp_jumps.rgb``, ``stamp_jumps.thermal``,
         ``clock_jumps``, ``other_clock``
rig      ``wanted``, ``level``, ``confidence``, ``drift_px`` (of the last pair), ``calibration`` (known, unknown),
         ``problem`` (`waiting_camera_info`, `waiting_transform`, or the mistake), ``count.<level or event>``
depth    for each of `depth` (depth/image_raw), `relative` and `points`: ``subscribers.<topic>``, ``rate_hz.<topic>``,
         ``refused.<topic>`` (why it was not published last); ``scale.<what>`` (where metres come from;
         ``scale.motion``: what odometry has added);
         ``range.received``, ``range.used``, ``range.points`` (in the last cloud), ``refused.range``
objects  ``subscribers``, ``rate_hz``, ``seen`` (in the last pair), ``refused`` (why no markers were published last)
language ``state`` of the worker (`off`, `idle`, `loading`, `working`, `stalled: ...`, `failed: ...`), ``caption``,
         ``prompt`` (of the operator), ``text`` (what guides fusion), ``embedding`` (`clip_text`, or `guidance_code`
         where there is no CLIP), ``embedding_age_s``, ``weight`` (of the guidance: 1, falling to 0 as it gets too old),
         ``problem``, ``refused`` (why the prompt was not understood), ``restarts`` (of a stalled worker)
shutter  ``frozen`` (true while the thermal camera repeats a frame, FFC), ``frozen_frames``,
         ``thermal.<what>`` (``thermal.empty``: frames that show nothing, for which visible alone is published)
======== =============================================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


@dataclass
class Part:
    """One status: the worst problem noted is its level, all of them its message."""

    name: str
    values: dict[str, Any] = field(default_factory=dict)
    level: bytes = OK
    notes: list[str] = field(default_factory=list)

    def put(self, **values: Any) -> None:
        """Add values; None means not known and is left out."""
        self.values |= values

    def put_counts(self, prefix: str, counts: Mapping[str, int]) -> None:
        """Add ``prefix.<key>`` for every counter that is not zero."""
        self.values |= {f"{prefix}.{key}": count for key, count in sorted(counts.items()) if count}

    def note(self, text: str, level: bytes = OK) -> None:
        """Add to the message; `level` above the present one raises it."""
        self.level = max(self.level, level)
        self.notes.append(text)

    def message(self, node_name: str, hardware_id: str) -> DiagnosticStatus:
        """As it is sent."""
        return DiagnosticStatus(
            level=self.level,
            name=f"{node_name}: {self.name}",
            message="; ".join(self.notes) or "ok",
            hardware_id=hardware_id,
            values=[
                KeyValue(key=key, value=text(value))
                for key, value in self.values.items()
                if value is not None
            ],
        )


def text(value: Any) -> str:
    """A value for people and scripts."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def array(parts: Iterable[Part], *, node_name: str, full_name: str, stamp: Any) -> DiagnosticArray:
    """The message; `stamp` is a builtin_interfaces Time."""
    result = DiagnosticArray(status=[part.message(node_name, full_name) for part in parts])
    result.header.stamp = stamp
    return result
