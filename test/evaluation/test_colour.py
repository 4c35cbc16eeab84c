"""Colour shift in known colours."""

from __future__ import annotations

import numpy as np
import pytest

from thermal_fusion_ros.evaluation.colour import chroma_shift


def plain(blue: int, green: int, red: int, side: int = 16) -> np.ndarray:
    return np.full((side, side, 3), (blue, green, red), dtype=np.uint8)


def test_pure_red_against_grey_is_the_chroma_of_red() -> None:
    """sRGB red is L* 53.24, a* 80.09, b* 67.20 (D65)."""
    assert chroma_shift(plain(128, 128, 128), plain(0, 0, 255)) == pytest.approx(
        np.hypot(80.09, 67.20), abs=0.1
    )


def test_brightness_alone_is_no_shift() -> None:
    assert chroma_shift(plain(90, 90, 90), plain(180, 180, 180)) == pytest.approx(0.0, abs=0.05)
    assert chroma_shift(plain(10, 20, 200), plain(10, 20, 200)) == 0.0


def test_a_grey_picture_is_a_colour_picture_without_chroma() -> None:
    visible = plain(30, 90, 200)
    grey = np.full((16, 16), 120, np.uint8)
    assert chroma_shift(grey, visible) == pytest.approx(chroma_shift(plain(120, 120, 120), visible), abs=1e-6)


def test_dark_and_blown_out_ground_does_not_count() -> None:
    visible = plain(0, 0, 255)
    visible[:, :8] = 5  # dark
    visible[:8, 8:] = 255  # blown out
    fused = visible.copy()
    fused[:, :8] = (255, 0, 0)
    fused[:8, 8:] = (0, 255, 0)
    assert chroma_shift(fused, visible) == 0.0
    fused[8:, 8:] = 128
    assert chroma_shift(fused, visible) == pytest.approx(104.5, abs=0.2)


def test_a_picture_without_light_has_no_colour_to_keep() -> None:
    night = plain(20, 20, 20, side=40)
    night[0, :15] = 150  # 15 of 1600 pixels are under one per cent
    assert chroma_shift(night, night) is None
    night[0, :16] = 150
    assert chroma_shift(night, night) == 0.0
