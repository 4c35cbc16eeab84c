"""Scale from the baseline of the rig, on drawn stereo pairs (the simulator's are in test_scale)."""

from __future__ import annotations

import functools

import cv2
import numpy as np
import pytest

from thermal_fusion_ros.geometry import parallax
from thermal_fusion_ros.geometry.parallax import ParallaxScale, at_edges_of_things
from thermal_fusion_ros.sensing.camera import CameraModel
from thermal_fusion_ros.sensing.rig import Rig

WIDTH, HEIGHT, FOCAL, BASELINE = 320, 240, 260.0, 0.10
CAMERA = CameraModel(
    WIDTH, HEIGHT, np.array([[FOCAL, 0, (WIDTH - 1) / 2], [0, FOCAL, (HEIGHT - 1) / 2], [0, 0, 1]])
)
RIG = Rig(CAMERA, CAMERA, np.eye(3), np.array([-BASELINE, 0, 0]))
UNIT = 1.7


def shifted(image, pixels):
    matrix = np.array([[1.0, 0, pixels], [0, 1, 0]])
    return cv2.warpAffine(image, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)


@functools.cache
def pair(seed, nearest=2.0, farthest=8.0, ahead=0.0, leftmost=10):
    """(RGB grey, thermal, depth): boards of random brightness and random heat before a far wall.

    Thermal is taken `ahead` baselines further on.
    """
    random = np.random.default_rng(seed)
    gray = np.full((HEIGHT, WIDTH), 90, np.float32)
    warm = np.full((HEIGHT, WIDTH), 120, np.float32)
    depth = np.full((HEIGHT, WIDTH), 2 * farthest, np.float32)
    for away in np.sort(random.uniform(nearest, farthest, 9))[::-1]:
        x, y = random.integers(leftmost, WIDTH - 70), random.integers(5, HEIGHT - 90)
        mask = np.zeros((HEIGHT, WIDTH), np.float32)
        cv2.rectangle(mask, (int(x), int(y)), (int(x) + 50, int(y) + 80), 1.0, -1)
        stripes = np.zeros_like(mask)
        for _ in range(4):
            u = int(x + random.integers(4, 44))
            cv2.rectangle(stripes, (u, int(y) + 8), (u + 4, int(y) + 70), 1.0, -1)
        pixels = FOCAL * BASELINE / away * (1 - (x + 25 - WIDTH / 2) / FOCAL * ahead)
        there, stripes_there = shifted(mask, -pixels), shifted(stripes, -pixels)
        brightness, heat = random.uniform(20, 230, 2), random.uniform(20, 230, 2)
        gray = np.where(mask > 0, np.where(stripes > 0, brightness[0], brightness[1]), gray)
        warm = warm * (1 - there) + there * (heat[0] * stripes_there + heat[1] * (1 - stripes_there))
        depth = np.where(mask > 0, np.float32(away), depth)
    noise = random.normal(0, 2, (2, HEIGHT, WIDTH))
    return (
        np.clip(gray + noise[0], 0, 255).astype(np.uint8),
        np.clip(warm + noise[1], 0, 255).astype(np.uint8),
        depth.astype(np.float32),
    )


def observed(pairs, rig=RIG, unit=UNIT):
    scale = ParallaxScale(rig)
    for gray, thermal, depth in pairs:
        scale.observe(gray, thermal, depth / np.float32(unit))
    return scale


@pytest.mark.parametrize("unit", [0.3, 1.7, 30.0])
def test_scale_of_a_changing_scene(unit):
    reading = observed((pair(seed) for seed in range(10)), unit=unit).reading()
    assert reading is not None
    assert np.exp(reading.log_scale) == pytest.approx(unit, rel=0.03)
    assert reading.sigma < 0.05


def test_a_first_picture_that_is_not_typical_does_not_spoil_the_search():
    scale = ParallaxScale(RIG)
    gray, thermal, depth = pair(99)
    scale.observe(gray, thermal, depth / np.float32(UNIT * 1000))
    readings = []
    for seed in range(30):
        gray, thermal, depth = pair(seed)
        scale.observe(gray, thermal, depth / np.float32(UNIT))
        readings.append(scale.reading())
    assert readings[10] is None
    assert readings[-1] is not None
    assert np.exp(readings[-1].log_scale) == pytest.approx(UNIT, rel=0.03)


