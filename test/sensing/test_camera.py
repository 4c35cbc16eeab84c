"""Camera models: projection against independent formulas, and refusal of calibrations that can't be true."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.sensing.camera import CalibrationError, CameraModel, Rectifier

K = np.array([[520.0, 0, 318], [0, 515, 242], [0, 0, 1]])
DISTORTIONS = {
    "plumb_bob": [-0.3, 0.12, 0.001, -0.002, -0.02],
    "rational_polynomial": [0.4, 0.05, 0.001, -0.002, 0.001, 0.7, 0.1, 0.01],
    "equidistant": [0.02, -0.01, 0.003, -0.001],
}


def camera(model: str = "plumb_bob", **changes) -> CameraModel:
    values = {"width": 640, "height": 480, "k": K, "d": DISTORTIONS[model], "distortion_model": model}
    return CameraModel(**(values | changes))


def reference_projection(model: str, d: list[float], point: np.ndarray) -> np.ndarray:
    """The textbook formulas, written out."""
    x, y = point[0] / point[2], point[1] / point[2]
    r = np.hypot(x, y)
    if model == "equidistant":
        theta = np.arctan(r)
        scale = theta * (1 + sum(c * theta ** (2 * i + 2) for i, c in enumerate(d))) / r
        return np.array([K[0, 0] * x * scale + K[0, 2], K[1, 1] * y * scale + K[1, 2]])
    k1, k2, p1, p2, k3, k4, k5, k6 = [*d, 0, 0, 0][:8]
    radial = (1 + k1 * r**2 + k2 * r**4 + k3 * r**6) / (1 + k4 * r**2 + k5 * r**4 + k6 * r**6)
    xd = x * radial + 2 * p1 * x * y + p2 * (r**2 + 2 * x**2)
    yd = y * radial + p1 * (r**2 + 2 * y**2) + 2 * p2 * x * y
    return np.array([K[0, 0] * xd + K[0, 2], K[1, 1] * yd + K[1, 2]])


@pytest.mark.parametrize("model", DISTORTIONS)
def test_projection_is_the_textbook_formula(model):
    points = np.array([[0.3, -0.2, 2.0], [-1.0, 0.5, 3.0], [0.0, 0.4, 1.5]])
    expected = [reference_projection(model, DISTORTIONS[model], p) for p in points]
    np.testing.assert_allclose(camera(model).project(points), expected, atol=1e-6)


@pytest.mark.parametrize("model", DISTORTIONS)
def test_unprojection_inverts_projection_over_the_whole_picture(model):
    lens = camera(model)
    pixels = lens.pixel_grid()[::997]
    rays = lens.unproject(pixels)
    assert np.isfinite(rays).all()
    np.testing.assert_allclose(lens.project(3.7 * rays), pixels, atol=1e-3)


def test_points_behind_or_beyond_the_lens_model_are_not_folded_back():
    lens = camera()
    assert lens.largest_tangent < 2.0  # r(1 - 0.3 r² + ...) turns round
    behind_and_beyond = lens.project(
        np.array([[0.1, 0.1, -1.0], [0.0, 0.0, 0.0], [lens.largest_tangent * 1.1, 0.0, 1.0]])
    )
    assert np.isnan(behind_and_beyond).all()


@pytest.mark.parametrize("model", DISTORTIONS)
def test_rectification_puts_points_where_a_pinhole_sees_them(model):
    lens = camera(model)
    rectifier = Rectifier(lens)
    rays = np.array([[0.2, 0.15, 1.0], [-0.25, 0.1, 1.0], [0.05, -0.3, 1.0]])
    image = np.zeros((480, 640), np.float32)
    grid = lens.pixel_grid()
    for pixel in lens.project(rays):  # soft dots, so that their centres can be measured below a pixel
        image += (
            np.exp(-((grid - pixel) ** 2).sum(axis=1) / (2 * 2.0**2)).reshape(480, 640).astype(np.float32)
        )
    flat = rectifier(image)
    for pixel in rectifier.camera.project(rays):
        u, v = np.round(pixel).astype(int)
        window = flat[v - 8 : v + 9, u - 8 : u + 9]
        dy, dx = np.mgrid[-8:9, -8:9]
        centre = np.array([u + (window * dx).sum() / window.sum(), v + (window * dy).sum() / window.sum()])
        assert np.abs(centre - pixel).max() < 0.1


def test_rectifier_keeps_type_and_marks_what_the_sensor_did_not_see():
    rectifier = Rectifier(camera(), camera().rectified(keep_all=True))
    out = rectifier(np.full((480, 640), 40000, np.uint16))
    assert out.dtype == np.uint16
    assert out[240, 320] == 40000
    assert rectifier.valid[240, 320] == 255
    assert rectifier.valid[0, 320] == 0 or rectifier.valid[0, 0] == 0
    assert rectifier(np.zeros((480, 640), np.uint16)) is out  # one buffer, no allocation per frame


BAD = {
    "zero_focal_length": {"k": np.diag([0.0, 500, 1])},
    "uncalibrated": {"k": np.zeros((3, 3))},
    "not_finite": {"d": [np.nan, 0, 0, 0, 0]},
    "unknown_distortion": {"distortion_model": "barrel"},
    "malformed": {"d": [0.1, 0.2, 0.3]},
    "wrong_size": {"width": 0},
}


@pytest.mark.parametrize(("reason", "change"), BAD.items())
def test_impossible_calibrations_are_refused_by_name(reason, change):
    with pytest.raises(CalibrationError) as caught:
        camera(**change)
    assert caught.value.reason == reason
    assert isinstance(caught.value, InputError)
    assert "calibrat" in str(caught.value)  # what to do about it


@pytest.mark.parametrize(
    ("reason", "change"),
    {
        "not_finite": {"k": np.diag([np.inf, 1, 1])},
        "malformed": {"k": [1, 2, 3]},
        "wrong_size": {"width": 32, "height": 24},  # principal point of a 640×480 image
    }.items(),
)
def test_more_impossible_calibrations(reason, change):
    with pytest.raises(CalibrationError) as caught:
        camera(**change)
    assert caught.value.reason == reason


def test_rotation_that_is_none_and_projection_without_focal_length_are_refused():
    with pytest.raises(CalibrationError, match="rotation"):
        camera(r=np.ones((3, 3)))
    with pytest.raises(CalibrationError, match="P has focal"):
        camera(p=np.hstack([np.diag([0.0, 1, 1]), np.zeros((3, 1))]))


def test_image_of_another_size_is_refused_with_both_sizes():
    with pytest.raises(CalibrationError, match=r"320×240.*640×480"):
        camera().check_image(320, 240)
    with pytest.raises(CalibrationError):
        Rectifier(camera())(np.zeros((240, 320), np.uint8))


def info(**changes):
    values = {
        "header": SimpleNamespace(frame_id="rgb_optical"), "width": 640, "height": 480,
        "distortion_model": "plumb_bob",
        "k": K.ravel().tolist(), "d": DISTORTIONS["plumb_bob"], "r": np.eye(3).ravel().tolist(),
        "p": np.hstack([K, np.zeros((3, 1))]).ravel().tolist(), "binning_x": 0, "binning_y": 0,
        "roi": SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0),
    }  # fmt: skip
    return SimpleNamespace(**(values | changes))


def test_camera_info_and_yaml_give_the_same_camera(tmp_path):
    from_message = CameraModel.from_camera_info(info())
    path = tmp_path / "rgb.yaml"
    path.write_text(yaml.safe_dump(from_message.to_dict()))
    from_file = CameraModel.from_yaml(path)
    for attribute in ("k", "d", "r", "p"):
        np.testing.assert_array_equal(getattr(from_message, attribute), getattr(from_file, attribute))
    assert (from_file.size, from_file.distortion_model, from_file.frame_id) == (
        (640, 480),
        "plumb_bob",
        "rgb_optical",
    )


def test_camera_info_of_an_uncalibrated_driver_is_refused():
    with pytest.raises(CalibrationError) as caught:
        CameraModel.from_camera_info(info(k=[0.0] * 9, d=[], p=[0.0] * 12))
    assert caught.value.reason == "uncalibrated"


def test_camera_info_with_empty_distortion_is_a_pinhole():
    assert not CameraModel.from_camera_info(info(d=[], distortion_model="")).distorts


def test_binning_and_region_of_interest_describe_the_image_that_is_sent():
    roi = SimpleNamespace(x_offset=100, y_offset=40, width=400, height=300)
    sent = CameraModel.from_camera_info(info(roi=roi, binning_x=2, binning_y=2))
    assert sent.size == (200, 150)
    point = np.array([[0.1, -0.05, 1.0]])
    full = camera().project(point) - (100, 40)
    np.testing.assert_allclose(sent.project(point), (full + 0.5) / 2 - 0.5, atol=1e-6)


def test_yaml_that_is_no_calibration_is_refused(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("image_width: 640")
    with pytest.raises(CalibrationError, match="image_height"):
        CameraModel.from_yaml(path)
    path.write_text("[1, 2")
    with pytest.raises(CalibrationError, match="not a readable"):
        CameraModel.from_yaml(path)
    with pytest.raises(CalibrationError, match="not a readable"):
        CameraModel.from_yaml(tmp_path / "missing.yaml")
