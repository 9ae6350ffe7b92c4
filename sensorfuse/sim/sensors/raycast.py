"""Rays against upright boxes, upright cylinders and the ground: what every sensor model shares.

A ray is given by a horizontal unit direction (ux, uy) and a slope (rise per metre of horizontal distance); distances
are horizontal. `gather` picks, for a bundle of rays, the parts that any of them may hit, near ones first; `nearest`
intersects one ray. Slab test: Kay and Kajiya 1986. World frame throughout; ground at z = 0.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sensorfuse.sim.scene.shapes import BOUND, BOX, COS, HX, HY, HZ, KIND, SIN, SPIN, VX, VY, X, Y, Z

Array = NDArray[np.float64]

GROUND, SKY = -1, -2
# columns of the candidate table
NEAR, LOW, HIGH, OX, OY, OZ, CC, CS, WHO = range(9)
CANDIDATE_COLUMNS = 9
SIDE_X, SIDE_Y, TOP, ROUND = 1, 2, 3, 4
"""Faces: across the length axis, along it, top or bottom, the mantle of a cylinder."""


@njit(cache=True, fastmath=True)
def gather(parts, dt, ox, oy, oz, cx, cy, cos_spread, sin_spread, max_m, table):  # type: ignore[no-untyped-def]
    """Fill `table` (P, 9) with what rays from (ox, oy, oz) around direction (cx, cy) may hit; return how many parts.

    Parts have moved for `dt` s. `cos_spread`, `sin_spread`: of the largest angle between a ray and that direction,
    over ground; where it is 90 degrees or more (`cos_spread` <= 0), rays go all round and nothing is left out.
    """
    count = 0
    for i in range(len(parts)):
        rx = parts[i, X] + parts[i, VX] * dt - ox
        ry = parts[i, Y] + parts[i, VY] * dt - oy
        bound = parts[i, BOUND]
        along = rx * cx + ry * cy
        across = abs(cx * ry - cy * rx)
        distance2 = rx * rx + ry * ry
        aside = across * cos_spread - along * sin_spread > bound or along * cos_spread + across * sin_spread < 0.0
        if aside and cos_spread > 0.0 and distance2 > bound * bound:
            continue
        distance = math.sqrt(distance2)
        near = max(distance - bound, 1e-6)
        if near > max_m:
            continue
        far = distance + bound
        bottom = parts[i, Z] - parts[i, HZ] - oz
        top = parts[i, Z] + parts[i, HZ] - oz
        j = count
        while j > 0 and table[j - 1, NEAR] > near:
            for c in range(CANDIDATE_COLUMNS):
                table[j, c] = table[j - 1, c]
            j -= 1
        count += 1
        turned = parts[i, SPIN] * dt
        c = parts[i, COS] - parts[i, SIN] * turned
        s = parts[i, SIN] + parts[i, COS] * turned
        table[j, NEAR] = near
        table[j, LOW] = bottom / (near if bottom < 0.0 else far)
        table[j, HIGH] = top / (near if top > 0.0 else far)
        table[j, OX] = -(c * rx + s * ry)
        table[j, OY] = -(c * ry - s * rx)
        table[j, OZ] = oz - parts[i, Z]
        table[j, CC] = c
        table[j, CS] = s
        table[j, WHO] = i
    return count


@njit(cache=True, fastmath=True)
def nearest(parts, table, count, oz, ux, uy, slope, max_m):  # type: ignore[no-untyped-def]
    """The first thing on a ray: (horizontal distance, part or GROUND or SKY, face)."""
    best, who, face = max_m, SKY, 0
    least = 0.02 / math.sqrt(1.0 + slope * slope)
    if slope < 0.0 and -oz / slope < best:
        best, who, face = -oz / slope, GROUND, TOP
    for j in range(count):
        if table[j, NEAR] > best:
            break
        if slope < table[j, LOW] or slope > table[j, HIGH]:
            continue
        i = int(table[j, WHO])
        c, s = table[j, CC], table[j, CS]
        dx = c * ux + s * uy
        dy = c * uy - s * ux
        qx, qy, qz = table[j, OX], table[j, OY], table[j, OZ]
        hz = parts[i, HZ]
        wz = slope if abs(slope) > 1e-9 else 1e-9
        z1, z2 = (-hz - qz) / wz, (hz - qz) / wz
        if z1 > z2:
            z1, z2 = z2, z1
        if parts[i, KIND] == BOX:
            if abs(dx) < 1e-9:
                dx = 1e-9
            if abs(dy) < 1e-9:
                dy = 1e-9
            x1, x2 = (-parts[i, HX] - qx) / dx, (parts[i, HX] - qx) / dx
            if x1 > x2:
                x1, x2 = x2, x1
            y1, y2 = (-parts[i, HY] - qy) / dy, (parts[i, HY] - qy) / dy
            if y1 > y2:
                y1, y2 = y2, y1
            enter, side = x1, SIDE_X
            if y1 > enter:
                enter, side = y1, SIDE_Y
            leave = min(x2, y2)
        else:
            b = qx * dx + qy * dy
            root = b * b - (qx * qx + qy * qy - parts[i, HX] * parts[i, HX])
            if root <= 0.0:
                continue
            root = math.sqrt(root)
            enter, leave, side = -b - root, -b + root, ROUND
        if z1 > enter:
            enter, side = z1, TOP
        leave = min(leave, z2)
        if enter < leave and enter > least and enter < best:
            best, who, face = enter, i, side
    return best, who, face


@njit(cache=True, fastmath=True)
def incidence(parts, dt, who, face, ux, uy, slope, hx, hy):  # type: ignore[no-untyped-def]
    """Cosine between a ray and the surface it hits at world point (hx, hy), of a part that has moved for `dt` s."""
    turned = parts[who, SPIN] * dt
    c, s = parts[who, COS] - parts[who, SIN] * turned, parts[who, SIN] + parts[who, COS] * turned
    scale = 1.0 / math.sqrt(1.0 + slope * slope)
    if face == TOP:
        return abs(slope) * scale
    if face == SIDE_X:
        return abs(c * ux + s * uy) * scale
    if face == SIDE_Y:
        return abs(c * uy - s * ux) * scale
    nx, ny = hx - parts[who, X] - parts[who, VX] * dt, hy - parts[who, Y] - parts[who, VY] * dt
    return abs(nx * ux + ny * uy) / max(parts[who, HX], 1e-6) * scale


@njit(cache=True, fastmath=True)
def cast(parts, origin, directions, max_m, distance, hit):  # type: ignore[no-untyped-def]
    """Single rays: `directions` (K, 3) of any length from `origin` (3,). Fills distance (K,) in metres, hit (K,)."""
    table = np.empty((len(parts) + 1, CANDIDATE_COLUMNS))
    for k in range(len(directions)):
        dx, dy, dz = directions[k, 0], directions[k, 1], directions[k, 2]
        flat = max(math.sqrt(dx * dx + dy * dy), 1e-9)
        ux, uy, slope = dx / flat, dy / flat, dz / flat
        stretch = math.sqrt(1.0 + slope * slope)
        count = gather(parts, 0.0, origin[0], origin[1], origin[2], ux, uy, 1.0, 0.0, max_m, table)
        rho, who, _ = nearest(parts, table, count, origin[2], ux, uy, slope, max_m / stretch)
        distance[k] = rho * stretch
        hit[k] = who


def cast_rays(parts: Array, origin: Array, directions: Array, max_m: float) -> tuple[Array, NDArray[np.int64]]:
    """First hit of single rays: distance (K,) in metres (`max_m` where nothing), and part, GROUND or SKY (K,)."""
    distance, hit = np.empty(len(directions)), np.empty(len(directions), np.int64)
    cast(parts, np.ascontiguousarray(origin), np.ascontiguousarray(directions), max_m, distance, hit)
    return distance, hit
