"""Intrinsics and extrinsics from points whose truth is known: noise, swapped orders, bad views."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from thermal_fusion_ros.bags.pictures import read_visible
from thermal_fusion_ros.calibration.board import Board
from thermal_fusion_ros.calibration.coverage import advice
from thermal_fusion_ros.calibration.detection import Detection
from thermal_fusion_ros.calibration.extrinsics import calibrate_rig
from thermal_fusion_ros.calibration.intrinsics import calibrate_camera
from thermal_fusion_ros.calibration.report import Outcome, save_overlays
from thermal_fusion_ros.calibration.views import BoardView
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.sensing.camera import CameraModel
from thermal_fusion_ros.sensing.rig import Rig

from . import synthetic

BOARD = Board("checkerboard", 9, 6, 0.04)


def detections(rig: Rig, count: int = 16, noise: float = 0.08, seed: int = 0, reverse_thermal: bool = True):
    """Views by name, as detectors would report them: noisy, the thermal order turned by half."""
    rng = np.random.default_rng(seed)
    rgb, thermal = {}, {}
    for i, pose in enumerate(synthetic.poses(BOARD, count, seed)):
        points = BOARD.points @ pose[:3, :3].T + pose[:3, 3]
        for table, camera, where, turned in (
            (rgb, rig.rgb, points, False),
            (thermal, rig.thermal, points @ rig.rotation.T + rig.translation, reverse_thermal and i % 3 > 0),
        ):
            pixels = camera.project(where) + rng.normal(0, noise, (len(points), 2))
            if turned:
                pixels = pixels[::-1]
            table[f"view{i}"] = Detection(pixels.astype(np.float32), np.arange(len(points)), camera.size)
    return rgb, thermal


def solve(rgb, thermal, model="plumb_bob", thermal_model=None):
    seen = calibrate_camera(BOARD, rgb, name="rgb", model=model)
    felt = calibrate_camera(BOARD, thermal, name="thermal", model=thermal_model or model)
    return calibrate_rig(BOARD, seen, felt, rgb, thermal)


def rotation_error_deg(rig: Rig, truth: Rig) -> float:
    return np.degrees(Rotation.from_matrix(rig.rotation @ truth.rotation.T).magnitude())


def test_extrinsics_within_a_tenth_of_a_degree_and_a_millimetre_although_orders_differ():
    truth = synthetic.example_rig()
    result = solve(*detections(truth))
    assert rotation_error_deg(result.rig, truth) < 0.1
    assert np.abs(result.rig.translation - truth.translation).max() < 1e-3
    assert result.rms_px < 0.15
    assert not result.dropped


def test_a_view_whose_exposures_differ_is_named_and_left_out():
    truth = synthetic.example_rig()
    rgb, thermal = detections(truth)
    moved = thermal["view5"]
    thermal["view5"] = Detection(moved.pixels + np.float32(3.0), moved.ids, moved.size)
    result = solve(rgb, thermal)
    assert list(result.dropped) == ["view5"]
    assert np.abs(result.rig.translation - truth.translation).max() < 1e-3


def test_a_badly_measured_view_is_named_and_left_out_of_the_intrinsics():
    rgb, _ = detections(synthetic.example_rig())
    bad = rgb["view3"]
    shaken = bad.pixels + np.random.default_rng(1).normal(0, 2, bad.pixels.shape).astype(np.float32)
    rgb["view3"] = Detection(shaken, bad.ids, bad.size)
    result = calibrate_camera(BOARD, rgb, name="rgb")
    assert list(result.dropped) == ["view3"]
    assert "view3" not in result.view_rms_px


@pytest.mark.parametrize("model", ["rational_polynomial", "equidistant"])
def test_other_lens_models_are_recovered(model):
    numbers = {
        "rational_polynomial": [0.3, 0.05, 0.001, -0.001, 0.0, 0.5, 0.1, 0.0],
        "equidistant": [0.03, -0.02, 0.01, -0.003],
    }
    example = synthetic.example_rig()
    truth = Rig(
        example.rgb,
        CameraModel(640, 512, example.thermal.k, numbers[model], model, name="thermal"),
        example.rotation,
        example.translation,
    )
    result = solve(*detections(truth, noise=0.03), thermal_model=model)
    assert rotation_error_deg(result.rig, truth) < 0.2
    assert np.abs(result.rig.translation - truth.translation).max() < 3e-3
    assert result.rms_px < 0.1
    rays = np.array([[0.2, 0.1, 1.0], [-0.3, 0.2, 1.0]])
    assert np.abs(result.rig.thermal.project(rays) - truth.thermal.project(rays)).max() < 2.0


def test_partly_seen_boards_with_numbered_corners_are_matched_by_number():
    truth = synthetic.example_rig()
    rgb, thermal = detections(truth, reverse_thermal=False)
    board = Board("charuco", 9, 6, 0.04)
    cut = {k: Detection(d.pixels[10:], d.ids[10:], d.size) for k, d in rgb.items()}
    half = {k: Detection(d.pixels[:40], d.ids[:40], d.size) for k, d in thermal.items()}
    seen, felt = (calibrate_camera(board, d, name=n) for n, d in (("rgb", cut), ("thermal", half)))
    result = calibrate_rig(board, seen, felt, cut, half)
    assert rotation_error_deg(result.rig, truth) < 0.2


def test_too_few_views_say_how_many_are_needed():
    rgb, thermal = detections(synthetic.example_rig(), count=3)
    with pytest.raises(InputError, match=r"3 views; at least 4"):
        calibrate_camera(BOARD, rgb, name="rgb")
    rgb, thermal = detections(synthetic.example_rig(), count=10)
    renamed = {f"other{k}": v for k, v in thermal.items()}
    with pytest.raises(InputError, match="only 0 views"):
        solve(rgb, renamed)


def test_advice_names_what_the_views_leave_out():
    truth = synthetic.example_rig()
    rgb, _ = detections(truth, count=16)
    good = calibrate_camera(BOARD, rgb, name="rgb")
    corner = {k: Detection(d.pixels * 0.3, d.ids, d.size) for k, d in rgb.items()}
    poor = calibrate_camera(BOARD, corner, name="rgb")
    assert len(advice(good, rgb)) < len(advice(poor, corner))
    assert any("no view reaches" in line and "lower right" in line for line in advice(poor, corner))


def test_overlay_pictures_show_both_spectra_on_the_board(tmp_path):
    truth = synthetic.example_rig()
    rgb, thermal = detections(truth, count=8)
    seen, felt = (calibrate_camera(BOARD, d, name=n) for n, d in (("rgb", rgb), ("thermal", thermal)))
    stereo = calibrate_rig(BOARD, seen, felt, rgb, thermal)
    outcome = Outcome(BOARD, list(rgb), {"rgb": rgb, "thermal": thermal}, seen, felt, stereo)
    pose = synthetic.poses(BOARD, 8)[2]
    pictures = next(synthetic.render(truth, BOARD, [pose]))
    assert save_overlays(outcome, [BoardView("view2", *pictures)], tmp_path) == 1
    picture = read_visible(tmp_path / "overlays" / "view2.png")
    assert picture.shape[0] == 480
    blend = picture[:, -640:].astype(int)
    u, v = truth.rgb.project((pose @ [0.16, 0.1, 0, 1])[None, :3])[0].astype(int)
    patch = blend[v - 40 : v + 40, u - 40 : u + 40]
    # Heated paint is dark in RGB and bright in thermal: where they coincide, red and green are opposites.
    assert np.corrcoef(patch[..., 0].ravel(), patch[..., 1].ravel())[0, 1] < -0.8
    (tmp_path / "overlays").rename(tmp_path / "seen")
    (tmp_path / "overlays").touch()
    with pytest.raises(InputError, match="overlays: not a folder that can be written"):
        save_overlays(outcome, [], tmp_path)
