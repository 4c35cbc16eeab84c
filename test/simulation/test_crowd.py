import numpy as np
import pytest

from thermal_fusion_ros.simulation import crowd, worlds


@pytest.fixture(scope="module")
def street():
    world = worlds.build("street", 3)
    return world, *crowd.gather(world, np.random.default_rng(1))


def test_there_are_more_people_and_riders_and_they_stand_on_the_ground(street):
    before, after, places = street
    new = after.labelled[len(before.labelled) :]
    labels = [o.label for o in new]
    assert crowd.GROUPS[0] <= len(places) < crowd.GROUPS[1]
    assert labels.count("person") >= len(places)
    assert {"motorcycle", "bicycle"} & set(labels)
    for thing in new:
        faces = after.static.triangles[after.static.instance == thing.instance]
        z = after.static.vertices[faces][..., 2]
        x, y = after.static.vertices[faces][..., :2].reshape(-1, 2).mean(0)
        assert min(np.hypot(*(places - [x, y]).T)) < 5 * crowd.APART_M
        feet = z.min() - after.ground(float(x), float(y))
        assert -0.3 < feet < (0.7 if "motorcycle" in labels or "bicycle" in labels else 0.3)
        assert 0.5 < z.max() - z.min() < 2.2


def test_riders_sit_on_what_they_ride(street):
    before, after, _ = street
    vertices, instance = after.static.vertices, after.static.instance
    middles = {
        o.instance: vertices[after.static.triangles[instance == o.instance]].reshape(-1, 3).mean(0)
        for o in after.labelled[len(before.labelled) :]
    }
    people = [middles[o.instance] for o in after.labelled if o.label == "person" and o.instance in middles]
    for ridden in (o for o in after.labelled if o.label == "motorcycle" and o.instance in middles):
        nearest = min(people, key=lambda p: np.linalg.norm(p - middles[ridden.instance]))
        assert np.linalg.norm(nearest[:2] - middles[ridden.instance][:2]) < 0.5
        assert nearest[2] > middles[ridden.instance][2] + 0.2


def test_the_same_generator_gives_the_same_crowd():
    world = worlds.build("corridor", 3)
    one, other = (crowd.gather(world, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(one[0].static.vertices, other[0].static.vertices)
    assert np.array_equal(one[1], other[1])
