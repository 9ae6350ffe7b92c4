"""Scenario files."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from sensorfuse.errors import SensorfuseError
from sensorfuse.sim.scenario import Scenario, WeatherConfig, load_scenario, scenarios


def test_every_shipped_scenario_loads() -> None:
    assert {"town", "town_fog", "town_night", "highway"} <= set(scenarios())
    for name in scenarios():
        assert load_scenario(name).description


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(SensorfuseError, match=r"mars.*highway.*town"):
        load_scenario("mars")


def test_unknown_keys_and_impossible_weather_are_refused() -> None:
    with pytest.raises(ValidationError):
        Scenario.model_validate({"wheather": {}})
    with pytest.raises(ValidationError):
        WeatherConfig(visibility_m=0)


def test_visibility_is_where_contrast_falls_to_two_percent() -> None:
    import math

    assert math.exp(-WeatherConfig(visibility_m=60).extinction_per_m * 60) == pytest.approx(0.02, rel=0.01)
