"""Radar ghosts: echoes that come by way of a smooth wall, a guard rail or the side of a truck, or bounce twice.

A smooth plane shows the radar's mirror image: the path sensor - reflection point - target is as long as the line from
that image to the target, and its derivative follows from the motion of sensor, target and plane at the reflection
point alone, since the path is stationary against shifts of that point along the plane (Fermat). A ghost's range is
half of the whole path. Out by the plane and straight back, or the other way round: two ghosts of one range, in the
directions of the plane and of the target; by the plane both ways: one behind the plane (Kamann et al. 2018,
"Automotive radar multipath propagation in uncertain environments"). Both legs must be free.

Loss at a wall: Fresnel's coefficient for the electric field along it, and the roughness factor of Ament (1953); at a
guard rail: the divergence of a convex cylinder whose axis lies in the plane of incidence (Keller and others 1956).
Spreading is that of the whole path. Twice to the target and back, by the front of the ego: twice the range and the
range rate (radar equation with three scatterings).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sensorfuse.messages import CLASSES
from sensorfuse.sim.scene.shapes import (
    BOX,
    COS,
    HOUSE,
    HX,
    HY,
    HZ,
    KIND,
    OWNER,
    PLAIN,
    SIN,
    SPIN,
    TEXTURE,
    VX,
    VY,
    X,
    Y,
    Z,
)
from sensorfuse.sim.sensors.raycast import GROUND, SKY, cast, cast_rays
from sensorfuse.sim.sensors.scatterers import FACING, Scatterers

Array = NDArray[np.float64]

WAVE_PER_M = 2 * np.pi * 76.5e9 / 299792458.0
PERMITTIVITY = 5.24  # of concrete: ITU-R P.2040
ROUGHNESS_M = 1.0e-3  # standard deviation of brickwork and coarse plaster
RAIL_RADIUS_M = 0.04  # of the waves in a guard rail's profile
WALL_LOSS_DB, RAIL_LOSS_DB, SIDE_LOSS_DB = 8.0, 10.0, 8.0
"""Besides: windows and ledges of a house; posts, joints and sag of a rail; ribs and doors of a truck."""
FRONT_DBSM = 2.0  # of the ego's front, for the double bounce
MIN_SIDE_M = 1.5  # half length of a face that reflects like a plane
FADE_DB = 10.0  # a mean echo this far below the threshold is not followed: it is found once in 20 000
SMOOTH_CLASSES = tuple(CLASSES.index(name) for name in ("truck", "bus"))
WALL, RAIL, SIDE = range(3)
_TOLERANCE_M = 0.4


@dataclass(frozen=True)
class Echoes:
    """What arrives at a radar: N echoes."""

    toward: Array  # (N, 3) unit vectors to where each seems to come from, world axes
    distance: Array  # (N,) half of the path, metres
    rate: Array  # (N,) its derivative
    level: Array  # (N,) cross-section in dBsm that a target at that distance would need

    def select(self, index: NDArray[np.bool_]) -> Echoes:
        """The rows that a mask picks."""
        return Echoes(*(getattr(self, name)[index] for name in Echoes.__dataclass_fields__))

    @staticmethod
    def none() -> Echoes:
        return Echoes(np.zeros((0, 3)), np.zeros(0), np.zeros(0), np.zeros(0))

    @staticmethod
    def join(parts: list[Echoes]) -> Echoes:
        """All of a list that is not empty, in its order."""
        return Echoes(*(np.concatenate([getattr(p, n) for p in parts]) for n in Echoes.__dataclass_fields__))


@dataclass(frozen=True)
class Faces:
    """F upright rectangles that reflect like mirrors."""

    middle: Array  # (F, 2) x, y
    normal: Array  # (F, 2) outward
    half: Array  # (F,) half length
    low: Array  # (F,) z of the lower edge
    high: Array  # (F,)
    velocity: Array  # (F, 2) of the middle
    spin: Array  # (F,)
    part: NDArray[np.int64]  # (F,) row of the parts
    owner: NDArray[np.int64]  # (F,) actor or -1
    kind: NDArray[np.int64]  # (F,) WALL, RAIL or SIDE

    @staticmethod
    def of(parts: Array, class_id: NDArray[np.uint8]) -> Faces:
        """Walls of houses, guard rails and long fences, and the sides of trucks and buses, out of `parts`."""
        owner = parts[:, OWNER].astype(np.int64)
        smooth = (owner >= 0) & np.isin(class_id[np.maximum(owner, 0)], SMOOTH_CLASSES)
        house = parts[:, TEXTURE] == HOUSE
        rail = (owner < 0) & (parts[:, TEXTURE] == PLAIN)
        boxes = np.flatnonzero((parts[:, KIND] == BOX) & (smooth | house | rail))
        which = np.repeat(boxes, 4)
        p = parts[which]
        turn = np.tile([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]], (len(boxes), 1))
        normal = np.column_stack(
            [p[:, COS] * turn[:, 0] - p[:, SIN] * turn[:, 1], p[:, SIN] * turn[:, 0] + p[:, COS] * turn[:, 1]]
        )
        lengthwise = turn[:, 0] != 0
        arm = np.where(lengthwise, p[:, HX], p[:, HY])[:, None] * normal
        half = np.where(lengthwise, p[:, HY], p[:, HX])
        velocity = p[:, [VX, VY]] + p[:, SPIN, None] * np.column_stack([-arm[:, 1], arm[:, 0]])
        every = Faces(
            p[:, [X, Y]] + arm, normal, half, p[:, Z] - p[:, HZ], p[:, Z] + p[:, HZ], velocity, p[:, SPIN], which,
            owner[which], np.select([house[which], rail[which]], [WALL, RAIL], SIDE),
        )  # fmt: skip
        long = half >= MIN_SIDE_M
        return Faces(*(getattr(every, name)[long] for name in Faces.__dataclass_fields__))


def mirror_gain_db(kind: NDArray[np.int64], cosine: Array, leg_m: Array, other_leg_m: Array) -> Array:
    """Power (K,) in dB that a face keeps, by the cosine (K,) of the angle of incidence and the two legs (K,)."""
    root = np.sqrt(PERMITTIVITY - 1 + cosine**2)
    fresnel = np.maximum(np.abs(root - cosine) / (root + cosine), 1e-9)
    wall = 20 * np.log10(fresnel) - 40 / np.log(10) * (WAVE_PER_M * ROUGHNESS_M * cosine) ** 2 - WALL_LOSS_DB
    rail = -10 * np.log10(1 + 2 * cosine / RAIL_RADIUS_M * leg_m * other_leg_m / (leg_m + other_leg_m)) - RAIL_LOSS_DB
    return np.asarray(np.select([kind == WALL, kind == RAIL], [wall, rail], -SIDE_LOSS_DB))


@njit(cache=True, fastmath=True)
def _mirror(middle, normal, half, low, high, face_owner, sensor, points, owner, weakest, out):  # type: ignore[no-untyped-def]
    """Pairs of a face and a point whose mirror path meets the face: rows of `out` (face, point, x, y, z, length).

    `weakest` (K,): the longest path worth following. Returns how many were found; at most len(out) are kept.
    """
    count = 0
    for f in range(len(half)):
        nx, ny = normal[f, 0], normal[f, 1]
        sx, sy = sensor[0] - middle[f, 0], sensor[1] - middle[f, 1]
        hs = nx * sx + ny * sy
        if hs < 0.05:
            continue
        us = nx * sy - ny * sx
        for k in range(len(points)):
            px, py = points[k, 0] - middle[f, 0], points[k, 1] - middle[f, 1]
            hp = nx * px + ny * py
            if hp < 0.05 or owner[k] == face_owner[f]:
                continue
            up = nx * py - ny * px
            share = hs / (hs + hp)
            u = us + (up - us) * share
            if abs(u) > half[f]:
                continue
            z = sensor[2] + (points[k, 2] - sensor[2]) * share
            if z < low[f] or z > high[f]:
                continue
            length = np.sqrt((up - us) ** 2 + (hs + hp) ** 2 + (points[k, 2] - sensor[2]) ** 2)
            if length > weakest[k] or count >= len(out):
                continue
            out[count, 0], out[count, 1], out[count, 5] = f, k, length
            out[count, 2], out[count, 3], out[count, 4] = middle[f, 0] - ny * u, middle[f, 1] + nx * u, z
            count += 1
    return count


@njit(cache=True)
def _cast_each(parts, starts, lines, reach_m, distance, hit):  # type: ignore[no-untyped-def]
    for k in range(len(starts)):
        cast(parts, starts[k], lines[k : k + 1], reach_m, distance[k : k + 1], hit[k : k + 1])


def reaches(parts: Array, starts: Array, ends: Array, owner: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether nothing stands between places (K, 3) and (K, 3), the objects (K,) that own the latter excepted."""
    lines = np.ascontiguousarray(ends - starts)
    length = np.linalg.norm(lines, axis=1)
    distance, hit = np.empty(len(lines)), np.empty(len(lines), np.int64)
    if len(lines):
        _cast_each(parts, np.ascontiguousarray(starts), lines, float(length.max()) + 1.0, distance, hit)
    blocker = np.where(hit >= 0, parts[np.maximum(hit, 0), OWNER].astype(np.int64), -1)
    own = (hit >= 0) & (blocker == owner)
    return np.asarray((hit == SKY) | (hit == GROUND) | own | (distance > length - _TOLERANCE_M))


