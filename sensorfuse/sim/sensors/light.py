"""The light of a scenario: where the sun stands, the colours of sun, sky and haze, and how bright lamps are.

Radiance is linear, in units of 1/255 of what saturates the camera at its base exposure. Towards the horizon sunlight
turns red and the sky keeps its blue (Rayleigh scattering): shade is bluer and sunlit faces are warmer.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sensorfuse.sim.scenario import WeatherConfig

# Places in the light vector. SUN: direction, three numbers, world axes. LAMPS: how much lamps outshine their brightness
# by night. SUN_RGB, SKY_RGB: tint of direct and of scattered light. AIR, ZENITH: radiance of the horizon, also of fog,
# and of the sky above. HALO: radiance around the sun.
SUN, DAYLIGHT, CLEAR_SKY, SHADOWS, LAMPS, WETNESS = 0, 3, 4, 5, 6, 7
SUN_RGB, SKY_RGB, AIR, ZENITH, HALO = 8, 11, 14, 17, 20
SIZE = 23

WARM_BELOW_DEG = 15.0
SHADOWS_BELOW_DEG = 22.0


def light_of(weather: WeatherConfig) -> NDArray[np.float64]:
    """The light vector (SIZE,) of a scenario."""
    light = np.zeros(SIZE)
    day = weather.daylight
    elevation, azimuth = math.radians(weather.sun_elevation_deg), math.radians(weather.sun_azimuth_deg)
    light[SUN : SUN + 3] = (
        math.cos(elevation) * math.cos(azimuth), math.cos(elevation) * math.sin(azimuth), math.sin(elevation),
    )  # fmt: skip
    clear = weather.visibility_m > 2000 and weather.rain_mmph == 0
    warm = day > 0 and clear and min(max((WARM_BELOW_DEG - weather.sun_elevation_deg) / WARM_BELOW_DEG, 0.0), 1.0)
    up = weather.sun_elevation_deg > 0
    dusk = max(1.0 - abs(day - 0.25) / 0.25, 0.0)
    light[DAYLIGHT], light[CLEAR_SKY] = day, 1.0 if clear else 0.3
    light[SHADOWS] = clear and up and day > 0.1 and weather.sun_elevation_deg < SHADOWS_BELOW_DEG
    light[LAMPS] = 0.9 * dusk
    light[WETNESS] = weather.wetness
    sunny = 1.0 if up else 0.0
    if warm or dusk:
        light[SUN_RGB : SUN_RGB + 3] = (1.0 - warm + sunny * warm * np.array([2.7, 1.95, 1.15])) if warm else 1.0
        light[SKY_RGB : SKY_RGB + 3] = 1.0 - 0.3 * warm * np.array([1.0, 0.8, 0.35]) + dusk * np.array([0, 0.08, 0.3])
    else:
        light[SUN_RGB : SUN_RGB + 3] = light[SKY_RGB : SKY_RGB + 3] = 1.0
    tint = 1.0 + dusk * np.array([0.05, 0.12, 0.5]) + (1.0 - dusk) * warm * np.array([0.08, -0.02, -0.16])
    light[AIR : AIR + 3] = (np.array([12.0, 13.0, 18.0]) + np.array([196.0, 205.0, 210.0]) * day) * tint
    light[ZENITH : ZENITH + 3] = (np.array([6.0, 8.0, 16.0]) + np.array([110.0, 150.0, 204.0]) * day) * (
        1.0 + dusk * np.array([0.0, 0.1, 0.4]) - 0.2 * warm * (1.0 - dusk)
    )
    light[HALO : HALO + 3] = warm * math.sqrt(day) * np.array([190.0, 120.0, 30.0])
    return light
