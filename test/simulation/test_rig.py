import numpy as np
import pytest

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.simulation import rig as r


@pytest.mark.parametrize("camera", ["rgb", "thermal"])
def test_every_ray_projects_back_onto_its_pixel(camera):
    eye = getattr(r.default_rig(), camera)
    rays = eye.rays().reshape(-1, 3)
    v, u = np.divmod(np.arange(len(rays)), eye.width)
    assert np.abs(eye.project(rays * 7.5) - np.column_stack([u, v])).max() < 0.01
    assert np.linalg.norm(rays, axis=1) == pytest.approx(1.0, abs=1e-6)


def test_projection_is_opencvs():
    import cv2

    eye = r.default_rig().thermal
    points = np.random.default_rng(0).uniform([-2, -1.5, 3], [2, 1.5, 20], (50, 3))
    wanted, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), eye.matrix, np.array(eye.distortion))
    assert eye.project(points) == pytest.approx(wanted[:, 0], abs=1e-6)


def test_its_calibration_is_the_one_the_rest_of_the_package_uses():
    rig = r.default_rig(baseline_m=0.15)
    known = rig.calibration()
    assert known.baseline_m == pytest.approx(0.15, abs=0.001)
    point = np.array([[0.4, -0.2, 6.0]])
    moved = point @ known.rotation.T + known.translation
    here = point @ rig.thermal_from_rgb[:3, :3].T + rig.thermal_from_rgb[:3, 3]
    assert moved == pytest.approx(here)
    assert known.thermal.k == pytest.approx(rig.thermal.matrix)
    assert known.thermal.d == pytest.approx(rig.thermal.distortion)


def test_resizing_keeps_what_the_corners_see():
    eye = r.default_rig().rgb
    small = eye.resized(320, 240)
    corner = eye.rays(-0.5, -0.5)[0, 0]
    assert small.rays(-0.5, -0.5)[0, 0] == pytest.approx(corner, abs=1e-5)


def test_the_baseline_is_what_was_asked_for_to_the_right():
    rig = r.default_rig(baseline_m=0.2)
    position = np.linalg.inv(rig.thermal_from_rgb)[:3, 3]  # of the thermal camera, in the RGB frame
    assert position[0] == pytest.approx(0.2, abs=0.001)
    assert np.abs(position[1:]).max() < 0.02


def test_a_registered_rig_has_one_eye():
    rig = r.default_rig().registered()
    assert np.allclose(rig.thermal_from_rgb, np.eye(4))
    assert rig.rgb.distortion == rig.thermal.distortion == (0.0,) * 5


def test_captures_are_evenly_spaced_and_stop_before_the_end():
    assert r.Timing(10, 0.02).captures(0.32) == pytest.approx([0.02, 0.12, 0.22])
    assert r.Timing(10).captures(0.3) == pytest.approx([0.0, 0.1, 0.2])
    assert r.Timing(10, 0.5).captures(0.3) == []


@pytest.mark.parametrize(
    ("what", "said"), [({"width": 4}, "size"), ({"baseline_m": float("nan")}, "baseline")]
)
def test_an_impossible_rig_is_refused_by_name(what, said):
    with pytest.raises(InputError, match=said):
        r.default_rig(**what)
