import dataclasses

import cv2
import numpy as np
import pytest
import torch

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.models.checkpoint import load_fusion, load_objects, save_fusion, shipped
from thermal_fusion_ros.models.cross_attention import CrossAttentionFusion
from thermal_fusion_ros.models.objects import CLASSES, STRIDE, ObjectHead, decode
from thermal_fusion_ros.simulation.dataset import Sample
from thermal_fusion_ros.simulation.truth import ObjectTruth
from thermal_fusion_ros.training import loop, muon, object_data
from thermal_fusion_ros.training.data import Labelled, Pair
from thermal_fusion_ros.training.growing import take_up
from thermal_fusion_ros.training.head_likeness import likeness_terms, opinion
from thermal_fusion_ros.training.object_data import ObjectSampler, certain, targets
from thermal_fusion_ros.training.stages import objects

SIZE = (96, 128)
SETTINGS = objects.Settings(steps=60, batch=3, simulated=1)
WARM = (60.0, 20.0, 84.0, 76.0)


def one_person(name="llvip_1", score=0.9, seen_in=("visible", "thermal")):
    """A pair with one warm upright box."""
    x0, y0, x1, y1 = (int(edge) for edge in WARM)
    rgb, thermal = np.full((*SIZE, 3), 60, np.uint8), np.full(SIZE, 40, np.uint8)
    rgb[y0:y1, x0:x1], thermal[y0:y1, x0:x1] = (90, 70, 60), 220
    return Pair(name, rgb, thermal, (Labelled("person", WARM, score, seen_in),))


def sure(count):
    return np.ones(count, bool)


def test_targets_decode_to_the_boxes():
    boxes = np.array([[10, 12, 50, 90], [60, 30, 120, 70], [100, 80, 116, 94]], np.float32)
    labels = ["person", "car", "bicycle"]
    middle, counts, edges, weight = targets(labels, boxes, sure(3), SIZE)
    assert counts.all()
    assert weight.max() == 1
    found = {d[0]: d[1] for d in decode((middle == 1).astype(np.float32), edges, SIZE)}
    assert set(found) == set(labels)
    for label, box in zip(labels, boxes, strict=True):
        np.testing.assert_allclose(found[label], box, atol=1e-3)


def test_what_is_not_sure_is_neither_asked_for_nor_forbidden():
    boxes = np.array([[16, 16, 48, 80], [64, 16, 96, 80]], np.float32)
    middle, counts, _, weight = targets(["person", "person"], boxes, np.array([True, False]), SIZE)
    x, y = 80 // STRIDE, 48 // STRIDE
    assert counts[:, y, x].max() == middle[:, y, x].max() == weight[0, y, x] == 0
    assert counts[0, 6, 4] == middle[0, 6, 4] == 1
    assert counts[:, 0, 0].all()


def test_an_object_outside_the_picture_is_not_asked_for():
    boxes = np.array([[120, 10, 200, 90], [200, 200, 240, 280]], np.float32)
    middle, counts, _, _ = targets(["car", "car"], boxes, sure(2), SIZE)
    assert middle.max() == 0
    assert counts[:, 5, 15].max() == 0
    assert counts[:, 5, :14].all()


@pytest.mark.parametrize(
    ("score", "seen_in", "shown", "believed"),
    [
        (0.6, ("visible",), ("visible", "thermal"), True),
        (0.6, ("visible",), ("thermal",), False),
        (0.42, ("visible",), ("visible", "thermal"), False),
        (0.42, ("visible", "thermal"), ("visible", "thermal"), True),
        (0.0, ("visible", "thermal"), ("visible", "thermal"), False),
    ],
)
def test_which_labels_are_believed(score, seen_in, shown, believed):
    assert certain(Labelled("person", WARM, score, seen_in), shown) is believed


def test_boxes_follow_the_picture():
    sampler = ObjectSampler([one_person()], [], seed=1, size=SIZE)
    found = 0
    for step in range(20):
        batch = sampler.batch(step, 1, 0)
        for _, row, column in np.argwhere(batch.middle[0] == 1):
            left, top, right, bottom = batch.edges[0, :, row, column]
            x0, x1 = STRIDE * (column + 0.5 - left), STRIDE * (column + 0.5 + right)
            y0, y1 = STRIDE * (row + 0.5 - top), STRIDE * (row + 0.5 + bottom)
            heat = batch.thermal[0, 0]
            if heat.std() < 0.05:  # blanked
                continue
            inside = heat[int(y0) + 2 : int(y1) - 2, int(x0) + 2 : int(x1) - 2].mean()
            assert inside > np.median(heat) + 0.1
            found += 1
    assert found > 8


