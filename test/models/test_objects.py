import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.models.checkpoint import load_fusion, load_objects, save_objects, shipped
from thermal_fusion_ros.models.guidance import CODE_DIM
from thermal_fusion_ros.models.objects import CLASSES, LEAST_PX, OVERLAP, STRIDE, ObjectHead, decode
from thermal_fusion_ros.training.data import load_pairs
from thermal_fusion_ros.training.stages.objects import detect


def head(seed=0):
    """A network that has seen something: it finds a few things in noise."""
    torch.manual_seed(seed)
    network = ObjectHead().eval()
    with torch.no_grad():
        network.what.weight.normal_(std=0.5)
        network.what.bias.zero_()
        network.where.weight.normal_(std=0.05)
    return network


def features(height=96, width=128, batch=1):
    generator = torch.Generator().manual_seed(1)
    return [
        torch.randn((batch, channels, height // stride, width // stride), generator=generator)
        for channels, stride in ((32, 4), (64, 8), (96, 16))
    ]


def test_a_grid_of_stride_8_for_every_class():
    scores, edges = head()(features(batch=2))
    assert scores.shape == (2, len(CLASSES), 12, 16)
    assert edges.shape == (2, 4, 12, 16)
    assert scores.min() >= 0
    assert scores.max() <= 1
    assert edges.min() > 0


def test_only_peaks_are_left():
    network = head()
    scores, _ = network(features())
    logits, _ = network.predict(features())
    full = torch.sigmoid(logits)[0].detach().numpy()
    kept = scores[0].detach().numpy()
    assert 0 < (kept > 0).sum() < 0.3 * kept.size
    for label, row, column in np.argwhere(kept > 0):
        around = full[label, max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
        assert kept[label, row, column] == full[label, row, column]
        assert full[label, row, column] >= 0.99 * around.max()


def test_cost_and_size():
    network = ObjectHead().eval()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(features(480, 640))
    assert counter.get_total_flops() < 2.3e9
    assert sum(p.numel() for p in network.parameters()) < 0.8e6


def test_what_is_said_does_not_change_what_is_found():
    fusion = load_fusion(shipped("cross_attention")).model
    generator = torch.Generator().manual_seed(0)
    rgb, thermal = torch.rand((1, 3, 96, 128), generator=generator), torch.rand((1, 1, 96, 128))
    with torch.inference_mode():
        silent, spoken = (
            fusion.fuse(rgb, thermal, code)
            for code in (torch.zeros(1, CODE_DIM), torch.randn((1, CODE_DIM), generator=generator))
        )
    assert not torch.equal(silent[0], spoken[0])
    for one, other in zip(silent[2], spoken[2], strict=True):
        assert torch.equal(one, other)


def test_decode_against_brute_force():
    rng = np.random.default_rng(4)
    scores = rng.random((len(CLASSES), 9, 11)).astype(np.float32)
    scores[rng.random(scores.shape) < 0.9] = 0
    edges = rng.uniform(0.3, 4, (4, 9, 11)).astype(np.float32)
    expected = []
    cells = [tuple(c) for c in np.argwhere(scores >= 0.3)]
    for label, row, column in sorted(cells, key=lambda c: -scores[c]):
        left, top, right, bottom = edges[:, row, column]
        x, y = STRIDE * (column + 0.5), STRIDE * (row + 0.5)
        box = (x - STRIDE * left, y - STRIDE * top, x + STRIDE * right, y + STRIDE * bottom)
        box = tuple(np.clip(box, 0, (85, 70, 85, 70)))
        if min(box[2] - box[0], box[3] - box[1]) < LEAST_PX:
            continue
        if all(other != CLASSES[label] or overlap(box, b) <= OVERLAP for other, b, _ in expected):
            expected.append((CLASSES[label], box, scores[label, row, column]))
    got = decode(scores, edges, (70, 85), threshold=0.3, most=1000)
    assert len(cells) > len(got) == len(expected) > 10
    for mine, wanted in zip(got, expected, strict=True):
        assert mine[0] == wanted[0]
        assert mine[2] == pytest.approx(wanted[2])
        np.testing.assert_allclose(mine[1], wanted[1], rtol=1e-4)


def overlap(a, b):
    wide = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    high = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    shared = wide * high
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def test_decode_is_bounded_and_knows_nothing():
    scores, edges = np.full((7, 20, 20), 0.9, np.float32), np.ones((4, 20, 20), np.float32)
    assert len(decode(scores, edges, (160, 160), most=10)) <= 10
    assert decode(np.zeros((7, 20, 20), np.float32), edges, (160, 160)) == []


def test_half_precision_is_close_to_float():
    """Before peaks are picked: which of two equals is the peak may differ."""
    network = head(3)
    with torch.inference_mode():
        logits, edges = network.predict(features())
        with torch.autocast("cpu", torch.bfloat16):
            rough_logits, rough_edges = network.predict(features())
    difference = (torch.sigmoid(rough_logits.float()) - torch.sigmoid(logits)).abs()
    assert difference.mean() < 0.01
    assert difference.max() < 0.1
    assert (rough_edges.float() / edges).log().abs().max() < 0.05


def test_weights_survive_the_disk(tmp_path):
    network = head()
    path = tmp_path / "objects.safetensors"
    save_objects(path, network, "digest", {"step": 1})
    loaded = load_objects(path)
    assert loaded.fusion == "digest"
    for one, other in zip(loaded.model.predict(features()), network.predict(features()), strict=True):
        torch.testing.assert_close(one, other, atol=2e-2, rtol=1e-2)


def test_other_weights_are_refused_by_name():
    with pytest.raises(InputError, match="depth"):
        load_objects(shipped("depth_fused"))


def test_shipped_weights_belong_to_the_shipped_fusion():
    assert load_objects(shipped("objects")).fusion == load_fusion(shipped("cross_attention")).digest


@pytest.mark.parametrize("name", ["msrs_00024N", "roadscene_FLIR_05697"])
def test_shipped_weights_find_people(shared_data, name):
    """By night and by day, in pictures that no training has seen."""
    pair = next(p for p in load_pairs(shared_data, "val") if p.name == name)
    fusion, objects = load_fusion(shipped("cross_attention")).model, load_objects(shipped("objects")).model
    people = [d for d in detect(fusion, objects, pair.rgb, pair.thermal) if d.label == "person"]
    labelled = [o.box for o in pair.objects if o.label == "person"]
    assert len(labelled) > 1
    assert all(any(overlap(d.box, box) > 0.5 for d in people) for box in labelled)
    assert len(people) < 2 * len(labelled)
