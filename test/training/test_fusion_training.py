import dataclasses

import cv2
import numpy as np
import pytest
import torch

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.models.checkpoint import load_fusion, shipped
from thermal_fusion_ros.training import data, loop, losses, object_data
from thermal_fusion_ros.training.fusion_loss import loss_terms, on_device
from thermal_fusion_ros.training.hearing import hearing_terms
from thermal_fusion_ros.training.stages import fusion

SETTINGS = fusion.Settings(steps=4, batch=1, crop=64)
NOUNS = [*data.CLASSES, "unicorn"]


def test_a_killed_run_resumes_to_the_same_weights(dataset, tmp_path, monkeypatch):
    whole = fusion.train(dataset, tmp_path / "whole", SETTINGS, checkpoint_every=2)
    batch = data.PairSampler.batch

    def dies_at_3(self, step, count):
        if step == 3:
            raise KeyboardInterrupt
        return batch(self, step, count)

    monkeypatch.setattr(data.PairSampler, "batch", dies_at_3)
    with pytest.raises(KeyboardInterrupt):
        fusion.train(dataset, tmp_path / "killed", SETTINGS, checkpoint_every=2)
    monkeypatch.undo()
    resumed = fusion.train(dataset, tmp_path / "killed", SETTINGS, checkpoint_every=2)
    expected, got = (load_fusion(path).model.state_dict() for path in (whole, resumed))
    for name, tensor in expected.items():
        torch.testing.assert_close(got[name], tensor, atol=1e-3, rtol=0)


def test_a_run_stopped_early_goes_on_where_it_was(dataset, tmp_path):
    def steps():
        return torch.load(tmp_path / "run" / loop.STATE, weights_only=True)["step"]

    fusion.train(dataset, tmp_path / "run", SETTINGS, stop_at=3)
    assert steps() == 3
    fusion.train(dataset, tmp_path / "run", SETTINGS)
    assert steps() == SETTINGS.steps


def test_a_run_with_other_settings_or_a_broken_state_is_not_overwritten(dataset, tmp_path):
    out = tmp_path / "run"
    fusion.train(dataset, out, SETTINGS)
    with pytest.raises(InputError, match="other settings"):
        fusion.train(dataset, out, fusion.Settings(steps=4, batch=2, crop=64))
    state = out / loop.STATE
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(InputError, match="not a readable training state"):
        fusion.train(dataset, out, SETTINGS)


def test_it_goes_on_from_weights_and_learns_from_a_teacher(dataset, tmp_path):
    first = fusion.train(dataset, tmp_path / "first", SETTINGS)
    still = dataclasses.replace(
        SETTINGS, steps=1, start=str(first), teacher="cross_attention", learning_rate=0.0
    )
    second = fusion.train(dataset, tmp_path / "second", still)
    before, after = (load_fusion(path).model for path in (first, second))
    for name, tensor in before.state_dict().items():
        torch.testing.assert_close(after.state_dict()[name], tensor, atol=1e-3, rtol=0)
    names, vectors = NOUNS, np.eye(len(NOUNS), 512, dtype=np.float32)
    batch = data.PairSampler(data.load_pairs(dataset), (names, vectors), 64, 0).batch(0, 1)
    other = load_fusion(shipped("cross_attention")).model
    assert float(loss_terms(after, batch, still, after)["teacher"].detach()) == 0
    assert float(loss_terms(after, batch, still, other)["teacher"].detach()) > 0


def test_text_learnt_alone_leaves_the_picture_without_text_as_it_was(dataset, tmp_path):
    names = [name for name, _ in load_fusion(shipped("cross_attention")).model.named_parameters()]
    assert all(any(name.startswith(p) for name in names) for part in fusion.PARTS.values() for p in part)
    taught = dataclasses.replace(SETTINGS, steps=3, batch=4, start="cross_attention", learns="text")
    before = load_fusion(shipped("cross_attention")).model
    after = load_fusion(fusion.train(dataset, tmp_path / "run", taught)).model
    rgb, thermal = torch.rand(1, 3, 64, 64), torch.rand(1, 1, 64, 64)
    silence, word = torch.zeros(1, 64), torch.ones(1, 64)
    with torch.inference_mode():
        assert torch.equal(before(rgb, thermal, silence), after(rgb, thermal, silence))
        assert not torch.equal(before(rgb, thermal, word), after(rgb, thermal, word))
    with pytest.raises(InputError, match="picture"):
        fusion.learns_alone(before, "nothing")


