"""What a synthetic world is made of: road, traffic, surroundings, weather. Scenario files ship as YAML beside this
module.
"""

from __future__ import annotations

from importlib import resources
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sensorfuse.errors import SensorfuseError

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, le=400)]
Positive = Annotated[float, Field(gt=0)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class RoadConfig(_Model):
    """A closed road with corners. Ranges are (low, high), drawn by the seed."""

    corners: tuple[int, int] = (5, 8)
    radius_m: Positive = 150.0  # of the whole loop, before it is stretched to last two minutes
    corner_radius_m: tuple[float, float] = (16.0, 28.0)
    lanes: Annotated[int, Field(ge=1, le=3)] = 1  # per direction
    lane_width_m: Annotated[float, Field(ge=2.5, le=5)] = 3.5
    median_m: Annotated[float, Field(ge=0)] = 0.0
    speed_mps: tuple[float, float] = (8.0, 12.0)
    stops: Annotated[int, Field(ge=0, le=6)] = 2
    stop_s: tuple[float, float] = (5.0, 8.0)
    slow_places: Annotated[int, Field(ge=0, le=10)] = 3
    urban: bool = True  # pavements and houses; else hard shoulders, guard rails and trees


class TrafficConfig(_Model):
    """How many of each, per lap or per 100 m of road."""

    platoon: tuple[int, int] = (4, 8)  # in the ego lane, ahead and behind
    headway_s: tuple[float, float] = (5.0, 9.0)  # in the other lanes
    emergency_vehicles: tuple[int, int] = (2, 4)
    cyclists_per_100m: tuple[float, float] = (0.5, 1.5)
    pedestrians_per_100m: tuple[float, float] = (3.0, 9.0)
    parked_share: tuple[float, float] = (0.1, 0.35)  # of the parking places
    trucks_share: Share = 0.12  # trucks and buses among vehicles
    horn_period_s: Positive = 60.0  # each vehicle honks about once in this time


class WeatherConfig(_Model):
    """`visibility_m` is the meteorological visibility; `daylight` 1 is noon, 0 is night."""

    visibility_m: Positive = 8000.0
    rain_mmph: Annotated[float, Field(ge=0, le=100)] = 0.0
    daylight: Share = 1.0
    wind_mps: Annotated[float, Field(ge=0, le=40)] = 2.0

    @property
    def extinction_per_m(self) -> float:
        """Of light. Fog: Koschmieder's 3.912 / visibility; rain: Carbonneau's 1.076 R^0.67 dB/km."""
        return 3.912 / self.visibility_m + 1.076 / 4343.0 * self.rain_mmph**0.67


class Scenario(_Model):
    description: str = ""
    road: RoadConfig = RoadConfig()
    traffic: TrafficConfig = TrafficConfig()
    weather: WeatherConfig = WeatherConfig()


def scenarios() -> tuple[str, ...]:
    """Names of the shipped scenarios."""
    files = resources.files("sensorfuse.sim").iterdir()
    return tuple(sorted(f.name.removesuffix(".yaml") for f in files if f.name.endswith(".yaml")))


def load_scenario(name: str) -> Scenario:
    """A shipped scenario by name.

    Raises:
        SensorfuseError: there is no such scenario.
    """
    if name not in scenarios():
        raise SensorfuseError(f"sim.scenario: no scenario is called {name!r}; there are {', '.join(scenarios())}")
    text = (resources.files("sensorfuse.sim") / f"{name}.yaml").read_text(encoding="utf-8")
    try:
        return Scenario.model_validate(yaml.safe_load(text) or {})
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise SensorfuseError(f"scenario {name}: {faults}") from None
