"""Sources of scale put together: agreement, votes, contradictions, time; and drives of the simulated rig."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmark.scale import ALONE, UNIT_M, as_predicted, by_odometry, drive, simulator
from thermal_fusion_ros.config import DepthConfig
from thermal_fusion_ros.detections import Detection
from thermal_fusion_ros.geometry.motion_stereo import MotionStereo
from thermal_fusion_ros.geometry.scale import MetricScale, ScaleTracker, combine
from thermal_fusion_ros.geometry.scale_readings import Reading
from thermal_fusion_ros.sensing.camera import CameraModel

WIDTH, HEIGHT, FOCAL = 320, 240, 260.0
CAMERA = CameraModel(
    WIDTH, HEIGHT, np.array([[FOCAL, 0, (WIDTH - 1) / 2], [0, FOCAL, (HEIGHT - 1) / 2], [0, 0, 1]])
)
RAYS = CAMERA.unproject(CAMERA.pixel_grid()).reshape(HEIGHT, WIDTH, 3)
UNIT, MOUNTED_M = 2.0, 1.2
PERIOD_NS = 100_000_000


def said(**scales):
    return {name: Reading(float(np.log(scale)), sigma) for name, (scale, sigma) in scales.items()}


# ---------------------------------------------------------------- combination


def test_agreeing_sources_are_averaged_by_their_variances():
    verdict = combine(said(a=(1.00, 0.10), b=(1.05, 0.05)))
    assert verdict.agreed == ("a", "b")
    assert verdict.reading is not None
    assert np.exp(verdict.reading.log_scale) == pytest.approx(1.04, abs=0.005)
    assert verdict.reading.sigma == pytest.approx(0.0447, abs=0.001)


def test_the_odd_one_out_is_named_with_what_it_says():
    verdict = combine(said(camera=(2.0, 0.03), parallax=(1.0, 0.05), objects=(1.1, 0.08)))
    assert set(verdict.agreed) == {"parallax", "objects"}
    assert set(verdict.outvoted) == {"camera"}
    assert "1.9" in verdict.outvoted["camera"]
    assert "parallax" in verdict.outvoted["camera"]


@pytest.mark.parametrize(
    "scales",
    [
        {"a": (1.0, 0.05), "b": (2.0, 0.05)},
        {"a": (1.0, 0.05), "b": (2.0, 0.05), "c": (4.0, 0.05)},
        {"a": (1.0, 0.05), "b": (2.0, 0.05), "c": (1.01, 0.05), "d": (2.02, 0.05)},
    ],
)
def test_without_a_majority_there_is_no_average(scales):
    verdict = combine(said(**scales))
    assert verdict.reading is None
    assert not verdict.agreed
    assert not verdict.outvoted
    assert "contradict" in verdict.reason
    assert all(name in verdict.reason for name in scales)


def test_a_vague_source_does_not_contradict():
    assert combine(said(a=(1.0, 0.03), b=(1.5, 0.2))).agreed == ("a", "b")


def test_one_source_is_believed_and_none_is_nothing():
    assert combine(said(a=(1.3, 0.05))).agreed == ("a",)
    assert combine({}).reading is None


# ---------------------------------------------------------------- the tracker, on drawn depth


def flat_ground(unit=UNIT):
    depth = MOUNTED_M / np.where(RAYS[..., 1] > MOUNTED_M / 40, RAYS[..., 1], np.nan)
    return (np.fmin(depth, 40) / unit).astype(np.float32)


def points(factor=1.0, count=60):
    """Range points of that ground, `factor` times too far."""
    random = np.random.default_rng(5)
    v, u = random.integers(130, HEIGHT, count), random.integers(0, WIDTH, count)
    return RAYS[v, u] * (flat_ground(1.0)[v, u, None] * factor)


def person(factor=1.0, away=6.0):
    """Someone on the ground, and the depth with them: `factor` times as tall as usual."""
    relative = flat_ground()
    top, bottom = 120 + FOCAL * (MOUNTED_M - 1.7 * factor) / away, 120 + FOCAL * MOUNTED_M / away
    box = (140.0, float(round(top)), 180.0, float(round(bottom)))
    relative[int(box[1]) : int(box[3]), 140:180] = away / UNIT
    return relative, [Detection("person", box)]


def run(tracker, frames, start=0, relative=None, **inputs) -> MetricScale:
    result = None
    for index in range(start, start + frames):
        picture = flat_ground() if relative is None else relative
        result = tracker.update(index * PERIOD_NS, picture, **inputs)
    assert result is not None
    return result


def config(**values):
    return replace(ALONE, **values)


def test_without_a_source_there_is_no_scale_and_the_reason_is_given():
    result = run(ScaleTracker(ALONE, CAMERA), 5)
    assert result.scale is None
    assert result.sigma is None
    assert "depth.camera_height_m is 0" in result.reason
    assert "depth.rig_parallax is false" in result.reason
    assert {source.state for source in result.sources} == {"off"}


def test_default_configuration_without_calibration_says_what_is_missing():
    result = run(ScaleTracker(DepthConfig(camera_height_m=1.2)), 3, objects=person()[1])
    assert result.scale is None
    assert "the RGB camera is not calibrated" in result.reason


def test_no_ground_in_view_is_the_reason():
    wall = np.full((HEIGHT, WIDTH), 1.0, np.float32)
    result = run(ScaleTracker(config(camera_height_m=1.2), CAMERA), 5, relative=wall)
    assert result.scale is None
    assert "no plane below the camera" in result.reason


def test_camera_height_alone():
    result = run(ScaleTracker(config(camera_height_m=MOUNTED_M), CAMERA), 10)
    assert result.scale == pytest.approx(UNIT, rel=0.02)
    assert result.agreed == ("camera_height_m",)
    assert result.consistent


def test_a_network_that_says_camera_heights_is_half_believed():
    """Its ground looks a fifth too high: that may be the plane's fault."""
    relative = flat_ground() * np.float32(1.2 / UNIT)  # in camera heights it would be 1 / MOUNTED_M
    values = config(camera_height_m=MOUNTED_M)
    plain, half = (
        run(ScaleTracker(values, CAMERA, in_heights=own), 10, relative=relative) for own in (False, True)
    )
    assert plain.scale is not None
    assert half.scale is not None
    assert plain.sigma is not None
    own = MOUNTED_M
    assert min(plain.scale, own) < half.scale < max(plain.scale, own)
    assert half.agreed == ("camera_height_m",)


