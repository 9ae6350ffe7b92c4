"""What a synthetic world is made of: road, traffic, surroundings, weather. Shipped ones are the YAML files of
`sensorfuse.sim.scenarios`.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from sensorfuse.errors import SensorfuseError
from sensorfuse.rig import is_scenario_file
from sensorfuse.sim.devices.device_config import DeviceConfig
from sensorfuse.yaml_model import YamlModel, key_fault, parse_model, read_text

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, le=400)]
Positive = Annotated[float, Field(gt=0)]


class RoadConfig(YamlModel):
    """A closed road with corners. Ranges are (low, high), drawn by the seed."""

    corners: tuple[int, int] = (5, 8)
    radius_m: Positive = 150.0  # of the whole loop, before it is stretched to last two minutes
    corner_radius_m: tuple[float, float] = (16.0, 28.0)
    lanes: Annotated[int, Field(ge=1, le=3)] = 1  # per direction
    lane_width_m: Annotated[float, Field(ge=2.5, le=5)] = 3.5
    median_m: Annotated[float, Field(ge=0)] = 0.0
    speed_mps: tuple[float, float] = (8.0, 12.0)
    stops: Annotated[int, Field(ge=0, le=6)] = 2  # where there are no crossings
    stop_s: tuple[float, float] = (5.0, 8.0)
    slow_places: Annotated[int, Field(ge=0, le=10)] = 3
    urban: bool = True  # pavements and houses; else hard shoulders, guard rails and trees
    crossings: Annotated[int, Field(ge=0, le=4)] = 0  # side roads with traffic lights and zebra crossings
    bumps: Annotated[int, Field(ge=0, le=20)] = 0  # speed bumps per lap
    roughness_mm: Annotated[float, Field(ge=0, le=30)] = 0.0  # standard deviation of the surface's height
    tyre_noise: Share = 0.0  # of the ego car: amplitude 1 m from a tyre at 10 m/s, of a microphone's full scale


class EgoConfig(YamlModel):
    """What carries the sensors. A `car` follows its lane, on springs if `suspension`; `handheld` is carried along the
    pavement by somebody who walks; a `drone` flies `height_m` above the road.
    """

    kind: Literal["car", "handheld", "drone"] = "car"
    suspension: bool = False
    height_m: tuple[float, float] = (6.0, 14.0)  # lowest and highest

    @model_validator(mode="after")
    def _above_the_traffic(self) -> EgoConfig:
        if not 5.0 <= self.height_m[0] <= self.height_m[1]:
            raise key_fault("height_m", f"expected lowest, highest, from 5 m up (above lorries); got {self.height_m}")
        return self


class TrafficConfig(YamlModel):
    """How many of each, per lap or per 100 m of road."""

    platoon: tuple[int, int] = (4, 8)  # in the ego lane, ahead and behind
    headway_s: tuple[float, float] = (5.0, 9.0)  # in the other lanes
    emergency_vehicles: tuple[int, int] = (2, 4)
    cyclists_per_100m: tuple[float, float] = (0.5, 1.5)
    pedestrians_per_100m: tuple[float, float] = (3.0, 9.0)
    parked_share: tuple[float, float] = (0.1, 0.35)  # of the parking places
    trucks_share: Share = 0.12  # trucks and buses among vehicles
    horn_period_s: Positive = 60.0  # each vehicle honks about once in this time


class WeatherConfig(YamlModel):
    """`visibility_m` is the meteorological visibility; `daylight` 1 is noon, 0 is night."""

    visibility_m: Positive = 8000.0
    rain_mmph: Annotated[float, Field(ge=0, le=100)] = 0.0
    daylight: Share = 1.0
    sun_elevation_deg: Annotated[float, Field(ge=-10, le=90)] = 35.0
    sun_azimuth_deg: Annotated[float, Field(ge=-360, le=360)] = 130.0  # from the world's x axis, counter-clockwise
    wind_mps: Annotated[float, Field(ge=0, le=40)] = 2.0
    wetness: Share = 0.0  # in pictures: how much the road mirrors, and how well falling rain shows
    lens_drops: Share = 0.0  # how much of the camera's lens is covered with drops

    @property
    def extinction_per_m(self) -> float:
        """Of light. Fog: Koschmieder's 3.912 / visibility; rain: Carbonneau's 1.076 R^0.67 dB/km."""
        return 3.912 / self.visibility_m + 1.076 / 4343.0 * self.rain_mmph**0.67


class Scenario(YamlModel):
    description: str = ""
    ego: EgoConfig = EgoConfig()
    road: RoadConfig = RoadConfig()
    traffic: TrafficConfig = TrafficConfig()
    weather: WeatherConfig = WeatherConfig()
    devices: dict[str, DeviceConfig] = Field(default_factory=dict)  # by stream, which wins, or by modality


def scenarios() -> tuple[str, ...]:
    """Names of the shipped scenarios."""
    files = (resources.files("sensorfuse.sim") / "scenarios").iterdir()
    return tuple(sorted(f.name.removesuffix(".yaml") for f in files if f.name.endswith(".yaml")))


def load_scenario(name: str) -> Scenario:
    """A shipped scenario by name, or a scenario file (`.yaml`) by its path.

    Raises:
        SensorfuseError: there is no such scenario, or a fault in the file (with its line).
    """
    known = f"shipped scenarios: {', '.join(scenarios())}"
    if is_scenario_file(name):
        return parse_model(Scenario, read_text(Path(name), "scenario", known), name, "scenario")
    if name not in scenarios():
        raise SensorfuseError(f"no scenario is called {name!r}; give a .yaml file, or one of the {known}")
    text = ((resources.files("sensorfuse.sim") / "scenarios") / f"{name}.yaml").read_text(encoding="utf-8")
    return parse_model(Scenario, text, f"{name}.yaml", "scenario")
