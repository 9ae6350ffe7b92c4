"""How much of each object each camera, LiDAR and radar can see: the truth of visibility.

An object's silhouette, as seen from where a sensor is, is sampled by rays on a regular raster across it; those that
meet the object are its sample points. A point is seen if it lies in the sensor's field of view, within its range, and
nothing else stands before it. Everything stands still at the instant asked for: no rolling shutter, no sweep.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from sensorfuse.geometry import Transform
from sensorfuse.rig import Rig
from sensorfuse.sensor_config import Intrinsics, LidarConfig, RadarConfig, SensorConfig
from sensorfuse.sim.scene.shapes import OWNER
from sensorfuse.sim.scene.world import World
from sensorfuse.sim.sensors.camera import FAR_M, pixel_rays
from sensorfuse.sim.sensors.lidar import MIN_RANGE_M as LIDAR_MIN_RANGE_M
from sensorfuse.sim.sensors.polar_radar import ELEVATIONS_DEG
from sensorfuse.sim.sensors.radar import MIN_RANGE_M as RADAR_MIN_RANGE_M
from sensorfuse.sim.sensors.raycast import CANDIDATE_COLUMNS, gather, nearest

Array = NDArray[np.float64]
View = Callable[[Array], NDArray[np.bool_]]

RASTER = 12  # rays across and down each object
WIDEST = 4.0  # tangent of the half angle to which the raster of a very near object is cut
OUTSIDE, BESIDE, HIDDEN, SEEN = range(4)
"""Of a ray: it misses the object; out of view or range; something stands before the object; it is seen."""

_CORNERS = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (0.0, 1.0)])


@njit(cache=True, fastmath=True)
def _look(parts, first, count, owner, origin, rays, viewed, near_m, far_m, state):  # type: ignore[no-untyped-def]
    """Fill `state` (K, R) for `rays` (K, R, 3) at objects whose own parts are `first` (K,) .. + `count` (K,)."""
    every, own = np.empty((len(parts) + 1, CANDIDATE_COLUMNS)), np.empty((len(parts) + 1, CANDIDATE_COLUMNS))
    for k in range(len(first)):
        mine = parts[first[k] : first[k] + count[k]]
        mx, my, narrow = 0.0, 0.0, 1.0
        for turn in range(2):
            for r in range(rays.shape[1]):
                flat = math.sqrt(rays[k, r, 0] ** 2 + rays[k, r, 1] ** 2) + 1e-12
                if turn == 0:
                    mx += rays[k, r, 0] / flat
                    my += rays[k, r, 1] / flat
                else:
                    narrow = min(narrow, (rays[k, r, 0] * mx + rays[k, r, 1] * my) / flat)
            if turn == 0:
                norm = math.sqrt(mx * mx + my * my) + 1e-12
                mx, my = mx / norm, my / norm
        narrow = max(narrow, 0.0)
        wide = math.sqrt(1.0 - narrow * narrow)
        n_own = gather(mine, 0.0, origin[0], origin[1], origin[2], mx, my, narrow, wide, 1e4, own)
        n_all = gather(parts, 0.0, origin[0], origin[1], origin[2], mx, my, narrow, wide, 1e4, every)
        for r in range(rays.shape[1]):
            flat = math.sqrt(rays[k, r, 0] ** 2 + rays[k, r, 1] ** 2) + 1e-12
            ux, uy, slope = rays[k, r, 0] / flat, rays[k, r, 1] / flat, rays[k, r, 2] / flat
            rho, who, _ = nearest(mine, own, n_own, origin[2], ux, uy, slope, 1e4)
            if who < 0:
                state[k, r] = OUTSIDE
                continue
            distance = rho * math.sqrt(1.0 + slope * slope)
            if not viewed[k, r] or distance < near_m or distance > far_m:
                state[k, r] = BESIDE
                continue
            _, who, _ = nearest(parts, every, n_all, origin[2], ux, uy, slope, 1e4)
            state[k, r] = SEEN if who >= 0 and int(parts[who, OWNER]) == owner[k] else HIDDEN


def silhouette_rays(corners: Array, origin: Array) -> Array:
    """Rays (K, RASTER^2, 3) from `origin` (3,) across what boxes with `corners` (K, 8, 3) cover, cell by cell."""
    line = corners - origin
    ahead = line.mean(axis=1)
    distance = np.maximum(np.linalg.norm(ahead, axis=1, keepdims=True), 1e-6)
    ahead = ahead / distance
    up = np.where(np.abs(ahead[:, 2:]) < 0.9, [[0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]])
    left = np.cross(up, ahead)
    left /= np.linalg.norm(left, axis=1, keepdims=True)
    up = np.cross(ahead, left)
    depth = np.maximum(np.einsum("kcd,kd->kc", line, ahead), 0.05 * distance)
    spans = []
    for axis in (left, up):
        slope = np.clip(np.einsum("kcd,kd->kc", line, axis) / depth, -WIDEST, WIDEST)
        cells = (np.arange(RASTER) + 0.5) / RASTER
        low, high = slope.min(axis=1, keepdims=True), slope.max(axis=1, keepdims=True)
        spans.append(low + cells * (high - low))
    rays = ahead[:, None, None] + spans[0][:, :, None, None] * left[:, None, None]
    return np.asarray((rays + spans[1][:, None, :, None] * up[:, None, None]).reshape(len(corners), RASTER**2, 3))


def camera_view(k: Intrinsics) -> View:
    """Which directions (..., 3) of the optical frame fall into a camera's picture."""
    matrix = np.array([[k.fx, 0.0, k.cx], [0.0, k.fy, k.cy], [0.0, 0.0, 1.0]])
    widest = float(np.hypot(*np.moveaxis(pixel_rays(k)[..., :2], -1, 0)).max())
    zero = np.zeros(3)

    def view(lines: Array) -> NDArray[np.bool_]:
        flat = np.ascontiguousarray(lines.reshape(-1, 1, 3))
        depth = flat[:, 0, 2]
        ahead = depth > 1e-6
        ahead &= np.hypot(flat[:, 0, 0], flat[:, 0, 1]) <= 1.02 * widest * depth  # farther out the lens model folds
        inside = np.zeros(len(flat), bool)
        if ahead.any():
            if k.distortion_model == "equidistant":
                pixels = cv2.fisheye.projectPoints(flat[ahead], zero, zero, matrix, np.array(k.distortion))[0]
            else:
                pixels = cv2.projectPoints(flat[ahead], zero, zero, matrix, np.array(k.distortion or (0.0,) * 4))[0]
            u, v = pixels[:, 0, 0], pixels[:, 0, 1]
            inside[ahead] = (u >= -0.5) & (u <= k.width - 0.5) & (v >= -0.5) & (v <= k.height - 0.5)
        return inside.reshape(lines.shape[:-1])

    return view


