import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from thermal_fusion_ros.detections import Detection
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.language.captioner import MAX_WORDS, Captioner
from thermal_fusion_ros.language.scene import LABELS, Scene, SeenObject, see
from thermal_fusion_ros.language.visibility import Visibility
from thermal_fusion_ros.sensing.camera import CameraModel

NIGHT_SMOKE = Visibility((0.0, 0.1, 0.9), (0.05, 0.05, 0.9), 0.1)
DAY_CLEAR = Visibility((0.95, 0.05, 0.0), (0.98, 0.01, 0.01), 0.5)


def thing(label="person", depth=6.0, bearing=0.0, **more):
    settings = {"score": 0.9, "metric": True, "sigma": 0.05, "size": 0.02, "heat": 0.0}
    return SeenObject(label, (10, 10, 20, 40), depth=depth, bearing_deg=bearing, **(settings | more))


def say(*objects, visibility=None, median_depth=None):
    return Captioner()(Scene(0, objects, visibility, median_depth))


def test_the_example_of_the_issue():
    caption = say(
        thing(depth=5.7, bearing=14, heat=0.4),
        thing(depth=5.8, bearing=11, heat=0.3),
        thing("car", depth=13.0, bearing=-30),
        visibility=NIGHT_SMOKE,
    )
    assert caption.text == "night, smoke; two people 6 m ahead to the left, warm; a car 15 m to the right"
    assert (caption.light, caption.air) == ("night", "smoke")
    assert [p.noun for p in caption.phrases] == ["person", "car"]


@pytest.mark.parametrize(
    ("objects", "text"),
    [
        ([], "nothing recognised"),
        ([thing(depth=0.42)], "a person 0.4 m ahead"),
        ([thing(depth=2.3)], "a person 2.2 m ahead"),
        ([thing(depth=51.0)], "a person 50 m ahead"),
        ([thing(depth=6.0, sigma=0.075)], "a person about 6 m ahead"),
        ([thing(depth=6.0, sigma=0.12)], "a person ahead"),
        ([thing(depth=None)], "a person ahead"),
        ([thing(depth=float("nan"))], "a person ahead"),
        ([thing("bus", 8, 30), thing("bus", 10, 30)], "two buses 9 to 12 m to the left"),
        ([thing(temperature_k=350.0)], "a person 6 m ahead, hot"),
        ([thing(depth=3), thing(depth=20)], "a person 3 m ahead; a person 20 m ahead"),
        ([thing("traffic light", 20, -15)], "a traffic light 20 m ahead to the right"),
    ],
)
def test_phrases(objects, text):
    assert say(*objects).text == text


def test_no_metres_without_a_metric_scale():
    near, middle, far = (thing(depth=d, metric=False) for d in (0.2, 1.1, 4.0))
    caption = say(near, middle, far, median_depth=1.0)
    assert caption.text == "a person near, ahead; a person ahead; a person far, ahead"
    assert not any(p.distances_m for p in caption.phrases)
    assert say(near).text == "a person ahead"  # nothing to compare its depth with
    assert not re.search(r"\d|\bm\b", caption.text)


def test_unsure_light_and_air_are_not_named():
    assert say(visibility=Visibility((0.4, 0.4, 0.2), (0.5, 0.3, 0.2), 0.3)).text == "nothing recognised"
    assert say(visibility=Visibility((0.9, 0.1, 0.0), (0.1, 0.45, 0.45), 0.3)).air == "smoke or fog"
    assert say(visibility=DAY_CLEAR).text == "daylight; nothing recognised"


def test_near_warm_and_large_things_weigh_more():
    base = thing()
    for better in (replace(base, depth=3.0), replace(base, heat=0.5), replace(base, size=0.2)):
        one = say(replace(better, bearing_deg=30), replace(base, label="car", bearing_deg=-30))
        assert one.phrases[0].noun == "person"
        assert one.nouns["person"] > 0.55
        other = say(replace(base, bearing_deg=30), replace(better, label="car", bearing_deg=-30))
        assert other.phrases[0].noun == "car"
    assert sum(one.nouns.values()) == pytest.approx(1)


def test_length_is_bounded():
    random = np.random.default_rng(3)
    crowd = [
        thing(str(random.choice(LABELS)), float(random.uniform(1, 60)), float(random.uniform(-35, 35)))
        for _ in range(80)
    ]
    caption = say(*crowd, visibility=NIGHT_SMOKE)
    assert len(caption.text.split()) <= MAX_WORDS
    assert len(caption.phrases) <= 5
    assert sum(p.count for p in caption.phrases) + int(re.search(r"(\d+) more", caption.text)[1]) == 80


def jittered(rate_hz, seconds, seed):
    """The scene of the first test, standing still, as a noisy detector and depth network would see it."""
    random = np.random.default_rng(seed)
    still = [
        thing(depth=6.3, bearing=15.0, heat=0.12, sigma=0.12),
        thing(depth=6.9, bearing=21.5, heat=0.14, sigma=0.12),
        thing("car", 15.0, -22.0, heat=0.1),
        thing("bicycle", 14.6, 6.0),
    ]
    for i in range(int(seconds * rate_hz)):
        seen = [
            replace(
                o,
                depth=o.depth * (1 + random.uniform(-0.04, 0.04)),
                bearing_deg=o.bearing_deg + random.uniform(-1, 1),
                heat=o.heat + random.uniform(-0.02, 0.02),
                sigma=o.sigma + random.uniform(-0.02, 0.02),
                score=random.uniform(0.3, 0.9),
            )
            for o in still
            if i == 0 or random.uniform() > 0.05  # now and then one is missed
        ]
        if random.uniform() < 0.1:  # and something is seen that is not there
            seen.append(thing(str(random.choice(LABELS)), float(random.uniform(2, 50)), -35.0, score=0.35))
        random.shuffle(seen)
        air = random.uniform(0.55, 0.85)
        yield Scene(
            round(i * 1e9 / rate_hz),
            tuple(seen),
            Visibility((0.0, 0.2, 0.8), (0.9 - air, 0.1, air), 0.1),
        )


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("rate_hz", [1.0, 5.0])
def test_jitter_does_not_make_it_flicker(rate_hz, seed):
    captioner = Captioner()
    texts = [captioner(scene).text for scene in jittered(rate_hz, 60, seed)]
    changes = sum(a != b for a, b in pairwise(texts))
    fresh = [Captioner()(scene).text for scene in jittered(rate_hz, 60, seed)]
    without = sum(a != b for a, b in pairwise(fresh))
    assert without > 0.6 * len(texts)  # the scenes do tremble
    assert changes <= 5, texts
    again = Captioner()
    assert texts == [again(scene).text for scene in jittered(rate_hz, 60, seed)]


