"""Alignment across spectra: known displacements are found, and pictures with nothing in common are refused."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from thermal_fusion_ros.sensing.alignment import Search, about_centre, align, displacement_basis, stretch
from thermal_fusion_ros.sensing.online_alignment import OnlineAligner, distance_px
from thermal_fusion_ros.sensing.orientation_field import cut_edges, orientation_field

SIZE = (320, 240)


def scene(seed: int = 0, size: tuple[int, int] = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """(visible, thermal): the same shapes with unrelated, often opposite brightness, blur and noise."""
    rng = np.random.default_rng(seed)
    visible, thermal = np.full(size[::-1], 90.0), np.full(size[::-1], 60.0)
    for _ in range(40):
        corners = rng.uniform((0, 0), size, (1, 2)) + rng.uniform(-40, 40, (4, 2))
        hull = cv2.convexHull(corners.astype(np.int32))
        cv2.fillPoly(visible, [hull], rng.uniform(0, 255))
        cv2.fillPoly(thermal, [hull], rng.uniform(0, 255))
    thermal = cv2.GaussianBlur(thermal, (0, 0), 1.5)
    pictures = (np.clip(p + rng.normal(0, 4, p.shape), 0, 255).astype(np.uint8) for p in (visible, thermal))
    return tuple(pictures)


def seen_through(picture: np.ndarray, matrix: np.ndarray, **border) -> np.ndarray:
    return cv2.warpPerspective(
        picture, matrix, picture.shape[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, **border
    )


DISPLACEMENTS = [(0, 0, 0, 1), (9, -6, 2.5, 1.04), (-10, 5, -3, 0.96), (3, 10, 1, 1.0)]


@pytest.mark.parametrize("displacement", DISPLACEMENTS)
def test_known_displacements_are_recovered_below_a_pixel(displacement):
    visible, thermal = scene()
    truth = about_centre(SIZE, *displacement)
    found = align(visible, seen_through(thermal, np.linalg.inv(truth)))
    assert distance_px(found.matrix, truth, SIZE) < 0.8
    assert found.confidence > 0.8
    assert found.error_px < 1.0


def test_affine_and_homography_find_what_a_similarity_can_not():
    visible, thermal = scene(1)
    truth = np.array([[1.03, 0.01, -4], [-0.01, 0.98, 3], [6e-5, -4e-5, 1]])
    displaced = seen_through(thermal, np.linalg.inv(truth))
    errors = {m: distance_px(align(visible, displaced, model=m).matrix, truth, SIZE) for m in
              ("similarity", "affine", "homography")}  # fmt: skip
    assert errors["homography"] < 1.0
    assert errors["homography"] < errors["affine"] < errors["similarity"]


def test_smaller_thermal_pictures_are_laid_over_the_whole_view():
    visible, thermal = scene()
    small = cv2.resize(thermal, (160, 120), interpolation=cv2.INTER_AREA)
    found = align(visible, small)
    assert distance_px(found.matrix, stretch((120, 160), (240, 320)), SIZE) < 0.5
    assert found.confidence > 0.8


@pytest.mark.parametrize(
    "thermal",
    [
        np.full((240, 320), 90, np.uint8),
        scene(7)[1],
        np.random.default_rng(0).integers(0, 255, (240, 320)).astype(np.uint8),
    ],
    ids=["blank", "another place", "noise"],
)
def test_pictures_with_nothing_in_common_are_not_believed(thermal):
    assert align(scene()[0], thermal).confidence < 0.5


def test_contrast_on_one_line_only_is_not_believed():
    stripe = np.zeros((240, 320), np.uint8)
    stripe[100:140] = 200  # says nothing about the shift along it
    assert align(stripe, 255 - stripe).confidence < 0.5


def test_recorded_pairs_are_recovered_and_strangers_refused(shared_data):
    names = ["roadscene_FLIR_00060", "roadscene_FLIR_08914", "llvip_05", "m3svd_0114_1551_0000"]
    pictures = []
    for name in names:
        paths = [next((shared_data / "val" / kind).glob(f"{name}.*")) for kind in ("vi", "ir")]
        pictures.append([cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in paths])
    for i, (visible, thermal) in enumerate(pictures):
        size = visible.shape[::-1]
        # Recorded pairs are registered to a pixel or two themselves: recovery is measured from there.
        displacement = about_centre(size, 14 - 9 * i, 6 * i - 11, 2.5 - 1.5 * i, 0.96 + 0.03 * i)
        truth = displacement @ align(visible, thermal).matrix
        found = align(visible, seen_through(thermal, np.linalg.inv(displacement)))
        assert distance_px(found.matrix, truth, size) < 1.5
        assert found.confidence > 0.5
        stranger = cv2.resize(pictures[(i + 1) % 4][1], size)
        assert align(visible, stranger).confidence < 0.5


def test_orientation_ignores_the_sign_of_contrast():
    visible, _ = scene()
    field, negative = orientation_field(visible), orientation_field(255 - visible)
    np.testing.assert_allclose(field, negative, atol=1e-3)
    turned = orientation_field(np.ascontiguousarray(np.rot90(visible)))
    np.testing.assert_allclose(np.rot90(field), -turned, atol=1e-3)  # 90° is 180° of the doubled angle


def test_wedges_left_by_a_warp_are_found_and_skylines_are_not():
    _, thermal = scene()
    cut = seen_through(thermal, about_centre(SIZE, 12, 8, 2, 1.0))
    true = seen_through(np.full_like(thermal, 255), about_centre(SIZE, 12, 8, 2, 1.0))
    valid = cut_edges(cut)
    assert (valid[true == 0] == 0).mean() > 0.95
    assert (valid[true == 255] == 255).mean() > 0.97
    skyline = np.full((240, 320), 120, np.uint8)
    skyline[:40] = 0
    for x in range(0, 320, 40):
        skyline[40 : 40 + x // 6, x : x + 20] = 0
    assert cut_edges(skyline).all()


def test_basis_moves_the_side_of_the_picture_by_one_pixel():
    side = np.array([[319.5, 119.5]])
    basis = displacement_basis("similarity", side, SIZE)
    np.testing.assert_allclose(basis[0, :, 2], (1, 0), atol=1e-9)  # scale
    np.testing.assert_allclose(basis[0, :, 3], (0, 1), atol=1e-9)  # rotation


class TestOnline:
    def pair(self, displacement, seed=0):
        visible, thermal = scene(seed)
        return visible, seen_through(thermal, np.linalg.inv(about_centre(SIZE, *displacement)))

    def test_is_found_then_confirmed_and_noise_averages_out(self):
        aligner = OnlineAligner()
        truth = (6, -4, 1.5, 1.02)
        for seed in range(6):
            aligner.observe(*self.pair(truth, seed))
        state = aligner.state((240, 320), (240, 320))
        assert state.found
        assert distance_px(state.matrix, about_centre(SIZE, *truth), SIZE) < 0.5
        assert state.confidence > 0.8
        assert aligner.counters["found"] == 1
        assert aligner.counters["confirmed"] == 5

    def test_nothing_in_common_is_refused_and_the_guess_is_kept(self):
        aligner = OnlineAligner()
        aligner.observe(scene(0)[0], scene(9)[1])
        state = aligner.state((240, 320), (240, 320))
        assert not state.found
        assert state.confidence < 0.5
        np.testing.assert_array_equal(state.matrix, np.eye(3))
        assert aligner.counters["refused"] == 1

    def test_confidence_fades_while_structure_is_missing(self):
        aligner = OnlineAligner()
        visible, thermal = self.pair((0, 0, 0, 1))
        aligner.observe(visible, thermal)
        for _ in range(5):
            aligner.observe(visible, np.full_like(thermal, 50))
        state = aligner.state((240, 320), (240, 320))
        assert state.found
        assert state.confidence < 0.5
        assert distance_px(state.matrix, np.eye(3), SIZE) < 0.5

    def test_slow_drift_is_followed_only_so_far(self):
        aligner = OnlineAligner(most_drift_px=2.0)
        for step in range(40):
            aligner.observe(*self.pair((0.2 * step, 0, 0, 1)))
        state = aligner.state((240, 320), (240, 320))
        assert state.drift_px <= 2.0
        assert aligner.counters["drift_limited"] > 0

    def test_a_camera_that_was_knocked_is_found_again(self):
        aligner = OnlineAligner()
        aligner.observe(*self.pair((0, 0, 0, 1)))
        for _ in range(6):
            aligner.observe(*self.pair((3.5, 2.5, 0, 1)))
        state = aligner.state((240, 320), (240, 320))
        assert aligner.counters["knocked"] == 1
        assert distance_px(state.matrix, about_centre(SIZE, 3.5, 2.5, 0, 1), SIZE) < 0.7


def test_search_without_room_looks_only_at_the_guess():
    visible, thermal = scene()
    found = align(visible, thermal, search=Search(shift=0.02, rotation_deg=0, scale=0))
    assert distance_px(found.matrix, np.eye(3), SIZE) < 0.5
