"""A rig from messages: complete only when everything agrees, and otherwise with the name of what is missing."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from thermal_fusion_ros.config import RegistrationConfig
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.sensing.camera import CalibrationError
from thermal_fusion_ros.sensing.registration import Registrar
from thermal_fusion_ros.sensing.rig_assembly import RigAssembly, parse_pose

K = [500.0, 0, 320, 0, 500, 240, 0, 0, 1]
POSE = [0.1, 0, 0], [0, 0, 0, 1]


def info(frame: str, **changes):
    values = {"header": SimpleNamespace(frame_id=frame), "width": 640, "height": 480, "distortion_model": "plumb_bob",
              "k": K, "d": [0.0] * 5, "r": np.eye(3).ravel(), "p": [0.0] * 12, "binning_x": 0, "binning_y": 0,
              "roi": SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0)}  # fmt: skip
    return SimpleNamespace(**(values | changes))


def assembly(**changes) -> RigAssembly:
    return RigAssembly(RegistrationConfig(**changes))


def complete(**thermal) -> RigAssembly:
    made = assembly()
    made.take_camera_info("rgb", info("rgb"))
    made.take_camera_info("thermal", info("thermal", **thermal))
    made.take_pose(*POSE)
    return made


def test_waits_for_each_part_by_name_in_any_order():
    made = assembly()
    assert made.problem.reason == "waiting_camera_info"
    assert "rgb/camera_info" in str(made.problem)
    made.take_camera_info("rgb", info("rgb"))
    assert "thermal/camera_info" in str(made.problem)
    assert made.wanted_transform is None
    made.take_camera_info("thermal", info("thermal"))
    assert made.problem.reason == "waiting_transform"
    assert "from thermal to rgb" in str(made.problem)
    assert made.wanted_transform == ("rgb", "thermal")
    made.take_pose(*POSE)
    assert made.problem is None
    np.testing.assert_allclose(made.rig.translation, (-0.1, 0, 0))


def test_repeated_messages_change_nothing():
    made = complete()
    before = made.rig
    assert not made.take_camera_info("rgb", info("rgb"))
    assert not made.take_pose(*POSE)
    position, turn = (np.array(part, float) for part in POSE)
    assert not made.take_pose(position + 1e-9, -turn)  # as TF interpolates; q and -q are one rotation
    assert made.rig is before
    assert made.take_pose(position + 0.01, turn)
    assert made.take_pose(*POSE)
    assert made.take_camera_info("rgb", info("rgb", k=[510.0, *K[1:]]))
    assert made.rig.rgb.k[0, 0] == 510


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("zero_focal_length", {"k": [0.0, 0, 320, 0, 500, 240, 0, 0, 1]}),
        ("not_finite", {"d": [np.nan, 0, 0, 0, 0]}),
        ("unknown_distortion", {"distortion_model": "barrel"}),
        ("wrong_size", {"width": 64, "height": 48}),
        ("uncalibrated", {"k": [0.0] * 9, "width": 0, "height": 0}),
    ],
)
def test_wrong_camera_info_is_named_and_forgiven_once_corrected(reason, change):
    made = complete(**change)
    assert made.rig is None
    assert made.problem.reason == reason
    assert "thermal/camera_info" in str(made.problem)
    made.take_camera_info("thermal", info("thermal"))
    assert made.rig is not None


def test_transform_in_millimetres_is_contradictory():
    made = complete()
    made.take_pose([100.0, 0, 0], [0, 0, 0, 1])
    assert made.rig is None
    assert made.problem.reason == "contradictory"


def test_same_frame_means_registered_by_the_driver():
    made = assembly()
    for camera in ("rgb", "thermal"):
        made.take_camera_info(camera, info("camera"))
    assert made.rig.baseline_m == 0


def test_parameters_replace_tf():
    made = assembly(thermal_in_rgb="0.05 0 0 0 0 0 1")
    for camera in ("rgb", "thermal"):
        made.take_camera_info(camera, info(camera))
    assert made.rig.baseline_m == pytest.approx(0.05)
    assert made.wanted_transform is None


@pytest.mark.parametrize("text", ["1 2 3", "0 0 0 0 0 0 0", "0 0 nan 0 0 0 1", "a b c d e f g"])
def test_poses_that_are_none_are_refused(text):
    with pytest.raises(InputError, match="thermal_in_rgb"):
        parse_pose(text)


def test_camera_info_that_contradicts_the_file_is_refused(tmp_path):
    path = tmp_path / "rig.yaml"
    path.write_text(yaml.safe_dump(complete().rig.to_dict()))
    made = assembly(rig=str(path))
    assert made.rig is not None
    made.take_camera_info("thermal", info("thermal"))
    assert made.rig is not None
    made.take_camera_info("thermal", info("thermal", k=[600.0, 0, 320, 0, 600, 240, 0, 0, 1]))
    assert made.problem.reason == "contradictory"
    made.take_camera_info(
        "thermal", info("thermal", width=320, height=240, k=[250.0, 0, 160, 0, 250, 120, 0, 0, 1])
    )
    assert made.problem.reason == "wrong_size"
    made.take_camera_info(
        "thermal", info("thermal", k=[0.0] * 9)
    )  # the driver knows nothing: no contradiction
    assert made.rig is not None


class TestRegistrarWithoutAGoodRig:
    thermal, rgb = np.zeros((480, 640), np.uint8), np.zeros((480, 640, 3), np.uint8)

    @pytest.mark.parametrize("level", ["plane", "depth"])
    def test_levels_that_need_it_wait_with_the_reason(self, level):
        registrar = Registrar(RegistrationConfig(level=level))
        registrar.set_rig(None, assembly().problem)
        with pytest.raises(CalibrationError) as caught:
            registrar(self.thermal, rgb=self.rgb)
        assert caught.value.reason == "waiting_camera_info"
        registrar.set_rig(complete().rig)
        assert registrar(self.thermal, rgb=self.rgb).level == "plane"

    def test_auto_takes_pictures_as_registered_while_waiting_and_refuses_mistakes(self):
        registrar = Registrar(RegistrationConfig())
        registrar.set_rig(None, assembly().problem)
        assert registrar.level == "none"
        assert registrar(self.thermal, rgb=self.rgb).level == "none"
        registrar.set_rig(None, complete(d=[np.nan] * 5).problem)
        with pytest.raises(CalibrationError) as caught:
            registrar(self.thermal, rgb=self.rgb)
        assert caught.value.reason == "not_finite"
        registrar.set_rig(complete().rig)
        assert registrar(self.thermal, rgb=self.rgb).level == "plane"

    def test_levels_without_a_rig_do_not_care(self):
        registrar = Registrar(RegistrationConfig(level="none"))
        registrar.set_rig(None, complete(d=[np.nan] * 5).problem)
        assert registrar(self.thermal, rgb=self.rgb).level == "none"