def test_a_teacher_says_where_what_is_heard_is(dataset, tmp_path):
    """Nothing else of the network is touched, least of all what it shows without a word."""
    silent = fusion.train(dataset, tmp_path / "silent", dataclasses.replace(SETTINGS, text=False, batch=2))
    teacher = load_fusion(shipped("cross_attention"))
    taught = dataclasses.replace(
        SETTINGS,
        steps=30,
        batch=2,
        start=str(silent),
        learns="text",
        teacher="cross_attention",
        heard=2.0,
        frames=0,
    )
    out = tmp_path / "run"
    before, after = (load_fusion(path) for path in (silent, fusion.train(dataset, out, taught)))
    rgb, thermal = torch.rand(1, 3, 64, 64), torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        silence = torch.zeros(1, 64)
        assert torch.equal(before.model(rgb, thermal, silence), after.model(rgb, thermal, silence))
        seen = (model.encode(rgb, thermal) for model in (before.model, after.model))
        assert all(map(torch.equal, *seen))
    assert torch.equal(after.model.guidance.linear.weight, teacher.model.guidance.linear.weight)
    vectors = np.eye(len(NOUNS), 512, dtype=np.float32)
    pair = data.PairSampler(data.load_pairs(dataset), (NOUNS, vectors), 64, 0).batch(0, 2)
    words = torch.from_numpy(vectors[:2])[None]
    nothing = on_device(pair.part(range(0)))

    def heard(model):
        model.guidance.load_state_dict(teacher.model.guidance.state_dict())
        found = hearing_terms(model, teacher.model, on_device(pair), nothing, words, taught)
        return float(found["heard"].detach())

    assert heard(after.model) < heard(before.model)
    assert heard(teacher.model) == pytest.approx(0, abs=1e-4)
    for wrong in ({"learns": "all"}, {"teacher": ""}):
        with pytest.raises(InputError, match="--heard"):
            fusion.train(dataset, tmp_path / "wrong", dataclasses.replace(taught, **wrong))


def test_frames_of_clips_are_pairs_that_nobody_has_labelled(tmp_path):
    for folder in ("visible", "infrared"):
        (tmp_path / "video" / folder).mkdir(parents=True)
        path = str(tmp_path / "video" / folder / "walk.mp4")
        film = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"mp4v"), 30, (64, 48))
        for level in (0, 60, 120, 180, 240):
            film.write(np.full((48, 64, 3), level + 10 * (folder == "infrared"), np.uint8))
        film.release()
    first, second, third = data.load_frames(tmp_path, 2)
    assert second.rgb.shape == (48, 64, 3)
    assert second.thermal.shape == (48, 64)
    assert (np.median(second.rgb), np.median(second.thermal)) == pytest.approx((120, 130), abs=4)
    assert first.rgb.max() < 60
    assert third.rgb.min() > 200
    assert first.name.startswith("m3svd")
    assert not any(object_data.certain(o) for o in first.objects)
    assert first.objects[0].box == (0, 0, 64, 48)
    assert data.load_frames(tmp_path / "nothing", 2) == []


def test_missing_data_is_named(tmp_path):
    with pytest.raises(InputError, match="clip_text"):
        fusion.train(tmp_path, tmp_path / "out", SETTINGS)


def test_batches_repeat_and_text_names_what_is_boosted(dataset):
    pairs = data.load_pairs(dataset)
    vectors = np.eye(len(NOUNS), 512, dtype=np.float32)
    sampler = data.PairSampler(pairs, (NOUNS, vectors), 64, seed=3)
    again = data.PairSampler(pairs, (NOUNS, vectors), 64, seed=3)
    boosted = 0
    for step in range(40):
        batch = sampler.batch(step, 1)
        for mine, other in zip(vars(batch).values(), vars(again.batch(step, 1)).values(), strict=True):
            np.testing.assert_array_equal(mine, other)
        assert batch.rgb.shape == (1, 3, 64, 64)
        if batch.boost.any():
            boosted += 1
            assert batch.text[0, 0] > 0.1  # the person's own coordinate
        if not batch.text.any():
            assert not batch.boost.any()
    assert boosted > 3


def test_losses_know_good_from_bad():
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.rand((1, 1, 64, 64), generator=generator) for _ in range(2))
    assert losses.ssim(a, a).item() == pytest.approx(1, abs=1e-4)
    assert losses.ssim(a, b).item() < 0.2
    assert losses.visual_information(a, a).item() == pytest.approx(1, abs=0.02)
    assert losses.visual_information(a, b).item() < 0.2
    assert losses.correlation(a, 2 * a + 1).item() == pytest.approx(1, abs=1e-3)
    assert losses.difference_correlation(a + b, a, b).item() == pytest.approx(2, abs=1e-3)
    flat = torch.full_like(a, 0.5)
    assert torch.isfinite(losses.difference_correlation(flat, flat, flat)).all()


def test_strongest_gradient_takes_the_steeper_source_with_its_sign():
    ramp = torch.linspace(0, 1, 32)[None, None, None, :].expand(1, 1, 32, 32)
    gradient = losses.strongest_gradient(-2 * ramp, ramp)
    torch.testing.assert_close(gradient, losses.gradients(-2 * ramp))
