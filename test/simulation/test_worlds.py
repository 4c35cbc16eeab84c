import numpy as np
import pytest

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.simulation import conditions, worlds


@pytest.mark.parametrize("name", worlds.names())
def test_the_same_seed_builds_the_same_world_and_another_seed_another(name):
    one, again, other = worlds.build(name, 5), worlds.build(name, 5), worlds.build(name, 6)
    assert np.array_equal(one.static.vertices, again.static.vertices)
    assert np.array_equal(one.static.material, again.static.material)
    for a, b in zip(one.actors, again.actors, strict=True):
        assert np.array_equal(a.pose(3.3), b.pose(3.3))
        assert np.array_equal(a.mesh.vertices, b.mesh.vertices)
    assert one.static.vertices.shape != other.static.vertices.shape or not np.array_equal(
        one.static.vertices, other.static.vertices
    )


@pytest.mark.parametrize("name", worlds.names())
def test_worlds_are_sound(name):
    world = worlds.build(name, 11)
    assert any(a.label == "person" for a in world.actors)
    mesh = world.static
    assert np.isfinite(mesh.vertices).all()
    assert mesh.material.max() < len(world.palette.items)
    assert mesh.instance.max() <= len(world.labelled)
    assert [known.instance for known in world.labelled] == list(range(1, len(world.labelled) + 1))
    for actor in world.actors:
        assert actor.mesh.instance.min() == actor.mesh.instance.max() > 0
        assert world.labelled[actor.mesh.instance[0] - 1].label == actor.label
        assert len(actor.pose(0.0)) == actor.mesh.bone.max() + 1


@pytest.mark.parametrize("name", worlds.names())
def test_nobody_runs_into_the_rig_in_the_first_minute(name):
    world = worlds.build(name, 12)
    for t in np.arange(0, 60, 1.0):
        x, y, _ = world.path(t)
        for actor in world.actors:
            assert np.hypot(*(actor.pose(t)[0, :2, 3] - (x, y))) > actor.radius


def test_an_unknown_world_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match=r"moon.*street"):
        worlds.build("moon", 0)


@pytest.mark.parametrize("name", ["", "noon", "day+night", "fog+smoke", "night smoke", "unlit", "day+unlit"])
def test_a_condition_that_makes_no_sense_is_refused(name):
    with pytest.raises(InputError, match="condition"):
        conditions.parse(name)


def test_an_unlit_night_has_no_lamp_and_hardly_a_sky():
    night, unlit = conditions.parse("night"), conditions.parse("night+unlit")
    assert (night.lamps, unlit.lamps) == (1, 0)
    assert max(unlit.sky_horizon) < 0.3 * max(night.sky_horizon)
    assert unlit.air_k == night.air_k  # nothing else is colder or warmer for it


def test_conditions_differ_in_what_matters():
    day, night, smoke, fog = (conditions.parse(n) for n in ("day", "night", "night+smoke", "fog"))
    assert day.sun[0] > 100 * night.sun[0]
    assert night.lamps > day.lamps
    assert smoke.extinction * smoke.infrared_share < 0.1 * smoke.extinction
    assert fog.infrared_share > smoke.infrared_share
    assert conditions.parse("day", 1) != conditions.parse("day", 2)
    assert conditions.parse("day") == conditions.parse("day")