def test_objects_alone():
    relative, objects = person()
    result = run(ScaleTracker(config(object_heights=True), CAMERA), 10, relative=relative, objects=objects)
    assert result.scale == pytest.approx(UNIT, rel=0.03)


def test_time_does_not_make_a_source_surer_than_its_systematic_error():
    result = run(ScaleTracker(config(camera_height_m=MOUNTED_M), CAMERA), 60)
    assert result.sigma is not None
    assert result.sigma > 0.03


def test_wrong_camera_height_is_outvoted_and_named():
    relative, objects = person()
    tracker = ScaleTracker(
        config(camera_height_m=2 * MOUNTED_M, range_points=True, object_heights=True), CAMERA
    )
    result = run(tracker, 20, relative=relative, objects=objects, range_points=points())
    assert result.scale == pytest.approx(UNIT, rel=0.04)
    assert set(result.agreed) == {"range_points", "object_heights"}
    assert list(result.outvoted) == ["camera_height_m"]
    tree = result.to_dict()
    assert "camera_height_m" in tree["outvoted"]
    assert tree["source camera_height_m"].startswith("outvoted")


def test_two_that_contradict_are_not_averaged():
    tracker = ScaleTracker(config(camera_height_m=2 * MOUNTED_M, range_points=True), CAMERA)
    result = run(tracker, 20, range_points=points())
    assert result.scale is None
    assert not result.consistent
    assert "camera_height_m says 3.9" in result.reason
    assert "range_points says 2" in result.reason
    assert {s.state for s in result.sources if s.state != "off"} == {"contradicting"}


def test_a_lonely_source_loses_its_trust_when_another_contradicts():
    tracker = ScaleTracker(config(camera_height_m=2 * MOUNTED_M, range_points=True), CAMERA)
    assert run(tracker, 10).scale == pytest.approx(2 * UNIT, rel=0.03)
    assert run(tracker, 10, start=10, range_points=points()).scale is None


def test_what_several_agreed_on_is_held_for_a_while_through_a_contradiction():
    tracker = ScaleTracker(config(camera_height_m=MOUNTED_M, range_points=True), CAMERA)
    before = run(tracker, 20, range_points=points())
    tracker.configure(config(camera_height_m=2 * MOUNTED_M, range_points=True))
    after = run(tracker, 10, start=20, range_points=points())
    assert not after.consistent
    assert after.scale == pytest.approx(before.scale)
    assert before.sigma is not None
    assert after.sigma is not None
    assert after.sigma > before.sigma
    assert run(tracker, 1, start=6000, range_points=points()).scale is None


