"""The light of a scenario: neutral by default, warm under a low sun, blue at dusk."""

from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.sim.scenario import WeatherConfig, load_scenario
from sensorfuse.sim.sensors.light import AIR, HALO, SHADOWS, SKY_RGB, SUN, SUN_RGB, ZENITH, light_of
from sensorfuse.sim.sensors.view import is_rich


@pytest.mark.parametrize("name", ["town", "town_rain", "town_night", "town_fog", "highway"])
def test_common_scenarios_have_even_light(name: str) -> None:
    assert not is_rich(light_of(load_scenario(name).weather))


@pytest.mark.parametrize("name", ["town_low_sun", "town_dusk", "town_downpour"])
def test_special_scenarios_have_rich_light(name: str) -> None:
    assert is_rich(light_of(load_scenario(name).weather))


def test_a_low_sun_is_warm_and_its_shade_is_blue() -> None:
    light = light_of(WeatherConfig(sun_elevation_deg=5.0, sun_azimuth_deg=90.0))
    sun, sky = light[SUN_RGB : SUN_RGB + 3], light[SKY_RGB : SKY_RGB + 3]
    assert sun[0] > sun[1] > sun[2]
    assert sky[0] < sky[1] < sky[2]
    assert light[SHADOWS] == 1.0
    assert light[HALO] > 0.0
    np.testing.assert_allclose(light[SUN : SUN + 3], [0, np.cos(np.radians(5)), np.sin(np.radians(5))], atol=1e-12)


def test_dusk_is_darker_and_bluer_than_day() -> None:
    day, dusk = light_of(WeatherConfig()), light_of(load_scenario("town_dusk").weather)
    for place in (AIR, ZENITH):
        assert dusk[place : place + 3].sum() < 0.6 * day[place : place + 3].sum()
        assert dusk[place + 2] / dusk[place] > day[place + 2] / day[place]
