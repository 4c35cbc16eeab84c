"""Where board views come from: two folders of pictures with the same names, or a recording."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from thermal_fusion_ros.bags.pairs import paired
from thermal_fusion_ros.bags.pictures import match_pictures, read_thermal, read_visible
from thermal_fusion_ros.bags.source import SECOND_NS, Source
from thermal_fusion_ros.config import Config
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.frames import RgbFrame, ThermalFrame
from thermal_fusion_ros.sensing.pairing import Pairer


@dataclass(frozen=True)
class BoardView:
    """One moment, seen by both cameras: `rgb` H×W×3 uint8, `thermal` H×W uint8 or uint16."""

    name: str
    rgb: NDArray[Any]
    thermal: NDArray[Any]


def views_from_folders(visible: Path, thermal: Path, problems: list[str]) -> Iterator[BoardView]:
    """Pictures with the same name; what can't be read or has no partner is added to `problems`."""
    pairs, lonely = match_pictures(visible, thermal)
    problems += lonely
    for pair in pairs:
        try:
            yield BoardView(pair.name, read_visible(pair.visible), read_thermal(pair.thermal))
        except InputError as error:
            problems.append(str(error))


def views_from_source(
    source: Source, every_s: float, problems: list[str], thermal_offset_s: float = 0.0
) -> Iterator[BoardView]:
    """Pairs of a recording, at most one in `every_s` seconds (a board needs time to be moved).

    `thermal_offset_s`: how late the thermal camera stamps. Raises :class:`InputError` when nothing pairs.
    """
    if not every_s >= 0:
        raise InputError(f"--every {every_s:g}: seconds between views can't be negative")
    sync = Config().with_values({"sync.thermal_offset_s": thermal_offset_s}).sync
    last_ns: int | None = None
    for pair in paired(source.arrivals(), Pairer(sync)):
        if last_ns is None or pair.rgb_stamp_ns - last_ns >= every_s * SECOND_NS:
            last_ns = pair.rgb_stamp_ns
            yield _view(pair.rgb, pair.thermal)
    problems += source.problems
    if last_ns is None:
        raise InputError(
            f"{source.name}: no RGB frame has a thermal one within {sync.tolerance_s * 1e3:.0f} ms; "
            "if the thermal camera stamps late, say by how much with --thermal-offset"
        )


def _view(rgb: RgbFrame, thermal: ThermalFrame) -> BoardView:
    return BoardView(f"{rgb.stamp_ns / SECOND_NS:.3f}", rgb.image, thermal.image)
