"""Lays out a closed road by its seed, and says where lanes and pavements lie across it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sensorfuse.errors import SensorfuseError
from sensorfuse.sim.scenario import RoadConfig
from sensorfuse.sim.scene.crossing import Crossing, lay_crossings, near_crossing
from sensorfuse.sim.scene.trajectory import Driving, Road, time_law

Array = NDArray[np.float64]

MIN_LAP_S = 125.0
BIKE_M, PARKED_M, KERB_M, PAVEMENT_M, HOUSES_M = 0.75, 2.25, 3.4, 7.4, 8.2
"""From the edge of the carriageway: middle of the bicycle strip, of parked cars, kerb, end of the pavement, houses."""
GUARD_RAIL_M = 3.0
_QUEUES_M = 75.0  # at a crossing, with the way to brake


def _fillet(corners: Array, radii: Array) -> Array | None:
    """A closed polygon (n, 2) with its corners rounded, as points about 2 m apart; None if a corner has no room."""
    n = len(corners)
    out: list[Array] = []
    into, out_of = np.empty((n, 2)), np.empty((n, 2))
    for i in range(n):
        a, b = corners[i] - corners[i - 1], corners[(i + 1) % n] - corners[i]
        into[i], out_of[i] = a / np.hypot(*a), b / np.hypot(*b)
    turn = np.arctan2(into[:, 0] * out_of[:, 1] - into[:, 1] * out_of[:, 0], (into * out_of).sum(axis=1))
    reach = radii * np.tan(np.abs(turn) / 2)
    edge = np.hypot(*(np.roll(corners, -1, axis=0) - corners).T)
    if (reach + np.roll(reach, -1) > 0.9 * edge).any():
        return None
    for i in range(n):
        start = corners[i] - reach[i] * into[i]
        side = np.sign(turn[i])
        centre = start + radii[i] * side * np.array([-into[i, 1], into[i, 0]])
        steps = max(3, int(radii[i] * abs(turn[i]) / 2))
        angle = np.linspace(0, turn[i], steps)
        arm = start - centre
        cos, sin = np.cos(angle), np.sin(angle)
        out.append(centre + np.stack([cos * arm[0] - sin * arm[1], sin * arm[0] + cos * arm[1]], axis=1))
        end = out[-1][-1]
        straight = corners[(i + 1) % n] - reach[(i + 1) % n] * into[(i + 1) % n] - end
        pieces = max(2, int(np.hypot(*straight) / 2))
        out.append(end + np.arange(1, pieces)[:, None] / pieces * straight)
    return np.vstack(out)


def _apart(line: Array, clearance_m: float) -> bool:
    """Whether parts of a closed line (points 2 m apart) that are far along it are far from each other too."""
    p = line[::3]
    n = len(p)
    distance = np.hypot(*(p[:, None] - p[None]).transpose(2, 0, 1))
    hops = np.abs(np.arange(n)[:, None] - np.arange(n)[None])
    along = np.minimum(hops, n - hops) * 6.0
    return bool((distance[along > 2.2 * clearance_m] > clearance_m).all())


def lay_road(
    config: RoadConfig, rng: np.random.Generator, crossings_rng: np.random.Generator
) -> tuple[Road, Driving, tuple[Crossing, ...]]:
    """A random closed road, long enough for a lap of two minutes, how the ego lane is driven, and its crossings.

    Nothing is drawn from `crossings_rng` where there are no crossings.

    Raises:
        SensorfuseError: the road is not urban but has crossings, or 400 roads drawn have no room for what it needs.
    """
    if config.crossings and not config.urban:
        raise SensorfuseError("road.crossings: only a road with `urban: true` has crossings; set crossings: 0")
    speed = rng.uniform(*config.speed_mps)
    clearance = 2 * half_width_m(config) + (30.0 if config.urban else 25.0)
    lateral = 2.2 if config.urban else 2.5
    for attempt in range(400):
        n = int(rng.integers(config.corners[0], config.corners[1] + 1))
        angle = (np.arange(n) + rng.uniform(-0.28, 0.28, n)) * 2 * np.pi / n + rng.uniform(0, 2 * np.pi)
        radius = config.radius_m * rng.uniform(0.55, 1.15, n)
        corners = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
        if rng.random() < 0.5:
            corners = corners[::-1]
        stretch = 1.0 + 0.02 * attempt
        line = _fillet(corners * stretch, rng.uniform(*config.corner_radius_m, n))
        if line is None or not _apart(line, clearance):
            continue
        road = Road.through(line)
        crossings = lay_crossings(road, half_width_m(config), config.crossings, crossings_rng)
        if crossings is None:
            continue
        count = config.stops + config.slow_places
        places = rng.permutation(np.linspace(0.05, 0.95, count) + rng.uniform(-0.04, 0.04, count))
        driving = Driving(
            top_mps=speed,
            lateral_mps2=lateral,
            accelerate_mps2=rng.uniform(1.2, 1.8),
            brake_mps2=rng.uniform(1.6, 2.6),
            stops_m=tuple(float(p) * road.length_m for p in places[: config.stops]),
            dwell_s=rng.uniform(*config.stop_s),
            slow_m=tuple(float(p) * road.length_m for p in places[config.stops :]),
            slow_mps=rng.uniform(0.35, 0.6) * speed,
        )
        if time_law(road, driving).period < MIN_LAP_S:
            continue
        if crossings:
            near = near_crossing(crossings, road, driving.slow_m, _QUEUES_M)
            slow = tuple(m for m, taken in zip(driving.slow_m, near, strict=True) if not taken)
            driving = replace(driving, stops_m=(), slow_m=slow)  # traffic lights say where to stand
        return road, driving, crossings
    raise SensorfuseError(
        "road: no closed road fits these corners, radii and crossings; make corner_radius_m smaller, radius_m larger "
        "or have fewer crossings"
    )


def half_width_m(config: RoadConfig) -> float:
    """From the centre line to the edge of the carriageway."""
    return config.median_m / 2 + config.lanes * config.lane_width_m


def lane_offset_m(config: RoadConfig, lane: int) -> float:
    """Offset of the middle of a lane of the ego's direction; lane 0 is the innermost. Traffic keeps right."""
    return -(config.median_m / 2 + (lane + 0.5) * config.lane_width_m)
