"""Thermal physics: surface temperatures, band radiance, and detector counts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from thermal_fusion_ros.simulation import sky
from thermal_fusion_ros.simulation.conditions import Condition
from thermal_fusion_ros.simulation.lights import switch_table
from thermal_fusion_ros.simulation.materials import MaterialTable
from thermal_fusion_ros.simulation.mesh import F32
from thermal_fusion_ros.simulation.textures import grain, plane_coordinates
from thermal_fusion_ros.simulation.tracing import Surface
from thermal_fusion_ros.simulation.vectors import dot, row_dot

# Band radiance of 8–14 µm in detector counts: S(T) = R / (exp(B/T) - F), the curve FLIR cameras are calibrated with
# (their "Planck constants"); about 55 counts per kelvin at room temperature, 14 bits up to 160 °C.
PLANCK_R, PLANCK_B, PLANCK_F, PLANCK_O = 400_000.0, 1428.0, 1.0, 1500.0
CORE_K = 307.5  # what skin and clothing are pulled towards
AIR_EXTINCTION = 0.0006  # per metre in 8–14 µm, clear air at mid-latitude humidity


def signal(kelvin: NDArray[np.floating] | float) -> F32:
    """Band radiance in counts (without offset) of a black body."""
    return np.asarray(PLANCK_R / (np.exp(PLANCK_B / np.asarray(kelvin, np.float32)) - PLANCK_F), np.float32)


def kelvin_of_signal(counts: NDArray[np.floating]) -> F32:
    """Temperature of the black body with this band radiance; inverse of :func:`signal`."""
    return np.asarray(PLANCK_B / np.log(PLANCK_R / np.maximum(counts, 1.0) + PLANCK_F), np.float32)


def kelvin_of_counts(image: NDArray[np.integer]) -> F32:
    """Apparent temperature of raw 16-bit counts: the published conversion."""
    return kelvin_of_signal(np.asarray(image, np.float32) - np.float32(PLANCK_O))


def surface_temperature(s: Surface, table: MaterialTable, c: Condition, sunlit: F32, indoor: bool) -> F32:
    """True surface temperature in kelvin of N points.

    `sunlit` (0..1) is the share of sunlight over the last half hour. Thin, dark things follow the sun; heavy things
    keep what they got; what faces a clear sky cools; bodies and engines add their own heat.
    """
    # All that depends on the material alone is worked out per material, not per pixel.
    air = c.interior_k if indoor else c.air_k
    on = np.where(table.emission.max(1) > 0, np.minimum(switch_table(c)[table.switch], 1.0), 1.0)
    base = air + table.heat * on + table.body * (CORE_K - air)
    if indoor:
        base -= np.where(table.interior > 0, 0.6, 0.0)
    else:
        base += c.stored_k * table.inertia**1.5 + table.interior * (c.interior_k - air)
    material = s.material
    out: F32 = np.take(base.astype(np.float32), material)
    if indoor:
        out += 0.3 * (s.position[:, 2] - 1.2)  # warm air rises
    else:
        up = np.maximum(s.normal[:, 2], 0)
        soak = c.sun_heating_k * table.absorptivity
        cooling = (air - c.sky_k) * 0.11 * (1 - 0.75 * table.inertia) - 0.08 * soak
        out -= np.take(cooling.astype(np.float32), material) * up
        if c.sun_heating_k > 0.5:
            thin = np.take(table.translucency, material)
            facing = np.maximum(dot(s.normal, c.sun_direction), 0) * (1 - thin) + 0.4 * thin
            heating = (soak * (1 - 0.4 * table.inertia)).astype(np.float32)
            out += np.take(heating, material) * sunlit * facing
    warm = np.flatnonzero(s.heat)
    if len(warm):
        alive = table.body[material[warm]] > 0
        out[warm] += s.heat[warm] * np.where(alive, np.clip((CORE_K - air) / 15, 0.1, 1.2), 1.0)
    u, v = plane_coordinates(s.local, s.true_normal)
    rough = grain(u, v, s.distance * np.float32(0.002), 1)
    rough *= np.take(
        ((0.12 if indoor else 0.25) * (0.4 + 2.0 * table.grain[:, 0])).astype(np.float32), material
    )
    return out + rough


def apparent_signal(s: Surface, kelvin: F32, table: MaterialTable, c: Condition, indoor: bool) -> F32:
    """Radiance leaving N surfaces towards the viewer, in counts: own emission plus what they mirror."""
    cosine = np.clip(-row_dot(s.normal, s.direction), 0, 1)
    emissivity = np.take(table.emissivity, s.material) * (1 - 0.8 * (1 - cosine) ** 5)
    if indoor:
        around: F32 = np.full(1, c.interior_k, np.float32)
    else:
        mirrored = s.direction + 2 * cosine[:, None] * s.normal
        mirrored[:, 2] -= 0.15  # houses and trees stand before the low sky
        around = sky.temperature(mirrored, c, 0.0, detail=False)
    return emissivity * signal(kelvin) + (1 - emissivity) * signal(around)
