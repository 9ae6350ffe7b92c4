"""Cast shadows: whether anything stands between a point and the sun.

All rays to the sun are parallel, so the parts are sorted once per picture into strips that run along the sun's
direction over ground; a point asks only the parts of its own strip.
"""

from __future__ import annotations

import math

from numba import njit

from sensorfuse.sim.scene.shapes import BOUND, BOX, COS, HX, HY, HZ, KIND, SIN, X, Y, Z
from sensorfuse.sim.sensors.light import SUN

STRIP_M, STRIPS = 3.0, 96
CLEARANCE_M = 0.05  # a surface does not shade itself


@njit(cache=True, fastmath=True)
def sort_strips(parts, light, ox, oy, starts, members):  # type: ignore[no-untyped-def]
    """Fill `starts` (STRIPS + 1,) and `members`: strip k, around the place ox, oy, holds the parts
    `members[starts[k] : starts[k + 1]]`. What does not fit in `members` casts no shadow.
    """
    flat = math.sqrt(light[SUN] ** 2 + light[SUN + 1] ** 2)
    sx, sy = light[SUN] / flat, light[SUN + 1] / flat
    count = 0
    for k in range(STRIPS):
        starts[k] = count
        low = (k - STRIPS // 2) * STRIP_M
        for i in range(len(parts)):
            across = sx * (parts[i, Y] - oy) - sy * (parts[i, X] - ox)
            if across + parts[i, BOUND] > low and across - parts[i, BOUND] < low + STRIP_M and count < len(members):
                members[count] = i
                count += 1
    starts[STRIPS] = count


@njit(cache=True, fastmath=True)
def in_shadow(parts, light, ox, oy, starts, members, px, py, pz):  # type: ignore[no-untyped-def]
    """Whether a part of `sort_strips` hides the sun from a point."""
    flat = math.sqrt(light[SUN] ** 2 + light[SUN + 1] ** 2)
    sx, sy, rise = light[SUN] / flat, light[SUN + 1] / flat, light[SUN + 2] / flat
    strip = math.floor((sx * (py - oy) - sy * (px - ox)) / STRIP_M) + STRIPS // 2
    if strip < 0 or strip >= STRIPS:
        return False
    for m in range(starts[strip], starts[strip + 1]):
        i = members[m]
        rx, ry = parts[i, X] - px, parts[i, Y] - py
        bound = parts[i, BOUND]
        along = sx * rx + sy * ry
        if along + bound < 0.0 or abs(sx * ry - sy * rx) > bound:
            continue
        low, high = parts[i, Z] - parts[i, HZ] - pz, parts[i, Z] + parts[i, HZ] - pz
        if rise * (along - bound) > high or rise * (along + bound) < low:
            continue
        if parts[i, KIND] == BOX:
            cos, sin = parts[i, COS], parts[i, SIN]
            dx, dy = cos * sx + sin * sy, cos * sy - sin * sx
            qx, qy = cos * rx + sin * ry, cos * ry - sin * rx
            dx = dx if abs(dx) > 1e-9 else 1e-9
            dy = dy if abs(dy) > 1e-9 else 1e-9
            x1, x2 = (qx - parts[i, HX]) / dx, (qx + parts[i, HX]) / dx
            y1, y2 = (qy - parts[i, HY]) / dy, (qy + parts[i, HY]) / dy
            enter, leave = max(min(x1, x2), min(y1, y2)), min(max(x1, x2), max(y1, y2))
        else:
            root = parts[i, HX] ** 2 - (sx * ry - sy * rx) ** 2
            if root <= 0.0:
                continue
            root = math.sqrt(root)
            enter, leave = along - root, along + root
        enter, leave = max(enter, low / rise), min(leave, high / rise)
        if leave > max(enter, CLEARANCE_M):
            return True
    return False
