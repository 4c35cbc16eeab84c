import json

import numpy as np
import pytest

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.language import visibility
from thermal_fusion_ros.simulation.dataset import DatasetSpec, SimulatedDataset


def render(condition):
    """A street of the held-out worlds and its thermal display."""
    spec = DatasetSpec(
        count=2, width=160, height=120, seed=2, split="val", quality="live", variety=0.0,
        worlds=("street",), conditions=(condition,),
    )  # fmt: skip
    sample = SimulatedDataset(spec)[1]
    counts = sample.counts.astype(np.float32)
    return sample.rgb, np.clip((counts - counts.min()) / np.ptp(counts) * 255, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def day():
    return render("day")


def test_a_clear_day(day):
    seen = visibility.look(*day)
    assert sum(seen.light) == pytest.approx(1)
    assert sum(seen.air) == pytest.approx(1)
    assert seen.light[0] > 0.8
    assert seen.air[0] > 0.8


def test_a_veil_that_thermal_sees_through(day):
    rgb, thermal = day
    assert visibility.look((rgb * 0.15 + 120).astype(np.uint8), thermal).air[0] < 0.3


def test_night_and_smoke():
    seen = visibility.look(*render("night+smoke"))
    assert seen.light[2] > 0.8
    assert seen.air[0] < 0.3


def test_size_of_the_pictures_matters_little(day):
    rgb, thermal = day
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
