"""The command on pictures: recorded ones, and rendered ones whose truth is known."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from thermal_fusion_ros.bags.pictures import write_picture
from thermal_fusion_ros.bags.writer import BagWriter
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


BOARD = Board("checkerboard", 9, 6, 0.04)
BOARD_OPTIONS = ("--board", "checkerboard", "--corners", "9x6", "--square", "0.04")


@pytest.fixture(scope="module")
def rendered():
    """Views of a board by `synthetic.example_rig`: (RGB, thermal) pictures."""
    return list(synthetic.render(synthetic.example_rig(), BOARD, synthetic.poses(BOARD, 11)))


def assert_extrinsics_are_true(path) -> None:
    """Within a tenth of a degree and a millimetre."""
    rig, truth = Rig.from_yaml(path), synthetic.example_rig()
    turn = Rotation.from_matrix(rig.rotation @ truth.rotation.T).magnitude()
    assert np.degrees(turn) < 0.1
    assert np.abs(rig.translation - truth.translation).max() < 1e-3


@pytest.mark.slow
def test_rendered_views_give_the_extrinsics_within_a_tenth_of_a_degree_and_a_millimetre(rendered, tmp_path):
    for name in ("rgb", "thermal"):
        (tmp_path / name).mkdir()
    for i, (rgb, thermal) in enumerate(rendered):
        write_picture(tmp_path / "rgb" / f"{i}.png", rgb)
        write_picture(tmp_path / "thermal" / f"{i}.png", thermal)
    more = (*BOARD_OPTIONS, "--no-overlays")
    assert calibrate(tmp_path / "rgb", tmp_path / "thermal", tmp_path / "out", *more) == 0
    assert_extrinsics_are_true(tmp_path / "out" / "rig.yaml")


@pytest.mark.slow
def test_a_bag_of_views_gives_the_same_once_its_clocks_agree(rendered, tmp_path, capsys):
    """Each view lasts three frames, of which thermal has two, stamped 0.2 s late."""
    bag, out, second = tmp_path / "board.mcap", tmp_path / "out", 1_000_000_000
    with BagWriter(bag) as writer:
        for i, (rgb, thermal) in enumerate(rendered):
            for k in range(3):
                stamp = (100 + i) * second + k * second // 3
                writer.write_image("/left/rgb/image_raw", rgb, stamp_ns=stamp, frame_id="rgb")
                if k != 1:
                    late = stamp + second // 5
                    writer.write_image("/left/thermal/image_raw", thermal, stamp_ns=late, frame_id="thermal")
    command = ["calibrate", str(bag), *BOARD_OPTIONS, "--out", str(out), "--json", str(out / "result.json")]
    assert main(command) == 2
    assert "--thermal-offset" in capsys.readouterr().err
    assert main([*command, "--thermal-offset", "0.2"]) == 0
    assert_extrinsics_are_true(out / "rig.yaml")
    views = json.loads((out / "result.json").read_text())["views"]
    assert [view["name"] for view in views] == [f"{100 + i}.000" for i in range(len(rendered))]
    assert len(list((out / "overlays").iterdir())) == len(rendered)


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


@pytest.mark.parametrize("option", ["--out", "--json"])
def test_where_nothing_can_be_written_is_told_before_boards_are_looked_for(tmp_path, capsys, option):
    (tmp_path / "file").touch()
    for name in ("rgb", "thermal"):
        (tmp_path / name).mkdir()
    wrong = (option, str(tmp_path / "file" / "x"))
    assert calibrate(tmp_path / "rgb", tmp_path / "thermal", tmp_path, *wrong, *BOARD_OPTIONS) == 2
    assert "file is not a folder; choose another" in capsys.readouterr().err


def test_arguments_that_contradict_are_refused(tmp_path, capsys):
    code = main(["calibrate", "--corners", "9x6", "--square", "0.1", "--out", str(tmp_path)])
    assert code == 2
    assert "--visible and --thermal" in capsys.readouterr().err