def test_one_picture_is_sometimes_missing_but_never_both():
    sampler = ObjectSampler([one_person()], [], seed=1, size=SIZE)
    blank = []
    for step in range(60):
        batch = sampler.batch(step, 1, 0)
        blank.append((np.ptp(batch.rgb) == 0, np.ptp(batch.thermal) == 0))
    assert (True, False) in blank
    assert (False, True) in blank
    assert (True, True) not in blank


def test_bringing_out_detail_keeps_small_things_and_flattens_wide_ones():
    wide = np.linspace(0.2, 0.8, SIZE[1], dtype=np.float32)[None].repeat(SIZE[0], 0)
    wide[40:44, 60:64] += 0.2
    for seed in range(20):
        shown = object_data.detailed(wide, np.random.default_rng(seed))
        assert shown.dtype == np.float32
        assert shown.min() >= 0
        assert shown.max() <= 1
        small, rise = (
            float(a - b) for a, b in ((shown[42, 62], shown[42, 70]), (shown[10, 90], shown[10, 30]))
        )
        assert small > 0.05
        assert small > 0.7 * rise  # more than before: 0.16 against 0.28


def test_boxes_turn_with_the_picture():
    boxes = np.array([[30, 20, 50, 76], [70, 50, 110, 70]], np.float32)
    thermal = np.zeros(SIZE, np.uint8)
    for x0, y0, x1, y1 in boxes.astype(int).tolist():
        cv2.ellipse(
            thermal, ((x0 + x1) // 2, (y0 + y1) // 2), ((x1 - x0) // 2, (y1 - y0) // 2), 0, 0, 360, 255, -1
        )
    for seed in range(10):
        rgb, heat, moved = object_data.turned(
            thermal[..., None].repeat(3, 2), thermal, boxes, np.random.default_rng(seed)
        )
        np.testing.assert_array_equal(rgb[..., 1], heat)
        _, _, stats, _ = cv2.connectedComponentsWithStats((heat > 140).astype(np.uint8))
        found = sorted([x, y, x + w, y + h] for x, y, w, h, size in stats[1:] if size > 100)
        np.testing.assert_allclose(found, moved, atol=2.5)


def test_pairs_side_by_side_keep_their_labels():
    left = one_person()
    small = Pair(
        "msrs_1",
        left.rgb[::2, ::2],
        left.thermal[::2, ::2],
        (Labelled("person", (30.0, 10.0, 42.0, 38.0), 0.9),),
    )
    both = object_data.beside(left, small)
    assert both.rgb.shape == (*both.thermal.shape, 3) == (SIZE[0], 2 * SIZE[1], 3)
    boxes = np.array([o.box for o in both.objects])
    np.testing.assert_allclose(boxes[1] - boxes[0], [SIZE[1], 0, SIZE[1], 0])
    x0, y0, x1, y1 = boxes[1].astype(int)
    assert both.thermal[y0 + 4 : y1 - 4, x0 + 4 : x1 - 4].min() > 200


def test_the_same_step_gives_the_same_batch():
    sampler = ObjectSampler([one_person()], [one_person("simulated_1")], seed=1, size=SIZE)
    for one, other in zip(
        vars(sampler.batch(3, 2, 1)).values(), vars(sampler.batch(3, 2, 1)).values(), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def truth(transmission, **other):
    """A person in the middle of a picture, seen through this much air."""
    facts = {
        "instance": 1,
        "label": "person",
        "box": (60, 20, 84, 76),
        "pixels": 900,
        "distance_m": 6.0,
        "depth_m": 6.0,
        "nearest_m": 5.8,
        "bearing_deg": 0.0,
        "position_m": (0.0, 0.0, 6.0),
        "transmission": transmission,
        "truncated": False,
        "full_box": (60.0, 20.0, 84.0, 76.0),
        "visible_share": 1.0,
        "moving": True,
        "facts": {},
    }
    return ObjectTruth(**(facts | other))


def rendered(visible, thermal):
    """A registered sample with one object, as either camera sees it."""
    depth, eye = np.full(SIZE, 9, np.float32), np.eye(3)
    labels = np.zeros(SIZE, np.uint16)
    return Sample(
        index=7,
        rgb=np.zeros((*SIZE, 3), np.uint8),
        counts=np.arange(SIZE[0] * SIZE[1], dtype=np.uint16).reshape(SIZE),
        depth=depth,
        instance=labels,
        temperature_k=depth,
        thermal_depth=depth,
        thermal_instance=labels,
        transmission=np.zeros(SIZE, np.uint8),
        objects=(visible,),
        thermal_objects=(thermal,),
        k=eye,
        thermal_k=eye,
        distortion=(),
        thermal_distortion=(),
        thermal_from_rgb=np.eye(4),
        camera_height_m=1.4,
        base_from_rgb=np.eye(4),
        facts={},
    )


def test_what_smoke_hides_is_seen_in_the_thermal_picture_only():
    pair = object_data.simulated_pair(rendered(truth(0.1), truth(0.9)))
    assert pair.thermal.shape == SIZE
    (person,) = pair.objects
    assert person == Labelled("person", (60.0, 20.0, 84.0, 76.0), 1.0, ("thermal",))
    assert certain(person)
    assert not certain(person, ("visible",))


@pytest.mark.parametrize("other", [{"label": "forklift"}, {"visible_share": 0.1}, {"pixels": 9}])
def test_what_is_hardly_there_is_not_believed(other):
    pair = object_data.simulated_pair(rendered(truth(0.9, **other), truth(0.9, **other)))
    assert not certain(pair.objects[0])


def test_training_finds_the_object():
    """A few dozen steps on one scene: the loss falls, and the network says where the warm box is."""
    torch.manual_seed(0)
    sampler = ObjectSampler([one_person()], [one_person("simulated_1")], seed=0, size=SIZE)
    fusion = load_fusion(shipped("cross_attention")).model
    head = ObjectHead()
    steppers = loop.optimisers(head, dataclasses.replace(SETTINGS, learning_rate=3e-3))
    losses = []
    for step in range(40):
        batch = sampler.batch(step, 2, 1)
        features = objects.shared_features(fusion, batch.rgb, batch.thermal)
        loss = sum(objects.loss_terms(opinion(head, features), batch, SETTINGS).values())
        head.zero_grad()
        loss.backward()
        for stepper in steppers:
            stepper.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-8:]) < 0.7 * np.mean(losses[:8])
    assert all(p.grad is None for p in fusion.parameters())


