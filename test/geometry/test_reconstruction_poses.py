import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from thermal_fusion_ros.geometry.poses import FrameTree, PoseError, Track, interpolated, inverse, matrix_from

SECOND = 1_000_000_000


def pose(x: float, yaw_deg: float = 0.0) -> np.ndarray:
    out = np.eye(4)
    out[:3, :3] = Rotation.from_euler("z", yaw_deg, degrees=True).as_matrix()
    out[0, 3] = x
    return out


def tree(*stamps_s: float) -> FrameTree:
    """map > base (moving) > camera (static), 1 m/s ahead and 10°/s."""
    out = FrameTree()
    for s in stamps_s:
        out.add("map", "base", round(s * SECOND), pose(s, 10 * s), static=False)
    out.add("base", "camera", 0, pose(0.5), static=True)
    return out


def test_between_two_stamps_position_is_straight_and_orientation_turns_evenly():
    found = tree(1.0, 1.5).lookup("map", "camera", round(1.2 * SECOND))
    assert np.allclose(found, pose(1.2, 12.0) @ pose(0.5))


def test_slerp_takes_the_short_way_round():
    half = interpolated(pose(0, 170), pose(0, -170), 0.5)
    assert np.allclose(half, pose(0, 180), atol=1e-9)


def test_a_look_up_goes_up_and_down_the_tree():
    frames = tree(1.0, 1.5)
    frames.add("map", "other", 0, pose(10), static=True)
    found = frames.lookup("other", "camera", SECOND)
    assert np.allclose(found, inverse(pose(10)) @ pose(1, 10) @ pose(0.5))
    assert np.allclose(frames.lookup("camera", "camera", 0), np.eye(4))
    assert np.allclose(frames.lookup("base", "map", SECOND), inverse(pose(1, 10)))


def test_frames_that_do_not_hang_together_are_named_with_what_they_hang_on():
    frames = tree(1.0)
    frames.add("odom", "thing", 0, pose(0), static=True)
    with pytest.raises(PoseError, match=r"'camera' \(camera < base < map\).*'odom'") as caught:
        frames.lookup("odom", "camera", SECOND)
    assert caught.value.reason == "not_connected"


@pytest.mark.parametrize(("at_s", "reason"), [(0.5, "no_pose"), (2.6, "no_pose"), (1.5, "pose_gap")])
def test_what_nobody_said_is_not_made_up(at_s, reason):
    with pytest.raises(PoseError) as caught:
        tree(1.0, 2.5).lookup("map", "camera", round(at_s * SECOND))
    assert caught.value.reason == reason


def test_a_picture_just_outside_is_given_the_pose_at_the_end():
    frames = tree(1.0, 1.5)
    assert np.allclose(frames.lookup("map", "base", round(0.97 * SECOND)), pose(1.0, 10))
    assert np.allclose(frames.lookup("map", "base", round(1.54 * SECOND)), pose(1.5, 15))


def test_a_long_gap_without_motion_is_no_gap():
    track = Track("map", static=False)
    track.add(0, pose(1.0))
    track.add(60 * SECOND, pose(1.02))
    assert np.allclose(track.at(30 * SECOND), pose(1.01))


def test_stamps_may_come_in_any_order():
    track = Track("map", static=False)
    for s in (3, 1, 2):
        track.add(s * SECOND, pose(s))
    assert np.allclose(track.at(round(1.25 * SECOND)), pose(1.25))


def test_a_circle_is_refused():
    frames = FrameTree()
    frames.add("a", "b", 0, pose(0), static=True)
    frames.add("b", "a", 0, pose(0), static=True)
    with pytest.raises(PoseError, match="circle"):
        frames.lookup("a", "b", 0)


def test_the_first_parent_stays_and_the_second_is_told():
    frames = tree(1.0)
    frames.add("odom", "base", SECOND, pose(7), static=False)
    assert frames.ignored == [("odom", "base")]
    assert np.allclose(frames.lookup("map", "base", SECOND), pose(1, 10))


def test_leading_slashes_mean_nothing():
    frames = FrameTree()
    frames.add("/map", "/camera", 0, pose(2), static=True)
    assert np.allclose(frames.lookup("map", "/camera", 5), pose(2))


def test_numbers_that_are_no_pose_are_refused():
    with pytest.raises(ValueError, match="NaN"):
        matrix_from((np.nan, 0, 0), (0, 0, 0, 1))
    with pytest.raises(ValueError, match="norm"):
        matrix_from((0, 0, 0), (0, 0, 0, 0))
