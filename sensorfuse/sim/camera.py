"""A camera: one ray per pixel through its lens model, coloured by what it meets, the light and the air.

Fog mixes in the colour of the sky by exp(-extinction * distance) (Koschmieder). At night there are the ego's head
lamps, street light, lamps of vehicles and lit windows. Noise grows with brightness as photons do, plus a constant
part.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from sensorfuse.geometry import Transform
from sensorfuse.rig import Intrinsics
from sensorfuse.sim.ground import ASPHALT, MARK, GroundMap, mark_share, material_at
from sensorfuse.sim.noise import hash64
from sensorfuse.sim.raycast import CANDIDATE_COLUMNS, GROUND, SKY, gather, nearest
from sensorfuse.sim.surface import GROUND_RGB, ground_colour, part_colour
from sensorfuse.sim.world import World

Array = NDArray[np.float64]

FAR_M = 160.0
PARTS_RADIUS_M = 130.0
SMOOTH_M = 40.0  # nearer than this the edges of road marks are smoothed


def pixel_rays(intrinsics: Intrinsics) -> Array:
    """Directions (H, W, 3) of all pixel centres in the optical frame, third component 1."""
    i = intrinsics
    matrix = np.array([[i.fx, 0, i.cx], [0, i.fy, i.cy], [0, 0, 1]], dtype=np.float64)
    u, v = np.meshgrid(np.arange(i.width, dtype=np.float64), np.arange(i.height, dtype=np.float64))
    pixels = np.stack([u, v], axis=-1).reshape(-1, 1, 2)
    if i.distortion_model == "equidistant":
        xy = cv2.fisheye.undistortPoints(pixels, matrix, np.array(i.distortion, dtype=np.float64))
    elif i.distortion_model == "radtan":
        criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 40, 1e-8)
        xy = cv2.undistortPointsIter(
            pixels, matrix, np.array(i.distortion, dtype=np.float64), np.eye(3), np.eye(3), criteria
        )
    else:
        xy = (pixels - [i.cx, i.cy]) / [i.fx, i.fy]
    return np.concatenate([xy.reshape(i.height, i.width, 2), np.ones((i.height, i.width, 1))], axis=-1)


@njit(cache=True, fastmath=True)
def _render(  # type: ignore[no-untyped-def]
    parts, place, rays, spread, light, extinction, t_s, key, noisy, read_noise, shot_noise, material, map_place, image
):
    """`rays` (W, H, 3) in base axes: horizontal unit direction and slope. `light`: sun x, y, z, daylight, overcast."""
    width, height = rays.shape[0], rays.shape[1]
    table = np.empty((len(parts) + 1, CANDIDATE_COLUMNS))
    ox, oy, oz, cos, sin = place[0], place[1], place[2], place[3], place[4]
    day = light[3]
    colour = np.zeros(3)
    air = np.array([12.0 + 196.0 * day, 13.0 + 205.0 * day, 18.0 + 210.0 * day])
    zenith = np.array([6.0 + 110.0 * day, 8.0 + 150.0 * day, 16.0 + 204.0 * day])
    for column in range(width):
        mx, my = spread[column, 0], spread[column, 1]
        count = gather(
            parts,
            0.0,
            ox,
            oy,
            oz,
            cos * mx - sin * my,
            sin * mx + cos * my,
            spread[column, 2],
            spread[column, 3],
            PARTS_RADIUS_M,
            table,
        )
        for row in range(height):
            bx, by, slope = rays[column, row, 0], rays[column, row, 1], rays[column, row, 2]
            ux, uy = cos * bx - sin * by, sin * bx + cos * by
            rho, who, face = nearest(parts, table, count, oz, ux, uy, slope, FAR_M)
            stretch = math.sqrt(1.0 + slope * slope)
            if who == SKY:
                up = min(max(slope * 2.2, 0.0), 1.0)
                for c in range(3):
                    colour[c] = air[c] + (zenith[c] - air[c]) * up * light[4]
            else:
                distance = rho * stretch
                px, py, pz = ox + rho * ux, oy + rho * uy, oz + rho * slope
                ahead = bx * rho
                beam = 0.0
                if day < 0.5 and ahead > 1.0:
                    aside = by * rho / (3.0 + 0.35 * ahead)
                    beam = (1.0 - 2.0 * day) * math.exp(-aside * aside) * 0.75 / (1.0 + (distance / 16.0) ** 2)
                if who == GROUND:
                    kind = material_at(material, map_place[0], map_place[1], map_place[2], px, py)
                    share = 0.0
                    if distance < SMOOTH_M and kind in (ASPHALT, MARK):
                        share = mark_share(material, map_place[0], map_place[1], map_place[2], px, py)
                        share = min(max(2.0 * share - 0.5, 0.0), 1.0)
                        kind = ASPHALT
                    ground_colour(kind, px, py, distance, colour)
                    for c in range(3):
                        colour[c] += share * (GROUND_RGB[MARK, c] - colour[c])
                    lit = day * (0.5 + 0.55 * light[2]) + 0.1 + beam
                    glow = 0.0
                else:
                    lit, glow = part_colour(parts, who, face, px, py, pz, ux, uy, light, t_s, colour)
                    lit += beam
                shine = max(min(lit, 1.25), glow)
                clear = math.exp(-extinction * distance)
                for c in range(3):
                    colour[c] = colour[c] * shine * clear + air[c] * (1.0 - clear)
            sigma = 0.0
            bits = np.uint64(0)
            if noisy:
                sigma = math.sqrt(read_noise * read_noise + shot_noise * (colour[0] + colour[1] + colour[2])) / 64.0
                bits = hash64(key, row * width + column)
            for c in range(3):
                value = colour[c]
                if noisy:
                    total = (
                        int(bits & np.uint64(127))
                        + int((bits >> np.uint64(7)) & np.uint64(127))
                        + int((bits >> np.uint64(14)) & np.uint64(127))
                    )
                    bits = bits >> np.uint64(21)
                    value += sigma * (total - 190.5)
                image[row, column, c] = min(max(int(value + 0.5), 0), 255)


class CameraModel:
    """One camera in one world."""

    def __init__(self, world: World, intrinsics: Intrinsics, T_base_sensor: Transform, ground: GroundMap) -> None:
        self.world, self.intrinsics, self.pose, self.ground = world, intrinsics, T_base_sensor, ground
        rays = (pixel_rays(intrinsics) @ T_base_sensor.rotation.T).transpose(1, 0, 2)  # (W, H, 3)
        flat = np.maximum(np.hypot(rays[..., 0], rays[..., 1]), 1e-6)
        self._rays = np.ascontiguousarray(rays / flat[..., None])
        mean = self._rays[..., :2].mean(axis=1)
        mean /= np.maximum(np.hypot(mean[:, 0], mean[:, 1]), 1e-9)[:, None]
        cosine = np.clip((self._rays[..., :2] * mean[:, None]).sum(axis=-1).min(axis=1), 0.0, 1.0)
        self._spread = np.ascontiguousarray(np.column_stack([mean, cosine, np.sqrt(1 - cosine**2)]))
        sun = np.deg2rad([35.0, 130.0])
        weather = world.scenario.weather
        day, self._extinction = weather.daylight, weather.extinction_per_m
        overcast = 1.0 if weather.visibility_m > 2000 and weather.rain_mmph == 0 else 0.3
        self._light = np.array(
            [np.cos(sun[0]) * np.cos(sun[1]), np.cos(sun[0]) * np.sin(sun[1]), np.sin(sun[0]), day, overcast]
        )
        self._read_noise, self._shot_noise = 1.2 + 3.0 * (1 - day), 0.02 + 0.06 * (1 - day)

    def picture(self, t_s: float, key: np.uint64 | None) -> NDArray[np.uint8]:
        """The image (H, W, 3) at one instant; without a key it has no noise."""
        ego = self.world.ego(t_s)
        (x, y), yaw = ego.position[0, :2], ego.yaw[0]
        cos, sin = np.cos(yaw), np.sin(yaw)
        tx, ty, tz = self.pose.translation
        place = np.array([x + cos * tx - sin * ty, y + sin * tx + cos * ty, tz, cos, sin])
        parts = self.world.parts(t_s, place[:2], PARTS_RADIUS_M)
        image = np.empty((self.intrinsics.height, self.intrinsics.width, 3), np.uint8)
        g = self.ground
        _render(
            parts, place, self._rays, self._spread, self._light, self._extinction, float(t_s),
            np.uint64(0) if key is None else key, key is not None, self._read_noise, self._shot_noise, g.material,
            np.array([g.x0_m, g.y0_m, g.cell_m]), image,
        )  # fmt: skip
        return image
