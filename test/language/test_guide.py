import numpy as np
import pytest
import torch

from thermal_fusion_ros.language.guide import Guide, Job
from thermal_fusion_ros.language.scene import Scene, SeenObject
from thermal_fusion_ros.language.vocabulary import Vocabulary, load_nouns
from thermal_fusion_ros.models.checkpoint import load_fusion, save_fusion, shipped
from thermal_fusion_ros.models.cross_attention import CrossAttentionFusion
from thermal_fusion_ros.training.stages.fusion import centred

VOCABULARY = Vocabulary(("person", "car"), np.eye(2, 64, dtype=np.float32))
SCENE = Scene(
    0,
    (
        SeenObject("person", (0, 0, 9, 9), depth=4.0, metric=True, heat=0.3, bearing_deg=10, size=0.02),
        SeenObject("car", (20, 0, 29, 9), depth=20.0, metric=True, size=0.02),
    ),
)


def test_a_captions_code_is_the_weighted_sum_of_its_nouns():
    thought = Guide(VOCABULARY)(Job(SCENE))
    assert thought.text == "a person 4 m ahead to the left, warm; a car 20 m ahead"
    weights = {phrase.noun: phrase.weight for phrase in thought.caption.phrases}
    assert weights["person"] > 0.7
    np.testing.assert_allclose(thought.code[:2], [weights["person"], weights["car"]], atol=1e-6)
    assert not thought.lasting
    assert Guide(VOCABULARY)(Job(lambda: SCENE)).text == thought.text


def test_the_operators_prompt_overrides_the_caption_until_cleared():
    guide = Guide(VOCABULARY)
    thought = guide(Job(SCENE, "cars"))
    assert (thought.text, thought.lasting) == ("cars", True)
    np.testing.assert_array_equal(thought.code, VOCABULARY.codes[1])
    assert thought.caption.text.startswith("a person")
    assert guide(Job(SCENE, " ")).text == thought.caption.text


def test_a_prompt_of_other_words_is_refused_and_the_caption_guides():
    thought = Guide(VOCABULARY)(Job(SCENE, "unicorns"))
    assert "unicorns" in thought.refused
    assert thought.text.startswith("a person")
    assert thought.code.any()


def test_nothing_to_say_is_no_guidance():
    assert not Guide(VOCABULARY)(Job(None)).code.any()
    assert not Guide(VOCABULARY)(Job(Scene(0, ()))).code.any()


def test_baked_codes_equal_projected_ones(shared_data, tmp_path):
    names, raw = load_nouns(shared_data / "clip_text")
    vectors, mean = centred(raw)
    torch.manual_seed(4)
    model = CrossAttentionFusion()
    model.guidance.mean.copy_(torch.from_numpy(mean))
    save_fusion(tmp_path / "w.safetensors", model, names, vectors, {})
    assert_equal_codes(tmp_path / "w.safetensors", names, raw)


def test_baked_codes_of_the_shipped_weights_equal_projected_ones(shared_data):
    mean = load_fusion(shipped("cross_attention")).model.guidance.mean
    if torch.equal(mean, mean.half().float()):
        pytest.skip("weights made before the vocabulary's mean was kept in full precision")
    assert_equal_codes(shipped("cross_attention"), *load_nouns(shared_data / "clip_text"))


def assert_equal_codes(path, names, raw):
    weights = load_fusion(path)
    with torch.inference_mode():
        projected = weights.model.guidance(torch.from_numpy(raw)).numpy()
    baked = np.stack([weights.vocabulary.mix({name: 1.0}) for name in names])
    assert np.abs(baked).max() > 1
    np.testing.assert_allclose(projected, baked, atol=1e-5)
    # And so do weighted sums of them.
    three = {"person": 0.5, "car": 0.3, "traffic light": 0.2}
    with torch.inference_mode():
        centres = weights.model.guidance.centre(torch.from_numpy(raw))
        mixed = sum(weight * centres[names.index(name)] for name, weight in three.items())
        expected = weights.model.guidance.project(mixed).numpy()
    np.testing.assert_allclose(weights.vocabulary.mix(three), expected, atol=1e-5)
