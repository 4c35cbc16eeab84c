import numpy as np
import pytest

from thermal_fusion_ros.simulation import conditions, heat, sensors
from thermal_fusion_ros.simulation.renderer import Renderer

from .scenes import WALL_M, bare_world, looking_ahead, pinhole


def test_counts_and_kelvin_are_each_others_inverse():
    kelvin = np.linspace(230, 400, 50)
    assert heat.kelvin_of_signal(heat.signal(kelvin)) == pytest.approx(kelvin, abs=0.01)
    counts = np.rint(heat.signal(kelvin) + heat.PLANCK_O).astype(np.uint16)
    assert np.abs(heat.kelvin_of_counts(counts) - kelvin).max() < 0.05
    assert counts.max() < 2**14


def test_a_black_wall_reads_its_own_temperature_through_the_whole_camera():
    world = bare_world(
        wall="wall", emissivity=1.0, inertia=0.0, interior=0.0, grain=(0.0, 0.0, 0.0), heat=15.0
    )
    night = conditions.parse("night")
    view = Renderer(world, night).view(pinhole(), looking_ahead(), 0.0)
    picture = view.thermal()
    middle = (slice(10, 26), slice(20, 76))
    assert picture.temperature_k[middle] == pytest.approx(night.air_k + 15.0, abs=0.5)
    sensor = sensors.ThermalSensor(72, 96, pattern=0.0, netd_k=0.0)
    read = heat.kelvin_of_counts(sensor.read(picture.signal, 0.0, np.random.default_rng(0)))
    # The 8 m of colder air in between take 0.07 K of it.
    assert (read - picture.temperature_k)[middle].mean() == pytest.approx(-0.07, abs=0.03)


def test_air_pulls_what_is_far_away_towards_its_own_temperature():
    world = bare_world(
        wall="wall", emissivity=1.0, inertia=0.0, interior=0.0, grain=(0.0, 0.0, 0.0), heat=40.0
    )
    picture = Renderer(world, conditions.parse("night")).view(pinhole(), looking_ahead(), 0.0).thermal()
    surface = float(heat.signal(picture.temperature_k[20, 48]))
    air = float(heat.signal(conditions.parse("night").air_k))
    passed = (float(picture.signal[20, 48]) - air) / (surface - air)
    assert passed == pytest.approx(np.exp(-heat.AIR_EXTINCTION * WALL_M), rel=2e-3)


def test_shiny_metal_shows_the_cold_sky_and_not_itself():
    shiny = bare_world(wall="wall", emissivity=0.3)
    black = bare_world(wall="wall", emissivity=1.0)
    night = conditions.parse("night")
    pose = looking_ahead()
    seen = [Renderer(w, night).view(pinhole(), pose, 0.0).thermal().signal[5, 48] for w in (shiny, black)]
    assert heat.kelvin_of_signal(seen[0]) < heat.kelvin_of_signal(seen[1]) - 3


def test_the_sun_warms_what_it_shines_on_and_the_night_does_not():
    from dataclasses import replace

    world = bare_world()
    day = replace(conditions.parse("day"), sun_azimuth=180.0)  # behind the camera: the wall is lit
    shade = replace(day, sun_azimuth=0.0)  # behind the wall
    kelvin = [
        Renderer(world, c).view(pinhole(), looking_ahead(), 0.0).thermal().temperature_k[20, 48]
        for c in (day, shade)
    ]
    assert kelvin[0] > kelvin[1] + 3


def test_fixed_pattern_grows_until_the_shutter_event_and_noise_has_the_stated_size():
    flat = np.full((64, 80), float(heat.signal(295.0)), np.float32)
    clean = sensors.ThermalSensor(64, 80, netd_k=0.0)
    spread = [clean.read(flat, s, np.random.default_rng(0)).std() for s in (0.0, 30.0, 90.0)]
    assert spread[0] < spread[1] < spread[2]
    noisy = sensors.ThermalSensor(64, 80, netd_k=0.1, pattern=0.0)
    one, two = (noisy.read(flat, 0.0, np.random.default_rng(k)).astype(float) for k in (1, 2))
    kelvin = (one - two).std() / np.sqrt(2) / 55.0
    assert kelvin == pytest.approx(0.1, rel=0.1)
