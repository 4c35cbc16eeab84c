"""The command on pictures: recorded ones, and rendered ones whose truth is known."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from thermal_fusion_ros.bags.pictures import write_picture
from thermal_fusion_ros.calibration.board import Board
from thermal_fusion_ros.cli.main import main
from thermal_fusion_ros.sensing.camera import CameraModel
from thermal_fusion_ros.sensing.rig import Rig

from . import synthetic


def calibrate(visible, thermal, out, *more) -> int:
    return main(["calibrate", "--visible", str(visible), "--thermal", str(thermal), "--board", "checkerboard",
                 "--out", str(out), "--json", str(out / "result.json"), *more])  # fmt: skip


@pytest.mark.slow
def test_recorded_views_reach_the_accuracy_that_is_known_to_be_possible(shared_data, tmp_path, capsys):
    folder = shared_data / "calibration"
    more = ("--corners", "9x6", "--square", "0.03", "--no-overlays")
    assert calibrate(folder / "rgb", folder / "thermal", tmp_path, *more) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["rgb_rms_px"] <= 0.45
    assert result["thermal_rms_px"] <= 0.45
    assert result["stereo_rms_px"] <= 0.7
    assert len(result["views"]) == 8
    assert {v["name"]: v["dropped"] for v in result["views"]}["000000029"] == "no board found in rgb"
    assert Rig.from_yaml(tmp_path / "rig.yaml").baseline_m == pytest.approx(
        0.10, abs=0.02
    )  # of a 3 cm square
    assert CameraModel.from_yaml(tmp_path / "thermal.yaml").size == (640, 480)
    assert "advice" in capsys.readouterr().out


@pytest.mark.slow
def test_rendered_views_give_the_extrinsics_within_a_tenth_of_a_degree_and_a_millimetre(tmp_path):
    truth, board = synthetic.example_rig(), Board("checkerboard", 9, 6, 0.04)
    views = synthetic.render(truth, board, synthetic.poses(board, 11))
    for name in ("rgb", "thermal"):
        (tmp_path / name).mkdir()
    for i, (rgb, thermal) in enumerate(views):
        write_picture(tmp_path / "rgb" / f"{i}.png", rgb)
        write_picture(tmp_path / "thermal" / f"{i}.png", thermal)
    more = ("--corners", "9x6", "--square", "0.04", "--no-overlays")
    assert calibrate(tmp_path / "rgb", tmp_path / "thermal", tmp_path / "out", *more) == 0
    rig = Rig.from_yaml(tmp_path / "out" / "rig.yaml")
    turn = Rotation.from_matrix(rig.rotation @ truth.rotation.T).magnitude()
    assert np.degrees(turn) < 0.1
    assert np.abs(rig.translation - truth.translation).max() < 1e-3


def test_pictures_without_a_board_are_refused_in_one_line(tmp_path, capsys):
    for name in ("rgb", "thermal"):
        (tmp_path / name).mkdir()
        for i in range(2):
            write_picture(tmp_path / name / f"{i}.png", np.full((64, 80), 90 + i, np.uint8))
    assert (
        calibrate(tmp_path / "rgb", tmp_path / "thermal", tmp_path, "--corners", "9x6", "--square", "0.03")
        == 2
    )
    assert "the board was found in 0 views" in capsys.readouterr().err


def test_arguments_that_contradict_are_refused(tmp_path, capsys):
    code = main(["calibrate", "--corners", "9x6", "--square", "0.1", "--out", str(tmp_path)])
    assert code == 2
    assert "--visible and --thermal" in capsys.readouterr().err
