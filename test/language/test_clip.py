import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from thermal_fusion_ros.config import LanguageConfig
from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.language import clip
from thermal_fusion_ros.language.clip import ClipTextEncoder, import_open_clip, project
from thermal_fusion_ros.language.generative import GenerativeCaptioner
from thermal_fusion_ros.language.guide import Job, make_guide
from thermal_fusion_ros.language.vocabulary import Vocabulary
from thermal_fusion_ros.models.guidance import GuidanceProjection


@pytest.fixture
def encoder(random_clip):
    return ClipTextEncoder(random_clip.model, random_clip.weights)


def test_embeddings_are_those_of_the_saved_checkpoint(open_clip, random_clip, encoder):
    text = "two people 6 m ahead to the left, warm"
    with torch.inference_mode():
        expected = random_clip.network.encode_text(open_clip.get_tokenizer(random_clip.model)([text]))[
            0
        ].numpy()
    embedding = encoder(text)
    assert (embedding.shape, embedding.dtype) == ((512,), np.float32)
    np.testing.assert_allclose(embedding, expected, atol=1e-5)
    assert np.abs(encoder("a car") - embedding).max() > 1e-3
    encoder("many words " * 100)  # more than CLIP reads


def test_texts_are_remembered_but_not_for_ever(encoder, monkeypatch):
    calls = []
    encode = encoder._encode
    monkeypatch.setattr(encoder, "_encode", lambda text: calls.append(text) or encode(text))
    monkeypatch.setattr(clip, "CACHED", 2)
    for text in ("a", "b", "a", " a ", "c", "a", "b"):
        encoder(text)
    assert calls == ["a", "b", "c", "b"]


def words(projection, encoder):
    """A vocabulary whose codes were baked from this very encoder."""
    names = ("person", "car", "dog")
    return Vocabulary(names, np.stack([project(projection, encoder(f"a {name}")) for name in names]))


def test_weights_of_another_clip_are_refused(encoder):
    torch.manual_seed(1)
    projection = GuidanceProjection()
    vocabulary = words(projection, encoder)
    encoder.check(projection, vocabulary)
    other = Vocabulary(vocabulary.names, np.random.default_rng(0).normal(size=(3, 64)).astype(np.float32))
    with pytest.raises(InputError, match=r"not those.*openai"):
        encoder.check(projection, other)


def test_a_guide_with_clip_takes_any_prompt(random_clip, encoder):
    torch.manual_seed(1)
    projection = GuidanceProjection()
    vocabulary = words(projection, encoder)
    config = LanguageConfig(clip_model=random_clip.model, clip_weights=random_clip.weights)
    guide = make_guide(config, vocabulary, projection)
    free = guide(Job(None, "a unicorn in the fog"))
    assert free.lasting
    np.testing.assert_allclose(free.code, project(projection, encoder("a unicorn in the fog")), atol=1e-5)
    known = guide(Job(None, "cars"))
    np.testing.assert_array_equal(known.code, vocabulary.codes[1])
    np.testing.assert_allclose(known.embedding, encoder("cars"), atol=1e-6)
    assert known.problem == ""


def test_a_guide_does_without_clip_weights_that_cannot_be_had(random_clip, encoder):
    torch.manual_seed(1)
    projection = GuidanceProjection()
    config = LanguageConfig(clip_model=random_clip.model, clip_weights="/nowhere.pt")
    guide = make_guide(config, words(projection, encoder), projection)
    known, free = guide(Job(None, "people")), guide(Job(None, "a unicorn"))
    assert known.code.any()
    assert known.embedding is None
    assert "nowhere.pt" in known.problem
    assert "unicorn" in free.refused
    assert not free.code.any()


@pytest.mark.parametrize(
    ("model", "weights", "complaint"),
    [
        ("small-random", "", "no weights.*open_clip_torch"),
        ("small-random", "/nowhere/weights.pt", "nowhere"),
        ("no-such-model", "x", "no-such-model"),
        ("local-dir:/nowhere", "", "nowhere"),
    ],
)
def test_what_cannot_be_loaded_is_named(random_clip, model, weights, complaint):
    with pytest.raises(InputError, match=complaint):
        ClipTextEncoder(model, weights)


def test_wrong_keys_and_sizes_are_named(open_clip, random_clip):
    torch.save({"something": torch.zeros(3)}, random_clip.folder / "other.pt")
    with pytest.raises(InputError, match=r"other\.pt"):
        ClipTextEncoder(random_clip.model, str(random_clip.folder / "other.pt"))
    narrow = random_clip.folder / "narrow.pt"
    torch.save(open_clip.create_model("narrow-random").state_dict(), narrow)
    with pytest.raises(InputError, match=r"128 numbers.*512"):
        ClipTextEncoder("narrow-random", str(narrow))


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(clip.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install open_clip_torch"):
        import_open_clip()


def test_nothing_of_it_is_imported_until_asked_for():
    code = "import sys, thermal_fusion_ros.language.worker, thermal_fusion_ros.language.generative as g; "
    code += "print([m for m in ('open_clip', 'torchvision', 'PIL', 'rclpy') if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )


def test_generative_captions_need_weights_and_a_model_that_writes(random_clip):
    with pytest.raises(InputError, match=r"weights.*mscoco"):
        GenerativeCaptioner("coca_ViT-B-32", "")
    with pytest.raises(InputError, match="writes no text"):
        GenerativeCaptioner(random_clip.model, random_clip.weights)


def test_a_generative_caption_is_the_same_every_time(open_clip, tmp_path):
    shape = json.loads((Path(open_clip.__file__).parent / "model_configs" / "coca_ViT-B-32.json").read_text())
    shape["embed_dim"] = 64
    shape["vision_cfg"] |= {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16}
    for part in ("text_cfg", "multimodal_cfg"):
        shape[part] |= {"width": 64, "heads": 2, "layers": 1}
    (tmp_path / "coca-small-random.json").write_text(json.dumps(shape))
    open_clip.add_model_config(tmp_path)
    torch.manual_seed(0)
    torch.save(open_clip.create_model("coca-small-random").state_dict(), tmp_path / "coca.pt")
    caption = GenerativeCaptioner("coca-small-random", str(tmp_path / "coca.pt"))
    picture = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    text = caption(picture)
    assert 0 < len(text) == len(text.strip())
    assert "_of_text>" not in text
    assert caption(picture) == text
