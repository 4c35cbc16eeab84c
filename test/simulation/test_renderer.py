from dataclasses import replace

import numpy as np
import pytest

from thermal_fusion_ros.simulation import conditions, mesh, people, worlds
from thermal_fusion_ros.simulation.actors import Track
from thermal_fusion_ros.simulation.renderer import Renderer
from thermal_fusion_ros.simulation.tracing import Stage
from thermal_fusion_ros.simulation.truth import find_objects

from .scenes import WALL_M, bare_world, looking_ahead, pinhole

DAY = conditions.parse("day")
BOX = ("car", (5.0, -1.0, 0.0), (5.5, 0.5, 1.5), "wall")


def _view(world, condition=DAY, camera=None, pose=None, quality="fine"):
    return Renderer(world, condition, quality).view(
        camera or pinhole(), looking_ahead() if pose is None else pose, 0.0
    )


def test_depth_is_exact_along_the_optical_axis_also_through_a_distorting_lens():
    camera = pinhole(distortion=(-0.2, 0.05, 0.001, -0.001, 0.0))
    depth = _view(bare_world(), camera=camera).geometry.depth
    assert depth[:30] == pytest.approx(WALL_M, abs=1e-4)
    rays = camera.rays()
    ground = 1.5 / rays[60:, :, 1] * rays[60:, :, 2]
    assert depth[60:] == pytest.approx(ground, rel=1e-4)


def test_a_box_at_a_known_place_is_in_the_picture_where_it_belongs():
    camera = pinhole()
    view = _view(bare_world(objects=[BOX]), camera=camera)
    known = Renderer(bare_world(objects=[BOX]), DAY).world.labelled
    (found,) = find_objects(view, known, np.ones((72, 96), np.float32), None)
    corners = np.array([[-y, 1.5 - z, 5.0] for y in (-1.0, 0.5) for z in (0.0, 1.5)])
    uv = camera.project(corners)
    wanted = (*np.ceil(uv.min(0) - 1e-3), *(np.floor(uv.max(0) - 1e-3) + 1))
    assert found.box == tuple(int(v) for v in wanted)
    assert found.label == "car"
    assert found.depth_m == pytest.approx(5.0, abs=1e-3)
    assert found.nearest_m == pytest.approx(5.0, abs=0.01)
    assert found.position_m[0] == pytest.approx(0.25, abs=0.05)
    assert found.visible_share == pytest.approx(1.0, abs=0.08)
    assert found.bearing_deg == pytest.approx(np.degrees(np.arctan2(-0.25, 5.0)), abs=0.5)


def test_a_hidden_object_still_has_its_full_box():
    behind = ("car", (6.5, -1.0, 0.0), (7.0, 1.0, 1.5), "wall")
    screen = ("bus", (4.0, -2.0, 0.0), (4.2, 0.0, 3.0), "wall")
    world = bare_world(objects=[behind, screen])
    view = _view(world)
    near, far = find_objects(view, world.labelled, np.ones((72, 96), np.float32), None)
    assert (near.label, far.label) == ("bus", "car")
    corners = np.array([[-y, 1.5 - z, 6.5] for y in (-1.0, 1.0) for z in (0.0, 1.5)])
    uv = pinhole().project(corners)
    assert far.full_box[:2] == pytest.approx(uv.min(0), abs=1.0)
    assert far.full_box[2:] == pytest.approx(uv.max(0) + 1, abs=1.0)
    assert far.visible_share == pytest.approx(0.5, abs=0.1)


def test_a_shadow_lies_where_the_sun_cannot_see():
    tall = [("car", (4.0, -0.5, 0.0), (4.3, 0.5, 3.0), "wall")]
    sun_left = replace(DAY, sun_azimuth=90.0, sun_elevation=40.0, clouds=0.0)
    bright = _view(bare_world(objects=tall), sun_left).visible().radiance.mean(-1)
    camera = pinhole()

    def at(x, y):
        u, v = camera.project(np.array([[-y, 1.5, x]]))[0]
        return bright[round(v), round(u)]

    assert at(4.15, -1.6) < 0.5 * at(4.15, 1.6)


