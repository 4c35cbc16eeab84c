"""Somebody whom the depth network takes for what is behind."""

from __future__ import annotations

import numpy as np
import pytest

from thermal_fusion_ros.detections import Detection
from thermal_fusion_ros.geometry.object_depth import brought_nearer
from thermal_fusion_ros.sensing.camera import CameraModel

WIDTH, HEIGHT, FOCAL = 320, 240, 260.0
CAMERA = CameraModel(
    WIDTH, HEIGHT, np.array([[FOCAL, 0, (WIDTH - 1) / 2], [0, FOCAL, (HEIGHT - 1) / 2], [0, 0, 1]])
)
METRES_EACH, WALL_M = 2.0, 9.0


def standing(metres, left=140, tall=1.7, label="person", score=0.9):
    """The box of somebody on the ground, the camera 1.2 m above it."""
    foot = (HEIGHT - 1) / 2 + FOCAL * 1.2 / metres
    high = FOCAL * tall / metres
    return Detection(label, (left, foot - high, left + high / 3, foot), score)


def hall(*people, missed=True):
    """Relative depth H/2×W/2: a wall, and `people` (metres, box) unless they are `missed`."""
    depth = np.full((HEIGHT // 2, WIDTH // 2), WALL_M / METRES_EACH, np.float32)
    for metres, found in () if missed else people:
        x0, y0, x1, y1 = (round(edge / 2) for edge in found.box)
        depth[y0:y1, x0:x1] = metres / METRES_EACH
    return depth, np.full_like(depth, 0.2)


def inside(depth, found):
    x0, y0, x1, y1 = (round(edge / 2) for edge in found.box)
    return depth[y0:y1, x0:x1] * METRES_EACH


@pytest.mark.parametrize("metres", [4.0, 6.0, 7.5])
def test_whom_the_network_does_not_see_is_brought_where_they_stand(metres):
    person = standing(metres)
    depth, sigma = hall()
    made, left = brought_nearer(depth, sigma, METRES_EACH, [person], CAMERA)
    np.testing.assert_allclose(inside(made, person), metres, rtol=0.02)
    x0, y0, x1, y1 = (round(edge / 2) for edge in person.box)
    assert left[y0:y1, x0:x1].max() < 0.15
    made[y0:y1, x0:x1] = depth[y0:y1, x0:x1]
    np.testing.assert_array_equal(made, depth)  # nothing else has changed
    assert (depth == WALL_M / METRES_EACH).all()  # nor what was given


@pytest.mark.parametrize(
    "found",
    [
        standing(8.5),  # nearly where depth has them
        standing(4.0, tall=1.0),  # a child, whose height says 6.8 m
        standing(4.0, label="car"),
        standing(4.0, score=0.3),
        standing(4.0, left=-10),  # cut off by the picture's edge
    ],
    ids=["near enough", "child", "car", "unsure", "cut off"],
)
def test_nobody_is_moved_without_reason(found):
    metres = 4.0 if found.box[3] - found.box[1] < 70 else WALL_M
    depth, sigma = hall((metres, found), missed=metres == WALL_M)
    made, left = brought_nearer(depth, sigma, METRES_EACH, [found], CAMERA)
    assert made is depth
    assert left is sigma


def test_what_is_behind_somebody_in_the_box_stays():
    person = standing(4.0)
    depth, sigma = hall()
    x0, y0, x1, y1 = (round(edge / 2) for edge in person.box)
    depth[y0:y1, x0:x1] = 30.0 / METRES_EACH
    depth[y0:y1, x0 + 3 : x1 - 3] = 5.0 / METRES_EACH
    made, _ = brought_nearer(depth, sigma, METRES_EACH, [person], CAMERA)
    np.testing.assert_allclose(made[y0:y1, x0 + 3 : x1 - 3] * METRES_EACH, 4.0, rtol=0.02)
    np.testing.assert_array_equal(made[y0:y1, x0], depth[y0:y1, x0])


def test_missing_depth_stays_missing():
    person = standing(4.0)
    depth, sigma = hall()
    depth[:, 72:] = np.nan
    made, _ = brought_nearer(depth, sigma, METRES_EACH, [person], CAMERA)
    np.testing.assert_array_equal(np.isnan(made), np.isnan(depth))
    nobody = np.full_like(depth, np.nan)
    made, _ = brought_nearer(nobody, sigma, METRES_EACH, [person], CAMERA)
    assert made is nobody