def test_real_changes_are_told():
    captioner = Captioner()
    assert "6 m" in captioner(Scene(0, (thing(depth=6.0),))).text
    assert "4 m" in captioner(Scene(1_000_000_000, (thing(depth=4.0),))).text
    # Missed or gone: held for a moment, then no more.
    assert "person" in captioner(Scene(2_000_000_000, ())).text
    assert captioner(Scene(3_000_000_000, ())).text == "nothing recognised"
    # A sure newcomer is named at once, a doubtful one when seen again.
    assert "car" in captioner(Scene(4_000_000_000, (thing("car"),))).text
    doubtful = (thing("car"), thing("bus", bearing=-30, score=0.4))
    assert "bus" not in captioner(Scene(5_000_000_000, doubtful)).text
    assert "bus" in captioner(Scene(6_000_000_000, doubtful)).text


def test_a_turning_robot_does_not_see_double():
    captioner = Captioner()
    for i, bearing in enumerate((30, 0, -30)):
        assert captioner(Scene(i * 10**9, (thing(bearing=bearing),))).phrases[0].count == 1


@pytest.mark.parametrize(
    ("boxes", "held"),
    [
        ([(100, 0, 140, 50), (104, 0, 144, 50)], True),  # in the middle: it was missed
        ([(100, 0, 140, 50), (180, 0, 240, 50)], False),  # on its way out of the picture
        ([(260, 0, 319, 50), (270, 0, 319, 50)], False),  # half out already
        ([(100, 0, 140, 50)], False),  # seen only once
    ],
)
def test_what_leaves_the_picture_is_not_held(boxes, held):
    captioner = Captioner()
    for i, box in enumerate(boxes):
        captioner(Scene(i * 10**9, (replace(thing(bearing=-10), box=box),), width=320))
    assert bool(captioner(Scene(len(boxes) * 10**9, (), width=320)).phrases) == held


def test_weights_change_slowly():
    captioner = Captioner()
    captioner(Scene(0, (thing(),)))
    nouns = captioner(Scene(10**8, (thing(), thing("car", 1.0, 30)))).nouns
    assert 0 < nouns["car"] < 0.15 < nouns["person"]


def test_a_clock_that_jumps_starts_anew():
    captioner = Captioner()
    captioner(Scene(10**10, (thing(),)))
    assert captioner(Scene(0, ())).text == "nothing recognised"


def test_objects_are_measured_from_the_pictures():
    thermal = np.full((120, 160), 60, np.uint8)
    depth = np.full((120, 160), 20.0, np.float32)
    kelvin = np.full((120, 160), 290.0, np.float32)
    thermal[40:100, 30:50], depth[40:100, 30:50], kelvin[40:100, 30:50] = 200, 5.0, 308.0
    depth[:, 100:] = np.nan
    camera = CameraModel(160, 120, np.array([[120.0, 0, 80], [0, 120, 60], [0, 0, 1]]))
    person, car = see(
        [
            Detection("person", (30, 40, 50, 100), 0.8),
            Detection("car", (110, 50, 150, 80), 0.7),
            Detection("car", (300, 0, 310, 5), 0.9),
        ],
        thermal, depth, camera=camera, metric=True, temperature_k=kelvin,
    )  # fmt: skip
    assert person.depth == pytest.approx(5)
    assert person.view == pytest.approx((-50 / 120, -20 / 120, -30 / 120, 40 / 120))
    assert person.heat == pytest.approx(140 / 255)
    assert person.temperature_k == pytest.approx(308)
    assert person.bearing_deg == pytest.approx(18.43, abs=0.01)
    assert person.distance == pytest.approx(np.hypot(5, 5 / 3))
    assert person.size == pytest.approx(20 * 60 / (120 * 160))
    assert car.depth is None
    assert car.heat == 0


def test_what_a_wide_lens_bends_inwards_is_seen_where_it_is():
    k = np.array([[120.0, 0, 80], [0, 120, 60], [0, 0, 1]])
    lens = CameraModel(160, 120, k, np.array([-0.25, 0.05, 0, 0, 0]))
    place = np.array([2.4, 0.0, 5.0])
    ((x, y),) = lens.project(place[None])
    blank, depth = np.zeros((120, 160), np.uint8), np.full((120, 160), 5.0, np.float32)
    (person,) = see(
        [Detection("person", (x - 2, y - 6, x + 2, y + 6), 0.8)], blank, depth, camera=lens, metric=True
    )
    assert person.bearing_deg == pytest.approx(-np.degrees(np.arctan2(place[0], place[2])), abs=0.3)
    assert person.distance == pytest.approx(np.linalg.norm(place), rel=0.01)


def test_unknown_labels_are_refused():
    with pytest.raises(InputError, match=r"giraffe.*person"):
        thing("giraffe")
