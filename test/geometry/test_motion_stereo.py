"""A camera drives towards a wall with a box before it; the network is wrong about both."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from thermal_fusion_ros.geometry.motion_stereo import OLDEST_NS, MotionStereo
from thermal_fusion_ros.sensing.camera import CameraModel

WIDTH, HEIGHT = 240, 180
K = np.array([[200.0, 0, 119.5], [0, 200.0, 89.5], [0, 0, 1]])
CAMERA = CameraModel(WIDTH, HEIGHT, K)
LENS = CameraModel(WIDTH, HEIGHT, K, d=np.array([-0.2, 0.05, 0.001, -0.001, 0]))
WALL_M, BOX_M = 6.0, 4.0
BOX = (
    -0.6,
    0.2,
    -0.5,
    0.7,
)  # left, right, top, bottom; metres in the world, whose axes are the first camera's
SIGMA = 0.15
SECOND = 1_000_000_000


def texture(seed):
    """Smooth noise, 100 pixels a metre."""
    noise = np.random.default_rng(seed).normal(size=(1200, 1200)).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), 3.0)
    return 128 + 50 * blurred / blurred.std()


WALL, SIDE = texture(1), texture(2)


def pose_at(ahead, left=0.0, yaw_deg=0.0):
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("y", yaw_deg, degrees=True).as_matrix()
    pose[:3, 3] = -left, 0, ahead
    return pose


def seen_from(pose, camera=CAMERA, box_m=BOX_M, grey=None):
    """(picture H×W×3, depth H×W, where the box is H×W)."""
    rays = camera.unproject(camera.pixel_grid())
    turned = rays @ pose[:3, :3].T

    def hit(z):
        t = (z - pose[2, 3]) / turned[:, 2]
        return t, pose[:3, 3] + turned * t[:, None]

    (t_wall, wall), (t_box, box) = hit(WALL_M), hit(box_m)
    left, right, top, bottom = BOX
    on = (box[:, 0] > left) & (box[:, 0] < right) & (box[:, 1] > top) & (box[:, 1] < bottom)

    def paint(image, points):
        x, y = (points[:, :2] * 100 + 600).astype(np.float32).T.reshape(2, HEIGHT, WIDTH)
        return cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT).ravel()

    looks = np.where(on, paint(SIDE, box), paint(WALL, wall)) if grey is None else np.full(len(on), grey)
    picture = np.clip(looks, 0, 255).astype(np.uint8).reshape(camera.height, camera.width)
    shape = picture.shape
    return (
        np.dstack([picture] * 3),
        np.where(on, t_box, t_wall).astype(np.float32).reshape(shape),
        on.reshape(shape),
    )


def step(stereo, said, sigma, picture, camera, pose, stamp_ns, boxes=(), scale=1.0):
    """Depth and sigma of one picture, whose unit is `scale` metres."""
    stereo.look(said, sigma, picture, camera, pose, stamp_ns, scale)
    return stereo.refine(said, sigma, scale, boxes)


def drive(stereo, ways, camera=CAMERA, wrong=1.15, told=lambda pose: pose, boxes=(), **scene):
    """What becomes of depth that is `wrong` by a factor in the last of the pictures; and the truth."""
    for n, way in enumerate(ways):
        pose = pose_at(*way)
        picture, depth, on = seen_from(pose, camera, **scene)
        said = depth * np.float32(wrong)
        sigma = np.full_like(depth, SIGMA)
        made, left = step(stereo, said, sigma, picture, camera, told(pose), n * SECOND // 10, boxes)
    return made, left, said, depth, on


def error(made, depth, where=np.s_[:]):
    return float(np.median(np.abs(np.log(made[where] / depth[where]))))


WAY = [(0.1 * n, 0.02 * n) for n in range(11)]


WIDE = CameraModel(
    WIDTH,
    HEIGHT,
    K * [[0.66], [0.66], [1]] + [[0, 0, 40.6], [0, 0, 30.4], [0, 0, 0]],
    np.array([-0.38, 0.13, 0, 0, -0.02]),
)


def test_pixels_that_the_lens_model_does_not_reach_spoil_no_others():
    rays = WIDE.unproject(WIDE.pixel_grid())
    blind = np.isnan(rays).any(axis=1).mean()
    assert 0.005 < blind < 0.2
    stereo = MotionStereo()
    for n, way in enumerate(WAY):
        depth = np.full((HEIGHT, WIDTH), WALL_M - way[0], np.float32)
        x, y = (
            np.nan_to_num(rays[:, :2] * depth.ravel()[:, None] * 100 + 600)
            .astype(np.float32)
            .T.reshape(2, HEIGHT, WIDTH)
        )
        picture = cv2.remap(WALL, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT).astype(np.uint8)
        said = depth * np.float32(1.15)
        made, _ = step(
            stereo, said, np.full_like(depth, SIGMA), np.dstack([picture] * 3), WIDE, pose_at(way[0]), n
        )
    assert stereo.views == 3
    assert np.isfinite(made).all()
    assert error(made, depth) < 0.04


@pytest.mark.parametrize("camera", [CAMERA, LENS], ids=["pinhole", "lens"])
@pytest.mark.parametrize("wrong", [0.85, 1.15])
def test_a_drive_tells_what_the_network_got_wrong(camera, wrong):
    stereo = MotionStereo()
    made, left, said, depth, on = drive(stereo, WAY, camera, wrong)
    assert stereo.views == 3
    assert error(said, depth) > 0.13
    for where in (on, ~on):
        assert error(made, depth, where) < 0.03
    assert np.median(left) < SIGMA
    assert left.max() <= np.float32(SIGMA)
    assert made.dtype == left.dtype == np.float32


def test_a_box_that_the_network_takes_for_wall_stands_out():
    stereo = MotionStereo()
    for n, way in enumerate(WAY):
        pose = pose_at(*way)
        picture, depth, on = seen_from(pose, box_m=4.4)  # a third nearer by now; farther off nobody looks
        wall = np.where(on, WALL_M - way[0], depth).astype(np.float32)
        made, _ = step(stereo, wall, np.full_like(depth, 0.3), picture, CAMERA, pose, n)
    inside = cv2.erode(on.astype(np.uint8), np.ones((15, 15))) > 0
    assert error(wall, depth, inside) > 0.35
    assert error(made, depth, inside) < 0.1
    assert error(made, depth, ~on) < 0.03


def test_odometry_that_is_wrong_about_the_turn_is_corrected():
    rng = np.random.default_rng(0)

    def shaken(pose):
        out = pose.copy()
        out[:3, :3] = out[:3, :3] @ Rotation.from_rotvec(rng.normal(0, np.radians(0.4), 3)).as_matrix()
        return out

    stereo = MotionStereo()
    made, _, _, depth, _ = drive(stereo, WAY, told=shaken)
    assert 0.1 < stereo.turned_deg < 3
    assert error(made, depth) < 0.04


def test_a_turning_camera_is_followed():
    made, _, _, depth, _ = drive(MotionStereo(), [(0.1 * n, 0.0, 1.5 * n) for n in range(11)])
    assert error(made, depth) < 0.03


def test_where_there_is_nothing_to_see_the_network_is_believed():
    made, left, said, _, _ = drive(MotionStereo(), WAY, grey=90)
    np.testing.assert_allclose(made, said, rtol=1e-3)
    np.testing.assert_allclose(left, SIGMA, rtol=0.1)


def test_a_camera_that_stands_or_only_turns_learns_nothing():
    stereo = MotionStereo()
    made, left, said, _, _ = drive(stereo, [(0.0, 0.0, n) for n in range(5)])
    assert stereo.views == 0
    assert made is said
    assert (left == np.float32(SIGMA)).all()


def test_inside_the_boxes_of_what_may_move_the_network_is_believed_but_for_its_scale():
    whole = (0, 0, 120, HEIGHT)
    made, _, said, depth, _ = drive(MotionStereo(), WAY, wrong=1.15, boxes=[whole])
    inner = np.s_[:, :90]  # neighbours are asked together
    changed = made / said
    assert np.ptp(changed[inner]) < 0.01
    assert 1 / 1.15 - 0.02 < changed[inner].mean() < 0.95
    assert error(made, depth, np.s_[:, 150:]) < 0.03


# ---------------------------------------------------------------- scale


@pytest.mark.parametrize("guess", [None, 0.3, 1.0, 3.0, 10.0])
def test_scale_is_found_from_wherever_one_begins(guess):
    stereo = MotionStereo()
    for n, way in enumerate(WAY[:6]):
        picture, depth, _ = seen_from(pose_at(*way))
        said = stereo.look(
            depth / np.float32(1.4), np.full_like(depth, SIGMA), picture, CAMERA, pose_at(*way), n, guess
        )
    assert not isinstance(said, str)
    assert np.exp(said.log_scale) == pytest.approx(1.4, rel=0.03)
    assert 0.001 < said.sigma < 0.06


def test_scale_is_as_wrong_as_the_way_that_odometry_tells():
    def slipping(pose):
        out = pose.copy()
        out[:3, 3] *= 1.1
        return out

    stereo = MotionStereo()
    for n, way in enumerate(WAY[:6]):
        picture, depth, _ = seen_from(pose_at(*way))
        said = stereo.look(
            depth, np.full_like(depth, SIGMA), picture, CAMERA, slipping(pose_at(*way)), n, 1.0
        )
    assert np.exp(said.log_scale) == pytest.approx(1.1, rel=0.03)


@pytest.mark.parametrize(
    ("ways", "grey", "why"),
    [
        ([(0.0, 0.0, n) for n in range(5)], None, "has not moved 0.2 m"),
        (WAY, 90, "too few corners"),
    ],
)
def test_why_there_is_no_scale_is_said(ways, grey, why):
    stereo = MotionStereo()
    for n, way in enumerate(ways):
        picture, depth, _ = seen_from(pose_at(*way), grey=grey)
        said = stereo.look(depth, np.full_like(depth, SIGMA), picture, CAMERA, pose_at(*way), n)
    assert isinstance(said, str)
    assert why in said


def test_pictures_that_have_nothing_to_do_with_each_other_tell_no_scale():
    random = np.random.default_rng(3)
    stereo, depth = MotionStereo(), np.full((HEIGHT, WIDTH), WALL_M, np.float32)
    for n, way in enumerate(WAY):
        noise = random.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
        said = stereo.look(depth, np.full_like(depth, SIGMA), noise, CAMERA, pose_at(*way), n)
    assert isinstance(said, str)


def test_depth_that_is_missing_stays_so_and_spoils_nothing():
    stereo = MotionStereo()
    for n, way in enumerate(WAY):
        pose = pose_at(*way)
        picture, depth, _ = seen_from(pose)
        said = depth * np.float32(1.15)
        said[:40, :60] = np.nan
        made, _ = step(stereo, said, np.full_like(depth, SIGMA), picture, CAMERA, pose, n)
    assert np.isnan(made[:40, :60]).all()
    assert error(made, depth, np.s_[60:]) < 0.03


def test_depth_may_be_smaller_than_the_picture():
    stereo = MotionStereo()
    for n, way in enumerate(WAY):
        pose = pose_at(*way)
        picture, depth, _ = seen_from(pose)
        small = cv2.resize(depth, (120, 90), interpolation=cv2.INTER_NEAREST)
        made, left = step(
            stereo, small * np.float32(1.15), np.full_like(small, SIGMA), picture, CAMERA, pose, n
        )
    assert made.shape == left.shape == (90, 120)
    assert error(made, small) < 0.03


def test_old_pictures_another_camera_and_a_reset_are_forgotten():
    stereo = MotionStereo()
    drive(stereo, WAY)
    picture, depth, _ = seen_from(pose_at(1.5))
    step(stereo, depth, np.full_like(depth, SIGMA), picture, CAMERA, pose_at(1.5), OLDEST_NS * 2)
    assert stereo.views == 0
    drive(stereo, WAY)
    assert stereo.views == 3
    drive(stereo, WAY[-1:], LENS)
    assert stereo.views == 0
    drive(stereo, WAY)
    stereo.reset()
    drive(stereo, WAY[-1:])
    assert stereo.views == 0
