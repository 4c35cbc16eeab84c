"""The made-up clip: deterministic, and each spectrum shows what it should."""

from __future__ import annotations

import numpy as np

from thermal_fusion_ros.bags.source import SECOND_NS
from thermal_fusion_ros.demo.night_street import FPS, HEIGHT, WIDTH, NightStreet
from thermal_fusion_ros.frames import RgbFrame, ThermalFrame, ThermalKind


def test_frames_come_in_registered_pairs() -> None:
    clip = NightStreet(seconds=3 / FPS)
    frames = list(clip)
    assert [type(frame) for frame in frames] == [RgbFrame, ThermalFrame] * 3
    assert clip.frame_count == 6
    assert frames[0].stamp_ns == frames[1].stamp_ns
    assert frames[2].stamp_ns - frames[0].stamp_ns == SECOND_NS // FPS
    assert frames[0].image.shape == (HEIGHT, WIDTH, 3)
    assert frames[1].image.dtype == np.uint16
    assert isinstance(frames[1], ThermalFrame)
    assert frames[1].kind is ThermalKind.COUNTS


def test_same_seed_same_pixels() -> None:
    one, again, other = (list(NightStreet(1 / FPS, seed)) for seed in (3, 3, 4))
    for frame, copy, different in zip(one, again, other, strict=True):
        assert np.array_equal(frame.image, copy.image)
        assert not np.array_equal(frame.image, different.image)


def test_people_are_plain_in_thermal_and_hidden_in_visible() -> None:
    rgb, thermal = list(NightStreet(1 / FPS))
    celsius = thermal.image / 100 - 273.15
    people = (celsius > 24) & (np.arange(HEIGHT)[:, None] > 190)  # heads and hands, no lamps
    assert 200 < people.sum() < 0.05 * people.size
    street = (np.arange(HEIGHT)[:, None] > 260) & np.ones_like(people)
    grey = rgb.image.mean(axis=2)
    assert celsius[people].mean() - celsius[street].mean() > 10
    assert abs(grey[people].mean() - grey[street].mean()) < 40
    assert 20 < grey.mean() < 90  # night, but not black


def test_things_move() -> None:
    frames = [frame.image.astype(float) for frame in NightStreet(31 / FPS) if isinstance(frame, ThermalFrame)]
    assert np.abs(frames[30] - frames[0]).max() > 1000  # more than 10 K somewhere
