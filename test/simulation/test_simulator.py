from dataclasses import replace

import cv2
import numpy as np
import pytest

from thermal_fusion_ros.frames import RgbFrame, ThermalFrame, ThermalKind
from thermal_fusion_ros.simulation import Simulator, demo_source, heat
from thermal_fusion_ros.simulation.simulator import FIRST_STAMP_NS, TLINEAR_K

from .scenes import small


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    return Simulator(small(shutter_period_s=1.0, shutter_freeze_s=0.3))


def test_two_simulators_with_one_seed_give_the_same_bytes_in_any_order(simulator):
    other = Simulator(simulator.config)
    late, early = other.thermal(0.4), other.rgb(0.1)
    assert np.array_equal(simulator.rgb(0.1).frame.image, early.frame.image)
    assert np.array_equal(simulator.thermal(0.4).frame.image, late.frame.image)
    assert not np.array_equal(
        early.frame.image, Simulator(replace(simulator.config, seed=4)).rgb(0.1).frame.image
    )


def test_frames_come_in_time_order_at_their_rates_with_their_latencies(simulator):
    shots = list(simulator.shots(0.35, truth=False))
    stamps = [shot.frame.stamp_ns for shot in shots]
    assert stamps == sorted(stamps)
    rgb = [s for s in shots if isinstance(s.frame, RgbFrame)]
    thermal = [s for s in shots if isinstance(s.frame, ThermalFrame)]
    assert [round(s.capture_s, 3) for s in rgb] == [0.0, 0.1, 0.2, 0.3]
    assert [s.frame.stamp_ns - FIRST_STAMP_NS for s in thermal] == [
        28_000_000,
        128_000_000,
        228_000_000,
        328_000_000,
    ]
    assert [round(s.capture_s, 3) for s in thermal] == [0.008, 0.108, 0.208, 0.308]
    assert simulator.frame_count(0.35) == len(shots)
    assert rgb[0].frame.image.shape == (72, 96, 3)
    assert thermal[0].frame.image.shape == (64, 80)
    assert thermal[0].frame.image.dtype == np.uint16


def test_a_shutter_event_repeats_a_picture_and_the_truth_says_so(simulator):
    times = [0.308, 0.408, 0.508, 0.608, 0.708, 0.808]
    shots = [simulator.thermal(t) for t in times]
    frozen = [s.truth.frozen for s in shots]
    assert frozen == [False, False, True, True, True, False]
    for shot in shots[2:5]:
        assert np.array_equal(shot.frame.image, shots[1].frame.image)
        assert shot.capture_s == pytest.approx(0.408)
        assert shot.truth.capture_s == pytest.approx(0.408)
    assert not np.array_equal(shots[5].frame.image, shots[1].frame.image)
    stamps = [s.frame.stamp_ns for s in shots]
    assert stamps == sorted(set(stamps))
    assert all(s.truth.stamp_ns == s.frame.stamp_ns for s in shots)


def test_no_shutter_event_where_none_is_asked_for(simulator):
    steady = Simulator(small(shutter_period_s=0.0), world=simulator.world)
    assert not any(steady.shutter(t)[1] for t in np.arange(0, 5, 0.1))


def test_raw_pairs_fit_together_by_depth_and_extrinsics():
    """A point of the RGB picture, moved by its depth into the thermal camera, meets the depth that camera sees."""
    config = small(
        world="street",
        condition="day",
        width=160,
        height=120,
        thermal_width=160,
        thermal_height=120,
        thermal_phase_s=0.0,
    )
    simulator = Simulator(config)
    rgb, thermal = simulator.rgb(1.0).truth, simulator.thermal(1.0).truth
    camera, other, rig = rgb.camera, thermal.camera, simulator.rig
    rays = camera.rays()
    known = np.isfinite(rgb.depth)
    points = rays[known] / rays[known][:, 2:] * rgb.depth[known][:, None]
    moved = points @ rig.thermal_from_rgb[:3, :3].T + rig.thermal_from_rgb[:3, 3]
    uv = np.rint(other.project(moved)).astype(int)
    inside = (uv >= 0).all(1) & (uv[:, 0] < other.width) & (uv[:, 1] < other.height)
    seen = thermal.depth[uv[inside, 1], uv[inside, 0]]
    error = np.abs(seen - moved[inside, 2]) / moved[inside, 2]
    assert np.nanmedian(error) < 0.01
    assert (error < 0.1).mean() > 0.75
    # and the raw pictures are not registered: the same pixel sees something else
    shift = np.linalg.norm(other.project(moved)[inside] - np.argwhere(known)[:, ::-1][inside], axis=1)
    assert np.median(shift) > 2


