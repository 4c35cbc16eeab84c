import dataclasses

import cv2
import numpy as np
import pytest
import torch

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.models.checkpoint import load_depth
from thermal_fusion_ros.models.depth import DepthNet, assemble
from thermal_fusion_ros.simulation.dataset import DatasetSpec, SimulatedDataset
from thermal_fusion_ros.training import depth_data, muon
from thermal_fusion_ros.training.data import Labelled
from thermal_fusion_ros.training.stages import depth

TINY = dataclasses.replace(
    depth.DEFAULTS["infrared"],
    steps=4,
    small_steps=2,
    batch=2,
    real=1,
    samples=3,
    obstacles=3,
    facing=2,
    nights=2,
    per_world=12,
    counted=3,
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """One registered pair with two people, one half as far as the other, and a cache for the simulator."""
    root = tmp_path_factory.mktemp("data")
    for folder in ("train/vi", "train/ir", "labels"):
        (root / folder).mkdir(parents=True)
    picture = cv2.resize(np.random.default_rng(0).integers(0, 255, (8, 8, 3), np.uint8), (320, 240))
    cv2.imwrite(str(root / "train/vi/llvip_1.jpg"), picture)
    cv2.imwrite(str(root / "train/ir/llvip_1.jpg"), picture[..., 0])
    (root / "labels/detections.json").write_text(
        '{"train/llvip_1": ['
        '{"label": "person", "score": 0.9, "box": [100, 80, 140, 200], "seen_in": ["thermal"]},'
        '{"label": "person", "score": 0.9, "box": [180, 90, 200, 150], "seen_in": ["thermal"]}]}'
    )
    return root


def test_target_is_in_camera_heights_and_picture_widths():
    """A level road: the depth of a pixel follows from its row alone, whatever the lens and the mounting."""
    for seed in (0, 1):
        spec = DatasetSpec(count=1, seed=seed, worlds=("corridor",), quality="live", conditions=("day",))
        sample = SimulatedDataset(spec)[0]
        wanted = depth_data.target(sample).astype(np.float32)
        known = np.isfinite(wanted)
        again = np.exp(wanted) * sample.camera_height_m * sample.k[0, 0] / 320
        np.testing.assert_allclose(again[known], sample.depth[known], rtol=0.01)


def test_a_crop_is_a_longer_lens():
    images = np.zeros((1, 240, 320, 1), np.uint8)
    targets = np.full((1, 240, 320), 2.0, np.float16)
    sampler = depth_data.DepthSampler(images, targets, [], seed=0)
    values = [float(np.unique(sampler.batch(step, range(1), range(0)).target)[0]) for step in range(20)]
    assert 2 + np.log(depth_data.NARROWEST) - 0.01 <= min(values) < max(values) <= 2.001


def test_a_picture_with_a_larger_share_is_drawn_so_many_times_as_often():
    images = np.arange(3, dtype=np.uint8).reshape(3, 1, 1, 1) * np.ones((1, 240, 320, 1), np.uint8)
    targets = np.arange(3, dtype=np.float16).reshape(3, 1, 1) * 10 * np.ones((1, 240, 320), np.float16)
    sampler = depth_data.DepthSampler(images, targets, [], seed=0, shares=[1, 3, 0])
    drawn = np.concatenate([sampler.batch(step, range(8), range(0)).target[:, 0, 0, 0] for step in range(30)])
    counts = np.bincount(np.rint(drawn / 10).astype(int), minlength=3)
    assert counts[2] == 0
    assert 2 < counts[1] / counts[0] < 4.5


def test_further_worlds_are_none_of_the_others_and_half_of_them_at_night():
    *before, nights = depth.worlds_of(dataclasses.replace(TINY, nights=6))
    assert before == depth.worlds_of(dataclasses.replace(TINY, nights=0))
    assert nights.seed not in {spec.seed for spec in before}
    assert nights.conditions.count(depth.LIT_NIGHT) * 2 == len(nights.conditions)


def test_boxes_follow_the_crop():
    image = np.zeros((240, 320, 1), np.uint8)
    image[80:200, 100:140] = 255
    real = depth_data.RealPicture(image, (Labelled("person", (100, 80, 140, 200)),))
    sampler = depth_data.DepthSampler(
        np.zeros((1, 240, 320, 1), np.uint8), np.zeros((1, 240, 320), np.float16), [real], seed=3
    )
    found = 0
    for step in range(12):
        batch = sampler.batch(step, range(1), range(1))
        for index, x0, y0, x1, y1, metres in batch.boxes:
            shown = batch.shown()[int(index), 0].numpy()
            inside = shown[int(y0) + 2 : int(y1) - 2, int(x0) + 2 : int(x1) - 2].mean()
            assert inside > shown[: max(int(y0) - 3, 1)].mean() + 0.3
            assert metres == 1.7
            found += 1
    assert found > 4


def test_the_last_of_a_batch_are_seen_again_with_a_little_noise():
    images = np.random.default_rng(0).integers(0, 256, (3, 240, 320, 3), np.uint8)
    real = depth_data.RealPicture(images[0], ())
    sampler = depth_data.DepthSampler(images, np.zeros((3, 240, 320), np.float16), [real], seed=1)
    batch = sampler.batch(0, range(2), range(1), twice=2)
    shown = batch.shown()
    assert (len(batch.image), len(batch.target), len(shown)) == (3, 2, 5)
    change = (shown[-2:] - shown[1:3]).abs()
    assert 0 < change.mean() < 4 / 255


def test_parts_of_a_batch_are_those_of_the_whole():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (5, 240, 320, 3), np.uint8)
    person = (Labelled("person", (140, 100, 180, 200)),)
    teacher = rng.normal(size=(2, 240, 320)).astype(np.float16)
    real = [depth_data.RealPicture(image, person, teacher) for image in images]
    targets = rng.normal(size=(5, 240, 320)).astype(np.float16)
    sampler = depth_data.DepthSampler(images, targets, real, seed=1)
    whole = sampler.batch(3, range(4), range(4))
    assert {box[0] for box in whole.boxes} <= set(range(4, 8))
    seeds = set()
    for start in (0, 1):
        part = sampler.batch(3, range(start, 4, 2), range(start, 4, 2))
        np.testing.assert_array_equal(part.image, whole.image[start::2])
        np.testing.assert_array_equal(part.target, whole.target[start::2])
        np.testing.assert_array_equal(part.teacher, whole.teacher[start::2])
        mine = [(4 + start + 2 * (box[0] - 2), *box[1:]) for box in part.boxes]
        assert mine == [box for box in whole.boxes if box[0] % 2 == start]
        seeds.add(part.seed)
    assert len(seeds) == 2  # pictures are exposed in ways of their own
    assert whole.boxes


