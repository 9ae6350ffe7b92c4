"""How surfaces look: colour and light of a point on the ground or on a part, for the camera."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from sensorfuse.sim.noise import hash64
from sensorfuse.sim.scene.ground import GRASS, PAVEMENT
from sensorfuse.sim.scene.shapes import (
    BEACON,
    BLUE,
    BODY,
    COS,
    FOLIAGE,
    GLASS,
    GREEN,
    HOUSE,
    HX,
    HY,
    HZ,
    LAMP,
    MARK,
    OWNER,
    RED,
    SIN,
    STRIPES,
    TEXTURE,
    WINDOWS,
    X,
    Y,
    Z,
)
from sensorfuse.sim.sensors.light import CLEAR_SKY, DAYLIGHT, SUN
from sensorfuse.sim.sensors.raycast import ROUND, SIDE_X, SIDE_Y, TOP

GROUND_RGB = np.array(
    [[86.0, 116.0, 58.0], [84.0, 84.0, 88.0], [226.0, 226.0, 220.0], [158.0, 152.0, 144.0], [184.0, 182.0, 178.0]]
)
"""Grass, asphalt, mark, pavement, kerb."""


@njit(cache=True, fastmath=True)
def _speckle(i, j):  # type: ignore[no-untyped-def]
    """A fixed number in [-1, 1) per cell."""
    bits = hash64(np.uint64(0x51A7), int(i) * 73856093 ^ int(j) * 19349663)
    return int(bits & np.uint64(1023)) / 512.0 - 1.0


@njit(cache=True, fastmath=True)
def ground_colour(kind, x, y, distance, colour):  # type: ignore[no-untyped-def]
    """Colour of a ground material at a place, with grain that fades with distance."""
    grain = 0.0
    if distance < 60.0:
        fade = 1.0 - distance / 60.0
        grain = fade * 0.07 * _speckle(math.floor(x * 4.0), math.floor(y * 4.0))
    patch = 0.07 * _speckle(math.floor(x * 0.35), math.floor(y * 0.35))
    if kind == GRASS:
        grain *= 2.0
    elif kind == PAVEMENT and distance < 35.0 and (x - math.floor(x) < 0.06 or y - math.floor(y) < 0.06):
        grain -= 0.15
    for c in range(3):
        colour[c] = GROUND_RGB[kind, c] * (1.0 + grain + patch)


@njit(cache=True, fastmath=True)
def part_colour(parts, who, face, px, py, pz, ux, uy, light, t_s, colour):  # type: ignore[no-untyped-def]
    """Set the colour of a point on a part; return the light that falls on it, scattered and direct from the sun, and
    the light that it gives.
    """
    cos, sin = parts[who, COS], parts[who, SIN]
    dx, dy = px - parts[who, X], py - parts[who, Y]
    lx, ly, lz = cos * dx + sin * dy, cos * dy - sin * dx, pz - parts[who, Z]
    hx, hy, hz = parts[who, HX], parts[who, HY], parts[who, HZ]
    day = light[DAYLIGHT]
    if face == TOP:
        nx, ny, nz = 0.0, 0.0, 1.0
    elif face == ROUND:
        nx, ny, nz = dx / hx, dy / hx, 0.0
    else:
        ax, ay = (cos, sin) if face == SIDE_X else (-sin, cos)
        side = -1.0 if ax * ux + ay * uy > 0.0 else 1.0
        nx, ny, nz = side * ax, side * ay, 0.0
    sun = max(nx * light[SUN] + ny * light[SUN + 1] + nz * light[SUN + 2], 0.0)
    lit = day * (0.52 + 0.12 * nz) + 0.09
    direct = day * 0.5 * sun * light[CLEAR_SKY]
    glow = 0.0
    red, green, blue = parts[who, RED], parts[who, GREEN], parts[who, BLUE]
    texture = int(parts[who, TEXTURE])
    high = (lz + hz) / (2.0 * hz)  # 0 at the bottom, 1 at the top
    if texture in (BODY, STRIPES):  # painted body; stripes of an emergency vehicle
        if texture == STRIPES and face != TOP and 0.25 < high < 0.55:
            along = lx if face == SIDE_Y else ly
            if (math.floor(along / 0.5) + int(high > 0.4)) & 1:
                red, green, blue = 30.0, 70.0, 190.0
            else:
                red, green, blue = 235.0, 225.0, 40.0
        if face == SIDE_Y:
            if high < 0.12:
                red, green, blue = 0.4 * red, 0.4 * green, 0.4 * blue
            wheel = min(0.34, 0.55 * hz)
            gap = min(abs(lx - 0.62 * hx), abs(lx + 0.6 * hx))
            if gap * gap + (lz + hz - 0.12) ** 2 < wheel * wheel:
                red, green, blue = 22.0, 22.0, 24.0
            elif hz > 0.6 and 0.62 < high < 0.85 and lx > 0.55 * hx and lx < 0.9 * hx:
                red, green, blue = 46.0, 56.0, 66.0  # side window of a cab
        elif face == SIDE_X:
            if abs(ly) > 0.62 * hy and 0.35 < high * hz / min(hz, 0.5) < 0.8:
                if lx > 0.0:
                    red, green, blue = 245.0, 242.0, 225.0
                    glow = 1.0 if day < 0.5 else 0.0
                else:
                    red, green, blue = 190.0, 20.0, 22.0
                    glow = 0.8 if day < 0.5 else 0.0
            elif high < 0.3:
                red, green, blue = 0.5 * red, 0.5 * green, 0.5 * blue
            elif hz > 0.6 and 0.5 < high < 0.85:
                red, green, blue = 40.0, 50.0, 60.0  # windscreen
    elif texture == GLASS:  # glass between pillars
        if (
            face != TOP
            and 0.08 < high < 0.86
            and (abs(lx) < 0.94 * hx or face == SIDE_X)
            and not (face == SIDE_Y and abs(lx) < 0.06 * hx)
        ):
            red, green, blue = 38.0 + 40.0 * high, 46.0 + 46.0 * high, 54.0 + 54.0 * high
    elif texture == HOUSE:  # house front
        if face == TOP:
            red, green, blue = 120.0, 84.0, 72.0
        else:
            along = lx if face == SIDE_Y else ly
            floor = (lz + hz) / 2.9
            bay = along / 2.3 + 50.0
            u, v = bay - math.floor(bay), floor - math.floor(floor)
            shade = 1.0 + 0.05 * _speckle(math.floor(along * 3.0), math.floor(lz * 6.0))
            red, green, blue = red * shade, green * shade, blue * shade
            if 0.28 < u < 0.72 and 0.3 < v < 0.78:
                lamp = _speckle(
                    math.floor(bay) + 131.0 * math.floor(parts[who, MARK] * 4096.0), math.floor(floor) * 7.0 + face
                )
                if day < 0.5 and lamp > 0.35:
                    red, green, blue, glow = 236.0, 196.0, 120.0, 0.8
                else:
                    red, green, blue = 58.0, 70.0, 84.0
    elif texture == FOLIAGE:  # leaves
        turn = math.atan2(ly, lx)
        tone = 1.0 + 0.3 * _speckle(
            math.floor(turn * hx * 3.5), math.floor(lz * 3.5) + math.floor(parts[who, MARK] * 997.0)
        )
        red, green, blue = red * tone, green * tone, blue * tone
    elif texture == BEACON:  # flashing beacon
        beat = t_s * 2.2 + 0.37 * parts[who, OWNER]
        left = (beat - math.floor(beat)) < 0.5
        if (ly > 0.0) == left:
            red, green, blue, glow = 90.0, 140.0, 255.0, 1.1
        else:
            red, green, blue = 26.0, 40.0, 120.0
    elif texture == LAMP and max(red, green, blue) > 150.0:  # of a traffic light, the one that is on
        glow = 1.0
    elif texture == WINDOWS and face != TOP:  # bus
        if 0.42 < high < 0.82:
            pane = lx / 1.45 + 40.0
            if face == SIDE_X or pane - math.floor(pane) < 0.88:
                red, green, blue = 44.0, 54.0, 64.0
                if day < 0.5:
                    red, green, blue, glow = 214.0, 206.0, 176.0, 0.55
        elif high < 0.1:
            red, green, blue = 30.0, 30.0, 32.0
        elif face == SIDE_X and abs(ly) > 0.7 * hy and 0.14 < high < 0.24:
            if lx > 0.0:
                red, green, blue, glow = 245.0, 242.0, 225.0, 1.0 if day < 0.5 else 0.0
            else:
                red, green, blue, glow = 190.0, 20.0, 22.0, 0.8 if day < 0.5 else 0.0
    if glow == 0.0:
        near_ground = 0.82 + 0.18 * min(max(pz / 1.2, 0.0), 1.0)  # less light reaches what is near the ground
        lit *= near_ground
        direct *= near_ground
    colour[0], colour[1], colour[2] = red, green, blue
    return lit, direct, glow
