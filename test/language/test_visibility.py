import json

import cv2
import numpy as np
import pytest

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.language import visibility
from thermal_fusion_ros.simulation.dataset import DatasetSpec, SimulatedDataset


def scene(light=1.0):
    """Blocks of many colours and temperatures, lit evenly."""
    random = np.random.default_rng(5)
    gray = random.integers(20, 235, (12, 16, 1))
    coarse = np.clip(gray + random.integers(-15, 15, (12, 16, 3)), 0, 255).astype(np.uint8)
    rgb = cv2.resize(coarse, (320, 240), interpolation=cv2.INTER_NEAREST).astype(np.float32) * light
    thermal = cv2.resize(coarse[..., 1], (320, 240), interpolation=cv2.INTER_LINEAR)
    return rgb.astype(np.uint8), thermal


def test_darkness_and_smoke_are_seen():
    rgb, thermal = scene()
    clear = visibility.look(rgb, thermal)
    assert clear.light[2] < 0.5
    assert sum(clear.light) == pytest.approx(1)
    assert sum(clear.air) == pytest.approx(1)
    assert clear.air[0] > 0.8
    smoky = visibility.look((rgb * 0.12 + 150).astype(np.uint8), thermal)
    assert smoky.air[0] < 0.3
    dark = visibility.look(scene(0.12)[0], thermal)
    assert dark.light[2] > 0.8
    assert dark.luma < clear.luma


def test_size_of_the_pictures_matters_little():
    rgb, thermal = scene()
    twice = visibility.measure(
        np.repeat(np.repeat(rgb, 2, 0), 2, 1), np.repeat(np.repeat(thermal, 2, 0), 2, 1)
    )
    np.testing.assert_allclose(twice, visibility.measure(rgb, thermal), atol=0.05)


def test_flat_pictures_are_no_trouble():
    for value in (0, 128, 255):
        flat = np.full((48, 64), value, np.uint8)
        assert np.isfinite(visibility.measure(np.dstack([flat] * 3), flat)).all()


def test_sizes_must_agree():
    with pytest.raises(InputError, match="one size"):
        visibility.look(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5), np.uint8))


def test_the_fitted_table_fits_the_code():
    table = json.loads(visibility.MODEL.read_text())
    assert tuple(table["measures"]) == visibility.MEASURES
    for name, classes in (("light", visibility.LIGHT), ("air", visibility.AIR)):
        assert np.shape(table[name]["weight"]) == (len(visibility.MEASURES), len(classes))


@pytest.mark.parametrize(
    ("condition", "light", "clear"), [("day", "day", True), ("night+smoke", "night", False)]
)
def test_simulated_conditions(condition, light, clear):
    spec = DatasetSpec(
        count=2, width=160, height=120, worlds=("street",), conditions=(condition,), variety=0.0, split="val", seed=2
    )  # fmt: skip
    sample = SimulatedDataset(spec)[1]
    counts = sample.counts.astype(np.float32)
    thermal = np.clip((counts - counts.min()) / np.ptp(counts) * 255, 0, 255).astype(np.uint8)
    seen = visibility.look(sample.rgb, thermal)
    assert visibility.LIGHT[int(np.argmax(seen.light))] == light
    assert (seen.air[0] > 0.5) == clear
