"""Rig files: read back as written, and refused when they contradict themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy.spatial.transform import Rotation

from thermal_fusion_ros.sensing.camera import CalibrationError, CameraModel
from thermal_fusion_ros.sensing.rig import Rig

K = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])


def rig(**changes) -> Rig:
    values = {
        "rgb": CameraModel(640, 480, K, name="rgb"),
        "thermal": CameraModel(640, 512, K, name="thermal"),
        "rotation": Rotation.from_euler("y", 2, degrees=True).as_matrix(),
        "translation": np.array([-0.1, 0.01, 0.02]),
    }
    return Rig(**(values | changes))


def test_file_gives_back_the_same_rig(tmp_path):
    path = tmp_path / "rig.yaml"
    path.write_text(yaml.safe_dump(rig().to_dict()))
    again = Rig.from_yaml(path)
    np.testing.assert_allclose(again.rotation, rig().rotation, atol=1e-12)
    np.testing.assert_allclose(again.translation, rig().translation, atol=1e-12)
    assert again.thermal.size == (640, 512)


def test_pose_is_where_the_thermal_camera_sits():
    position, _ = rig().pose
    np.testing.assert_allclose(rig().rotation @ position + rig().translation, 0, atol=1e-12)
    assert position[0] > 0  # to the right of the RGB camera: points move left


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("not_finite", {"translation": [np.nan, 0, 0]}),
        ("contradictory", {"translation": [-100.0, 0, 0]}),  # millimetres
        ("malformed", {"rotation": np.ones((3, 3))}),
        ("malformed", {"rotation": np.diag([1.0, 1, -1])}),
        ("contradictory", {"rotation": np.diag([-1.0, 1, -1])}),  # looks back
    ],
)
def test_impossible_transforms_are_refused_by_name(reason, change):
    with pytest.raises(CalibrationError) as caught:
        rig(**change)
    assert caught.value.reason == reason


def test_quaternion_must_be_one():
    with pytest.raises(CalibrationError, match="length 1"):
        Rig.from_pose(rig().rgb, rig().thermal, [0, 0, 0], [0, 0, 0, 0])


def test_images_of_other_sizes_are_refused():
    rig().check_images((640, 480), (640, 512))
    with pytest.raises(CalibrationError, match="thermal"):
        rig().check_images((640, 480), (640, 480))


def test_file_without_a_transform_is_refused_with_its_path(tmp_path):
    path = tmp_path / "rig.yaml"
    tree = rig().to_dict()
    del tree["thermal_in_rgb"]
    path.write_text(yaml.safe_dump(tree))
    with pytest.raises(CalibrationError, match=r"rig\.yaml.*thermal_in_rgb"):
        Rig.from_yaml(path)


def test_a_file_that_cannot_be_read_is_named_once(tmp_path):
    path = tmp_path / "rig.yaml"
    path.write_bytes(b"\xff\xd8 a picture")
    with pytest.raises(CalibrationError) as caught:
        Rig.from_yaml(path)
    assert str(caught.value).count("rig.yaml") == 1


def test_example_file_is_the_simulated_rig():
    from thermal_fusion_ros.simulation.rig import default_rig

    path = Path(__file__).parents[2] / "config" / "rig_example.yaml"
    example, simulated = Rig.from_yaml(path), default_rig()
    step = simulated.thermal_from_rgb
    np.testing.assert_allclose(example.rotation, step[:3, :3], atol=1e-6)
    np.testing.assert_allclose(example.translation, step[:3, 3], atol=1e-6)
    points = np.array([[0.5, -0.3, 2.0], [-1.0, 0.4, 5.0]])
    np.testing.assert_allclose(example.thermal.project(points), simulated.thermal.project(points), atol=1e-3)
