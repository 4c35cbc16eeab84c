import dataclasses

import numpy as np
import pytest

from thermal_fusion_ros.simulation.dataset import DatasetSpec, SimulatedDataset
from thermal_fusion_ros.training import depth_data, standing
from thermal_fusion_ros.training.data import Labelled, Pair

LABEL = Labelled("person", (80.0, 40.0, 120.0, 160.0), 0.9, ("visible", "thermal"))
ROWS, COLUMNS = 300, 200


def walker():
    """A pair with somebody warm in it, an ellipse as tall and wide as the label."""
    y, x = np.mgrid[:ROWS, :COLUMNS]
    body = ((y - 100) / 60) ** 2 + ((x - 100) / 20) ** 2 < 1
    noise = np.random.default_rng(0).integers(0, 12, (ROWS, COLUMNS, 4), np.uint8)
    rgb = noise[..., :3] + np.where(body, 150, 60)[..., None].astype(np.uint8)
    return Pair("llvip_1", rgb, noise[..., 3] + np.where(body, 200, 40).astype(np.uint8), (LABEL,)), body


@pytest.fixture(scope="module")
def stock():
    return standing.cutouts([walker()[0]])


@pytest.fixture(scope="module")
def sample():
    spec = DatasetSpec(count=1, worlds=("street",), conditions=("day",), quality="live", seed=3)
    return SimulatedDataset(spec)[0]


def stood(sample, stock, seed):
    thermal = depth_data.display(sample.counts)
    return standing.stand(sample, thermal, stock, np.random.default_rng(seed))


def changed(sample, stock, seeds=range(12)):
    """Those of some tries in which somebody was put somewhere."""
    return [scene for seed in seeds if (scene := stood(sample, stock, seed)).unsure.any()]


def test_an_outline_is_found(stock):
    (found,) = stock
    body = walker()[1]
    edge = found.edge
    there = body[40 - edge : 160 + edge, 80 - edge : 120 + edge]
    assert found.inside.shape == there.shape == found.four.shape[:2]
    assert (there == (found.inside > 0.5)).mean() > 0.97


def test_as_good_as_the_same_is_cut_out_once():
    pair = walker()[0]
    assert len(standing.cutouts([pair, pair])) == 1


def test_what_fills_its_box_is_no_person():
    pair = walker()[0]
    rgb, thermal = pair.rgb.copy(), pair.thermal.copy()
    rgb[40:160, 80:120], thermal[40:160, 80:120] = 150, 200
    assert standing.cutouts([dataclasses.replace(pair, rgb=rgb, thermal=thermal)]) == []


def test_ground_is_as_far_below_the_camera_as_the_camera_is_high(sample):
    feet = standing.ground(sample, np.random.default_rng(0))
    assert len(feet) == standing.MOST
    for row, column in feet:
        ray = [(column - sample.k[0, 2]) / sample.k[0, 0], (row - sample.k[1, 2]) / sample.k[1, 1], 1]
        down = -sample.base_from_rgb[2, :3] @ ray * sample.depth[row, column]
        pavement = 0.1 + 0.01 * float(sample.depth[row, column])
        assert down == pytest.approx(sample.camera_height_m, abs=pavement)


def test_somebody_stands_where_the_ground_is_and_is_as_tall_as_people_are(sample, stock):
    tall = []
    for scene in changed(sample, stock):
        metres, unsure = scene.metres, scene.unsure
        body = (metres != sample.depth) & ~unsure & np.isfinite(metres)
        for distance in np.unique(metres[body]):
            rows, columns = np.nonzero(body & (metres == distance))
            below = rows.max() + 3, int(np.median(columns))
            if len(rows) < 60 or below[0] >= sample.depth.shape[0] or unsure[below]:
                continue
            assert sample.depth[below] == pytest.approx(distance, rel=0.25)  # the ground at the feet
            tall.append((np.ptp(rows) + 3) * distance / sample.k[1, 1])
    assert len(tall) > 3
    low, high = standing.HEIGHT_M["person"]
    assert low - 0.25 < np.median(tall) < high + 0.25


def test_pictures_change_where_depth_does_and_little_beside(sample, stock):
    thermal = depth_data.display(sample.counts)
    for scene in changed(sample, stock):
        body = (scene.metres != sample.depth) & np.isfinite(scene.metres)
        assert (scene.thermal != thermal)[body].mean() > 0.8
        away = ~(body | scene.unsure)
        assert (scene.rgb == sample.rgb).all(-1)[away].mean() > 0.99
        assert (scene.thermal == thermal)[away].mean() > 0.99


def test_a_box_is_around_everybody_who_was_put_there(sample, stock):
    beyond = []
    for scene in changed(sample, stock):
        rows, columns = np.nonzero(scene.body)
        assert {o.label for o in scene.objects} == {"person"}
        boxes = np.array([o.box for o in scene.objects])
        around = np.array([*boxes[:, :2].min(0), *boxes[:, 2:].max(0)]).clip(
            0, [*scene.thermal.shape[::-1]] * 2
        )
        body = [columns.min(), rows.min(), columns.max(), rows.max()]
        beyond.append((around - body) * (-1, -1, 1, 1))
    assert np.min(beyond) > -3
    assert np.median(beyond, axis=0).max() < 4  # no larger than need be; more where somebody is half hidden


def test_who_cannot_be_seen_is_in_no_picture_that_shows_him(sample, stock):
    dark = dataclasses.replace(sample, rgb=np.zeros_like(sample.rgb), transmission=sample.transmission * 0)
    shown = {o.seen_in for scene in changed(dark, stock) for o in scene.objects}
    assert shown
    assert not any("visible" in seen for seen in shown)
    assert any("visible" in o.seen_in for scene in changed(sample, stock) for o in scene.objects)


def test_who_stands_behind_others_need_not_be_found(sample, stock):
    scene = changed(sample, stock)[0]
    (first, *_) = scene.objects
    assert standing.hidden(first.box, scene.body)
    assert not standing.hidden(first.box, np.zeros_like(scene.body))


def test_what_is_nearer_stays_in_front(sample, stock):
    near = sample.depth.copy()
    near[:, ::2] = 0.5  # a fence
    fenced = dataclasses.replace(sample, depth=near)
    for scene in changed(fenced, stock, range(40)):
        assert (scene.metres[:, ::2] == 0.5).all()
        assert not scene.unsure[:, ::2].any()
        assert (scene.rgb[:, ::2] == sample.rgb[:, ::2]).all()


def test_without_anybody_everything_stays(sample):
    scene = stood(sample, [], 0)
    assert (scene.rgb == sample.rgb).all()
    assert (scene.thermal == depth_data.display(sample.counts)).all()
    np.testing.assert_array_equal(scene.metres, sample.depth)
    assert not scene.unsure.any()
    assert scene.objects == []


def test_outlines_are_asked_of_nobody(sample, stock):
    def both(rgb, thermal):
        return np.dstack([rgb, thermal])

    packed = depth_data.pack([sample] * 6, 6, both, stock, seed=1)
    plain = depth_data.pack([sample], 1, both)
    assert np.isnan(packed.targets).any()
    assert not np.isnan(plain.targets).any()
    assert np.isinf(packed.targets[0]).sum() <= np.isinf(plain.targets[0]).sum()
    np.testing.assert_array_equal(plain.images[0], both(sample.rgb, depth_data.display(sample.counts)))
    assert packed.conditions == 6 * plain.conditions
