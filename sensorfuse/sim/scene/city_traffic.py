"""Who is on a road with crossings: everybody moves in groups, by laws that obey the traffic lights.

Groups of one lane follow each other a cycle apart, so each meets the same lights; some are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sensorfuse.errors import SensorfuseError
from sensorfuse.sim.scenario import Scenario
from sensorfuse.sim.scene.crossing import (
    KEEP_CLEAR_M,
    LANE_M,
    LEFT_M,
    PAVEMENT_TRACKS_M,
    SIDE_CYCLE_M,
    SIDE_KERB_M,
    SIDE_LEFT_M,
    SIDE_STAND_M,
    SIDE_WALKERS_STAND_M,
    STAND_M,
    WALKERS_STAND_M,
    Crossing,
    near_crossing,
)
from sensorfuse.sim.scene.layout import BIKE_M, KERB_M, half_width_m, lane_offset_m
from sensorfuse.sim.scene.population import (
    EGO_CENTRE_M,
    EGO_HALF_LENGTH_M,
    GAP_M,
    Movement,
    Population,
    draw_vehicle,
    park,
)
from sensorfuse.sim.scene.shapes import Shape, make_shape
from sensorfuse.sim.scene.spline import LoopSpline
from sensorfuse.sim.scene.traffic_light import AMBER_S, Gate, Group, Obedient, Signal, obey
from sensorfuse.sim.scene.trajectory import Driving, Road

LOOP_TRACKS = 2  # of walkers on each pavement of the loop; those who stand have the rest
_LONG = ("truck", "bus")
_VEHICLES = Group(tail_s=5.5, tail_m=34.0)
_SIDE_VEHICLES = Group(tail_s=4.5, tail_m=27.0)
_RIDERS = Group(tail_s=1.6, tail_m=5.6)
_WALKERS = Group(tail_s=1.2, tail_m=2.6)
_CYCLES_TRIED = 40
_WALK_MPS = 1.3  # the slowest
_STANDING_APART_M = 1.2
_RIDE_M = BIKE_M - 0.12  # clear of cars parked in slight bends


@dataclass(frozen=True)
class CityTraffic:
    """`laws` by name; `lights` of each crossing."""

    laws: dict[str, LoopSpline]
    people: Population
    lights: tuple[Signal, ...]


class _City:
    def __init__(
        self, scenario: Scenario, road: Road, driving: Driving, crossings: Sequence[Crossing],
        rng: np.random.Generator,
    ) -> None:  # fmt: skip
        self.config, self.traffic, self.road, self.driving = scenario.road, scenario.traffic, road, driving
        self.crossings, self.rng = crossings, rng
        self.edge = half_width_m(scenario.road)
        walk = 2 * (self.edge + SIDE_WALKERS_STAND_M) / _WALK_MPS + 5.0
        self.cycle_s = float(2 * max(22.0, walk) + rng.uniform(0, 4))
        self.opens = rng.uniform(0, self.cycle_s, len(crossings))
        self.laws: dict[str, LoopSpline] = {}
        self.people = Population()
        self.loop_last = np.zeros(len(crossings))
        self.side_last = np.zeros(len(crossings))
        self.emergency = ["emergency_vehicle"] * int(
            rng.integers(scenario.traffic.emergency_vehicles[0], scenario.traffic.emergency_vehicles[1] + 1)
        )

    # ---- laws

    def loop_law(self, name: str, driving: Driving, direction: int, group: Group, walking: bool = False) -> Obedient:
        stand, left = (WALKERS_STAND_M, WALKERS_STAND_M) if walking else (STAND_M, LEFT_M)
        gates = []
        for crossing, opens in zip(self.crossings, self.opens, strict=True):
            at = direction * crossing.place_m
            gates.append(Gate(at - stand, at + left, float(opens)))
        out = _found(obey(self.road, driving, direction, gates, self.cycle_s, group))
        self.laws[name] = out.law
        if not walking:
            self.loop_last = np.maximum(self.loop_last, out.last_s)
        return out

    def side_law(self, c: int, kind: str, driving: Driving, direction: int, group: Group) -> Obedient:
        walking = kind == "walk"
        stand, left = (SIDE_WALKERS_STAND_M, SIDE_WALKERS_STAND_M) if walking else (SIDE_STAND_M, SIDE_LEFT_M)
        crossing, opens = self.crossings[c], float(self.opens[c] + 0.5 * self.cycle_s)
        gates = [
            Gate(at - self.edge - stand, at + self.edge + left, opens)
            for at in (0.0, direction * crossing.downwards_m)
        ]  # fmt: skip
        out = _found(obey(crossing.road, driving, direction, gates, self.cycle_s, group))
        self.laws[f"side {c} {kind} {direction}"] = out.law
        if not walking:
            self.side_last[c] = max(self.side_last[c], *out.last_s)
        return out

    # ---- groups

    def add(
        self, name: str, law: Obedient, slot: int, names: Sequence[str], group: Group, offset_m: float, direction: int,
        road: int = 0,
    ) -> None:  # fmt: skip
        """A group in its slot, the first with its front where the law's group begins."""
        front, late = group.lead_m, -group.lead_s
        for member in names:
            shape = make_shape(member, self.rng)
            length = shape.size[0]
            if member in ("pedestrian", "cyclist"):
                gap = 0.0 if front == group.lead_m else (2.0 if member == "cyclist" else 1.4)
                delay = self.rng.uniform(0.9, 1.3)
            else:
                gap, delay = (0.0 if front == group.lead_m else GAP_M), self.rng.uniform(1.1, 1.7)
            if front != group.lead_m:
                late += delay
            front -= gap
            if late > group.tail_s or length - front > group.tail_m:
                return
            self.people.add(
                member,
                shape,
                Movement(
                    name,
                    direction * (front - length / 2),
                    offset_m,
                    law.shift_s + slot * self.cycle_s - late,
                    direction,
                    road=road,
                ),
            )
            front -= length

    def vehicles(self, mean: float, long: int = 9) -> list[str]:
        names: list[str] = []
        for _ in range(int(self.rng.poisson(mean))):
            if self.emergency and self.rng.random() < 0.12:
                names.append(self.emergency.pop())
                continue
            name = draw_vehicle(self.rng, self.traffic.trucks_share)
            names.append("car" if name in _LONG and sum(n in _LONG for n in names) >= long else name)
        return names

    # ---- who is where

    def populate(self) -> None:
        self.ego_lane()
        self.lanes()
        self.riders()
        self.walkers()
        for c in range(len(self.crossings)):
            self.side_road(c)
        park(self.people, self.config, self.traffic, self.road, self.crossings, self.rng)

    def lights(self) -> tuple[Signal, ...]:
        most = 0.5 * self.cycle_s - AMBER_S
        return tuple(
            Signal(self.cycle_s, float(o % self.cycle_s), float(min(a + 0.4, most)), float(min(b + 0.4, most)))
            for o, a, b in zip(self.opens, self.loop_last, self.side_last, strict=True)
        )

    def ego_lane(self) -> None:
        rng = self.rng
        lane = lane_offset_m(self.config, self.config.lanes - 1)
        count = int(rng.integers(self.traffic.platoon[0], self.traffic.platoon[1] + 1))
        placed: list[tuple[str, Shape, float, float]] = []
        limits = {1: (3.2, 22.0, (count + 1) // 2), -1: (4.4, 30.0, count // 2)}
        reach = {1: (0.0, EGO_CENTRE_M + EGO_HALF_LENGTH_M), -1: (4.4, 30.0)}
        for direction, (most_s, most_m, number) in limits.items():
            shift, edge = 0.0, EGO_CENTRE_M + direction * EGO_HALF_LENGTH_M
            for _ in range(number):
                name = self.emergency.pop() if self.emergency and rng.random() < 0.3 else draw_vehicle(rng, 0.1)
                shape = make_shape(name, rng)
                shift += rng.uniform(1.1, 1.6)
                far = edge + direction * (GAP_M + shape.size[0])
                if shift > most_s or abs(far) > most_m:
                    break
                placed.append((name, shape, far - direction * shape.size[0] / 2, direction * shift))
                edge = far
                if direction > 0:
                    reach[1] = (shift, far)
        group = Group(reach[1][0], reach[1][1], reach[-1][0], reach[-1][1])
        law = self.loop_law("ego", self.driving, 1, group)
        self.opens += law.shift_s  # so that the ego's law begins with the time
        law = replace(law, shift_s=0.0)
        for member, outline, place, ahead_s in placed:
            self.people.add(member, outline, Movement("ego", place, lane, ahead_s))
        for slot in range(1, law.cycles):
            self.add("ego", law, slot, self.vehicles(1.8), group, lane, 1)

    def lanes(self) -> None:
        rng, driving = self.rng, self.driving
        for name, low, high, direction in (("oncoming", 0.9, 1.1, -1), ("fast", 1.05, 1.2, 1)):
            if direction > 0 and self.config.lanes == 1:
                continue
            own = Driving(driving.top_mps * rng.uniform(low, high), driving.lateral_mps2)
            law = self.loop_law(name, own, direction, _VEHICLES)
            mean = 0.75 * self.cycle_s / rng.uniform(*self.traffic.headway_s)
            for lane in range(self.config.lanes if direction < 0 else self.config.lanes - 1):
                offset = direction * lane_offset_m(self.config, lane)
                for slot in range(law.cycles):
                    self.add(name, law, slot, self.vehicles(min(mean, 4.0)), _VEHICLES, offset, direction)

    def riders(self) -> None:
        for direction in (1, -1):
            name = f"ride {direction}"
            law = self.loop_law(name, Driving(self.rng.uniform(4.0, 5.5), 2.0, 0.9, 1.5), direction, _RIDERS)
            per_slot = self.rng.uniform(*self.traffic.cyclists_per_100m) * self.road.length_m / 200 / law.cycles
            for slot in range(law.cycles):
                names = ["cyclist"] * int(self.rng.poisson(per_slot))
                self.add(name, law, slot, names, _RIDERS, -direction * (self.edge + _RIDE_M), direction)

    def walkers(self) -> None:
        rng = self.rng
        density = rng.uniform(*self.traffic.pedestrians_per_100m) * self.road.length_m / 100
        ways = {d: self.loop_law(f"walk {d}", _walk(rng), d, _WALKERS, walking=True) for d in (1, -1)}
        for side in (1, -1):
            for track in range(LOOP_TRACKS):
                direction = 1 if rng.random() < 0.5 else -1
                law = ways[direction]
                offset = side * (self.edge + KERB_M + 0.95 + 0.9 * track)
                for slot in range(law.cycles):
                    names = ["pedestrian"] * int(rng.poisson(0.8 * density / (2 * LOOP_TRACKS) / law.cycles))
                    self.add(f"walk {direction}", law, slot, names, _WALKERS, offset, direction)
            places = np.sort(rng.uniform(0, self.road.length_m, int(rng.poisson(0.06 * density))))
            free = np.diff(places, prepend=-np.inf) > _STANDING_APART_M
            for place in places[free & ~near_crossing(self.crossings, self.road, places, KEEP_CLEAR_M)]:
                stands = Movement(
                    "steady", float(place), side * (self.edge + KERB_M + 3.65), turned_rad=rng.uniform(-np.pi, np.pi)
                )
                self.people.add("pedestrian", make_shape("pedestrian", rng), stands)

    def side_road(self, c: int) -> None:
        rng, long = self.rng, int(c > 0)
        law = self.side_law(c, "drive", Driving(rng.uniform(6.5, 9.0), 2.0, 1.3, 2.0), 1, _SIDE_VEHICLES)
        for slot in range(law.cycles):
            if c == 0 and slot == 0:
                names = ["bus", "car"]
            else:
                names = self.vehicles(1.5, 1 - long)
                long += sum(n in _LONG for n in names)
            self.add(f"side {c} drive 1", law, slot, names, _SIDE_VEHICLES, 0.0, 1, c + 1)
        law = self.side_law(c, "ride", Driving(rng.uniform(3.8, 5.0), 2.0, 0.9, 1.5), 1, _RIDERS)
        for slot in range(law.cycles):
            names = ["cyclist"] * int(rng.poisson(0.6))
            self.add(f"side {c} ride 1", law, slot, names, _RIDERS, LANE_M - SIDE_CYCLE_M, 1, c + 1)
        for track, direction in zip(PAVEMENT_TRACKS_M, (1, -1), strict=True):
            law = self.side_law(c, "walk", _walk(rng), direction, _WALKERS)
            for slot in range(law.cycles):
                names = ["pedestrian"] * int(rng.poisson(1.0))
                offset = LANE_M - SIDE_KERB_M - track
                self.add(f"side {c} walk {direction}", law, slot, names, _WALKERS, offset, direction, c + 1)


class _NoLawError(Exception):
    """No time law obeys the lights with this cycle."""


def _found(law: Obedient | None) -> Obedient:
    if law is None:
        raise _NoLawError
    return law


def _walk(rng: np.random.Generator) -> Driving:
    return Driving(rng.uniform(_WALK_MPS + 0.05, 1.65), 2.0, 1.0, 1.0)


def plan_traffic(
    scenario: Scenario, road: Road, driving: Driving, crossings: Sequence[Crossing], rng: np.random.Generator
) -> CityTraffic:
    """Draw the lights of all crossings and everybody.

    Raises:
        SensorfuseError: none of many cycles of the lights suits the road.
    """
    for _ in range(_CYCLES_TRIED):
        city = _City(scenario, road, driving, crossings, rng)
        try:
            city.populate()
        except _NoLawError:
            continue
        return CityTraffic(city.laws, city.people, city.lights())
    raise SensorfuseError(
        "road.crossings: traffic lights leave too little time on this road; have fewer crossings or slow_places"
    )
