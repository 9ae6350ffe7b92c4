"""The world as a function of time: ego, actors, and the parts that sensors see.

World frame: z up, ground at z = 0. `base_link` lies on the ground under the ego's rear axle, x forward, y left.
Times are seconds since the epoch and may be any number: laps follow one another without a jump.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sensorfuse.geometry import Transform
from sensorfuse.messages import CLASSES
from sensorfuse.sim.layout import half_width_m, lane_offset_m, lay_road
from sensorfuse.sim.population import populate
from sensorfuse.sim.rigid_motion import RigidMotion
from sensorfuse.sim.scenario import Scenario
from sensorfuse.sim.shapes import BOUND, COS, OWNER, SIN, SPIN, VX, VY, X, Y
from sensorfuse.sim.spline import LoopSpline
from sensorfuse.sim.surroundings import surround
from sensorfuse.sim.trajectory import Driving, time_law

Array = NDArray[np.float64]


class World:
    """One scenario with one seed."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.scenario = scenario
        rng = np.random.default_rng((seed, 0x5EED))
        self.road, driving = lay_road(scenario.road, rng)
        self.edge_m = half_width_m(scenario.road)
        self.ego_offset_m = lane_offset_m(scenario.road, scenario.road.lanes - 1)
        self._laws: dict[str, LoopSpline] = {"ego": time_law(self.road, driving)}
        for name, factor in (("oncoming", rng.uniform(0.85, 1.1)), ("fast", rng.uniform(1.1, 1.25))):
            self._laws[name] = time_law(self.road, Driving(driving.top_mps * factor, driving.lateral_mps2))
        laps = {name: law.period for name, law in self._laws.items()}
        people = populate(scenario.road, scenario.traffic, self.road, laps, rng)
        self.static = surround(scenario.road, self.road, rng)
        self.lap_s = laps["ego"]

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
        counts = [len(s.parts) for s in people.shapes]
        self._parts = np.vstack([s.parts for s in people.shapes])
        self._parts[:, OWNER] = np.repeat(np.arange(len(moves)), counts)
        self._owner = self._parts[:, OWNER].astype(np.int64)
        self._standing = np.flatnonzero(~self.moving)
        self._going = np.flatnonzero(self.moving)
        self._standing_states = self.motion(self._standing, 0.0)[:, :6]

    # ---- motion

    def motion(self, who: NDArray[np.int64], t_s: ArrayLike) -> Array:
        """Motion (K, 9) of actors `who` (K,) at times `t_s` (K,) or one time: see `Road.motion`.

        x, y is the middle of the footprint.
        """
        law = self._law(who, t_s)
        direction = self._direction[who]
        law *= direction[:, None]
        out = self.road.motion(self._start[who] + law[:, 0], law, self._offset[who], direction < 0)
        out[:, 2] += self._turned[who]
        return out

    def distance(self, who: NDArray[np.int64], t_s: ArrayLike) -> Array:
        """Metres (K,) driven along the road by actors `who` (K,) since their time law began."""
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
        law = self._laws["ego"](t_s)[:, :, 0]
        flat = self.road.motion(law[:, 0], law, np.full(len(law), self.ego_offset_m))
        place, rpy = np.zeros((len(law), 3, 3)), np.zeros((len(law), 3, 3))
        for order in range(3):
            place[:, order, :2], rpy[:, order, 2] = flat[:, 3 * order : 3 * order + 2], flat[:, 3 * order + 2]
        return RigidMotion.from_derivatives(place, rpy)

    def ego_distance(self, t_s: ArrayLike) -> Array:
        """Metres (K,) driven along the road by the ego."""
        return self._laws["ego"](t_s)[:, 0, 0]

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
        close = np.hypot(static[:, X] - x, static[:, Y] - y) < radius_m + static[:, BOUND]
        return np.ascontiguousarray(np.vstack([parts, static[close]]))