def test_a_batch_that_processes_cannot_share_names_the_option(root, tmp_path, monkeypatch):
    monkeypatch.setattr("thermal_fusion_ros.training.distributed.size", lambda: 2)
    cache = tmp_path / "simulated"
    for small_steps in (0, 2):
        settings = dataclasses.replace(TINY, small_steps=small_steps, batch=3, real=1)
        with pytest.raises(InputError, match="--real 1: not a multiple of the 2 processes"):
            depth.train(root, tmp_path / "run", settings, cache=cache)
    assert not cache.exists()  # before anything is rendered


def test_a_real_picture_is_mixed_with_another_of_the_same_view():
    dark, light = (np.full((4, 4, 1), v, np.uint8) for v in (0, 200))
    picture = depth_data.RealPicture(dark, (), None, light)
    rng = np.random.default_rng(0)
    seen = {int(depth_data.mixture(picture, rng).max()) for _ in range(40)}
    assert 0 in seen
    assert len(seen) > 10
    assert max(seen) <= 200


def test_unsteady_where_a_little_noise_moves_depth():
    still = torch.zeros(2, 1, 16, 16)
    one_place = still.clone()
    one_place[0, 0, :2, :2] = 0.5
    everywhere = torch.full_like(still, 0.5 * 4 / 512)
    assert depth.unsteadiness(still, still) == 0
    # The same in the mean, but in one place: that is what a robot would stumble over.
    assert depth.unsteadiness(still, one_place) > 5 * depth.unsteadiness(still, everywhere) > 0


def test_labels_say_who_is_nearer():
    """Two people of one height in metres: the smaller one in the picture is farther by that ratio."""
    boxes = ((0.0, 20.0, 20.0, 40.0, 80.0, 1.7), (0.0, 60.0, 30.0, 75.0, 60.0, 1.7))
    flat = torch.full((1, 1, 96, 128), 2.0)
    right = flat.clone()
    right[..., 58:78] += float(np.log(2))
    assert depth.label_loss(right, boxes) < depth.label_loss(flat, boxes) - 0.05


def test_sky_is_only_asked_to_be_far():
    settings = depth.Settings()
    target = torch.full((1, 1, 16, 16), torch.inf)
    near, far = (
        depth.simulated_terms(torch.full_like(target, v), torch.zeros_like(target), target, settings)
        for v in (1.0, 9.0)
    )
    assert near["sky"] > 0.5
    assert far["sky"] == 0
    assert near["logarithm"] == far["logarithm"] == near["relative"] == far["relative"] == 0


