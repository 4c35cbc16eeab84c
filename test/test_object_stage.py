import numpy as np
import pytest

from thermal_fusion_ros.config import ObjectsConfig
from thermal_fusion_ros.detections import Detection
from thermal_fusion_ros.frames import Perception
from thermal_fusion_ros.geometry.object_depth import BOX_SIGMA, brought_nearer
from thermal_fusion_ros.geometry.scale import MetricScale
from thermal_fusion_ros.geometry.scale_readings import depth_by_height
from thermal_fusion_ros.models.objects import CLASSES, STRIDE
from thermal_fusion_ros.object_stage import detect, place
from thermal_fusion_ros.sensing.camera import CameraModel

H, W = 96, 128
PERSON = Detection("person", (40.0, 16.0, 56.0, 64.0), 0.9)
CAMERA = CameraModel(W, H, np.array([[100.0, 0, 63.5], [0, 100, 47.5], [0, 0, 1]]))


def outputs(label, row, column, edges, score=0.9):
    """What the graph says of one object whose middle is in that cell."""
    scores = np.zeros((H // STRIDE, W // STRIDE, len(CLASSES)), np.float32)
    scores[row, column, CLASSES.index(label)] = score
    sides = np.ones((H // STRIDE, W // STRIDE, 4), np.float32)
    sides[row, column] = edges
    return {"scores": scores, "edges": sides}


def perception(scale=None, sigma=0.1):
    thermal = np.full((H, W), 60, np.uint8)
    thermal[16:64, 40:56] = 200
    depth = np.full((H // 2, W // 2), 10.0, np.float32)
    depth[8:32, 20:28] = 2.0
    result = Perception(1, "cam", np.zeros((H, W, 3), np.uint8), thermal)
    result.relative_depth, result.depth_sigma = depth, np.full_like(depth, sigma)
    result.scale = scale
    return result


def test_a_cell_becomes_a_box_in_pixels():
    (found,) = detect(outputs("car", 5, 6, (2, 1, 3, 1.5)), H, W, ObjectsConfig())
    assert found.label == "car"
    assert found.box == pytest.approx((6.5 * 8 - 16, 5.5 * 8 - 8, 6.5 * 8 + 24, 5.5 * 8 + 12))
    assert found.score == pytest.approx(0.9)


def test_boxes_end_at_the_picture_and_what_lies_in_the_padding_is_left_out():
    (cut,) = detect(outputs("car", 0, 0, (3, 3, 2, 2)), H, W, ObjectsConfig())
    assert cut.box[:2] == (0, 0)
    assert detect(outputs("car", 5, 15, (0.5, 1, 1, 1)), H, W - 10, ObjectsConfig()) == []


def test_the_score_that_is_believed_is_a_parameter():
    weak = outputs("person", 4, 4, (1, 3, 1, 3), score=0.45)
    assert detect(weak, H, W, ObjectsConfig(min_score=0.4))
    assert not detect(weak, H, W, ObjectsConfig(min_score=0.5))


def test_objects_get_metres_bearing_and_heat():
    result = perception(MetricScale(1.5, 0.05, consistent=True, reason=""))
    place(result, [PERSON], CAMERA, heights=False)
    (person,) = result.objects
    assert person.metric
    assert person.depth == pytest.approx(3.0)
    assert person.sigma == pytest.approx(np.hypot(0.05, 0.1))
    assert person.bearing_deg == pytest.approx(np.degrees(np.arctan2(63.5 - 48, 100)))
    assert person.heat == pytest.approx(140 / 255)
    outline = np.array(person.view) * person.depth
    assert outline[3] - outline[1] == pytest.approx(48 / 100 * 3)


def test_how_tall_people_are_corrects_the_network():
    """48 pixels at 100 per radian: 1.7 m tall is 3.5 m away, whatever the network says."""
    result = perception(MetricScale(2.5, 0.05, consistent=True, reason=""), sigma=0.3)
    place(result, [PERSON], CAMERA)
    (person,) = result.objects
    assert 3.5 < person.depth < 4.0 < 2.0 * 2.5
    assert person.sigma < 0.12
    place(result, [PERSON, Detection("car", (30.0, 40.0, 70.0, 80.0), 0.9)], CAMERA)
    assert result.objects[0].depth == pytest.approx(5.0)  # its legs are hidden: its height says nothing


def test_the_height_of_somebody_who_was_brought_nearer_by_it_counts_once():
    """1.7 m in 48 pixels, of which a box may be a tenth off; the network saw the wall behind."""
    result = perception(MetricScale(2.5, 0.05, consistent=True, reason=""))
    wall = np.full((H // 2, W // 2), 10.0, np.float32)
    result.relative_depth, result.depth_sigma = brought_nearer(
        wall, result.depth_sigma, result.scale.scale, [PERSON], CAMERA
    )
    place(result, [PERSON], CAMERA)
    (person,) = result.objects
    far, sigma = depth_by_height(PERSON, [PERSON], CAMERA)
    assert person.depth == pytest.approx(far)
    assert person.sigma == pytest.approx(np.hypot(sigma, BOX_SIGMA))


def test_without_a_scale_there_are_no_metres_and_without_a_lens_there_still_is_a_side():
    result = perception()
    place(result, [PERSON], None)
    (person,) = result.objects
    assert not person.metric
    assert person.depth == pytest.approx(2.0)
    assert person.bearing_deg > 0
