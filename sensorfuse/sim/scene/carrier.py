"""What carries the sensors: a car on its lane, on springs or not, or somebody's hand or a drone on a path of its own.

Each gives the exact motion of base_link over time; laps follow one another without a jump.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sensorfuse.sim.scene.rigid_motion import RigidMotion
from sensorfuse.sim.scene.spline import LoopSpline
from sensorfuse.sim.scene.suspension import STEP_S, RoadSurface, ride
from sensorfuse.sim.scene.trajectory import Road

Array = NDArray[np.float64]


class Carrier(Protocol):
    """Moves base_link; times (K,) in seconds."""

    @property
    def lap_s(self) -> float:
        """After this time the motion repeats."""
        ...

    def motion(self, t_s: ArrayLike) -> RigidMotion:
        """Motion of base_link, exact in all derivatives."""
        ...

    def distance(self, t_s: ArrayLike) -> Array:
        """Metres (K,) travelled since t = 0."""
        ...


class Car:
    """A car that keeps to its lane: base_link is under its rear axle, on the ground when at rest.

    With a road surface the body moves on springs: base_link, fixed to the body, heaves, rolls and pitches.
    """

    def __init__(self, road: Road, law: LoopSpline, offset_m: float, surface: RoadSurface | None = None) -> None:
        self.road, self.law, self.offset_m = road, law, offset_m
        self._springs: LoopSpline | None = None
        if surface is not None:
            at = np.arange(math.ceil(law.period / STEP_S)) * law.period / math.ceil(law.period / STEP_S)
            self._springs = ride(self.motion(at), self.distance(at), surface, law.period)

    @property
    def lap_s(self) -> float:
        return self.law.period

    def motion(self, t_s: ArrayLike) -> RigidMotion:
        law = self.law(t_s)[:, :, 0]
        flat = self.road.motion(law[:, 0], law, np.full(len(law), self.offset_m))
        place, rpy = np.zeros((len(law), 3, 3)), np.zeros((len(law), 3, 3))
        for order in range(3):
            place[:, order, :2], rpy[:, order, 2] = flat[:, 3 * order : 3 * order + 2], flat[:, 3 * order + 2]
        if self._springs is not None:
            body = self._springs(t_s)[:, :3]
            place[:, :, 2], rpy[:, :, :2] = body[:, :, 0], body[:, :, 1:]
        return RigidMotion.from_derivatives(place, rpy)

    def distance(self, t_s: ArrayLike) -> Array:
        """Metres (K,) along the road's centre line."""
        return self.law(t_s)[:, 0, 0]


class Carried:
    """A free path in six degrees of freedom, as one closed spline."""

    def __init__(self, place: Array, rpy: Array, step_s: float) -> None:
        """From places (N, 3) and roll, pitch, yaw (N + 1, 3), `step_s` apart, as control points of one lap.

        The last row of `rpy` is that of the next lap's start: it says by how many turns yaw has grown.
        """
        lap = len(place) * step_s
        advance = np.concatenate([np.zeros(5), [rpy[-1, 2] - rpy[0, 2]]])
        self.curve = LoopSpline(np.hstack([place, rpy[:-1]]), lap, advance)
        speed = np.linalg.norm(self.curve(np.arange(len(place) + 1) * step_s)[:, 1, :3], axis=1)
        travelled = np.concatenate([[0.0], np.cumsum(0.5 * (speed[1:] + speed[:-1]) * step_s)])
        self._distance = LoopSpline(travelled[:-1, None], lap, travelled[-1:])

    @property
    def lap_s(self) -> float:
        return self.curve.period

    def motion(self, t_s: ArrayLike) -> RigidMotion:
        curve = self.curve(t_s)[:, :3]
        return RigidMotion.from_derivatives(np.ascontiguousarray(curve[..., :3]), np.ascontiguousarray(curve[..., 3:]))

    def distance(self, t_s: ArrayLike) -> Array:
        """Metres (K,) along the path."""
        return self._distance(t_s)[:, 0, 0]
