"""Scale from objects of known height and from range points, one picture at a time."""

from __future__ import annotations

import numpy as np
import pytest

from thermal_fusion_ros.detections import Detection
from thermal_fusion_ros.geometry.scale_readings import HEIGHTS, Reading, from_objects, from_range
from thermal_fusion_ros.sensing.camera import CameraModel

WIDTH, HEIGHT, FOCAL = 320, 240, 260.0
CAMERA = CameraModel(
    WIDTH, HEIGHT, np.array([[FOCAL, 0, (WIDTH - 1) / 2], [0, FOCAL, (HEIGHT - 1) / 2], [0, 0, 1]])
)
UNIT = 2.5  # metres


def scale(reading) -> float:
    assert isinstance(reading, Reading), reading
    return float(np.exp(reading.log_scale))


def standing(things, background=40.0):
    """Relative depth and detections of (label, metres high, metres away, column of the middle)."""
    depth = np.full((HEIGHT, WIDTH), background, np.float32)
    objects = []
    for label, tall, away, column in things:
        half_height, half_width = FOCAL * tall / away / 2, FOCAL * 0.3 / away
        box = (column - half_width, 120 - half_height, column + half_width, 120 + half_height)
        x0, y0, x1, y1 = (round(edge) for edge in box)
        depth[max(0, y0) : y1, max(0, x0) : x1] = away
        objects.append(Detection(label, (x0, y0, x1, y1)))
    return depth / UNIT, objects


def test_a_person_gives_the_scale():
    relative, objects = standing([("person", 1.7, 5.0, 100)])
    reading = from_objects(objects, relative, CAMERA)
    assert scale(reading) == pytest.approx(UNIT, rel=0.02)
    assert 0.05 < reading.sigma < 0.15


def test_depth_of_another_size_is_as_good():
    relative, objects = standing([("person", 1.7, 4.0, 100)])
    assert scale(from_objects(objects, relative[::2, ::2], CAMERA)) == pytest.approx(UNIT, rel=0.03)


def test_more_objects_are_surer_and_one_child_does_not_move_them():
    relative, objects = standing(
        [
            ("person", 1.7, 5.0, 40),
            ("person", 1.7, 6.0, 100),
            ("car", 1.52, 7.0, 200),
            ("person", 1.0, 4.0, 270),
        ]
    )
    every, one = from_objects(objects, relative, CAMERA), from_objects(objects[:1], relative, CAMERA)
    assert scale(every) == pytest.approx(UNIT, rel=0.04)
    assert isinstance(every, Reading)
    assert isinstance(one, Reading)
    assert every.sigma < one.sigma


def test_less_is_known_of_a_truck_than_of_a_person():
    assert HEIGHTS["truck"][1] > 2 * HEIGHTS["person"][1]
    readings = [
        from_objects(objects, relative, CAMERA)
        for relative, objects in (standing([("person", 1.7, 6.0, 150)]), standing([("truck", 3.0, 6.0, 150)]))
    ]
    assert readings[1].sigma > 1.5 * readings[0].sigma  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "thing",
    [
        Detection("tree", (100, 50, 130, 150)),
        Detection("person", (100, 50, 130, 150), 0.3),  # hardly believed
        Detection("person", (100, 120, 130, 240)),  # cut off below
        Detection("person", (0, 50, 30, 150)),
        Detection("person", (100, 50, 103, 60)),  # too small
    ],
)
def test_boxes_that_say_nothing_are_left_out(thing):
    relative, _ = standing([])
    assert from_objects([thing], relative, CAMERA) == "no fully visible object of known height"


def test_an_object_behind_another_is_left_out():
    relative, objects = standing([("person", 1.7, 10.0, 105), ("car", 1.52, 5.0, 120)])
    assert from_objects(objects, relative, CAMERA) == from_objects(objects[1:], relative, CAMERA)


def test_object_without_depth_is_left_out():
    relative, objects = standing([("person", 1.7, 5.0, 100)])
    relative[:] = np.nan
    assert isinstance(from_objects(objects, relative, CAMERA), str)


def points_of(depth, random, count=60):
    v, u = random.integers(0, HEIGHT, count), random.integers(0, WIDTH, count)
    rays = CAMERA.unproject(np.stack([u, v], axis=1).astype(float))
    return rays * depth[v, u, None]


def scene():
    """A slope with a pillar."""
    depth = np.repeat(np.linspace(20, 3, HEIGHT, dtype=np.float32)[:, None], WIDTH, axis=1)
    depth[:, 140:180] = 2.0
    return depth


def test_range_points_give_the_scale():
    depth = scene()
    reading = from_range(points_of(depth, np.random.default_rng(0)), depth / UNIT, CAMERA)
    assert scale(reading) == pytest.approx(UNIT, rel=0.02)
    assert reading.sigma < 0.05


def test_points_behind_what_the_camera_sees_do_not_count():
    random, depth = np.random.default_rng(1), scene()
    points = points_of(depth, random, 80)
    points[:30] *= random.uniform(1.3, 4.0, (30, 1))  # on the same rays
    assert scale(from_range(points, depth / UNIT, CAMERA)) == pytest.approx(UNIT, rel=0.03)


def test_points_on_edges_of_depth_do_not_count():
    depth = scene()
    edge = CAMERA.unproject(np.array([[140.0, y] for y in range(20, 220, 4)])) * 15.0
    assert isinstance(from_range(edge, depth / UNIT, CAMERA), str)


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        (np.zeros((0, 3)), "0 range points in view"),
        (np.full((50, 3), np.nan), "0 range points in view"),
        (np.array([[0.0, 0, -3]] * 50), "0 range points in view"),
        (np.array([[50.0, 0, 3]] * 50), "0 range points in view"),
    ],
)
def test_points_that_are_not_in_view(points, reason):
    refused = from_range(points, scene() / UNIT, CAMERA)
    assert isinstance(refused, str)
    assert reason in refused


def test_points_of_another_scene_are_refused():
    random = np.random.default_rng(2)
    points = points_of(np.exp(random.uniform(0, 5, (HEIGHT, WIDTH))), random, 100)
    assert isinstance(from_range(points, scene() / UNIT, CAMERA), str)


def test_a_person_whose_depth_is_unsure_counts_less():
    """Far away the network takes them for what is behind them, and says so."""
    things = [("person", 1.7, 5.0, 60), ("person", 1.7, 8.0, 200)]
    relative, objects = standing(things)
    x0, y0, x1, y1 = objects[1].box
    relative[y0:y1, x0:x1] *= 1.15
    unsure = np.full_like(relative, 0.02)
    unsure[y0:y1, x0:x1] = 0.3
    told, untold = from_objects(objects, relative, CAMERA, unsure), from_objects(objects, relative, CAMERA)
    assert abs(scale(told) / UNIT - 1) < 0.5 * abs(scale(untold) / UNIT - 1)
    assert told.sigma > untold.sigma
