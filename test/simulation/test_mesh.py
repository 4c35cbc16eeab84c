import numpy as np
import pytest

from thermal_fusion_ros.simulation import mesh as m


def _outward(solid: m.Mesh, center=(0, 0, 0)) -> np.ndarray:
    """Cosines between corner normals and the direction away from the centre."""
    corners = solid.vertices[solid.triangles] - np.asarray(center, np.float32)
    corners /= np.linalg.norm(corners, axis=-1, keepdims=True)
    return np.einsum("fki,fki->fk", corners, solid.corner_normals)


def test_a_sphere_has_its_radius_and_normals_that_point_outwards():
    ball = m.ellipsoid([1, 2, 3], [2, 2, 2], 0, 24, 16)
    assert np.linalg.norm(ball.vertices - [1, 2, 3], axis=1) == pytest.approx(2.0, abs=1e-5)
    assert _outward(ball, (1, 2, 3)).min() > 0.999


def test_smoothing_keeps_the_edges_of_a_box_and_rounds_a_faceted_ball():
    sharp = m.box([1, 1, 1], [0, 0, 0], 0).smoothed(40)
    assert np.abs(sharp.corner_normals).max(-1) == pytest.approx(1.0, abs=1e-6)
    ball = m.ellipsoid([0, 0, 0], [1, 1, 1], 0, 24, 16)
    flat = m.Mesh.of(ball.vertices, ball.triangles, 0)
    assert flat.corner_normals.any() is np.False_
    cosine = np.abs(_outward(flat.smoothed(60)))
    corners = flat.vertices[flat.triangles]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    assert cosine[area > 1e-6].min() > 0.97  # at the poles triangles have no area


def test_merging_keeps_every_face_with_its_material_instance_and_bone():
    a = m.box([1, 1, 1], [0, 0, 0], 3).of_instance(7)
    b = m.box([1, 1, 1], [5, 0, 0], 4).on_bone(2).heated(10)
    both = m.merge([a, b])
    assert len(both.triangles) == 24
    assert both.vertices[both.triangles[12:]][..., 0].min() == pytest.approx(4.5)
    assert (both.material[12:] == 4).all()
    assert (both.instance == [7] * 12 + [0] * 12).all()
    assert (both.bone[8:] == 2).all()
    assert both.heat.tolist() == [0.0] * 8 + [10.0] * 8


def test_rotations_turn_normals_with_vertices():
    ball = m.ellipsoid([0, 0, 0], [1, 2, 3], 0)
    turned = ball.yawed(0.7)
    assert turned.corner_normals == pytest.approx(ball.corner_normals @ m.rotation_z(0.7).T, abs=1e-6)
    assert turned.vertices == pytest.approx(ball.vertices @ m.rotation_z(0.7).T, abs=1e-6)


def test_a_tube_follows_its_line_at_its_radius():
    pipe = m.tube([[0, 0, 0], [0, 0, 2]], [0.5, 0.5], 0, caps=False)
    assert np.hypot(*pipe.vertices[:, :2].T) == pytest.approx(0.5, abs=1e-6)
    assert pipe.vertices[:, 2].min() == pytest.approx(0.0, abs=1e-6)
    assert pipe.vertices[:, 2].max() == pytest.approx(2.0, abs=1e-6)
