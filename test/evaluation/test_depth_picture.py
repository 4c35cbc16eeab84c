import numpy as np

from thermal_fusion_ros.evaluation.depth_picture import FARTHEST_M, INVALID, NEAREST_M, coloured, legend


def test_near_is_red_far_is_blue_and_nothing_is_grey():
    depth = np.array([[1.0, 40.0, np.nan, -1.0]], np.float32)
    near, far, *nothing = coloured(depth, 1, 40)[0].astype(int)
    assert near[0] > near[2] + 50
    assert far[2] > far[0]
    assert all((pixel == INVALID).all() for pixel in nothing)


def test_no_depth_at_all_is_all_grey():
    assert (coloured(np.full((4, 6), np.nan, np.float32)) == INVALID).all()


def test_the_legend_has_the_colours_of_its_metres():
    width = 401
    shares = np.array([0.1, 0.3, 0.45, 0.85])  # where no number is written
    metres = NEAREST_M * (FARTHEST_M / NEAREST_M) ** shares
    shown = coloured(metres[None].astype(np.float32), NEAREST_M, FARTHEST_M)[0].astype(int)
    strip = legend(width, NEAREST_M, FARTHEST_M)
    there = strip[1, np.rint(shares * (width - 1)).astype(int)].astype(int)
    np.testing.assert_allclose(there, shown, atol=8)
    assert (strip == 255).any()  # it has numbers


def test_a_legend_without_a_unit_says_so():
    assert not np.array_equal(legend(200), legend(200, NEAREST_M, FARTHEST_M))
