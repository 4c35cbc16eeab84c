import numpy as np
import pytest

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.geometry.mounting import down_of_pose, down_of_tilt, parse_tilt, tilt_of, tilt_text
from thermal_fusion_ros.simulation import mesh
from thermal_fusion_ros.simulation.rig import BODY_FROM_OPTICAL


def test_a_level_camera_has_down_below():
    np.testing.assert_allclose(parse_tilt("0 0"), [0, 1, 0], atol=1e-12)


def test_who_looks_down_has_it_ahead_and_who_leans_to_the_right_has_it_there():
    assert parse_tilt("0 10")[2] > 0.1
    assert parse_tilt("10, 0")[0] > 0.1


@pytest.mark.parametrize("tilt", [(0, 5), (-4, 2), (10, -7), (50, 30)])
def test_angles_are_those_of_a_static_transform(tilt):
    roll, pitch = np.radians(tilt)
    pose = np.eye(4)
    pose[:3, :3] = mesh.rotation_z(1.2) @ mesh.rotation_y(pitch) @ mesh.rotation_x(roll) @ BODY_FROM_OPTICAL
    np.testing.assert_allclose(down_of_tilt(*tilt), down_of_pose(pose), atol=1e-6)
    np.testing.assert_allclose(tilt_of(down_of_pose(pose)), tilt, atol=1e-4)


def test_empty_is_unknown():
    assert parse_tilt("  ") is None


@pytest.mark.parametrize("text", ["5", "1 2 3", "level", "0 80", "90 0", "nan 0", "0 nan"])
def test_nonsense_is_refused_with_the_remedy(text):
    with pytest.raises(InputError, match=r"depth\.camera_tilt"):
        parse_tilt(text)


def test_what_is_written_is_read_again():
    np.testing.assert_allclose(
        parse_tilt(tilt_text(down_of_tilt(-3.25, 7.5))), down_of_tilt(-3.25, 7.5), atol=1e-5
    )
