"""Contrast of boxes on grounds made for counting."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.evaluation.targets import Box, read_people, signal_to_clutter

BOX = Box(20, 20, 30, 40)


def checkers(low: float, high: float, side: int = 64) -> np.ndarray:
    y, x = np.mgrid[:side, :side]
    return np.where((x + y) % 2 == 0, low, high).astype(float)


def test_ratio_of_a_plain_target_on_a_checkerboard() -> None:
    """The ground has mean 100 and deviation 10; a target of 160, or of 40, stands out by 6 deviations."""
    for value in (160.0, 40.0):
        image = checkers(90, 110)
        image[20:40, 20:30] = value
        assert signal_to_clutter(image, [BOX]) == pytest.approx(6.0, rel=1e-3)


def test_only_a_band_of_half_the_short_side_is_ground() -> None:
    image = checkers(90, 110)
    image[20:40, 20:30] = 160.0
    image[:15] = image[45:] = 255.0  # beyond five pixels
    image[:, :15] = image[:, 35:] = 255.0
    assert signal_to_clutter(image, [BOX]) == pytest.approx(6.0, rel=1e-3)
    image[18:42, 18:20] = 255.0
    assert signal_to_clutter(image, [BOX]) < 2.0


def test_another_person_is_no_clutter() -> None:
    image = checkers(90, 110)
    image[20:40, 20:30] = 160.0
    image[20:40, 32:42] = 220.0
    alone = signal_to_clutter(image, [BOX, Box(32, 20, 42, 40)])
    assert alone == pytest.approx((6 + 12) / 2, rel=0.02)


def test_a_flat_ground_gives_a_finite_ratio() -> None:
    image = np.full((64, 64), 100.0)
    image[20:40, 20:30] = 150.0
    assert signal_to_clutter(image, [BOX]) == 50.0


@pytest.mark.parametrize(
    "box",
    [
        Box(20, 20, 25, 60),
        Box(-30, 0, 3, 30),
        Box(100, 100, 120, 120),
        Box(0, 0, 64, 64),
        Box(30, 30, 20, 20),
    ],
)
def test_boxes_that_are_too_small_outside_or_all_there_is_do_not_count(box: Box) -> None:
    image = checkers(90, 110)
    image[20:40, 20:30] = 160.0
    assert signal_to_clutter(image, [box]) is None


def test_no_box_no_ratio() -> None:
    assert signal_to_clutter(np.zeros((64, 64)), []) is None


def label(name: str, score: float, box: list[float]) -> dict[str, object]:
    return {"label": name, "score": score, "box": box}


def test_only_people_that_the_detector_was_sure_of_are_read(tmp_path: Path) -> None:
    file = tmp_path / "labels.json"
    people = [
        label("person", 0.9, [1.4, 2.6, 10, 20]),
        label("person", 0.49, [0, 0, 9, 9]),
        label("car", 1, [0, 0, 9, 9]),
    ]
    file.write_text(json.dumps({"val/a": people, "val/b": []}))
    assert read_people(file) == {"a": [Box(1, 3, 10, 20)], "b": []}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"a": [{"label": "person", "score": 1}]}',
        '{"a": [{"label": "person", "score": 1, "box": [1]}]}',
    ],
)
def test_another_kind_of_file_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "labels.json"
    file.write_text(content)
    with pytest.raises(InputError, match="not a label file"):
        read_people(file)


def test_a_missing_file_and_a_name_in_two_splits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_people(tmp_path / "none.json")
    (tmp_path / "two.json").write_text('{"train/a": [], "val/a": []}')
    with pytest.raises(InputError, match="two splits have a picture a"):
        read_people(tmp_path / "two.json")
