"""The world as a function of time: ego, actors, and the parts that sensors see.

World frame: z up, ground at z = 0. `base_link`: x forward, y left; of a car, on the ground under its rear axle (fixed
to the body, so it moves with the springs); of what is carried, in the hand or in the middle of the drone.
Times are seconds since the epoch and may be any number: laps follow one another without a jump.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sensorfuse.geometry import Transform
from sensorfuse.messages import CLASSES
from sensorfuse.sim.scenario import Scenario
from sensorfuse.sim.scene.carrier import Car, Carrier
from sensorfuse.sim.scene.city_traffic import plan_traffic
from sensorfuse.sim.scene.drone import fly
from sensorfuse.sim.scene.layout import half_width_m, lane_offset_m, lay_road
from sensorfuse.sim.scene.population import populate
from sensorfuse.sim.scene.rigid_motion import RigidMotion
from sensorfuse.sim.scene.shapes import BLUE, BOUND, COS, OWNER, RED, SIN, SPIN, VX, VY, X, Y
from sensorfuse.sim.scene.street_furniture import DARK, LIT, traffic_lights
from sensorfuse.sim.scene.surroundings import surround
from sensorfuse.sim.scene.suspension import RoadSurface, bump_places
from sensorfuse.sim.scene.traffic_light import Signal
from sensorfuse.sim.scene.trajectory import Driving, time_law
from sensorfuse.sim.scene.walker import clear_way, walk, walk_offset_m

Array = NDArray[np.float64]

CROSSING_DRAWS, CITY_DRAWS = 0xC505, 0xC17D
"""Say with the seed where crossings are, and who is there; worlds without crossings draw nothing from these."""


class World:
    """One scenario with one seed."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.scenario = scenario
        rng = np.random.default_rng((seed, 0x5EED))
        self.road, driving, self.crossings = lay_road(scenario.road, rng, np.random.default_rng((seed, CROSSING_DRAWS)))
        self.edge_m = half_width_m(scenario.road)
        self.ego_offset_m = lane_offset_m(scenario.road, scenario.road.lanes - 1)
        driving = replace(driving, slow_m=driving.slow_m + bump_places(scenario.road, self.road.length_m, seed))
        self.lights: tuple[Signal, ...] = ()
        if self.crossings:
            city = plan_traffic(
                scenario, self.road, driving, self.crossings, np.random.default_rng((seed, CITY_DRAWS))
            )  # fmt: skip
            self._laws, people, self.lights = city.laws, city.people, city.lights
        else:
            self._laws = {"ego": time_law(self.road, driving)}
            for name, factor in (("oncoming", rng.uniform(0.85, 1.1)), ("fast", rng.uniform(1.1, 1.25))):
                self._laws[name] = time_law(self.road, Driving(driving.top_mps * factor, driving.lateral_mps2))
            laps = {name: law.period for name, law in self._laws.items()}
            people = populate(scenario.road, scenario.traffic, self.road, laps, rng)
        self.static = surround(scenario.road, self.road, self.crossings, rng)
        heads, lamps = traffic_lights(self.crossings, len(self.static))
        self._lamps = np.array([(m.row, 2 * m.crossing + m.side_road, m.colour) for m in lamps], dtype=np.int64)
        if heads:
            self.static = np.vstack([self.static, *heads])
        if scenario.ego.kind == "handheld":
            people = clear_way(people, walk_offset_m(scenario.road))
        self._carrier = self._carry(seed)
        self.lap_s = self._carrier.lap_s

        self.names = people.names
        self.class_id = np.array([CLASSES.index(n) for n in people.names], dtype=np.uint8)
        self.size = np.array([s.size for s in people.shapes])
        self.motors = np.array([n not in ("pedestrian", "cyclist") for n in people.names])
        moves = people.movements
        codes = {name: i for i, name in enumerate(self._laws)}
        self._law_of = np.array([codes.get(m.law, -1) for m in moves])  # -1: steady
        self.moving = np.array([m.law != "steady" or m.speed_mps > 0 for m in moves])
        self._start, self._offset = np.array([m.start_m for m in moves]), np.array([m.offset_m for m in moves])
        self._shift, self._speed = np.array([m.shift_s for m in moves]), np.array([m.speed_mps for m in moves])
        self._direction = np.array([float(m.direction) for m in moves])
        self._turned = np.array([m.turned_rad for m in moves])
        self._road_of = np.array([m.road for m in moves])
        counts = [len(s.parts) for s in people.shapes]
        self._parts = np.vstack([s.parts for s in people.shapes])
        self._parts[:, OWNER] = np.repeat(np.arange(len(moves)), counts)
        self._owner = self._parts[:, OWNER].astype(np.int64)
        self._standing = np.flatnonzero(~self.moving)
        self._going = np.flatnonzero(self.moving)
        self._standing_states = self.motion(self._standing, 0.0)[:, :6]

    def _carry(self, seed: int) -> Carrier:
        """What carries the sensors. Without an ego car its lane is left to the traffic."""
        config, road = self.scenario.road, self.road
        if self.scenario.ego.kind == "handheld":
            return walk(config, road, [c.place_m for c in self.crossings], seed)
        if self.scenario.ego.kind == "drone":
            return fly(self.scenario, road, seed)
        surface = RoadSurface.of(config, road.length_m, seed) if self.scenario.ego.suspension else None
        return Car(road, self._laws["ego"], self.ego_offset_m, surface)

    # ---- motion

    def motion(self, who: NDArray[np.int64], t_s: ArrayLike) -> Array:
        """Motion (K, 9) of actors `who` (K,) at times `t_s` (K,) or one time: see `Road.motion`.

        x, y is the middle of the footprint.
        """
        law = self._law(who, t_s)
        direction = self._direction[who]
        law *= direction[:, None]
        along, flip = self._start[who] + law[:, 0], direction < 0
        out = self.road.motion(along, law, self._offset[who], flip)
        for number, crossing in enumerate(self.crossings, start=1):
            picked = np.flatnonzero(self._road_of[who] == number)
            if len(picked):
                out[picked] = crossing.road.motion(
                    along[picked], law[picked], self._offset[who[picked]], flip[picked]
                )  # fmt: skip
        out[:, 2] += self._turned[who]
        return out

    def distance(self, who: NDArray[np.int64], t_s: ArrayLike) -> Array:
        """Metres (K,) driven along its road by actors `who` (K,) since their time law began."""
        return self._law(who, t_s)[:, 0]

    def _law(self, who: NDArray[np.int64], t_s: ArrayLike) -> Array:
        """Metres along the road and its time derivatives (K, 4)."""
        t = np.broadcast_to(np.asarray(t_s, dtype=np.float64), who.shape) + self._shift[who]
        law = np.zeros((len(who), 4))
        law[:, 0], law[:, 1] = self._speed[who] * t, self._speed[who]
        codes = self._law_of[who]
        for code, spline in enumerate(self._laws.values()):
            picked = codes == code
            if picked.any():
                law[picked] = spline(t[picked])[:, :, 0]
        return law

    def states(self, t_s: float) -> Array:
        """x, y, yaw, vx, vy, yaw rate (N, 6) of all actors."""
        out = np.empty((len(self.names), 6))
        out[self._standing] = self._standing_states
        out[self._going] = self.motion(self._going, t_s)[:, :6]
        return out

    def ego(self, t_s: ArrayLike) -> RigidMotion:
        """Exact motion of base_link at times (K,)."""
        return self._carrier.motion(t_s)

    def ego_distance(self, t_s: ArrayLike) -> Array:
        """Metres (K,) travelled by the ego: along the road's centre line by a car, else along its own path."""
        return self._carrier.distance(t_s)

    def ego_pose(self, t_s: float) -> Transform:
        """T_world_base."""
        return self.ego(t_s).pose()

    # ---- what sensors see

    def parts(self, t_s: float, around: ArrayLike, radius_m: float) -> Array:
        """Parts (P, COLUMNS) in the world frame of all that is within `radius_m` of a place x, y."""
        x, y = np.asarray(around, dtype=np.float64)[:2]
        states = self.states(t_s)
        near = np.hypot(states[:, 0] - x, states[:, 1] - y) < radius_m + 0.6 * self.size[:, 0]
        picked = near[self._owner]
        parts = self._parts[picked]
        state = states[self._owner[picked]]
        cos, sin = np.cos(state[:, 2]), np.sin(state[:, 2])
        dx = cos * parts[:, X] - sin * parts[:, Y]
        dy = sin * parts[:, X] + cos * parts[:, Y]
        parts[:, X], parts[:, Y] = state[:, 0] + dx, state[:, 1] + dy
        parts[:, COS], parts[:, SIN] = cos, sin
        parts[:, VX], parts[:, VY], parts[:, SPIN] = (
            state[:, 3] - state[:, 5] * dy,
            state[:, 4] + state[:, 5] * dx,
            state[:, 5],
        )
        static = self.static
        if self.lights:
            row, light, colour = self._lamps.T
            now = np.array([signal.colour(t_s, side) for signal in self.lights for side in (False, True)])
            static[row, RED : BLUE + 1] = np.where((now[light] == colour)[:, None], LIT[colour], DARK)
        close = np.hypot(static[:, X] - x, static[:, Y] - y) < radius_m + static[:, BOUND]
        return np.ascontiguousarray(np.vstack([parts, static[close]]))
