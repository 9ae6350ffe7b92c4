"""Somebody who walks up and down the pavement with the sensors in their hands.

The body rises and falls once per step and sways once per two (Inman 1966, "Human Locomotion"); hands tremble at 7 to
11 Hz (physiological tremor: Elble 1986). Now and then the walker stops, or turns the sensors to look at something.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sensorfuse.sim.scenario import RoadConfig
from sensorfuse.sim.scene.carrier import Carried
from sensorfuse.sim.scene.layout import GUARD_RAIL_M, KERB_M, half_width_m
from sensorfuse.sim.scene.loop_noise import loop_noise, smooth
from sensorfuse.sim.scene.population import Population
from sensorfuse.sim.scene.trajectory import Road

Array = NDArray[np.float64]

STEP_S = 0.01
HAND_M = 1.4
STEP_LENGTH_M = 0.78  # 1.8 steps per second at 1.4 m/s
WALK_MPS = (1.2, 1.5)
BEAT_M = (90.0, 105.0)  # how far the walker goes before turning back
ROOM_M = 0.7  # other walkers keep off by this
_GAIT_M = np.array([0.010, 0.020, 0.022])  # along, across, up
_GAIT_RAD = np.radians([2.2, 1.8, 2.5])
_WANDER_RAD, _TREMOR_RAD = np.radians([3.0, 3.0, 4.0]), np.radians(0.12)
_TREMOR_M, _SWAY_M = 4e-4, 5e-3
_TURN_S = 1.8


def walk_offset_m(config: RoadConfig) -> float:
    """Where the walker walks, left of the centre line: on a track of the pavement, or behind the guard rail."""
    return -(half_width_m(config) + (KERB_M + 2.75 if config.urban else GUARD_RAIL_M + 1.2))


def clear_way(people: Population, offset_m: float) -> Population:
    """Everybody but the pedestrians on the walker's own track."""
    keep = [
        i
        for i, (name, move) in enumerate(zip(people.names, people.movements, strict=True))
        if name != "pedestrian" or abs(move.offset_m - offset_m) > ROOM_M
    ]
    names, shapes, movements = people.names, people.shapes, people.movements
    return replace(
        people, names=[names[i] for i in keep], shapes=[shapes[i] for i in keep], movements=[movements[i] for i in keep]
    )


def _paces(beat_m: float, rng: np.random.Generator) -> tuple[Array, int]:
    """Speed (N,) over one lap, there and back, with stops; and the step in the middle of the far stop."""
    pieces: list[Array] = []
    far = 0
    for _ in range(2):
        parts = np.diff(np.concatenate([[0.0], np.sort(rng.uniform(0.2, 0.8, 2)), [1.0]])) * beat_m
        for part in parts:
            steps = round(part / rng.uniform(*WALK_MPS) / STEP_S)
            if steps:
                pieces.append(np.full(steps, part / (steps * STEP_S)))
            pieces.append(np.zeros(round(rng.uniform(2.5, 5.0) / STEP_S)))
        pieces[-1] = np.zeros(round(rng.uniform(3.0, 4.5) / STEP_S))
        far = far or sum(map(len, pieces)) - len(pieces[-1]) // 2
    speed = np.concatenate(pieces)
    start = len(pieces[-1]) // 2  # a lap begins in the middle of the near stop
    return np.roll(speed, start), far + start


def _step(at: Array, middle: float, width: float) -> Array:
    """From 0 to 1 around `middle`, smooth in its second derivative."""
    x = np.clip((at - middle) / width + 0.5, 0.0, 1.0)
    return np.asarray(x**3 * (10 - 15 * x + 6 * x * x))