def test_silence_makes_unsure_and_in_the_end_there_is_no_scale():
    tracker = ScaleTracker(config(camera_height_m=MOUNTED_M), CAMERA)
    wall = np.full((HEIGHT, WIDTH), 1.0, np.float32)
    before = run(tracker, 10)
    later = run(tracker, 1, start=100, relative=wall)
    assert later.scale == pytest.approx(before.scale)
    assert before.sigma is not None
    assert later.sigma is not None
    assert later.sigma > before.sigma
    assert run(tracker, 1, start=10_000, relative=wall).scale is None


def test_single_wrong_readings_are_ignored():
    tracker = ScaleTracker(config(range_points=True), CAMERA)
    before = run(tracker, 10, range_points=points())
    after = run(tracker, 2, start=10, range_points=points(1.8))
    assert after.scale == pytest.approx(before.scale, rel=1e-6)


def test_steps_are_limited_but_a_lasting_change_arrives():
    tracker = ScaleTracker(config(range_points=True), CAMERA)
    run(tracker, 10, range_points=points())
    scales = [run(tracker, 1, start=10 + i, range_points=points(1.12)).scale for i in range(60)]
    steps = np.abs(np.diff(np.log(np.array(scales, float))))
    assert steps.max() <= 0.0101
    assert scales[-1] == pytest.approx(1.12 * UNIT, rel=0.03)
    end = run(tracker, 20, start=70, range_points=points(3.0))  # another network
    assert end.scale == pytest.approx(3 * UNIT, rel=0.03)


def test_reset_forgets():
    tracker = ScaleTracker(config(range_points=True), CAMERA)
    run(tracker, 10, range_points=points())
    tracker.reset()
    assert run(tracker, 1).scale is None


def test_stamps_that_go_back_do_no_harm():
    tracker = ScaleTracker(config(range_points=True), CAMERA)
    run(tracker, 10, start=1000, range_points=points())
    assert run(tracker, 5, start=0, range_points=points()).scale == pytest.approx(UNIT, rel=0.02)


# ---------------------------------------------------------------- drives of the simulated rig


def driven(world, condition, seed, configs):
    """Results of the last of 50 frames (5 s); every second one is looked at, as parallax would do anyway."""
    sim = simulator(world, condition, seed)
    rig = sim.rig.calibration()
    trackers = [ScaleTracker(one, rig=rig) for one in configs(sim.config.camera_height_m)]
    random, results, stereo = np.random.default_rng(1), [], MotionStereo()
    for frame in drive(sim, frames=25, period_s=0.2):
        relative = as_predicted(frame.depth, random)
        looked = by_odometry(stereo, frame, relative, rig)
        results = [
            tracker.update(
                frame.stamp_ns,
                relative,
                gray=frame.gray,
                thermal=frame.thermal,
                objects=frame.objects,
                range_points=frame.range_points,
                odometry=looked,
            )
            for tracker in trackers
        ]
    return results


@pytest.mark.parametrize(
    ("world", "condition", "seed"),
    [
        ("corridor", "night", 21),
        pytest.param("corridor", "day", 22, marks=pytest.mark.slow),
        pytest.param("street", "day", 23, marks=pytest.mark.slow),
        pytest.param("street", "night", 24, marks=pytest.mark.slow),
        pytest.param("warehouse", "day", 25, marks=pytest.mark.slow),
        pytest.param("warehouse", "night", 26, marks=pytest.mark.slow),
    ],
)
def test_a_drive(world, condition, seed):
    parallax, height, odometry, wrong = driven(
        world,
        condition,
        seed,
        lambda metres: (
            config(rig_parallax=True),
            config(camera_height_m=metres),
            config(odometry_frame="odom"),
            config(camera_height_m=2 * metres, rig_parallax=True, range_points=True),
        ),
    )
    assert parallax.scale == pytest.approx(UNIT_M, rel=0.05)
    assert height.scale == pytest.approx(UNIT_M, rel=0.05)
    assert odometry.scale == pytest.approx(UNIT_M, rel=0.08)
    assert wrong.scale == pytest.approx(UNIT_M, rel=0.05)
    assert set(wrong.outvoted) == {"camera_height_m"}
    assert wrong.agreed == ("range_points", "rig_parallax")
