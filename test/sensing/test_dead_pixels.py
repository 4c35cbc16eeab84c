from __future__ import annotations

import numpy as np
import pytest

from thermal_fusion_ros.sensing.dead_pixels import dead_zeros, find_dead_lines, repair


class TestFinding:
    @pytest.mark.parametrize("value", [0, 65535, 8123])
    @pytest.mark.parametrize("at", [0, 40, 119])
    def test_rows_and_columns(self, scene, noisy, value, at):
        image = noisy(scene, 0)
        image[at] = value
        image[:, at] = value
        rows, columns = find_dead_lines(image)
        assert np.flatnonzero(rows).tolist() == [at]
        assert np.flatnonzero(columns).tolist() == [at]

    def test_a_lost_block_of_lines(self, scene, noisy):
        image = noisy(scene, 0)
        image[90:] = 0
        rows, columns = find_dead_lines(image)
        assert rows.sum() == 30
        assert not columns.any()

    def test_a_noise_free_sky_is_not_dead(self):
        image = np.full((60, 80), 5000, np.uint16)
        image[30:] = 7000 + np.arange(80)
        rows, columns = find_dead_lines(image)
        assert not rows.any()
        assert not columns.any()

    def test_a_constant_image_has_no_dead_lines(self):
        assert not any(lines.any() for lines in find_dead_lines(np.zeros((20, 20), np.uint16)))

    def test_zeros_far_below_the_scene_are_dead(self, scene, noisy):
        image = noisy(scene, 0)
        image[[3, 50], [7, 90]] = 0
        dead = dead_zeros(image)
        assert dead is not None
        assert np.argwhere(dead).tolist() == [[3, 7], [50, 90]]

    def test_zeros_at_the_scene_s_own_floor_are_not(self, scene, noisy):
        image = noisy(np.maximum(scene - 7900, 0), 0)
        assert (image == 0).any()
        assert dead_zeros(image) is None
        assert dead_zeros(np.zeros((20, 20), np.uint16)) is None


class TestRepair:
    def test_pixels_and_lines_are_filled_from_around(self, scene, noisy):
        clean = noisy(scene, 0)
        image, invalid = clean.copy(), np.zeros(clean.shape, bool)
        invalid[[3, 50, 51], [7, 90, 91]] = True
        invalid[20] = invalid[:, 60] = True
        image[invalid] = 0
        repaired = repair(image, invalid)
        np.testing.assert_array_equal(repaired[~invalid], clean[~invalid])
        assert np.abs(repaired[invalid].astype(int) - clean[invalid]).max() < 60  # the scene spans 900
        assert (image[invalid] == 0).all()  # the frame itself is left alone

    def test_a_large_hole_becomes_the_median(self, scene, noisy):
        image, invalid = noisy(scene, 0), np.zeros(scene.shape, bool)
        invalid[60:] = True
        repaired = repair(image, invalid)
        assert (repaired[100:] == int(np.median(image[:60:4, ::4]))).all()

    def test_lines_are_bridged_beside_a_large_hole(self, scene, noisy):
        clean, invalid = noisy(scene, 0), np.zeros(scene.shape, bool)
        invalid[90:] = invalid[30] = True
        repaired = repair(np.where(invalid, 0, clean).astype(np.uint16), invalid)
        assert np.abs(repaired[30].astype(int) - clean[30]).max() < 60

    def test_a_blob_of_dead_pixels_takes_after_its_surroundings(self, scene, noisy):
        clean, invalid = noisy(scene, 0), np.zeros(scene.shape, bool)
        invalid[60:68, 36:44] = True  # in a person, 400 counts above the ground
        repaired = repair(np.where(invalid, 0, clean).astype(np.uint16), invalid)
        assert np.abs(repaired[invalid].astype(int) - clean[invalid]).max() < 420
        assert repaired[invalid].mean() > np.median(clean) + 150

    def test_nothing_valid(self):
        assert (repair(np.full((8, 8), 9, np.uint16), np.ones((8, 8), bool)) == 0).all()
