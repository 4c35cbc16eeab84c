"""A whole calibration in one call, and what it leaves on disk."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thermal_fusion_ros.bags.pictures import write_picture
from thermal_fusion_ros.calibration import overlay
from thermal_fusion_ros.calibration.board import Board
from thermal_fusion_ros.calibration.coverage import advice
from thermal_fusion_ros.calibration.detection import Detection, find_board
from thermal_fusion_ros.calibration.extrinsics import RigCalibration, calibrate_rig
from thermal_fusion_ros.calibration.intrinsics import CameraCalibration, calibrate_camera
from thermal_fusion_ros.calibration.views import BoardView
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.files import make_folder, write_whole

RIG_FILE, RGB_FILE, THERMAL_FILE = "rig.yaml", "rgb.yaml", "thermal.yaml"


@dataclass
class Outcome:
    """Everything that was found: detections by view, both cameras, the rig, and what to do better."""

    board: Board
    views: list[str]
    found: dict[str, dict[str, Detection]]  # by camera ("rgb", "thermal"), then view
    rgb: CameraCalibration
    thermal: CameraCalibration
    stereo: RigCalibration
    problems: list[str] = field(default_factory=list)

    @property
    def advice(self) -> list[str]:
        """Which views to take next."""
        return advice(self.rgb, self.found["rgb"]) + advice(self.thermal, self.found["thermal"])

    def to_dict(self) -> dict[str, Any]:
        """The machine-readable result."""
        return {
            "rgb_rms_px": self.rgb.rms_px,
            "thermal_rms_px": self.thermal.rms_px,
            "stereo_rms_px": self.stereo.rms_px,
            "baseline_m": self.stereo.rig.baseline_m,
            "refined_intrinsics": self.stereo.refined_intrinsics,
            "views": [self._view(name) for name in self.views],
            "advice": self.advice,
            "problems": self.problems,
        }

    def _view(self, name: str) -> dict[str, Any]:
        stereo = self.stereo.view_rms_px.get(name)
        reasons = [
            table[name]
            for table in (self.rgb.dropped, self.thermal.dropped, self.stereo.dropped)
            if name in table
        ]
        reasons += [
            f"no board found in {camera}" for camera, found in self.found.items() if name not in found
        ]
        return {
            "name": name,
            "rgb_found": name in self.found["rgb"],
            "thermal_found": name in self.found["thermal"],
            "rgb_rms_px": self.rgb.view_rms_px.get(name),
            "thermal_rms_px": self.thermal.view_rms_px.get(name),
            "stereo_rgb_rms_px": stereo[0] if stereo else None,
            "stereo_thermal_rms_px": stereo[1] if stereo else None,
            "dropped": "; ".join(reasons) or None,
        }


def calibrate(
    board: Board,
    views: Iterable[BoardView],
    *,
    rgb_model: str = "plumb_bob",
    thermal_model: str = "plumb_bob",
    problems: list[str] | None = None,
) -> Outcome:
    """Find the board in every view and solve for both cameras and the transform between them."""
    names: list[str] = []
    found: dict[str, dict[str, Detection]] = {"rgb": {}, "thermal": {}}
    with ThreadPoolExecutor(2) as pool:  # OpenCV releases the GIL
        for view in views:
            names.append(view.name)
            searches = {
                "rgb": pool.submit(find_board, board, view.rgb, thermal=False),
                "thermal": pool.submit(find_board, board, view.thermal, thermal=True),
            }
            for camera, search in searches.items():
                detection = search.result()
                if detection is not None:
                    found[camera][view.name] = detection
    if not names:
        raise InputError("no views to calibrate from")
    rgb = calibrate_camera(board, found["rgb"], name="rgb", model=rgb_model)
    thermal = calibrate_camera(board, found["thermal"], name="thermal", model=thermal_model)
    stereo = calibrate_rig(board, rgb, thermal, found["rgb"], found["thermal"])
    return Outcome(board, names, found, rgb, thermal, stereo, problems if problems is not None else [])


def save(outcome: Outcome, folder: Path) -> list[Path]:
    """Write camera_info YAML per camera and the rig YAML; returns their paths."""
    import yaml

    rig = outcome.stereo.rig
    note = (
        f"# thermal-fusion calibrate: RMS {outcome.rgb.rms_px:.2f} px RGB, {outcome.thermal.rms_px:.2f} px thermal,"
        f" {outcome.stereo.rms_px:.2f} px stereo; {len(outcome.stereo.view_rms_px)} shared views.\n"
    )
    pose = (
        "# thermal_in_rgb: pose of the thermal optical frame in the RGB optical frame (metres, quaternion), as in\n"
        "# `static_transform_publisher --frame-id RGB --child-frame-id THERMAL`.\n"
    )
    contents = {
        RGB_FILE: note + yaml.safe_dump(rig.rgb.to_dict(), sort_keys=False, default_flow_style=None),
        THERMAL_FILE: note + yaml.safe_dump(rig.thermal.to_dict(), sort_keys=False, default_flow_style=None),
        RIG_FILE: note + pose + yaml.safe_dump(rig.to_dict(), sort_keys=False, default_flow_style=None),
    }
    make_folder(folder)
    for name, text in contents.items():
        write_whole(folder / name, text.encode())
    return [folder / name for name in contents]


def save_overlays(outcome: Outcome, views: Iterable[BoardView], folder: Path) -> int:
    """One picture per view: both cameras with their errors, and thermal over RGB on the board; how many."""
    rig, written = outcome.stereo.rig, 0
    make_folder(folder / "overlays")
    for view in views:
        parts = []
        for name, image, calibration in (
            ("rgb", view.rgb, outcome.rgb),
            ("thermal", view.thermal, outcome.thermal),
        ):
            error = calibration.view_rms_px.get(view.name)
            told = f"{error:.2f} px RMS" if error is not None else outcome._view(view.name)["dropped"] or ""
            detection, pose = outcome.found[name].get(view.name), calibration.poses.get(view.name)
            caption = f"{view.name} {name}: {told}"
            parts.append(
                overlay.view_picture(outcome.board, image, calibration.camera, detection, pose, caption)
            )
        if view.name in outcome.rgb.poses:
            parts.append(overlay.board_blend(rig, view.rgb, view.thermal, outcome.rgb.poses[view.name]))
        write_picture(folder / "overlays" / f"{view.name}.png", overlay.side_by_side(*parts))
        written += 1
    return written


def to_text(outcome: Outcome) -> str:
    """For people: a line per view, then the figures and the advice."""
    lines = [f"{'view':<20} {'rgb px':>8} {'thermal px':>11} {'stereo px (rgb, thermal)':>26}  remark"]

    def number(value: float | None, width: int) -> str:
        return f"{value:{width}.2f}" if value is not None else f"{'-':>{width}}"

    for name in outcome.views:
        view = outcome._view(name)
        stereo = number(view["stereo_rgb_rms_px"], 18) + number(view["stereo_thermal_rms_px"], 8)
        lines.append(
            f"{name:<20} {number(view['rgb_rms_px'], 8)} {number(view['thermal_rms_px'], 11)} {stereo}  "
            f"{view['dropped'] or ''}".rstrip()
        )
    position, quaternion = outcome.stereo.rig.pose
    lines += [
        "",
        f"RMS: rgb {outcome.rgb.rms_px:.3f} px, thermal {outcome.thermal.rms_px:.3f} px, "
        f"stereo {outcome.stereo.rms_px:.3f} px",
        "thermal in rgb: translation " + ", ".join(f"{x:.5f}" for x in position) + " m; quaternion (x y z w) "
        + ", ".join(f"{x:.6f}" for x in quaternion),
    ]  # fmt: skip
    lines += [f"advice: {line}" for line in outcome.advice]
    lines += [f"problem: {line}" for line in outcome.problems]
    return "\n".join(lines)