def sector_view(half_azimuth_deg: float, elevation_deg: tuple[float, float]) -> View:
    """Which directions (..., 3) lie within an azimuth left and right, and between two elevations."""
    half = np.radians(half_azimuth_deg)
    low, high = np.radians(elevation_deg)

    def view(lines: Array) -> NDArray[np.bool_]:
        azimuth = np.arctan2(lines[..., 1], lines[..., 0])
        elevation = np.arctan2(lines[..., 2], np.hypot(lines[..., 0], lines[..., 1]))
        return np.asarray((np.abs(azimuth) <= half) & (elevation >= low) & (elevation <= high))

    return view


class _Eye:
    """One sensor: where it sits, what it looks at, how near and far."""

    def __init__(self, sensor: SensorConfig, visibility_m: float) -> None:
        self.T_base_sensor = sensor.T_base_sensor.transform()
        if sensor.modality == "camera":
            assert sensor.intrinsics is not None
            self.view = camera_view(sensor.intrinsics)
            self.near_m, self.far_m = 0.0, min(FAR_M, visibility_m)
        elif sensor.modality == "lidar":
            lidar = sensor.lidar or LidarConfig()
            self.view = sector_view(180.0, lidar.elevation_deg)
            self.near_m, self.far_m = LIDAR_MIN_RANGE_M, lidar.max_range_m
        else:
            radar = sensor.radar or RadarConfig()
            polar = radar.kind == "polar"
            up = float(ELEVATIONS_DEG[-1]) if polar else radar.elevation_fov_deg / 2
            self.view = sector_view(180.0 if polar else radar.fov_deg / 2, (-up, up))
            self.near_m, self.far_m = 0.0 if polar else RADAR_MIN_RANGE_M, radar.max_range_m


class VisibilityModel:
    """Cameras, LiDARs and radars of a rig in one world. A camera sees as far as fog allows, at most `FAR_M`."""

    def __init__(self, world: World, rig: Rig) -> None:
        self.world = world
        reach = world.scenario.weather.visibility_m
        self._eyes = {n: _Eye(s, reach) for n, s in rig.sensors.items() if s.modality in ("camera", "lidar", "radar")}

    def at(self, t_s: float, who: NDArray[np.int64]) -> dict[str, tuple[NDArray[np.float32], NDArray[np.bool_]]]:
        """Per stream of objects `who` (N,): the share of the silhouette that is seen (N,), in [0, 1], and whether any
        of it lies in the field of view and within range, hidden or not (N,).
        """
        ego = self.world.ego(t_s).pose()
        states, size = self.world.states(t_s)[who], self.world.size[who]
        local = _CORNERS[None] * size[:, None]
        cos, sin = np.cos(states[:, 2, None]), np.sin(states[:, 2, None])
        corners = np.stack(
            [
                states[:, 0, None] + cos * local[..., 0] - sin * local[..., 1],
                states[:, 1, None] + sin * local[..., 0] + cos * local[..., 1],
                local[..., 2],
            ],
            axis=-1,
        )
        middle = ego.translation
        reach = float(np.hypot(states[:, 0] - middle[0], states[:, 1] - middle[1]).max(initial=0.0)) + 25.0
        parts = self.world.parts(t_s, middle, reach)
        parts = parts[np.argsort(parts[:, OWNER], kind="stable")]  # so that each object's parts stand together
        return {n: self._through(eye, ego @ eye.T_base_sensor, parts, corners, who) for n, eye in self._eyes.items()}

    def _through(
        self, eye: _Eye, pose: Transform, parts: Array, corners: Array, who: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        share, in_view = np.zeros(len(who), np.float32), np.zeros(len(who), bool)
        close = np.linalg.norm(corners - pose.translation, axis=2).min(axis=1) < eye.far_m + 10.0
        rays = silhouette_rays(corners[close], pose.translation)
        viewed = eye.view(rays @ pose.rotation)
        some = viewed.any(axis=1)
        picked = np.flatnonzero(close)[some]
        if not len(picked):
            return share, in_view
        first = np.searchsorted(parts[:, OWNER], who[picked])
        count = np.searchsorted(parts[:, OWNER], who[picked], side="right") - first
        state = np.empty((len(picked), rays.shape[1]), np.uint8)
        _look(
            parts, first, count, who[picked], pose.translation, rays[some], viewed[some], eye.near_m, eye.far_m, state
        )
        silhouette = np.maximum((state != OUTSIDE).sum(axis=1), 1)
        share[picked] = (state == SEEN).sum(axis=1) / silhouette
        in_view[picked] = (state >= HIDDEN).any(axis=1)
        return share, in_view