def test_scale_follows_the_baseline():
    """Extrinsics that are wrong by two make the scale wrong by two: nothing else is metric here."""
    twice = Rig(CAMERA, CAMERA, np.eye(3), np.array([-2 * BASELINE, 0, 0]))
    reading = observed((pair(seed) for seed in range(10)), rig=twice).reading()
    assert reading is not None
    assert np.exp(reading.log_scale) == pytest.approx(2 * UNIT, rel=0.04)


def test_driving_on_between_the_two_pictures_is_allowed_for(monkeypatch):
    """Parallax of 2 cm ahead on a baseline of 10 cm, with more things on the right than on the left."""
    pairs = [pair(seed, ahead=0.2, leftmost=90) for seed in range(20)]
    errors = []
    for prior in (parallax.SLOPE_PRIOR, 1e-3):
        monkeypatch.setattr(parallax, "SLOPE_PRIOR", prior)
        reading = observed(pairs).reading()
        assert reading is not None
        errors.append(abs(reading.log_scale - np.log(UNIT)))
    assert errors[0] < 0.03
    assert errors[0] < 0.7 * errors[1]


def test_error_is_told():
    """Of several short looks with bad depth, most are right within twice what they say."""
    inside = []
    for start in range(0, 40, 5):
        random = np.random.default_rng(start)
        pairs = []
        for seed in range(start, start + 5):
            gray, thermal, depth = pair(seed)
            coarse = random.normal(0, 0.12, (4, 5)).astype(np.float32)
            pairs.append((gray, thermal, depth * np.exp(cv2.resize(coarse, (WIDTH, HEIGHT)))))
        reading = observed(pairs).reading()
        if reading is not None:
            inside.append(abs(reading.log_scale - np.log(UNIT)) < 2 * np.hypot(reading.sigma, 0.01))
    assert len(inside) >= 6
    assert np.mean(inside) >= 0.8


def test_a_scene_that_stays_the_same_is_one_picture():
    same = pair(0)
    random = np.random.default_rng(0)
    noisy = [
        (np.clip(same[0] + random.normal(0, 2, same[0].shape), 0, 255).astype(np.uint8), same[1], same[2])
        for _ in range(20)
    ]
    scale = observed(noisy)
    assert scale.reading() is None
    assert scale.reason.startswith("1 different pairs")


def test_far_scene_is_refused():
    scale = observed(pair(seed, 60.0, 90.0) for seed in range(8))
    assert scale.reading() is None
    assert scale.reason


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_thermal_picture_without_structure_is_refused(seed):
    random = np.random.default_rng(seed)
    scale = observed(
        (gray, random.integers(100, 140, gray.shape).astype(np.uint8), depth)
        for gray, _, depth in (pair(seed) for seed in range(8))
    )
    assert scale.reading() is None
    assert scale.reason


def test_pictures_that_do_not_belong_together_are_refused():
    scale = observed((pair(seed)[0], pair(seed + 100)[1], pair(seed)[2]) for seed in range(10))
    assert scale.reading() is None


def test_picture_without_depth_is_no_evidence():
    gray, thermal, depth = pair(0)
    scale = ParallaxScale(RIG)
    scale.observe(gray, thermal, np.full_like(depth, np.nan))
    assert scale.reading() is None


def test_uncertain_depth_is_not_used():
    pairs = [pair(seed) for seed in range(10)]
    scale = ParallaxScale(RIG)
    for gray, thermal, depth in pairs:
        wrong = depth / np.float32(UNIT)
        sigma = np.full_like(wrong, 0.1)
        wrong[:120] *= 2
        sigma[:120] = 1.0
        scale.observe(gray, thermal, wrong, sigma)
    reading = scale.reading()
    assert reading is not None
    assert np.exp(reading.log_scale) == pytest.approx(UNIT, rel=0.05)


def test_edges_belong_to_what_is_nearer():
    inverse = np.full((40, 60), 0.1, np.float32)
    inverse[:, 30:] = 0.5
    sharp = at_edges_of_things(cv2.GaussianBlur(inverse, (0, 0), 1.0))
    assert sharp[20, 30:34] == pytest.approx(0.5, rel=0.08)
    assert (sharp[20, 28:30] == 0).all()
    assert sharp[20, 20] == pytest.approx(0.1)


def test_planes_have_no_edges():
    y = np.arange(120, dtype=np.float32)[:, None] + 30
    inverse = np.repeat(y / 300, 60, axis=1)
    assert np.array_equal(at_edges_of_things(inverse), inverse)
