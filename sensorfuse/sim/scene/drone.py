"""A multicopter that flies along above the road.

Its thrust carries it, so the body's z axis follows the force that the path needs: gravity, acceleration, and rotor drag
that grows with speed (Faessler, Franchi, Scaramuzza 2018). It leans into bends and forwards when it flies fast, and
turns about the vertical as it likes.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sensorfuse.sim.scenario import Scenario
from sensorfuse.sim.scene.carrier import Carried
from sensorfuse.sim.scene.layout import half_width_m
from sensorfuse.sim.scene.loop_noise import loop_noise, smooth
from sensorfuse.sim.scene.rigid_motion import GRAVITY_MPS2
from sensorfuse.sim.scene.spline import LoopSpline
from sensorfuse.sim.scene.trajectory import Driving, Road, time_law

Array = NDArray[np.float64]

STEP_S = 0.01
DRAG_PER_S = 0.25
HOVERS = 3
_GUST_M, _GUST_RAD = 0.06, np.radians(0.6)


def _upright(force: Array, yaw: Array) -> tuple[Array, Array]:
    """Roll and pitch (N,) that turn the body's z axis along a force (N, 3), at a given yaw (N,)."""
    up = force / np.linalg.norm(force, axis=1, keepdims=True)
    x = np.cos(yaw) * up[:, 0] + np.sin(yaw) * up[:, 1]
    y = np.cos(yaw) * up[:, 1] - np.sin(yaw) * up[:, 0]
    return np.arcsin(np.clip(-y, -1, 1)), np.arctan2(x, up[:, 2])


def fly(scenario: Scenario, road: Road, seed: int) -> Carried:
    """A flight once round the road, within the carriageway and within `ego.height_m`."""
    rng = np.random.default_rng((seed, 0xF1E5))
    length = road.length_m
    spots = (np.arange(HOVERS) + rng.uniform(0.3, 0.7, HOVERS)) / HOVERS * length
    top = float(np.clip(rng.uniform(6.5, 8.5), length / 150.0, length / 100.0))  # a lap takes about two minutes
    driving = Driving(
        top_mps=top, lateral_mps2=3.5, accelerate_mps2=2.5, brake_mps2=2.5,
        stops_m=tuple(float(s) for s in spots), dwell_s=rng.uniform(4.0, 6.0),
    )  # fmt: skip
    law = time_law(road, driving)
    count = math.ceil(law.period / STEP_S)
    step = law.period / count
    t = np.arange(count + 1) * step
    s = law(t)[:, :2, 0]

    cells = round(length)
    # of the place, not of time: none in a hover
    drift = loop_noise(cells, length / cells, (0.5 / length, max(2.5 / length, 1 / (16 * top))), rng, columns=2)
    slow = np.tanh(LoopSpline(drift, length, np.zeros(2))(s[:-1, 0])[:, 0])
    low, high = scenario.ego.height_m
    width = 0.7 * half_width_m(scenario.road)
    place = np.empty((count, 3))
    place[:, :2] = road.points(s[:-1, 0], width * slow[:, 0])[:, :2]
    place[:, 2] = (low + high) / 2 + (0.5 * (high - low) - 4 * _GUST_M) * slow[:, 1]
    place += 4 * _GUST_M * np.tanh(loop_noise(count, step, (0.2, 0.8), rng, columns=3) / 4)

    heading = np.unwrap(road.points(s[:, 0])[:, 2])
    hovering = smooth((s[:-1, 1] < 0.3).astype(np.float64), round(2.0 / step))  # it turns round once meanwhile
    spin = np.concatenate([[0.0], np.cumsum(hovering)]) / hovering.sum() * 2 * np.pi * HOVERS * rng.choice([-1, 1])
    look = 0.5 * loop_noise(count, step, (1.5 / law.period, 0.12), rng)[:, 0]
    yaw = heading[:-1] + spin[:-1] + look
    turned = heading[-1] - heading[0] + spin[-1]
    even = turned * t[:-1] / law.period  # smoothing needs a loop
    yaw = smooth(yaw - even, round(1.2 / step)) + even

    path = LoopSpline(place, law.period, np.zeros(3))(t[:-1])
    force = path[:, 2] + DRAG_PER_S * path[:, 1] + [0.0, 0.0, GRAVITY_MPS2]
    roll, pitch = _upright(smooth(force, round(0.25 / step)), yaw)
    rpy = np.column_stack([roll, pitch, yaw]) + _GUST_RAD * loop_noise(count, step, (0.8, 6.0), rng, columns=3)
    return Carried(place, np.vstack([rpy, rpy[:1] + [[0.0, 0.0, turned]]]), step)
