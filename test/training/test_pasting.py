import numpy as np
import pytest

from thermal_fusion_ros.training.data import Labelled, Pair
from thermal_fusion_ros.training.pasting import TALL, paste, patches

SIZE = (160, 200)
WARM = (60.0, 40.0, 80.0, 100.0)
COLD = 40


def person(box=WARM, score=0.9, seen_in=("visible", "thermal")):
    return Labelled("person", box, score, seen_in)


def scene(*objects, ground=COLD):
    """A pair with a warm block in every box."""
    rgb, thermal = np.full((*SIZE, 3), 60, np.uint8), np.full(SIZE, ground, np.uint8)
    for o in objects:
        x0, y0, x1, y1 = map(int, o.box)
        rgb[y0:y1, x0:x1], thermal[y0:y1, x0:x1] = (90, 70, 60), ground + 150
    return Pair("llvip_1", rgb, thermal, objects)


def pasted(pair, stock, steps=40):
    """What comes of it over and over."""
    return [paste(pair, stock, np.random.default_rng(step)) for step in range(steps)]


@pytest.fixture
def stock():
    return patches([scene(person())], np.random.default_rng(0))


def test_a_person_is_cut_with_a_margin_and_ground_beside_it(stock):
    ((found, ground),) = stock
    inner = found.four[found.edge : -found.edge, found.edge : -found.edge]
    assert inner.shape == (60, 20, 4)
    assert (inner[..., 3] == COLD + 150).all()
    assert found.share == pytest.approx(60 / 160)
    assert ground.label is None
    assert ground.four[ground.edge : -ground.edge, ground.edge : -ground.edge, 3].max() == COLD


@pytest.mark.parametrize(
    "other",
    [
        person(score=0.4),
        person(seen_in=("visible",)),
        person((10, 10, 18, 10 + TALL - 2)),
        person((10, 10, 60, 150)),
        Labelled("car", WARM),
    ],
)
def test_who_is_not_cut_out(other):
    assert patches([scene(other)], np.random.default_rng(0)) == []


def test_nobody_is_cut_out_of_a_crowd():
    beside = person((70.0, 42.0, 90.0, 102.0))
    assert patches([scene(person(), beside)], np.random.default_rng(0)) == []


def test_labels_are_where_the_warm_patches_are(stock):
    warmer = []
    for pair in pasted(scene(ground=90), stock):
        for o in pair.objects:
            x0, y0, x1, y1 = (round(edge) for edge in o.box)
            height, width = y1 - y0, x1 - x0
            assert 0.4 < height / 60 < 2.4
            centre = pair.thermal[y0 + height // 4 : y1 - height // 4, x0 + width // 4 : x1 - width // 4]
            against_ground = centre.astype(int) - 90
            assert np.abs(against_ground).min() > 45
            warmer.append(against_ground.mean() > 0)
    assert len(warmer) > 15
    assert 0.6 < np.mean(warmer) < 1  # a few are colder than sun-warmed ground


def test_pieces_of_ground_get_no_label_and_people_keep_their_place(stock):
    own = person((20.0, 20.0, 45.0, 90.0))
    pair = scene(own)
    for after in pasted(pair, stock):
        assert after.objects[0] == own
        x0, y0, x1, y1 = map(int, own.box)
        covered = (after.thermal[y0:y1, x0:x1] != pair.thermal[y0:y1, x0:x1]).mean()
        assert covered < 0.1
        assert {o.label for o in after.objects} == {"person"}


def test_the_pair_itself_is_left_alone_and_some_get_nothing(stock):
    pair = scene()
    before = pair.rgb.copy(), pair.thermal.copy()
    results = pasted(pair, stock)
    assert any(result is pair for result in results)
    assert any(result is not pair for result in results)
    np.testing.assert_array_equal(pair.rgb, before[0])
    np.testing.assert_array_equal(pair.thermal, before[1])


def test_a_patch_larger_than_the_picture_is_left_out(stock):
    small = Pair("llvip_2", np.zeros((20, 16, 3), np.uint8), np.zeros((20, 16), np.uint8), ())
    assert all(len(pair.objects) == 0 or pair.objects[0].box[3] <= 20 for pair in pasted(small, stock))


def test_nothing_to_paste():
    pair = scene(person())
    assert paste(pair, [], np.random.default_rng(0)) is pair
