"""Scenario files."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from sensorfuse.errors import SensorfuseError
from sensorfuse.rig import Rig, load_rig
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


def test_a_file_is_taken_by_its_path_and_its_faults_have_lines(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("weather: {rain_mmph: 7}\n")
    assert load_scenario(str(file)).weather.rain_mmph == 7
    file.write_text("description: wet\nweather:\n  rain: 7\n")
    with pytest.raises(SensorfuseError, match=r"mine.yaml:3: weather.rain: unknown key"):
        load_scenario(str(file))
    with pytest.raises(SensorfuseError, match=r"none.yaml: no such scenario file; shipped scenarios: .*town"):
        load_scenario(str(tmp_path / "none.yaml"))


def test_a_rig_finds_its_scenario_file_from_its_own_folder(synthetic_rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "worlds").mkdir()
    (tmp_path / "worlds" / "mine.yaml").write_text("description: mine\n")
    text = synthetic_rig.to_yaml().replace("seed: 6", "seed: 6\n  scenario: worlds/mine.yaml")
    (tmp_path / "rig.yaml").write_text(text)
    sim = load_rig(tmp_path / "rig.yaml").sim
    assert sim is not None
    assert load_scenario(sim.scenario).description == "mine"