@dataclass(frozen=True)
class Bounces:
    """Paths sensor - face - target, K of them."""

    point: Array  # (K, 3) where they meet the face
    target: NDArray[np.int64]  # (K,) rows of the scatterers
    length: Array  # (K,) metres, one way
    rate: Array  # (K,) its derivative
    gain_db: Array  # (K,) of the reflection


def bounces(
    parts: Array, faces: Faces, sensor: Array, velocity: Array, targets: Scatterers, longest_m: Array
) -> Bounces:
    """All free paths by one face from a sensor (3,) that moves with `velocity` (3,), up to `longest_m` (K,) long."""
    out = np.empty((4096, 6))
    count = _mirror(
        faces.middle, faces.normal, faces.half, faces.low, faces.high, faces.owner, sensor, targets.point,
        targets.owner, longest_m, out,
    )  # fmt: skip
    face, who, point, length = out[:count, 0].astype(int), out[:count, 1].astype(int), out[:count, 2:5], out[:count, 5]
    _, hit = cast_rays(parts, sensor, point - sensor, float(longest_m.max(initial=1.0)))
    free = hit == faces.part[face]
    free &= targets.select(who).facing(point) > FACING
    face, who, point, length = face[free], who[free], point[free], length[free]
    lifted = point + 0.05 * np.column_stack([faces.normal[face], np.zeros(len(face))])
    free = reaches(parts, lifted, targets.point[who], targets.owner[who])
    face, who, point, length = face[free], who[free], point[free], length[free]
    back, onward = sensor - point, targets.point[who] - point
    leg, other_leg = np.linalg.norm(back, axis=1), np.linalg.norm(onward, axis=1)
    back, onward = back / leg[:, None], onward / other_leg[:, None]
    arm = point[:, :2] - faces.middle[face]
    wall = faces.velocity[face] + faces.spin[face, None] * np.column_stack([-arm[:, 1], arm[:, 0]])
    rate = (onward * targets.velocity[who]).sum(axis=1) + back @ velocity - ((back + onward)[:, :2] * wall).sum(axis=1)
    cosine = (back[:, :2] * faces.normal[face]).sum(axis=1)
    return Bounces(point, who, length, rate, mirror_gain_db(faces.kind[face], cosine, leg, other_leg))


