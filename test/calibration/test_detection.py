"""Boards are found where they are, in both spectra, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from thermal_fusion_ros.calibration.board import Board, parse_corners
from thermal_fusion_ros.calibration.detection import find_board
from thermal_fusion_ros.errors import InputError

from . import synthetic

BOARDS = {
    "checkerboard": (Board("checkerboard", 9, 6, 0.04), 0.2),
    "circles": (Board("circles", 9, 6, 0.04), 0.2),
    "acircles": (Board("acircles", 4, 11, 0.03), 0.4),
    "charuco": (Board("charuco", 8, 5, 0.04), 0.4),
}


def distance(board, detection, camera, camera_from_board) -> float:
    """RMS pixels to the true places, for the best of the orders that the board allows."""
    points = board.points @ camera_from_board[:3, :3].T + camera_from_board[:3, 3]
    true = camera.project(points)
    return min(
        np.sqrt(((detection.pixels - true[o][detection.ids]) ** 2).sum(1).mean()) for o in board.symmetries
    )


@pytest.mark.parametrize("kind", BOARDS)
def test_every_kind_of_board_is_found_in_both_spectra(kind):
    board, tolerance = BOARDS[kind]
    rig = synthetic.example_rig()
    pose = synthetic.poses(board, 3)[2]
    rgb, thermal = next(synthetic.render(rig, board, [pose]))
    step = np.eye(4)
    step[:3, :3], step[:3, 3] = rig.rotation, rig.translation
    seen, felt = find_board(board, rgb, thermal=False), find_board(board, thermal, thermal=True)
    assert seen is not None
    assert felt is not None
    assert distance(board, seen, rig.rgb, pose) < 0.2
    assert distance(board, felt, rig.thermal, step @ pose) < tolerance
    assert len(seen.ids) >= board.fewest_points


def test_no_board_no_detection():
    noise = np.random.default_rng(0).integers(0, 255, (120, 160)).astype(np.uint8)
    for board, _ in BOARDS.values():
        assert find_board(board, noise, thermal=False) is None
        assert find_board(board, noise, thermal=True) is None


def test_symmetries_are_those_of_the_grid():
    assert len(Board("checkerboard", 9, 6, 1).symmetries) == 4
    assert len(Board("checkerboard", 6, 6, 1).symmetries) == 8
    assert len(Board("acircles", 4, 11, 1).symmetries) == 2
    assert len(Board("charuco", 8, 5, 1).symmetries) == 1
    for order in Board("checkerboard", 5, 4, 1).symmetries:
        assert sorted(order) == list(range(20))
    assert (Board("checkerboard", 5, 4, 1).symmetries[0] == np.arange(20)).all()


@pytest.mark.parametrize(
    "arguments",
    [("hexagons", 9, 6, 0.1), ("checkerboard", 1, 6, 0.1), ("checkerboard", 9, 6, 0.0), ("checkerboard", 9, 6, np.nan),
     ("charuco", 9, 6, 0.1, 0.2), ("charuco", 9, 6, 0.1, 0.05, "DICT_WRONG")],
)  # fmt: skip
def test_boards_that_do_not_exist_are_refused(arguments):
    with pytest.raises(InputError):
        Board(*arguments)


def test_corners_are_read_as_people_write_them():
    assert parse_corners("9x6") == (9, 6)
    with pytest.raises(InputError, match="9by6"):
        parse_corners("9by6")