def _glances(t: Array, rng: np.random.Generator) -> Array:
    """Roll, pitch, yaw (N, 3) of looking at things by the way."""
    out = np.zeros((len(t), 3))
    start = 4.0
    while start < t[-1] - 6.0:
        size = rng.uniform([-0.25, -0.35, 0.5], [0.25, 0.35, 1.0]) * [1, 1, rng.choice([-1, 1])]
        hold, width = rng.uniform(0.9, 2.2), rng.uniform(0.6, 0.9)
        out += (_step(t, start, width) - _step(t, start + hold, width))[:, None] * size
        start += hold + rng.uniform(2.0, 7.0)
    return out


def _start(crossings_m: Sequence[float], length_m: float, rng: np.random.Generator) -> float:
    """Where the beat begins: anywhere, or in the longest piece without a crossing, past its first quarter."""
    if not crossings_m:
        return float(rng.uniform(0, length_m))
    places = np.sort(crossings_m)
    free = np.diff(np.append(places, places[0] + length_m))
    return float(places[np.argmax(free)] + 0.25 * free.max())


def walk(config: RoadConfig, road: Road, crossings_m: Sequence[float], seed: int) -> Carried:
    """A path of somebody who walks up and down a piece of the pavement; it turns about all three axes all the time.

    `crossings_m` are places of crossings along the road, which the walker keeps away from.
    """
    rng = np.random.default_rng((seed, 0x3A1C))
    offset, start = walk_offset_m(config), _start(crossings_m, road.length_m, rng)
    beat = rng.uniform(*BEAT_M)
    s = start + np.arange(0, 12 * beat, 0.02)  # the pavement in a bend is much shorter than the road, or longer
    line = road.points(s, offset)
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line[:, :2], axis=0).T))])

    speed, far = _paces(beat, rng)
    speed = smooth(speed, round(1.0 / STEP_S))
    count = len(speed)
    t: Array = np.arange(count + 1, dtype=np.float64) * STEP_S
    walked = np.concatenate([[0.0], np.cumsum(speed) * STEP_S])
    out = np.where(np.arange(count + 1) <= far, walked, 2 * beat - walked)
    at = np.interp(out, along, s)
    here = road.points(at, offset + 0.08 * np.sin(at / 4.0))
    turns = np.pi * rng.choice([-1, 1], 2)
    heading = np.interp(out, along, np.unwrap(line[:, 2])) + turns[0] * _step(t, t[far], _TURN_S)
    heading += turns[1] * (_step(t, t[-1], _TURN_S) + _step(t, 0.0, _TURN_S) - 1)

    gait = smooth(speed, round(0.4 / STEP_S))[:, None] / 1.4  # at rest there is none
    phase = 2 * np.pi * walked[:-1] / STEP_LENGTH_M
    lead = rng.uniform(0, 2 * np.pi, 3)
    swing = gait * _GAIT_M * np.column_stack([np.sin(phase), np.sin(phase / 2), np.cos(phase)])
    nod = np.column_stack([np.sin(phase / 2 + lead[0]), np.sin(phase + lead[1]), np.sin(phase / 2 + lead[2])])
    shake = loop_noise(count, STEP_S, (7.0, 11.0), rng, columns=6)
    sway = _SWAY_M * loop_noise(count, STEP_S, (0.1, 1.0), rng, columns=3)
    wander = _WANDER_RAD * loop_noise(count, STEP_S, (0.15, 0.9), rng, columns=3)
    place = np.column_stack([here[:-1, :2], np.full(count, HAND_M)]) + sway + _TREMOR_M * shake[:, :3]
    cos, sin = np.cos(heading[:-1]), np.sin(heading[:-1])
    place[:, 0] += cos * swing[:, 0] - sin * swing[:, 1]
    place[:, 1] += sin * swing[:, 0] + cos * swing[:, 1]
    place[:, 2] += swing[:, 2]
    rpy = gait * _GAIT_RAD * nod + wander + _TREMOR_RAD * shake[:, 3:] + _glances(t[:-1], rng)
    rpy[:, 2] += heading[:-1]
    ahead = rpy[:1] + [[0.0, 0.0, heading[-1] - heading[0]]]
    return Carried(place, np.vstack([rpy, ahead]), STEP_S)