def test_tlinear_pixels_are_temperatures(simulator):
    counts = Simulator(small(netd_k=0.0), world=simulator.world).thermal(0.0).frame
    linear = Simulator(small(netd_k=0.0, thermal_output="tlinear"), world=simulator.world).thermal(0.0).frame
    assert (counts.kind, linear.kind) == (ThermalKind.COUNTS, ThermalKind.TLINEAR)
    assert linear.image * TLINEAR_K == pytest.approx(heat.kelvin_of_counts(counts.image), abs=0.006)


def test_truth_tells_of_every_object_what_the_masks_show():
    simulator = Simulator(small(world="street", width=160, height=120, condition="night"))
    truth = simulator.rgb(2.0).truth
    assert {o.label for o in truth.objects} & {"person", "car"}
    distances = [o.distance_m for o in truth.objects]
    assert distances == sorted(distances)
    for o in truth.objects:
        mask = truth.instance == o.instance
        y, x = np.nonzero(mask)
        assert o.box == (x.min(), y.min(), x.max() + 1, y.max() + 1)
        assert o.pixels == mask.sum()
        assert o.depth_m == pytest.approx(float(np.median(truth.depth[mask])), abs=1e-3)
        assert o.nearest_m <= o.distance_m
        assert simulator.world.labelled[o.instance - 1].label == o.label
    assert truth.facts["time"] == "night"
    assert truth.facts["visibility_m"] is None


def test_the_demo_is_a_night_street_in_smoke_with_temperatures():
    source = demo_source(seconds=0.2, seed=1, width=64, height=48, thermal_width=64, thermal_height=48)
    frames = list(source)
    assert len(frames) == source.frame_count == 4
    assert {type(f) for f in frames} == {RgbFrame, ThermalFrame}
    thermal = next(f for f in frames if isinstance(f, ThermalFrame))
    assert thermal.kind is ThermalKind.TLINEAR
    assert 240 < np.median(thermal.image) * TLINEAR_K < 310
    truth = source.truth[thermal.stamp_ns, "thermal"]
    assert truth.facts["condition"] == "night+smoke"
    assert source.camera_info["thermal"].header.frame_id == thermal.frame_id
    assert list(source.camera_info["rgb"].k) == list(source.simulator.rig.rgb.matrix.reshape(-1))


@pytest.mark.parametrize(("camera", "alike"), [("rgb", 0.94), ("thermal", 0.98)])
def test_a_live_picture_shows_what_the_fine_one_shows_where_it_is_with_fewer_rays(camera, alike):
    config = small(world="street", width=320, height=240, thermal_width=320, thermal_height=240)
    fine, live = (getattr(Simulator(replace(config, quality=q)), camera) for q in ("fine", "live"))
    wanted, got = fine(0.5), live(0.5)
    assert np.array_equal(live(0.5, truth=False).frame.image, got.frame.image)
    assert np.array_equal(got.truth.depth, wanted.truth.depth, equal_nan=True)
    one, two = (shot.frame.image.astype(np.float64).reshape(240, 320, -1).mean(2) for shot in (wanted, got))
    assert np.corrcoef(one.ravel(), two.ravel())[0, 1] > alike
    shift, _ = cv2.phaseCorrelate(one, two, cv2.createHanningWindow((320, 240), cv2.CV_64F))
    assert np.hypot(*shift) < 0.15
