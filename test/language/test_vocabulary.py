import numpy as np
import pytest

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.language.vocabulary import Vocabulary, clean, load_nouns, singular

NAMES = ("person", "car", "bus", "traffic light", "fire truck", "dog", "truck", "bicycle")


@pytest.fixture
def vocabulary():
    return Vocabulary(NAMES, np.eye(len(NAMES), 64, dtype=np.float32))


@pytest.mark.parametrize(
    ("prompt", "nouns"),
    [
        ("person", {"person"}),
        ("People, and two CARS!", {"person", "car"}),
        ("the pedestrians near a fire truck", {"person", "fire truck"}),
        ("traffic lights", {"traffic light"}),
        ("buses", {"bus"}),
        ("highlight the lorry ahead", {"truck"}),
        ("firetrucks, streetlights? no: pedestrians and passers-by", None),
        ("all firetrucks and traffic-lights", {"fire truck", "traffic light"}),
        ("lorries and motorists", None),
        ("lorries, minibuses and children", {"truck", "bus", "person"}),
        ("3 motorists' bikes", None),
        ("dog dog dog", {"dog"}),
        ("", set()),
    ],
)
def test_prompts(vocabulary, prompt, nouns):
    if nouns is None:
        with pytest.raises(InputError, match="not in the vocabulary"):
            vocabulary.parse(prompt)
    else:
        weights = vocabulary.parse(prompt)
        assert set(weights) == nouns
        assert not nouns or sum(weights.values()) == pytest.approx(1)


def test_unknown_words_are_refused_with_what_is_known(vocabulary):
    with pytest.raises(InputError, match=r"`unicorn`.*person.*CLIP weights"):
        vocabulary.parse("a person on a unicorn")
    with pytest.raises(InputError, match="vocabulary"):
        vocabulary.parse("the two of all")  # words, but none that means something


def test_refusals_name_the_closest_words_and_the_remedy(vocabulary):
    with pytest.raises(InputError, match=r"closest: bicycle.*language\.clip_weights"):
        vocabulary.parse("a bicicle")
    assert vocabulary.closest("trafic light") == ["traffic light"]
    assert vocabulary.closest("qwertyuiop") == []


def test_mixing_ignores_nouns_without_a_code(vocabulary):
    np.testing.assert_allclose(
        vocabulary.mix({"person": 0.25, "submarine": 0.5, "dog": 0.25}),
        0.25 * vocabulary.codes[0] + 0.25 * vocabulary.codes[5],
    )
    assert not vocabulary.mix({}).any()


def test_code_is_the_weighted_sum(vocabulary):
    expected = 0.5 * vocabulary.codes[0] + 0.5 * vocabulary.codes[1]
    np.testing.assert_allclose(vocabulary.code("a person and cars"), expected)
    assert not vocabulary.code("").any()


def test_noun_cleaning():
    assert clean("car_(automobile)") == "car"
    assert clean("Street Lights") == "street light"
    assert clean("Monitor/TV") == "monitor"
    assert [singular(w) for w in ("people", "bus", "buses", "glass", "ponies", "boxes")] == [
        "people", "bus", "bus", "glass", "pony", "box",
    ]  # fmt: skip


def test_tables(shared_data):
    names, vectors = load_nouns(shared_data / "clip_text")
    assert len(names) == len(set(names)) == len(vectors) > 1000
    assert {"person", "car", "truck", "bus", "motorcycle", "bicycle", "traffic light"} <= set(names)
    assert vectors.shape[1] == 512


def test_missing_tables_are_named(tmp_path):
    with pytest.raises(InputError, match="nouns"):
        load_nouns(tmp_path)