def mirror_ghosts(
    parts: Array,
    faces: Faces,
    sensor: Array,
    velocity: Array,
    targets: Scatterers,
    seen: NDArray[np.bool_],
    max_range_m: float,
    within: Callable[[Array], NDArray[np.bool_]],
    rng: np.random.Generator,
) -> Echoes:
    """Echoes by way of a face, faded (Swerling 1; the two directions of one path fade together).

    `sensor` (3,) moves with `velocity` (3,), world axes. `seen` (K,): which targets are met by a straight, free ray
    within the field of view; `within` says which lines (N, 3), world axes, are in it.
    """
    line = targets.point - sensor
    straight = np.maximum(np.linalg.norm(line, axis=1), 1e-6)
    mean = targets.level + FADE_DB
    one_way = np.minimum(max_range_m**2 * 10 ** (mean / 20) / straight, 2 * max_range_m - straight)
    both_ways = max_range_m * 10 ** np.minimum(mean / 40, 0.0)
    found = bounces(parts, faces, sensor, velocity, targets, np.maximum(np.where(seen, one_way, 0.0), both_ways))
    if not len(found.length):
        return Echoes.none()
    where = found.point - sensor
    kept = within(where)
    who, length, rate, gain_db = found.target[kept], found.length[kept], found.rate[kept], found.gain_db[kept]
    to_face = where[kept] / np.linalg.norm(where[kept], axis=1, keepdims=True)
    target = targets.select(who)
    faded = 10 * np.log10(np.maximum(rng.standard_exponential((2, len(who))), 1e-3))
    from_face = target.levels(target.facing(found.point[kept]))
    by_face = Echoes(to_face, length, rate, from_face + 2 * gain_db + faded[0])
    pair = seen[who]
    near, far, line = straight[who][pair], length[pair], line[who][pair]
    to_target = line / near[:, None]
    half = (near + far) / 2
    half_rate = (rate[pair] + ((target.velocity[pair] - velocity) * to_target).sum(axis=1)) / 2
    level = (from_face + target.levels(target.facing(sensor)))[pair] / 2 + gain_db[pair] + faded[1][pair]
    level = level + 40 * np.log10(half) - 20 * np.log10(near * far)
    return Echoes.join(
        [by_face, Echoes(to_face[pair], half, half_rate, level), Echoes(to_target, half, half_rate, level)]
    )


def twice(direct: Echoes) -> Echoes:
    """What comes back from the ego's front to each target and from there once more."""
    level = 2 * direct.level + FRONT_DBSM - 20 * np.log10(np.pi) - 40 * np.log10(direct.distance)
    return Echoes(direct.toward, 2 * direct.distance, 2 * direct.rate, level)
