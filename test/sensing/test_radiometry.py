from __future__ import annotations

import numpy as np
import pytest

from thermal_fusion_ros.errors import InputError
from thermal_fusion_ros.frames import ThermalKind
from thermal_fusion_ros.sensing import radiometry


@pytest.mark.parametrize(
    ("dtype", "declared", "setting", "expected"),
    [
        (np.uint8, ThermalKind.AGC8, "auto", ThermalKind.AGC8),
        (np.uint8, ThermalKind.AGC8, "counts", ThermalKind.COUNTS),
        (np.uint16, ThermalKind.COUNTS, "auto", ThermalKind.COUNTS),
        (np.uint16, ThermalKind.COUNTS, "tlinear", ThermalKind.TLINEAR),
        (np.uint16, ThermalKind.TLINEAR, "auto", ThermalKind.TLINEAR),
        (np.float32, ThermalKind.COUNTS, "tlinear", ThermalKind.TLINEAR),
    ],
)
def test_kind(dtype, declared, setting, expected):
    assert radiometry.resolve_kind(np.zeros((2, 2), dtype), declared, setting) is expected


@pytest.mark.parametrize(
    ("dtype", "setting", "words"),
    [
        (np.uint8, "tlinear", "8-bit.*thermal.kind"),
        (np.uint16, "agc8", "16-bit.*thermal.kind"),
        (np.float32, "auto", "float.*thermal.resolution_k"),
        (np.int32, "auto", "int32.*mono16"),
        (np.dtype(">u2"), "auto", "need uint8, uint16"),
    ],
)
def test_impossible_kinds_name_the_remedy(dtype, setting, words):
    with pytest.raises(InputError, match=words):
        radiometry.resolve_kind(np.zeros((2, 2), dtype), ThermalKind.COUNTS, setting)


@pytest.mark.parametrize(
    ("pixel", "resolution", "offset", "expected"),
    [(29315, 0.01, 0.0, 293.15), (2931, 0.1, 0.0, 293.1), (1200, 0.1, 173.15, 293.15)],
)
def test_kelvin(pixel, resolution, offset, expected):
    out = np.empty((3, 4), np.float32)
    radiometry.kelvin(np.full((3, 4), pixel, np.uint16), resolution, offset, out)
    np.testing.assert_allclose(out, expected, atol=1e-3)


def test_empty_and_saturated_pixels():
    image = np.full((4, 4), 29000, np.uint16)
    assert radiometry.no_temperature(image) == (None, None)
    image[0, 0], image[1, 1] = 0, 65535
    empty, saturated = radiometry.no_temperature(image)
    assert np.argwhere(empty).tolist() == [[0, 0]]
    assert np.argwhere(saturated).tolist() == [[1, 1]]


def test_full_scale_of_14_bits_counts_only_where_it_is_the_largest_value():
    image = np.full((4, 4), 7400, np.uint16)
    image[1, 1] = 16383
    _, saturated = radiometry.no_temperature(image)
    assert np.argwhere(saturated).tolist() == [[1, 1]]
    image[2, 2] = 20000
    assert radiometry.no_temperature(image)[1] is None


def test_float_temperatures_as_counts():
    counts, empty = radiometry.as_counts(np.array([[300.0, np.nan, -4.0, np.inf, 2000.0]], np.float32))
    assert counts[0, 0] == pytest.approx(15000, abs=1)
    assert counts[0, 4] == 65535
    assert empty.tolist() == [[False, True, True, True, False]]
    assert radiometry.as_counts(np.full((2, 2), 300, np.float32))[1] is None


@pytest.mark.parametrize(
    ("kelvin", "plausible"), [(293.0, True), (80.0, False), (2931.0, False), (np.nan, True)]
)
def test_plausible(kelvin, plausible):
    assert radiometry.is_plausible(np.full((32, 32), kelvin, np.float32)) == plausible