def test_outputs_are_not_made_orthogonal():
    matrices, rest = muon.split(ObjectHead())
    outputs = {len(CLASSES), 4}
    assert all(p.shape[0] not in outputs for p in matrices)
    assert {p.shape[0] for p in rest if p.dim() == 4} == outputs


def test_a_run_sees_worlds_from_eye_level_and_from_above():
    eye_level, above = objects.worlds_of(dataclasses.replace(SETTINGS, samples=7, raised=5))
    assert (eye_level.count, eye_level.raised) == (7, False)
    assert (above.count, above.raised) == (5, True)
    assert objects.worlds_of(dataclasses.replace(SETTINGS, samples=0, raised=0)) == []


def test_a_head_learns_on_other_features_what_another_one_sees(tmp_path):
    """Of labels nothing is asked: what it knows afterwards it has from the teacher alone."""
    torch.manual_seed(0)
    shipped_head, other = load_objects(shipped("objects")), CrossAttentionFusion()
    settings = dataclasses.replace(SETTINGS, teacher="objects", labels=0.0)
    teacher, trunk = objects.load_teacher(settings)
    sampler = ObjectSampler([one_person()], [one_person("simulated_1")], seed=0, size=SIZE)
    head = ObjectHead()
    take_up(head, shipped_head.model.state_dict())
    steppers = loop.optimisers(head, dataclasses.replace(SETTINGS, learning_rate=3e-3))

    def unlike(step):
        batch = sampler.batch(step, 2, 1)
        theirs = opinion(teacher, objects.shared_features(trunk, batch.rgb, batch.thermal))
        mine = opinion(head, objects.shared_features(other, batch.rgb, batch.thermal))
        assert all(abs(float(x)) < 1e-4 for x in likeness_terms(theirs, theirs).values())
        return sum(likeness_terms(mine, theirs).values())

    unseen = range(100, 104)
    with torch.no_grad():
        before = np.mean([float(unlike(step)) for step in unseen])
    for step in range(20):
        head.zero_grad()
        unlike(step).backward()
        for stepper in steppers:
            stepper.step()
    with torch.no_grad():
        assert np.mean([float(unlike(step)) for step in unseen]) < 0.8 * before
    save_fusion(tmp_path / "f.safetensors", other, ["person"], np.eye(1, 512, dtype=np.float32), {})
    with pytest.raises(InputError, match="--teacher-fusion"):
        objects.load_teacher(dataclasses.replace(settings, teacher_fusion=str(tmp_path / "f.safetensors")))
    with pytest.raises(InputError, match="--teacher"):
        objects.train(tmp_path, tmp_path, dataclasses.replace(SETTINGS, every=8), cache=tmp_path)
