"""Registration: each level against geometry written out here, masks, and refusal of what can't be done."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import yaml
from scipy.spatial.transform import Rotation

from thermal_fusion_ros.config import RegistrationConfig
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.sensing.camera import CalibrationError, CameraModel
from thermal_fusion_ros.sensing.registration import Registrar, parse_matrix
from thermal_fusion_ros.sensing.rig import Rig
from thermal_fusion_ros.sensing.warping import MatrixWarp

from .test_alignment import scene

K_RGB = np.array([[250.0, 0, 160], [0, 250, 120], [0, 0, 1]])
K_THERMAL = np.array([[290.0, 0, 155], [0, 290, 125], [0, 0, 1]])
BASELINE = np.array([-0.1, 0.003, 0.005])


def rig(model: str = "plumb_bob") -> Rig:
    d = {"plumb_bob": [-0.2, 0.05, 0.001, -0.001, 0], "equidistant": [0.02, -0.01, 0.0, 0.0]}[model]
    return Rig(
        CameraModel(320, 240, K_RGB, [-0.1, 0.02, 0, 0, 0], name="rgb"),
        CameraModel(320, 256, K_THERMAL, d, model, name="thermal"),
        Rotation.from_euler("xyz", (0.5, -0.8, 0.3), degrees=True).as_matrix(),
        BASELINE,
    )


def coordinates(camera: CameraModel) -> tuple[np.ndarray, np.ndarray]:
    """Pictures whose values are their own pixel coordinates: what a warp samples, one can read."""
    y, x = np.mgrid[: camera.height, : camera.width].astype(np.float32)
    return x, y


def sampled(registrar: Registrar, camera: CameraModel, depth=None) -> np.ndarray:
    x, y = coordinates(camera)
    u = registrar(x, depth).image.copy()
    return np.stack([u, registrar.also(y)], axis=-1)


def expected(rig: Rig, depth: np.ndarray) -> np.ndarray:
    points = rig.rgb.unproject(rig.rgb.pixel_grid()) * depth.reshape(-1, 1)
    return rig.thermal.project(points @ rig.rotation.T + rig.translation).reshape(*depth.shape, 2)


def scene_depth() -> np.ndarray:
    """A wall at 12 m, ground in front, and a box at 3 m that hides a part of the wall from the thermal camera."""
    depth = np.full((240, 320), 12.0, np.float32)
    rows = np.arange(140, 240)
    depth[140:] = np.minimum(12, 1.2 * 250 / (rows - 115))[:, None]
    depth[60:180, 140:200] = 3.0
    return depth


@pytest.mark.parametrize("model", ["plumb_bob", "equidistant"])
def test_depth_samples_thermal_where_the_point_is_seen(model):
    depth = scene_depth()
    registrar = Registrar(RegistrationConfig(level="depth"), rig(model))
    found, true = sampled(registrar, rig(model).thermal, depth), expected(rig(model), depth)
    valid = registrar(coordinates(rig(model).thermal)[0], depth).valid
    error = np.linalg.norm(found - true, axis=2)[valid == 255]
    assert (valid == 255).mean() > 0.6
    assert np.percentile(error, 99) < 0.2


def test_what_is_hidden_from_the_thermal_camera_is_masked_and_the_rest_is_not():
    depth, geometry = scene_depth(), rig()
    valid = Registrar(RegistrationConfig(level="depth"), geometry)(
        coordinates(geometry.thermal)[0], depth
    ).valid
    # The thermal camera sits to the right: the box hides a strip of the wall on its left.
    strip = geometry.rgb.k[0, 0] * 0.1 * (1 / 3 - 1 / 12)
    assert 5 < strip < 7
    assert (valid[80:130, 136:138] == 0).all()
    assert (valid[80:130, 120:130] == 255).all()
    assert (valid[80:130, 145:195] == 255).all()  # the box itself
    assert (valid[80:130, 206:230] == 255).all()  # its other side


def test_noise_of_the_depth_does_not_riddle_the_mask():
    rng = np.random.default_rng(0)
    depth = (scene_depth() * (1 + 0.02 * rng.standard_normal((240, 320)))).astype(np.float32)
    depth[60:180, 140:200] = 3.0
    valid = Registrar(RegistrationConfig(level="depth"), rig())(coordinates(rig().thermal)[0], depth).valid
    assert (valid[70:130, 60:120] == 255).mean() > 0.99


def test_unknown_depth_counts_as_far_away():
    nothing, far = np.full((240, 320), np.nan, np.float32), np.full((240, 320), 1e6, np.float32)
    registrar = Registrar(RegistrationConfig(level="depth"), rig())
    np.testing.assert_allclose(
        sampled(registrar, rig().thermal, nothing), sampled(registrar, rig().thermal, far), atol=0.05
    )


@pytest.mark.parametrize("distance", [0.0, 2.0, 10.0])
def test_plane_is_exact_at_its_distance(distance):
    registrar = Registrar(RegistrationConfig(level="plane", plane_distance_m=distance), rig())
    found = sampled(registrar, rig().thermal)
    true = expected(rig(), np.full((240, 320), distance or 1e9))
    valid = registrar(coordinates(rig().thermal)[0]).valid
    error = np.abs(found - true)[valid == 255]  # at the rim, half a pixel may be missing
    assert np.percentile(error, 99) < 0.2


def with_thermal_lens(d: list[float]) -> Rig:
    return replace(rig(), thermal=CameraModel(320, 256, K_THERMAL, d, name="thermal"))


def test_a_thermal_lens_that_does_not_reach_its_rim_is_exact_where_it_reaches():
    lens = with_thermal_lens([-1.2, 0, 0, 0, 0])
    rows, columns = np.mgrid[:256, :320]
    rim = (rows % 255 == 0) | (columns % 319 == 0)
    seen = np.isfinite(lens.thermal.unproject(lens.thermal.pixel_grid())).all(axis=1).reshape(256, 320)
    assert not seen[rim].any()
    registrar = Registrar(RegistrationConfig(level="plane", plane_distance_m=3.0), lens)
    found, true = sampled(registrar, lens.thermal), expected(lens, np.full((240, 320), 3.0))
    valid = registrar(coordinates(lens.thermal)[0]).valid
    assert (valid == 255).mean() > 0.1
    assert np.percentile(np.abs(found - true)[valid == 255], 99) < 0.5  # it bends that much within a pixel
    assert valid[np.isnan(true).any(axis=2)].max() < 10


def test_a_thermal_lens_that_reaches_no_pixel_is_refused_by_name():
    registrar = Registrar(RegistrationConfig(level="plane"), with_thermal_lens([-1e5, 0, 0, 0, 0]))
    with pytest.raises(
        CalibrationError, match=r"^thermal: the distortion leaves no pixel .*calibrate"
    ) as caught:
        registrar(np.zeros((256, 320), np.uint8))
    assert caught.value.reason == "no_rays"


def test_without_depth_the_depth_level_falls_back_to_the_plane():
    registrar = Registrar(RegistrationConfig(), rig())
    thermal = np.zeros((256, 320), np.uint8)
    assert registrar(thermal).level == "plane"
    assert registrar(thermal, scene_depth()).level == "depth"
    assert registrar.counters == {"plane": 1, "depth": 1}


def test_matrix_takes_thermal_pixels_to_rgb_pixels():
    registrar = Registrar(RegistrationConfig(matrix="1 0 20  0 1 -10  0 0 1"))
    thermal = np.zeros((100, 120), np.uint8)
    thermal[50, 60] = 200
    result = registrar(thermal, rgb=np.zeros((100, 120, 3), np.uint8))
    assert result.level == "homography"
    assert np.unravel_index(result.image.argmax(), result.image.shape) == (40, 80)
    assert result.valid[50, 5] == 0  # left of what thermal sees
    assert result.valid[50, 60] == 255


def test_registered_cameras_pass_through_untouched():
    thermal = scene()[1]
    result = Registrar(RegistrationConfig())(thermal, rgb=scene()[0])
    assert result.image is thermal
    assert result.level == "none"
    assert result.valid.all()


def test_unequal_sizes_are_laid_over_each_other():
    result = Registrar(RegistrationConfig())(
        np.full((60, 80), 9, np.uint8), rgb=np.zeros((120, 160, 3), np.uint8)
    )
    assert result.image.shape == (120, 160)
    assert (result.image == 9).all()
    assert (result.valid == 255).all()


def test_online_estimate_registers_and_says_how_sure_it_is():
    visible, thermal = scene()
    moved = np.roll(thermal, (5, -8), (0, 1))
    registrar = Registrar(RegistrationConfig(level="online", online_every=2))
    for _ in range(3):
        result = registrar(moved, rgb=visible)
    assert result.level == "online"
    assert result.confidence > 0.8
    inner = np.s_[20:-20, 20:-20]
    assert np.corrcoef(result.image[inner].ravel(), thermal[inner].ravel())[0, 1] > 0.97
    assert registrar.counters["online_found"] == 1
    assert registrar.counters["online_confirmed"] == 1


def test_online_estimate_that_is_refused_leaves_the_pictures_as_they_are():
    registrar = Registrar(RegistrationConfig(level="online"))
    result = registrar(scene(9)[1], rgb=scene()[0])
    assert result.level == "none"
    assert result.confidence < 0.5
    np.testing.assert_array_equal(result.image, scene(9)[1])


def test_temperature_follows_the_picture_and_other_types_keep_theirs():
    registrar = Registrar(RegistrationConfig(level="plane"), rig())
    registrar(np.zeros((256, 320), np.uint8))
    kelvin = registrar.also(np.full((256, 320), 300.0, np.float32))
    assert kelvin.dtype == np.float32
    assert kelvin.shape == (240, 320)
    assert (kelvin == 300).all()
    assert registrar.also(np.full((256, 320), 7000, np.uint16)).dtype == np.uint16


def test_buffers_are_reused():
    registrar = Registrar(RegistrationConfig(level="depth"), rig())
    thermal = np.zeros((256, 320), np.uint8)
    assert registrar(thermal, scene_depth()).image is registrar(thermal, scene_depth()).image


class TestRefusals:
    def test_rig_levels_without_a_rig(self):
        for level in ("depth", "plane"):
            with pytest.raises(InputError, match=r"registration\.rig"):
                Registrar(RegistrationConfig(level=level))(np.zeros((256, 320), np.uint8))

    def test_images_of_another_size_than_was_calibrated(self):
        with pytest.raises(CalibrationError, match=r"320×240.*320×256") as caught:
            Registrar(RegistrationConfig(), rig())(np.zeros((240, 320), np.uint8))
        assert caught.value.reason == "wrong_size"
        with pytest.raises(CalibrationError, match="rgb"):
            Registrar(RegistrationConfig(), rig())(
                np.zeros((256, 320), np.uint8), rgb=np.zeros((480, 640, 3), np.uint8)
            )

    def test_rig_file_that_is_wrong(self, tmp_path):
        tree = rig().to_dict()
        tree["thermal"]["camera_matrix"]["data"][0] = 0.0
        path = tmp_path / "rig.yaml"
        path.write_text(yaml.safe_dump(tree))
        with pytest.raises(CalibrationError) as caught:
            Registrar(RegistrationConfig(rig=str(path)))
        assert caught.value.reason == "zero_focal_length"

    def test_rig_file_is_used(self, tmp_path):
        path = tmp_path / "rig.yaml"
        path.write_text(yaml.safe_dump(rig().to_dict()))
        assert Registrar(RegistrationConfig(rig=str(path)))(np.zeros((256, 320), np.uint8)).level == "plane"

    @pytest.mark.parametrize("text", ["1 2 3", "a b c d e f", "0 0 0 0 0 0 0 0 0", "1 0 nan 0 1 0"])
    def test_matrices_that_are_none(self, text):
        with pytest.raises(InputError, match=r"registration\.matrix"):
            parse_matrix(text)
        with pytest.raises(InputError):
            MatrixWarp(np.zeros((3, 3)), (10, 10), (10, 10))

    def test_homography_without_a_matrix(self):
        with pytest.raises(InputError, match=r"registration\.matrix is empty"):
            Registrar(RegistrationConfig(level="homography"))

    def test_online_without_the_visible_picture(self):
        with pytest.raises(InputError, match="needs the RGB picture"):
            Registrar(RegistrationConfig(level="online"))(scene()[1])

    def test_depth_that_is_no_picture(self):
        with pytest.raises(InputError, match="depth"):
            Registrar(RegistrationConfig(), rig())(
                np.zeros((256, 320), np.uint8), np.zeros((2, 240, 320), np.float32)
            )


def test_simulated_raw_pairs_align_below_a_pixel_with_true_depth():
    from thermal_fusion_ros.config import SimulationConfig
    from thermal_fusion_ros.simulation.recording import camera_info
    from thermal_fusion_ros.simulation.simulator import Simulator

    simulator = Simulator(
        SimulationConfig(world="street", condition="day", seed=3, width=320, height=240, thermal_width=320,
                         thermal_height=240, shutter_period_s=0.0)
    )  # fmt: skip
    step = simulator.rig.thermal_from_rgb
    cameras = simulator.rig.rgb, simulator.rig.thermal
    models = [CameraModel.from_camera_info(camera_info(camera)) for camera in cameras]
    registrar = Registrar(RegistrationConfig(), Rig(*models, step[:3, :3], step[:3, 3]))
    truth = simulator.rgb(1.0).truth
    found = sampled(registrar, models[1], truth.depth)
    rays = cameras[0].rays().astype(float)
    points = (rays / rays[..., 2:] * truth.depth[..., None]).reshape(-1, 3) @ step[:3, :3].T + step[:3, 3]
    true = cameras[1].project(points).reshape(*truth.depth.shape, 2)
    near = (truth.depth >= 3) & (truth.depth <= 50) & (true > 0).all(axis=2) & (true < (319, 239)).all(axis=2)
    assert np.median(np.linalg.norm(found - true, axis=2)[near]) < 0.1
    # The picture, too: what thermal shows at people and cars in RGB is that object in the thermal camera's truth.
    instances = simulator.thermal(1.0).truth.instance.astype(np.float32)
    through = registrar.also(instances, nearest=True)
    labelled = (truth.instance > 0) & (registrar._warp.valid == 255)
    assert (through[labelled] == truth.instance[labelled]).mean() > 0.9
    assert cv2.countNonZero(labelled.astype(np.uint8)) > 500
