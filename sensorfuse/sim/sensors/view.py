"""What a camera's pixels see: rays of rows, each with its own pose, against the world; in linear radiance.

Two kernels come of one text: one for even light, and a rich one with cast shadows, tinted light, a halo around the sun
and a wet road that mirrors, so that what is not there costs nothing.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from sensorfuse.sim.noise import hash64
from sensorfuse.sim.scene.ground import ASPHALT, MARK, mark_share, material_at
from sensorfuse.sim.scene.shapes import COS, SIN, SPIN, VX, VY, X, Y
from sensorfuse.sim.sensors.light import (
    AIR,
    CLEAR_SKY,
    DAYLIGHT,
    HALO,
    LAMPS,
    SHADOWS,
    SKY_RGB,
    SUN,
    SUN_RGB,
    WETNESS,
    ZENITH,
)
from sensorfuse.sim.sensors.raycast import CANDIDATE_COLUMNS, GROUND, SKY, gather, nearest
from sensorfuse.sim.sensors.shadow import STRIPS, in_shadow, sort_strips
from sensorfuse.sim.sensors.surface import GROUND_RGB, ground_colour, part_colour

FAR_M = 160.0
FAR_PER_HEIGHT = 110.0  # a camera high up sees the ground farther away
PARTS_RADIUS_M = 130.0
SMOOTH_M = 40.0  # nearer than this the edges of road marks are smoothed
CLEAR_STEP_M = 0.5  # of the table of what air lets through


@njit(cache=True, fastmath=True)
def _aim(rays_x, rays_y, turn, first, last, aimed):  # type: ignore[no-untyped-def]
    """Turn rays of rows first..last of a column by `turn` (9, H): fill `aimed` (3, H) with the unit direction over
    ground and the slope. Return the middle direction, cosine and sine of the largest angle to it, the greatest slope.
    """
    mx, my, highest = 0.0, 0.0, -1e9
    for row in range(first, last):
        x, y = rays_x[row], rays_y[row]
        dx = turn[0, row] * x + turn[1, row] * y + turn[2, row]
        dy = turn[3, row] * x + turn[4, row] * y + turn[5, row]
        dz = turn[6, row] * x + turn[7, row] * y + turn[8, row]
        scale = 1.0 / math.sqrt(max(dx * dx + dy * dy, 1e-12))
        aimed[0, row], aimed[1, row], aimed[2, row] = dx * scale, dy * scale, dz * scale
        mx += dx * scale
        my += dy * scale
        highest = max(highest, dz * scale)
    norm = 1.0 / math.sqrt(max(mx * mx + my * my, 1e-18))
    mx *= norm
    my *= norm
    cosine = 1.0
    for row in range(first, last):
        cosine = min(cosine, aimed[0, row] * mx + aimed[1, row] * my)
    cosine = max(cosine - 1e-9, -1.0)
    return mx, my, cosine, math.sqrt(1.0 - cosine * cosine), highest


@njit(cache=True, fastmath=True, inline="always")
def _sky(ux, uy, slope, rich, light, colour):  # type: ignore[no-untyped-def]
    """Set the radiance of the sky: from the horizon to the zenith, and the halo of a low sun."""
    up = min(max(slope * 2.2, 0.0), 1.0)
    for c in range(3):
        colour[c] = light[AIR + c] + (light[ZENITH + c] - light[AIR + c]) * up * light[CLEAR_SKY]
    if rich and light[HALO] > 0.0:
        near = (ux * light[SUN] + uy * light[SUN + 1] + slope * light[SUN + 2]) / math.sqrt(1.0 + slope * slope)
        near = max(near, 0.0) ** 4
        glow = (0.35 * near + 0.65 * near**3) * (1.0 - 0.6 * up)
        for c in range(3):
            colour[c] += glow * light[HALO + c]


@njit(cache=True, fastmath=True, inline="always")
def _surface(  # type: ignore[no-untyped-def]
    parts, who, face, px, py, pz, ux, uy, distance, ahead, aside, t_s, light, material, map_place, colour
):
    """Set the colour of a point of a part or of the ground; return the light on it: scattered, direct from the sun,
    of the head lamps; and the light that it gives. `ahead`, `aside`: metres ahead of the ego and to its left.
    """
    day = light[DAYLIGHT]
    beam = 0.0
    if day < 0.5 and ahead > 1.0:
        aside = aside / (3.0 + 0.35 * ahead)
        beam = (1.0 - 2.0 * day) * math.exp(-aside * aside) * 0.75 / (1.0 + (distance / 16.0) ** 2)
    if who != GROUND:
        scattered, direct, glow = part_colour(parts, who, face, px, py, pz, ux, uy, light, t_s, colour)
        return scattered, direct, beam, glow * (1.0 + light[LAMPS] * glow**4)
    kind = material_at(material, map_place[0], map_place[1], map_place[2], px, py)
    share = 0.0
    if distance < SMOOTH_M and kind in (ASPHALT, MARK):
        share = mark_share(material, map_place[0], map_place[1], map_place[2], px, py)
        share = min(max(2.0 * share - 0.5, 0.0), 1.0)
        kind = ASPHALT
    ground_colour(kind, px, py, distance, colour)
    for c in range(3):
        colour[c] += share * (GROUND_RGB[MARK, c] - colour[c])
    return day * 0.5 + 0.1, day * 0.55 * max(light[SUN + 2], 0.0), beam, 0.0


@njit(cache=True, fastmath=True)
def _illuminate(scattered, direct, beam, glow, light, colour):  # type: ignore[no-untyped-def]
    for c in range(3):
        colour[c] *= max(scattered * light[SKY_RGB + c] + direct * light[SUN_RGB + c] + beam, glow)


@njit(cache=True, fastmath=True)
def _mirror(  # type: ignore[no-untyped-def]
    parts, starts, members, table, count, eye, way, place, heading, t_s, light, material, map_place, far, colour, other
):
    """Darken wet asphalt and mix in what it mirrors: what a camera as deep under the ground sees (Schlick's Fresnel).

    Water on rough asphalt tilts from place to place, which draws reflections out in height.
    """
    if material_at(material, map_place[0], map_place[1], map_place[2], place[0], place[1]) not in (ASPHALT, MARK):
        return
    ux, uy, slope = way
    cell = math.floor(place[0] * 9.0) * 73856093 ^ math.floor(place[1] * 9.0) * 19349663
    ripple = 0.05 * (int(hash64(np.uint64(0x3E7), cell) & np.uint64(255)) / 128.0 - 1.0)
    up = max(-slope + ripple * (0.3 - slope), 0.004)
    rho, who, face = nearest(parts, table, count, -eye[2], ux, uy, up, far)
    if who == SKY:
        _sky(ux, uy, up, True, light, other)
    else:
        px, py, pz = eye[0] + rho * ux, eye[1] + rho * uy, max(-eye[2] + rho * up, 0.0)
        ahead, aside = (heading[0] * ux + heading[1] * uy) * rho, (heading[0] * uy - heading[1] * ux) * rho
        distance = rho * math.sqrt(1.0 + up * up)
        scattered, direct, beam, glow = _surface(
            parts, who, face, px, py, pz, ux, uy, distance, ahead, aside, t_s, light, material, map_place, other
        )
        if light[SHADOWS] > 0.0 and in_shadow(parts, light, eye[0], eye[1], starts, members, px, py, pz):
            direct = 0.0
        _illuminate(scattered, direct, beam, glow, light, other)
    grazing = 1.0 - abs(slope) / math.sqrt(1.0 + slope * slope)
    fresnel = light[WETNESS] * (0.04 + 0.66 * grazing**5)
    for c in range(3):
        colour[c] = (1.0 - 0.45 * light[WETNESS]) * colour[c] * (1.0 - fresnel) + fresnel * other[c]


def _renderer(rich: bool) -> Any:
    @njit(cache=True, fastmath=True)
    def render(  # type: ignore[no-untyped-def]
        bodies, edges, dts, origins, heading, rays_x, rays_y, turn, light, extinction, t_s, weight, material, map_place,
        radiance,
    ):  # fmt: skip
        """Add `weight` times the radiance of every pixel to `radiance` (H, W, 3).

        Band b is the rows edges[b]..edges[b + 1], seen from origins[b], with what moves `dts[b]` s on. `rays_x`,
        `rays_y` (W, H): pixel rays in the optical frame; `turn` (9, H): R_world_optical of each row.
        """
        width, height = rays_x.shape
        table = np.empty((len(bodies) + 1, CANDIDATE_COLUMNS))
        mirrored = np.empty((len(bodies) + 1, CANDIDATE_COLUMNS))
        starts, members = np.zeros(STRIPS + 1, np.int64), np.zeros(16 * len(bodies) + 64, np.int64)
        aimed = np.empty((3, height))
        colour, other = np.zeros(3), np.zeros(3)
        parts = bodies.copy()
        cos, sin = heading[0], heading[1]
        deepest = 0.0
        for band in range(len(dts)):
            deepest = max(deepest, origins[band, 2])
        clear_of = np.exp(-extinction * CLEAR_STEP_M * np.arange(int(1.6 * max(FAR_M, FAR_PER_HEIGHT * deepest)) + 2))
        for band in range(len(dts)):
            dt = dts[band]
            for i in range(len(bodies)):
                turned = bodies[i, SPIN] * dt
                parts[i, X], parts[i, Y] = bodies[i, X] + bodies[i, VX] * dt, bodies[i, Y] + bodies[i, VY] * dt
                parts[i, COS] = bodies[i, COS] - bodies[i, SIN] * turned
                parts[i, SIN] = bodies[i, SIN] + bodies[i, COS] * turned
            ox, oy, oz = origins[band, 0], origins[band, 1], origins[band, 2]
            far = max(FAR_M, FAR_PER_HEIGHT * oz)
            first, last = edges[band], edges[band + 1]
            if rich and light[SHADOWS] > 0.0:
                sort_strips(parts, light, ox, oy, starts, members)
            for column in range(width):
                mx, my, cosine, sine, highest = _aim(rays_x[column], rays_y[column], turn, first, last, aimed)
                reach = PARTS_RADIUS_M if highest > -1e-6 else min(PARTS_RADIUS_M, -oz / highest + 0.1)
                count = gather(parts, 0.0, ox, oy, oz, mx, my, cosine, sine, reach, table)
                mirrors = 0
                if rich and light[WETNESS] > 0.0:
                    mirrors = gather(parts, 0.0, ox, oy, -oz, mx, my, cosine, sine, PARTS_RADIUS_M, mirrored)
                for row in range(first, last):
                    ux, uy, slope = aimed[0, row], aimed[1, row], aimed[2, row]
                    rho, who, face = nearest(parts, table, count, oz, ux, uy, slope, far)
                    if who == SKY:
                        _sky(ux, uy, slope, rich, light, colour)
                    else:
                        distance = rho * math.sqrt(1.0 + slope * slope)
                        px, py, pz = ox + rho * ux, oy + rho * uy, oz + rho * slope
                        ahead, aside = (cos * ux + sin * uy) * rho, (cos * uy - sin * ux) * rho
                        scattered, direct, beam, glow = _surface(
                            parts, who, face, px, py, pz, ux, uy, distance, ahead, aside, t_s, light, material,
                            map_place, colour,
                        )  # fmt: skip
                        if rich:
                            if light[SHADOWS] > 0.0 and direct > 0.0:  # noqa: SIM102
                                if in_shadow(parts, light, ox, oy, starts, members, px, py, pz):
                                    direct = 0.0
                            _illuminate(scattered, direct, beam, glow, light, colour)
                            if light[WETNESS] > 0.0 and who == GROUND:
                                _mirror(
                                    parts, starts, members, mirrored, mirrors, (ox, oy, oz), (ux, uy, slope), (px, py),
                                    (cos, sin), t_s, light, material, map_place, far, colour, other,
                                )  # fmt: skip
                        else:
                            shine = max(scattered + direct + beam, glow)
                            for c in range(3):
                                colour[c] *= shine
                        step = min(distance / CLEAR_STEP_M, len(clear_of) - 1.5)
                        k = int(step)
                        clear = clear_of[k] + (step - k) * (clear_of[k + 1] - clear_of[k])
                        for c in range(3):
                            colour[c] = colour[c] * clear + light[AIR + c] * (1.0 - clear)
                    for c in range(3):
                        radiance[row, column, c] += np.float32(weight * colour[c])

    return render


render_plain, render_rich = _renderer(False), _renderer(True)


def is_rich(light: np.ndarray) -> bool:
    """Whether a light vector needs `render_rich`."""
    tinted = bool((light[SUN_RGB : SUN_RGB + 3] != 1).any() or (light[SKY_RGB : SKY_RGB + 3] != 1).any())
    return tinted or bool(light[SHADOWS] or light[WETNESS] or light[HALO])