def test_of_what_nobody_knows_nothing_is_asked():
    target = torch.full((1, 1, 16, 16), float("nan"))
    log_depth = torch.randn(1, 1, 16, 16, requires_grad=True)
    terms = depth.simulated_terms(log_depth, torch.zeros_like(target), target, depth.Settings())
    sum(terms.values()).backward()
    assert log_depth.grad is not None
    assert not log_depth.grad.any()


def test_where_a_leaf_may_be_near_or_far_it_is_said_to_be_near():
    target = torch.tensor([1.0, 3.0]).reshape(1, 1, 1, 2).repeat(1, 1, 16, 8)  # half of the pixels are far
    at = {
        v: float(
            depth.simulated_terms(
                torch.full_like(target, v), torch.zeros_like(target), target, depth.Settings()
            )["relative"]
        )
        for v in (1.0, 2.0, 3.0)
    }
    assert at[1.0] < at[2.0] < at[3.0]


def test_a_scale_that_adds_much_and_the_next_that_takes_it_away_are_out_of_bounds():
    coarse, zero = torch.full((1, 2, 4, 4), 2.0), torch.zeros(1, 2, 8, 8)

    def excess(*corrections):
        log_depth, log_sigma = assemble([coarse, *corrections])
        return float(depth.beyond_bounds([coarse, *corrections], log_depth, log_sigma - 2.0))

    assert excess(zero, torch.zeros(1, 2, 16, 16)) == 0
    assert excess(zero + 20, torch.full((1, 2, 16, 16), -20.0)) > 30


def test_a_killed_run_resumes_to_the_same_weights(root, tmp_path, monkeypatch):
    cache = root / "simulated"
    whole = depth.train(root, tmp_path / "whole", TINY, cache=cache)
    batch = depth_data.DepthSampler.batch

    def dies_at_3(self, step, *rest):
        if step == 3:
            raise KeyboardInterrupt
        return batch(self, step, *rest)

    monkeypatch.setattr(depth_data.DepthSampler, "batch", dies_at_3)
    depth.train(root, tmp_path / "killed", TINY, cache=cache, stop_at=2)
    with pytest.raises(KeyboardInterrupt):
        depth.train(root, tmp_path / "killed", TINY, cache=cache)
    monkeypatch.undo()
    resumed = depth.train(root, tmp_path / "killed", TINY, cache=cache)
    expected, got = (load_depth(path).model.state_dict() for path in (whole, resumed))
    for name, tensor in expected.items():
        torch.testing.assert_close(got[name], tensor, atol=2e-3, rtol=0)


def test_normalisation_is_measured_with_the_weights_that_are_written(root, tmp_path):
    """Not those of the last batches with weights that were on their way: of a run of four steps they know little."""
    cache = root / "simulated"
    paths = [
        depth.train(root, tmp_path / str(n), dataclasses.replace(TINY, counted=n), cache=cache)
        for n in (0, 3)
    ]
    plain, counted = (load_depth(path).model for path in paths)
    images = torch.rand(4, 1, 48, 64, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.25
    seen = []
    for model in (plain, counted):
        norm = model.down2[1]
        norm.register_forward_hook(lambda _, __, out, kept=seen: kept.append(out.std()))
        with torch.inference_mode():
            model(images)
    assert abs(seen[1].log()) < abs(
        seen[0].log()
    )  # normalised: a spread of about one, the gain of an untrained layer
    torch.testing.assert_close(
        dict(counted.named_parameters()), dict(plain.named_parameters()), atol=2e-2, rtol=2e-2
    )


def test_unknown_spectrum_is_refused(tmp_path):
    with pytest.raises(InputError, match="spectrum 'radar'"):
        depth.train(tmp_path, tmp_path, depth.Settings(spectrum="radar"), cache=tmp_path)


@pytest.mark.parametrize("shape", [(6, 20), (20, 6)])
def test_muon_makes_updates_orthogonal(shape):
    torch.manual_seed(0)
    values = torch.linalg.svdvals(muon.orthogonal(torch.randn(shape)))
    assert values.min() > 0.5
    assert values.max() < 1.5


def test_muon_takes_convolutions_and_leaves_the_rest():
    network = DepthNet(channels=1)
    matrices, rest = muon.split(network)
    assert len(matrices) + len(rest) == len(list(network.parameters()))
    assert all(p.dim() == 4 for p in matrices)
    assert any(p is network.heads[0].weight for p in rest)
