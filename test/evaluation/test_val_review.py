import json

import numpy as np

from benchmark import object_tables, review
from thermal_fusion_ros.training.data import Labelled, Pair


def pair(name, *objects):
    return Pair(name, np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8), objects)


def test_reviewed_labels_lose_who_is_not_there_and_forbid_nobody_who_is():
    said = json.loads(review.REVIEW.read_text())
    doll = next(name for name, found in said.items() if found["wrong"])
    someone = Labelled("person", (1.0, 2.0, 30.0, 90.0))
    wrong = Labelled("person", tuple(float(x) for x in said[doll]["wrong"][0]))
    car = Labelled("car", wrong.box)
    found = review.reviewed(pair(doll, someone, wrong, car)).objects
    assert found[:2] == (someone, car)
    assert all(o.label == "person" and o.score == 0 for o in found[2:])
    assert [list(o.box) for o in found[2:]] == said[doll]["missing"]


def test_a_picture_that_the_review_says_nothing_of_stays():
    one = pair("elsewhere", Labelled("person", (1.0, 2.0, 3.0, 4.0)))
    assert review.reviewed(one) is one


def test_every_region_of_the_review_is_a_box():
    for name, found in json.loads(review.REVIEW.read_text()).items():
        for x0, y0, x1, y1 in found["missing"] + found["wrong"]:
            assert 0 <= x0 < x1, name
            assert 0 <= y0 < y1, name
        assert found["missing"] or found["wrong"], name


def test_who_finds_everybody_is_told_so_far_as_the_labels_go():
    labelled = [Labelled("person", (10.0 * k, 0.0, 10.0 * k + 9, 40.0)) for k in range(3)]
    missed = Labelled("person", (50.0, 0.0, 70.0, 40.0), 0.0)
    unsure = Labelled("person", (80.0, 0.0, 90.0, 40.0), 0.3)
    as_they_are = pair("one", *labelled, unsure)
    read_over = pair("one", *labelled[:2], unsure, missed)
    said = object_tables._best_possible([as_they_are], [read_over])
    assert said.endswith("precision 0.67 at recall 0.67.")
