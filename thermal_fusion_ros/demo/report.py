"""The folder a demo leaves behind: a contact sheet, and the numbers for people and for scripts."""

from __future__ import annotations

import os
import platform
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from thermal_fusion_ros.bags.pictures import write_picture
from thermal_fusion_ros.bags.source import SECOND_NS, Arrival
from thermal_fusion_ros.config import ThermalConfig
from thermal_fusion_ros.evaluation.depth_picture import FARTHEST_M, LEGEND_PX, NEAREST_M, coloured, legend
from thermal_fusion_ros.files import make_folder, write_json, write_whole
from thermal_fusion_ros.frames import RgbFrame, ThermalFrame
from thermal_fusion_ros.sensing.thermal import ThermalProcessor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from thermal_fusion_ros.replay_report import ReplayReport

SHEET = "contact_sheet.png"
_GAP_PX, _HEADER_PX, _CELL_WIDTH_PX = 6, 34, 480
_PICTURES = ("visible", "thermal", "fused")
_DEPTHS_KEPT = 12  # more than the rows of a sheet
_LEGEND_LEFT_PX = 80  # right of the title
_PAPER, _INK = 18, 225  # grey levels


class Highlights:
    """A sink that keeps the first fused frame at or after each of `moments` (stamps, ns), and its depth."""

    def __init__(self, moments: Sequence[int]) -> None:
        self._moments = sorted(moments)
        self.kept: dict[int, NDArray[np.uint8]] = {}
        self._depths: OrderedDict[int, NDArray[np.float32]] = OrderedDict()  # the last few

    def add_depth(self, stamp_ns: int, depth: NDArray[np.float32]) -> None:
        """Keep a copy: which frame it belongs to shows later, or has shown."""
        self._depths[stamp_ns] = depth.copy()
        while len(self._depths) > _DEPTHS_KEPT:
            idle = next((stamp for stamp in self._depths if stamp not in self.kept), stamp_ns)
            del self._depths[idle]

    @property
    def depths(self) -> dict[int, NDArray[np.float32]]:
        """Metres H×W of the kept frames that have them."""
        return {stamp: self._depths[stamp] for stamp in self.kept if stamp in self._depths}

    def add(self, stamp_ns: int, frame_id: str, image: NDArray[np.uint8]) -> None:
        """Keep a copy if its moment has come."""
        del frame_id
        if self._moments and stamp_ns >= self._moments[0]:
            self._moments = [moment for moment in self._moments if moment > stamp_ns]
            self.kept[stamp_ns] = image.copy()


@dataclass(frozen=True)
class Row:
    """One instant: H×W×3 RGB, thermal H×W for display, fused H×W×3, depth H×W metres or None; `seconds` since the clip
    began.
    """

    seconds: float
    visible: NDArray[np.uint8]
    thermal: NDArray[np.uint8]
    fused: NDArray[np.uint8]
    depth: NDArray[np.float32] | None = None


def make_rows(arrivals: Sequence[Arrival], highlights: Highlights, config: ThermalConfig) -> list[Row]:
    """Put the inputs beside their fused frames; thermal is shown as the network sees it, at the RGB size."""
    rgb = {
        arrival.frame.stamp_ns: arrival.frame for arrival in arrivals if isinstance(arrival.frame, RgbFrame)
    }
    thermals = [arrival.frame for arrival in arrivals if isinstance(arrival.frame, ThermalFrame)]
    processor, rows = ThermalProcessor(config), []
    for stamp, image in sorted(highlights.kept.items()):
        if stamp not in rgb:
            continue
        nearest = min(thermals, key=lambda frame: abs(frame.stamp_ns - stamp))
        height, width = image.shape[:2]
        shown: NDArray[Any] = cv2.resize(processor(nearest).display, (width, height))
        seconds = (stamp - arrivals[0].frame.stamp_ns) / SECOND_NS
        rows.append(Row(seconds, rgb[stamp].image, shown, image, highlights.depths.get(stamp)))
    return rows


def contact_sheet(rows: Sequence[Row]) -> NDArray[np.uint8]:
    """Visible, thermal, fused and, where there is any, depth side by side, one instant below the other; H×W×3 RGB."""
    height, width = rows[0].fused.shape[:2]
    cell = (_CELL_WIDTH_PX, round(height * _CELL_WIDTH_PX / width))
    titles = [*_PICTURES]
    if any(row.depth is not None for row in rows):
        titles.append("depth")
    sheet = np.full(
        (
            _HEADER_PX + len(rows) * (cell[1] + _GAP_PX),
            _GAP_PX + len(titles) * (cell[0] + _GAP_PX),
            3,
        ),
        _PAPER,
        np.uint8,
    )
    for column, title in enumerate(titles):
        left = _GAP_PX + column * (cell[0] + _GAP_PX)
        _text(sheet, title, (left + 4, _HEADER_PX - 11), 0.65)
        for index, row in enumerate(rows):
            depth = np.zeros((height, width), np.float32) if row.depth is None else row.depth
            image = (
                (row.visible, row.thermal, row.fused)[column]
                if column < len(_PICTURES)
                else coloured(depth, NEAREST_M, FARTHEST_M)
            )
            colour = image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
            top = _HEADER_PX + index * (cell[1] + _GAP_PX)
            sheet[top : top + cell[1], left : left + cell[0]] = cv2.resize(
                colour, cell, interpolation=cv2.INTER_AREA
            )
            if column == 0:
                _text(sheet, f"{row.seconds:.1f} s", (left + 8, top + cell[1] - 10), 0.5)
    if len(titles) > len(_PICTURES):
        start, end = left + _LEGEND_LEFT_PX, left + cell[0]
        top = (_HEADER_PX - LEGEND_PX) // 2
        sheet[top : top + LEGEND_PX, start:end] = legend(end - start, NEAREST_M, FARTHEST_M)
    return sheet


def write_report(folder: Path, report: ReplayReport, rows: Sequence[Row]) -> None:
    """Write contact_sheet.png, fused_N.png, numbers.json and report.md into `folder`."""
    make_folder(folder)
    if rows:
        write_picture(folder / SHEET, contact_sheet(rows))
    for index, row in enumerate(rows, 1):
        write_picture(folder / f"fused_{index}.png", row.fused)
    machine = {"system": platform.platform(), "processor": platform.machine(), "cpus": os.cpu_count()}
    write_json(folder / "numbers.json", {**report.to_json(), "machine": machine})
    how = "to the fusion node over DDS" if report.mode == "dds" else "through the pipeline without ROS"
    lines = [f"# {report.source}", "", f"Played {how} on {machine['system']}, {machine['cpus']} CPUs.", ""]
    lines += ["| | |", "|---|---|", *(f"| {label} | {value} |" for label, value in report.rows())]
    lines += [f"\n![visible, thermal, fused and depth]({SHEET})"] if rows else []
    lines += ["", *(f"- {note}" for note in report.notes)]
    write_whole(folder / "report.md", ("\n".join(lines).rstrip() + "\n").encode())


def _text(image: NDArray[np.uint8], text: str, origin: tuple[int, int], size: float) -> None:
    cv2.putText(image, text, origin, cv2.FONT_HERSHEY_SIMPLEX, size, (_INK, _INK, _INK), 1, cv2.LINE_AA)