def test_smoke_hides_by_distance_and_thermal_sees_through_it():
    world = bare_world(
        objects=[
            ("person", (3.0, 0.5, 0.0), (3.3, 1.0, 1.8), "skin"),
            ("person", (7.0, -1.0, 0.0), (7.3, -0.4, 1.8), "skin"),
        ]
    )
    view = _view(world, conditions.parse("smoke"))
    visible, thermal = view.visible(), view.thermal()
    near, far = (view.geometry.instance == k for k in (1, 2))
    assert visible.transmission[near].mean() > visible.transmission[far].mean() + 0.1
    assert thermal.transmission[far].min() > 0.85
    assert thermal.transmission[far].mean() > visible.transmission[far].mean() + 0.25


def test_clear_air_lets_everything_through():
    assert (_view(bare_world()).visible().transmission == 1).all()


def test_fog_brightens_the_distance_by_day():
    pale = _view(bare_world(), conditions.parse("fog"))
    clear = _view(bare_world(wall="dark_trim"))
    dark = _view(bare_world(wall="dark_trim"), conditions.parse("fog"))
    assert dark.visible().transmission[10, 48] < 0.9
    assert pale.visible().transmission[10, 48] == dark.visible().transmission[10, 48]
    assert clear.visible().transmission[10, 48] == 1


def test_both_qualities_have_the_same_truth():
    world = bare_world(objects=[BOX])
    fine, live = _view(world), _view(world, quality="live")
    assert np.array_equal(fine.geometry.depth, live.geometry.depth, equal_nan=True)
    assert np.array_equal(fine.geometry.instance, live.geometry.instance)
    assert np.abs(fine.visible().radiance - live.visible().radiance).mean() < 0.03


def test_a_walking_person_moves_and_the_flow_says_how():
    builder = worlds.Builder(np.random.default_rng(2))
    p = builder.palette
    builder.add(mesh.quad([[-50, -50, 0], [50, -50, 0], [50, 50, 0], [-50, 50, 0]], p("asphalt")))
    track = Track([[5, 3], [5, -9]], 2.0, 3.0, closed=False)
    builder.add_actor(people.pedestrian(p, builder.rng, track, lambda x, y: 0.0))
    world = builder.finish(
        "walk", 0, Track([[-20, 0], [-21, 0]], 0.1, closed=False), lambda x, y: 0.0, False, 0.0, []
    )
    renderer = Renderer(world, DAY)
    pose = looking_ahead(z=1.0)
    middles = []
    for t in (0.0, 0.2):
        seen = np.argwhere(renderer.view(pinhole(), pose, t).geometry.instance == 1)
        assert len(seen) > 50
        middles.append(seen[:, 1].mean())
    assert middles[1] - middles[0] == pytest.approx(2.0 * 0.2 / 5 * 80, abs=1.5)  # towards -y is to the right
    flow = renderer.view(pinhole(), pose, 0.0).motion(pose, 0.01, step=2)
    body = renderer.view(pinhole(), pose, 0.0).geometry.instance[1::2, 1::2] == 1
    assert np.median(flow[body, 0]) == pytest.approx(2.0 / 5 * 80, rel=0.3)
    assert np.abs(flow[~body]).max() < 0.5


def test_people_stand_on_the_ground_at_their_height():
    builder = worlds.Builder(np.random.default_rng(5))
    person = people.pedestrian(
        builder.palette, builder.rng, Track([[0, 0], [9, 0]], 1.3, closed=False), lambda x, y: 0.4
    )
    for t in (0.0, 0.3, 0.7):
        pose = person.pose(t)
        v = person.mesh
        z = np.einsum("vj,vj->v", pose[v.bone, 2, :3], v.vertices) + pose[v.bone, 2, 3]
        assert z.min() == pytest.approx(0.4, abs=0.05)
        assert 1.45 < z.max() - z.min() < 2.05


def test_the_same_view_twice_is_the_same_to_the_last_bit():
    world = bare_world(objects=[BOX])
    one, two = (
        Renderer(world, DAY, stage=Stage(world)).view(pinhole(), looking_ahead(), 0.0) for _ in range(2)
    )
    assert np.array_equal(one.visible().radiance, two.visible().radiance)
    assert np.array_equal(one.thermal().signal, two.thermal().signal)


def test_a_warm_engine_and_skin_stand_out_at_night():
    world = bare_world(objects=[("person", (5.0, -0.5, 0.0), (5.3, 0.5, 1.8), "skin")])
    view = _view(world, conditions.parse("night"))
    kelvin = view.thermal().temperature_k
    person = view.geometry.instance == 1
    assert 300 < np.median(kelvin[person]) < 309
    assert np.median(kelvin[person]) > np.nanmedian(kelvin[~person]) + 12
