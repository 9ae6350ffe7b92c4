"""Who is on the road and beside it, drawn by the seed: the ego lane's platoon, other lanes, cyclists, pedestrians,
parked cars.

Traffic keeps its distance by construction. In the ego lane a car repeats the ego's motion shifted in time and space
(Newell 2002), so it queues and starts with it. In the other lanes all cars repeat one lap at different times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from sensorfuse.sim.scenario import RoadConfig, TrafficConfig
from sensorfuse.sim.scene.crossing import KEEP_CLEAR_M, Crossing, near_crossing
from sensorfuse.sim.scene.layout import BIKE_M, KERB_M, PARKED_M, half_width_m, lane_offset_m
from sensorfuse.sim.scene.shapes import Shape, make_shape
from sensorfuse.sim.scene.trajectory import Road

EGO_CENTRE_M, EGO_HALF_LENGTH_M = 1.4, 2.4  # middle of the ego's body ahead of its rear axle, and half its length
GAP_M = 4.0  # between standing vehicles
PARKING_BEND_PER_M = 1 / 60  # nobody parks where the road bends more


@dataclass(frozen=True)
class Movement:
    """Place along the road at time t: `start_m + direction * law(t + shift_s)`, `offset_m` left of the centre line.

    `law` names a time law of the world; "steady" moves with `speed_mps`, which is 0 for what stands. `turned_rad` is
    added to the heading. `road` is 0 for the loop, else a side road: its path takes the place of the centre line.
    """

    law: str
    start_m: float
    offset_m: float
    shift_s: float = 0.0
    direction: int = 1
    speed_mps: float = 0.0
    turned_rad: float = 0.0
    road: int = 0


@dataclass
class Population:
    """Everybody, row by row."""

    names: list[str] = field(default_factory=list)
    shapes: list[Shape] = field(default_factory=list)
    movements: list[Movement] = field(default_factory=list)

    def add(self, name: str, shape: Shape, movement: Movement) -> None:
        self.names.append(name)
        self.shapes.append(shape)
        self.movements.append(movement)


def draw_vehicle(rng: np.random.Generator, trucks_share: float) -> str:
    if rng.random() < trucks_share:
        return "truck" if rng.random() < 0.6 else "bus"
    return "van" if rng.random() < 0.18 else "car"


def _platoon(
    out: Population, traffic: TrafficConfig, lane_m: float, names: list[str], rng: np.random.Generator
) -> None:
    """Vehicles ahead of and behind the ego; every second place or so is free, so that gaps differ."""
    count = int(rng.integers(traffic.platoon[0], traffic.platoon[1] + 1))
    ahead = (count + 1) // 2
    for direction, number in ((1, ahead), (-1, count - ahead)):
        edge = EGO_CENTRE_M + direction * EGO_HALF_LENGTH_M
        shift = 0.0
        for _ in range(number):
            name = names.pop() if names and rng.random() < 0.4 else draw_vehicle(rng, traffic.trucks_share)
            shape = make_shape(name, rng)
            skip = rng.random() < 0.35
            shift += direction * rng.uniform(1.1, 1.8) * (2.2 if skip else 1.0)
            middle = edge + direction * (GAP_M + shape.size[0] / 2 + (6.0 if skip else 0.0))
            edge = middle + direction * shape.size[0] / 2
            out.add(name, shape, Movement("ego", middle, lane_m, shift))


def _lane(
    out: Population, law: str, lap_s: float, lane_m: float, direction: int, traffic: TrafficConfig, names: list[str],
    rng: np.random.Generator,
) -> None:  # fmt: skip
    """A lane of its own law; each vehicle passes every place at its own time."""
    headway = rng.uniform(*traffic.headway_s)
    slots = max(1, int(lap_s / headway))
    for i in range(slots):
        if rng.random() < 0.25:
            continue
        name = names.pop() if names and rng.random() < 3.0 / slots else draw_vehicle(rng, traffic.trucks_share)
        shift = (i + rng.uniform(-0.12, 0.12)) * lap_s / slots
        out.add(name, make_shape(name, rng), Movement(law, 0.0, lane_m, shift, direction))


def _steady(
    out: Population, name: str, count: int, offset_m: float, direction: int, speed_mps: float, road: Road, gap_m: float,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    """Walkers or riders of one track: the same speed, places drawn at random but `gap_m` apart."""
    places = np.sort(rng.uniform(0, road.length_m - count * gap_m, count)) + gap_m * np.arange(count)
    for place in places if count * gap_m < 0.8 * road.length_m else []:
        out.add(name, make_shape(name, rng), Movement("steady", float(place), offset_m, 0.0, direction, speed_mps))


def populate(
    config: RoadConfig, traffic: TrafficConfig, road: Road, laps_s: dict[str, float], rng: np.random.Generator
) -> Population:
    """Draw everybody. `laps_s` holds the lap time of each time law."""
    out = Population()
    edge = half_width_m(config)
    outer = config.lanes - 1
    emergency = ["emergency_vehicle"] * int(
        rng.integers(traffic.emergency_vehicles[0], traffic.emergency_vehicles[1] + 1)
    )
    _platoon(out, traffic, lane_offset_m(config, outer), emergency, rng)
    for lane in range(config.lanes):
        _lane(out, "oncoming", laps_s["oncoming"], -lane_offset_m(config, lane), -1, traffic, emergency, rng)
        if lane != outer:
            _lane(out, "fast", laps_s["fast"], lane_offset_m(config, lane), 1, traffic, emergency, rng)
    hundreds = road.length_m / 100
    for direction in (1, -1):
        riders = int(rng.poisson(rng.uniform(*traffic.cyclists_per_100m) * hundreds / 2))
        _steady(out, "cyclist", riders, -direction * (edge + BIKE_M), direction, rng.uniform(3.5, 5.5), road, 3.0, rng)
    density = rng.uniform(*traffic.pedestrians_per_100m) * hundreds / 8
    for side in (1, -1):
        for track in range(4):
            walkers, direction = int(rng.poisson(density)), 1 if rng.random() < 0.5 else -1
            offset = side * (edge + KERB_M + 0.95 + 0.9 * track)
            if track == 3:  # people who stand and look somewhere
                for _ in range(walkers // 2):
                    place, turned = rng.uniform(0, road.length_m), rng.uniform(-np.pi, np.pi)
                    out.add(
                        "pedestrian",
                        make_shape("pedestrian", rng),
                        Movement("steady", place, offset, turned_rad=turned),
                    )
            else:
                _steady(out, "pedestrian", walkers, offset, direction, rng.uniform(0.9, 1.7), road, 1.2, rng)
    park(out, config, traffic, road, (), rng)
    return out


def park(
    out: Population, config: RoadConfig, traffic: TrafficConfig, road: Road, crossings: Sequence[Crossing],
    rng: np.random.Generator,
) -> None:  # fmt: skip
    """Cars parked on both sides where the loop is straight and no crossing is near."""
    edge = half_width_m(config)
    for side in (1, -1):
        share = rng.uniform(*traffic.parked_share)
        places = np.arange(0, road.length_m - 8.0, 7.0)
        bend = np.maximum(np.abs(road.curvature(places - 3.0)), np.abs(road.curvature(places + 3.0)))
        free = (bend < PARKING_BEND_PER_M) & ~near_crossing(crossings, road, places, KEEP_CLEAR_M)
        for place in places[free]:
            if rng.random() < share:
                name = "van" if rng.random() < 0.15 else "car"
                turned = (0.0 if side < 0 else np.pi) + rng.normal(0, 0.02)
                parked = Movement(
                    "steady", float(place) + rng.uniform(-0.3, 0.3), side * (edge + PARKED_M), turned_rad=turned
                )
                out.add(name, make_shape(name, rng), parked)
