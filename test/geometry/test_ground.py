"""The ground plane: found where there is one, refused where there is none."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest

from thermal_fusion_ros.geometry.ground import Ground, GroundFitter
from thermal_fusion_ros.sensing.camera import CameraModel

WIDTH, HEIGHT, FOCAL = 320, 240, 260.0
CAMERA = CameraModel(
    WIDTH, HEIGHT, np.array([[FOCAL, 0, (WIDTH - 1) / 2], [0, FOCAL, (HEIGHT - 1) / 2], [0, 0, 1]])
)
RAYS = CAMERA.unproject(CAMERA.pixel_grid()).reshape(HEIGHT, WIDTH, 3)


def plane(normal, height, farthest=60.0):
    """Depth of the plane ``normal · X = height``, NaN where it is not seen."""
    facing = RAYS @ (np.asarray(normal, float) / np.linalg.norm(normal))
    depth = height / np.where(facing > height / farthest, facing, np.nan)
    return depth.astype(np.float32)


def level(height=1.35, pitch_deg=0.0, roll_deg=0.0):
    pitch, roll = np.radians([pitch_deg, roll_deg])
    return plane((np.sin(roll), np.cos(pitch), np.sin(pitch)), height)


def smooth_error(random, sigma):
    field = cv2.resize(
        random.normal(size=(6, 8)).astype(np.float32), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC
    )
    return np.exp(field / field.std() * sigma)


@pytest.mark.parametrize("pitch", [-6.0, 0.0, 12.0])
def test_height_and_normal_of_flat_ground(pitch):
    ground = GroundFitter(CAMERA).fit(level(1.2, pitch))
    assert isinstance(ground, Ground)
    assert ground.height == pytest.approx(1.2, rel=0.01)
    assert ground.tilt_deg == pytest.approx(abs(pitch), abs=0.6)
    assert ground.share > 0.9


def test_a_known_mounting_holds_against_ground_that_is_bent():
    """Networks say of far ground that it is nearer: a plane through all of that is tilted, and too high above."""
    down = np.array([0.0, np.cos(0.1), np.sin(0.1)])
    flat = plane(down, 1.2)
    bent = flat * np.exp(-0.06 * np.clip(flat - 5, 0, None))
    free, held = (GroundFitter(CAMERA, d).fit(bent) for d in (None, down))
    assert isinstance(free, Ground)
    assert isinstance(held, Ground)
    assert held.height - 1.2 < 0.6 * (free.height - 1.2)
    assert held.height == pytest.approx(1.2, rel=0.08)


def test_a_camera_that_looks_steeply_down_finds_the_ground_when_it_is_told():
    down = np.array([0.0, np.cos(0.7), np.sin(0.7)])
    depth = plane(down, 1.2)
    assert isinstance(GroundFitter(CAMERA).fit(depth), str)
    ground = GroundFitter(CAMERA, down).fit(depth)
    assert isinstance(ground, Ground)
    assert ground.height == pytest.approx(1.2, rel=0.01)


def test_relative_depth_of_another_size_is_as_good():
    small = cv2.resize(level(0.4), (160, 120), interpolation=cv2.INTER_NEAREST)
    ground = GroundFitter(CAMERA).fit(small)
    assert isinstance(ground, Ground)
    assert ground.height == pytest.approx(0.4, rel=0.03)


def test_things_on_the_ground_do_not_count():
    depth = level()
    depth[100:220, 20:110] = np.fmin(depth[100:220, 20:110], 3.0)
    depth[110:200, 220:310] = np.fmin(depth[110:200, 220:310], 4.0)
    ground = GroundFitter(CAMERA).fit(depth)
    assert isinstance(ground, Ground)
    assert ground.height == pytest.approx(1.35, rel=0.03)
    assert ground.share < 0.9


def test_errors_of_a_network_average_out_and_are_told():
    random, fitter = np.random.default_rng(3), GroundFitter(CAMERA)
    logs, sigmas = [], []
    for _ in range(40):
        ground = fitter.fit(level(1.0, 3.0) * smooth_error(random, 0.1))
        assert isinstance(ground, Ground)
        logs.append(np.log(ground.height))
        sigmas.append(ground.sigma)
    assert np.mean(logs) == pytest.approx(0.0, abs=0.03)
    assert np.std(logs) < 1.5 * np.mean(sigmas) < 0.15


def test_learning_the_mounting_steadies_the_height_over_little_ground():
    random, learning = np.random.default_rng(4), GroundFitter(CAMERA)
    corridor = level(1.0, 10.0)  # the mounting is not what is expected
    corridor[:, :90] = np.fmin(corridor[:, :90], 1.2 / np.abs(RAYS[:, :90, 0]))
    corridor[:, 230:] = np.fmin(corridor[:, 230:], 1.2 / np.abs(RAYS[:, 230:, 0]))
    heights: dict[str, list[float]] = {"afresh": [], "learning": []}
    for _ in range(30):
        depth = (corridor * smooth_error(random, 0.1)).astype(np.float32)
        for name, fitter in (("afresh", GroundFitter(CAMERA)), ("learning", learning)):
            ground = fitter.fit(depth)
            if isinstance(ground, Ground):
                heights[name].append(np.log(ground.height))
    assert len(heights["learning"]) > 20
    error = {name: np.sqrt(np.mean(np.square(logs[5:]))) for name, logs in heights.items()}
    assert error["learning"] < 0.9 * error["afresh"]


def facing_a_wall():
    return np.full((HEIGHT, WIDTH), 2.0, np.float32)


def wall_with_a_strip_of_floor():
    return np.fmin(level(), 3.2).astype(np.float32)


def table_top():
    """A surface at half height, on the left; the floor around it."""
    depth = level(1.35)
    depth[150:, :150] = level(0.7)[150:, :150]
    return depth


def noise():
    return np.exp(np.random.default_rng(0).uniform(0, 3, (HEIGHT, WIDTH))).astype(np.float32)


@pytest.mark.parametrize(
    ("depth", "reason"),
    [
        (facing_a_wall(), "no plane below the camera"),
        (wall_with_a_strip_of_floor(), "."),
        (noise(), "of the lower part of the picture"),
        (np.full((HEIGHT, WIDTH), np.nan, np.float32), "hardly any depth"),
        (level(1.35, roll_deg=35), "."),
    ],
    ids=["wall", "strip of floor", "noise", "nothing", "lying on its side"],
)
def test_no_believable_ground_is_refused_with_the_reason(depth, reason):
    refused = GroundFitter(CAMERA).fit(depth)
    assert isinstance(refused, str)
    assert re.search(reason, refused)


def test_the_lower_of_two_floors_is_the_ground():
    ground = GroundFitter(CAMERA).fit(table_top())
    assert isinstance(ground, str) or ground.height == pytest.approx(1.35, rel=0.03)


def test_uncertain_pixels_count_less():
    depth, sigma = level(), np.full((HEIGHT, WIDTH), 0.05, np.float32)
    depth[:, :220] *= 1.3
    sigma[:, :220] = 1.0
    ground = GroundFitter(CAMERA).fit(depth, sigma)
    assert isinstance(ground, Ground)
    assert ground.height == pytest.approx(1.35, rel=0.03)


def test_same_picture_same_answer():
    depth = level() * smooth_error(np.random.default_rng(1), 0.1)
    one, other = GroundFitter(CAMERA).fit(depth), GroundFitter(CAMERA).fit(depth)
    assert isinstance(one, Ground)
    assert isinstance(other, Ground)
    assert (one.height, one.sigma) == (other.height, other.sigma)
