"""What a camera may make of a view, and batches that other threads make."""

import threading

import cv2
import numpy as np
import pytest
import torch

from thermal_fusion_ros.training import exposure
from thermal_fusion_ros.training.prefetch import Prefetched

PICTURES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (64, 3, 24, 32), np.uint8))


def test_pictures_are_exposed_each_in_its_own_way_and_again_the_same():
    first, again, other = (exposure.exposed(PICTURES, np.random.default_rng(s)) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == PICTURES.shape
    assert 0 <= float(first.min()) < float(first.max()) <= 1
    plain = PICTURES / 255
    grey = (first[:, 0] == first[:, 1]).flatten(1).all(1).float().mean()
    assert 0.03 < grey < 0.35
    brightness = (first.mean((1, 2, 3)) / plain.mean((1, 2, 3))).numpy()
    assert brightness.std() > 0.1
    assert (np.abs(brightness - 1) < 0.01).mean() < 0.5  # most are brighter or darker


def test_blur_is_that_of_opencv():
    sigma = np.array([0.5, 1.2])
    got = exposure.blurred(PICTURES[:2].float(), sigma)
    for picture, blurred, s in zip(PICTURES[:2], got, sigma, strict=True):
        wanted = cv2.GaussianBlur(picture.permute(1, 2, 0).numpy().astype(np.float32), (11, 11), float(s))
        np.testing.assert_allclose(blurred.permute(1, 2, 0), wanted, atol=1e-2)


def test_noise_is_as_strong_as_asked():
    drawn = exposure.noise(torch.zeros(2, 3, 64, 64), np.array([0.0, 0.1]), np.random.default_rng(0))
    assert drawn[0].abs().max() == 0
    assert float(drawn[1].std()) == pytest.approx(0.1, rel=0.05)


def test_batches_made_by_other_threads_are_the_same_from_any_step_on():
    elsewhere = Prefetched(lambda step: (step, threading.get_ident()), 9, 2)
    for step in (0, 1, 2, 6, 7, 8):  # a jump: a run that is taken up
        made, thread = elsewhere(step)
        assert made == step
        assert thread != threading.get_ident()
    assert Prefetched(lambda _: threading.get_ident(), 9, 0)(0) == threading.get_ident()


def test_a_batch_that_cannot_be_made_is_an_error_of_its_own_step():
    def make(step):
        if step == 3:
            raise ValueError("no such picture")
        return step

    batches = Prefetched(make, 9, 2)
    assert [batches(step) for step in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="no such picture"):
        batches(3)
