import numpy as np
import pytest

from thermal_fusion_ros.frames import Perception
from thermal_fusion_ros.language.glance import glance
from thermal_fusion_ros.language.scene import SeenObject
from thermal_fusion_ros.language.visibility import look

PERSON = SeenObject("person", (0, 0, 9, 9))


@pytest.mark.parametrize("shape", [(480, 640), (120, 160), (96, 128)])
def test_a_glance_keeps_nothing_of_the_pair_and_sees_what_the_pictures_show(shape):
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 255, (*shape, 3), dtype=np.uint8)
    thermal = rng.integers(0, 255, shape, dtype=np.uint8)
    depth = rng.uniform(4, 6, shape).astype(np.float32)
    depth[: shape[0] // 3] = np.nan
    perception = Perception(7, "cam", rgb, thermal, relative_depth=depth, objects=(PERSON,))
    expected = look(rgb, thermal)
    scene = glance(rgb, perception)
    rgb[:], thermal[:], depth[:] = 0, 0, 0  # the pipeline's memory is used again
    seen = scene()
    assert (seen.stamp_ns, seen.objects, seen.width) == (7, (PERSON,), shape[1])
    assert seen.visibility == expected
    assert seen.median_depth == pytest.approx(5.0, abs=0.3)


def test_without_depth_there_is_no_median():
    picture = np.zeros((48, 64, 3), np.uint8)
    scene = glance(picture, Perception(7, "cam", picture, picture[..., 0]))()
    assert (scene.median_depth, scene.objects) == (None, ())
