"""Rain in a picture: drops that stick to the lens, stay and run down, and drops that fall through the view.

A drop on the lens shows the whole view upside down, small and a little blurred, with a dark rim, as a ball of water
does. Where each drop sits follows from the lens's key and the time alone, so neighbouring pictures show the same drops.
Falling drops are streaks as long as they fall in one exposure (Garg and Nayar 2007).
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from sensorfuse.sim.noise import uniform

Array = NDArray[np.float64]
Radiance = NDArray[np.float32]

DROPS = 150  # on a lens that is covered as much as it can be
U, V, RADIUS, TALL, TRAIL, FADE = range(6)
"""Columns of a drop: centre and radius in pixels, height per width, length of the trail above, how solid it is."""
BLUR = 4  # a drop shows the view at this part of its resolution
FALL_MPS = 8.0
NEAREST_M, FARTHEST_M = 0.6, 7.0
STREAKS_PER_MMPH = 12.0


@njit(cache=True)
def _place(key, t_s, scale, width, height, drops):  # type: ignore[no-untyped-def]
    """Fill `drops` (N, 6) with where they are."""
    for i in range(len(drops)):
        life = 5.0 + 15.0 * uniform(key, 64 * i)
        turn = t_s / life + uniform(key, 64 * i + 1)
        cycle = math.floor(turn)
        age = (turn - cycle) * life
        base = 64 * (i + 4096 * (cycle + 1048576))
        size = uniform(key, base + 2)
        radius = scale * (2.2 + 3.5 * size + 9.0 * size**8)
        u, v = width * uniform(key, base + 3), height * uniform(key, base + 4)
        trail = 0.0
        start = life * (0.25 + 0.4 * uniform(key, base + 5))
        if radius > 6.0 * scale and uniform(key, base + 6) < 0.7 and age > start:
            fast = scale * (25.0 + 70.0 * uniform(key, base + 7))
            wave = 2.0 + 3.0 * uniform(key, base + 8)
            moved = fast * ((age - start) - 0.85 * math.sin(wave * (age - start)) / wave)  # it sticks and slips
            u += 0.05 * moved * math.sin(0.11 * moved / scale + 6.0 * size)
            v += moved
            trail = moved
        grown = min(age / 0.12, 1.0)
        drops[i, U], drops[i, V], drops[i, RADIUS] = u, v, radius * (0.4 + 0.6 * grown)
        drops[i, TALL] = 1.0 + 0.25 * uniform(key, base + 9) + (0.35 if trail > 0.0 else 0.0)
        drops[i, TRAIL] = trail
        drops[i, FADE] = grown * min((life - age) / 0.8, 1.0)


@njit(cache=True, fastmath=True)
def _sample(small, u, v, c):  # type: ignore[no-untyped-def]
    """Radiance between the pixels of the small picture; the border goes on beyond it."""
    u = min(max(u / BLUR - 0.5, 0.0), small.shape[1] - 1.001)
    v = min(max(v / BLUR - 0.5, 0.0), small.shape[0] - 1.001)
    j, i = int(u), int(v)
    fu, fv = u - j, v - i
    return (1.0 - fv) * ((1.0 - fu) * small[i, j, c] + fu * small[i, j + 1, c]) + fv * (
        (1.0 - fu) * small[i + 1, j, c] + fu * small[i + 1, j + 1, c]
    )


@njit(cache=True, fastmath=True)
def _refract(radiance, small, drops):  # type: ignore[no-untyped-def]
    height, width = radiance.shape[0], radiance.shape[1]
    for i in range(len(drops)):
        u, v, radius, tall = drops[i, U], drops[i, V], drops[i, RADIUS], drops[i, TALL]
        half, trail, solid = radius * tall, drops[i, TRAIL], drops[i, FADE]
        narrow = 0.45 * radius
        for row in range(max(int(v - trail), 0), min(int(v), height)) if trail > 0.0 else range(0):
            wet = solid * 0.55 * math.exp(-(v - row) / (16.0 * radius))
            for column in range(max(int(u - narrow), 0), min(int(u + narrow) + 2, width)):
                d = (column - u) / narrow
                share = wet * (1.0 - d * d)
                if share > 0.01:
                    for c in range(3):
                        seen = _sample(small, u - 22.0 * radius * d, float(row), c)
                        radiance[row, column, c] += np.float32(share * (seen - radiance[row, column, c]))
        for row in range(max(int(v - half), 0), min(int(v + half) + 2, height)):
            for column in range(max(int(u - radius), 0), min(int(u + radius) + 2, width)):
                dx, dy = (column - u) / radius, (row - v) / half
                d2 = dx * dx + dy * dy
                if d2 >= 1.0:
                    continue
                share = min((1.0 - d2) * 2.2, 1.0) * solid * 0.94
                bend = 0.30 + 0.45 * d2
                rim = 1.03 - 0.42 * d2 * d2
                for c in range(3):
                    seen = rim * _sample(small, u - dx * bend * width, v - dy * bend * height, c)
                    radiance[row, column, c] += np.float32(share * (seen - radiance[row, column, c]))


def draw_lens_drops(radiance: Radiance, key: np.uint64, t_s: float, amount: float) -> None:
    """Put the drops of one lens at one time into a picture (H, W, 3); `amount` from 0 to 1."""
    height, width = radiance.shape[:2]
    drops = np.empty((round(amount * DROPS), 6))
    _place(key, t_s, width / 480.0, width, height, drops)
    small = cv2.resize(radiance, (max(width // BLUR, 2), max(height // BLUR, 2)), interpolation=cv2.INTER_AREA)
    _refract(radiance, small, drops)


@njit(cache=True, fastmath=True)
def _streaks(radiance, key, count, focal, cx, cy, fall, exposure_s, light):  # type: ignore[no-untyped-def]
    height, width = radiance.shape[0], radiance.shape[1]
    for i in range(count):
        # evenly in space: the number of drops at a distance grows with its square
        z = FARTHEST_M * max(uniform(key, 8 * i) ** (1.0 / 3.0), NEAREST_M / FARTHEST_M)
        u, v = width * uniform(key, 8 * i + 1), height * uniform(key, 8 * i + 2)
        across, down = (u - cx) / focal, (v - cy) / focal
        du = focal * exposure_s * (fall[0] - across * fall[2]) / z
        dv = focal * exposure_s * (fall[1] - down * fall[2]) / z
        length = max(math.sqrt(du * du + dv * dv), 1.0)
        wide = 0.0025 * focal / z
        share = 0.45 * min(wide, 1.0) * (0.5 + uniform(key, 8 * i + 3))
        steps = min(int(length) + 1, 400)
        for k in range(steps):
            row, left = int(v + dv * k / steps), u + du * k / steps
            column = int(left)
            if row < 0 or row >= height or column < 0 or column >= width - 1:
                continue
            for side in range(2):
                part = share * ((1.0 - left + column) if side == 0 else left - column)
                for c in range(3):
                    old = radiance[row, column + side, c]
                    radiance[row, column + side, c] += np.float32(part * (light[c] - old))


def draw_streaks(
    radiance: Radiance,
    key: np.uint64,
    rain_mmph: float,
    lens: tuple[float, float, float],
    motion: Array,
    exposure_s: float,
    light: Array,
) -> None:
    """Put falling drops into a picture (H, W, 3).

    `lens`: focal length and principal point in pixels; `motion` (3,): of the drops against the camera, m/s, optical
    frame; `light` (3,): radiance that a drop gathers from the sky.
    """
    _streaks(radiance, key, int(STREAKS_PER_MMPH * rain_mmph), *lens, motion, exposure_s, light)
