"""A camera: its shutter, lens, exposure control and noise, around what its pixels see (`sim.view`).

Each row is exposed at its own time (`readout_s` from the first row to the last) for `exposure_s`: the attitude is that
of the row's own time, places of the camera and of what moves are those of a band of rows in which nothing moves more
than `BAND_M`. Where the picture moves by more than a pixel while the shutter is open, several moments are averaged. Fog
mixes in the colour of the sky by exp(-extinction * distance) (Koschmieder). At night there are the ego's head lamps,
street light, lamps of vehicles and lit windows.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sensorfuse.geometry import Transform
from sensorfuse.sensor_config import Intrinsics
from sensorfuse.sim.noise import hash64
from sensorfuse.sim.scene.ground import GroundMap
from sensorfuse.sim.scene.world import World
from sensorfuse.sim.sensors.exposure import develop, exposure_gain
from sensorfuse.sim.sensors.lens import SUN_RADIUS_DEG, add_bloom, add_glare
from sensorfuse.sim.sensors.lens import pixel_rays as pixel_rays
from sensorfuse.sim.sensors.light import AIR, LAMPS, SHADOWS, SUN, light_of
from sensorfuse.sim.sensors.raindrops import FALL_MPS, draw_lens_drops, draw_streaks
from sensorfuse.sim.sensors.raycast import SKY, cast_rays
from sensorfuse.sim.sensors.view import FAR_M as FAR_M
from sensorfuse.sim.sensors.view import PARTS_RADIUS_M, is_rich, render_plain, render_rich

Array = NDArray[np.float64]

BAND_M = 0.015
TRAFFIC_MPS = 12.0  # how fast others may move while the shutter rolls, when bands are chosen
BLUR_DISTANCE_M = 6.0  # what is this near decides into how many moments an exposure is split
MAX_MOMENTS = 12
STREAK_S = 0.004  # falling drops are drawn as with at least this exposure


class CameraModel:
    """One camera in one world. `lens_key` decides where rain drops stick to its lens."""

    def __init__(
        self,
        world: World,
        intrinsics: Intrinsics,
        T_base_sensor: Transform,
        ground: GroundMap,
        lens_key: int | np.uint64 = 0,
    ) -> None:
        self.world, self.intrinsics, self.pose, self.ground = world, intrinsics, T_base_sensor, ground
        self._lens_key = np.uint64(lens_key)
        rays = pixel_rays(intrinsics).transpose(2, 1, 0)  # (3, W, H)
        self._rays_x, self._rays_y = np.ascontiguousarray(rays[0]), np.ascontiguousarray(rays[1])
        corners = np.hypot(self._rays_x[[0, 0, -1, -1], [0, -1, 0, -1]], self._rays_y[[0, 0, -1, -1], [0, -1, 0, -1]])
        self._corner_deg = math.degrees(math.atan(float(corners.max())))
        self._weather = world.scenario.weather
        self._light = light_of(self._weather)
        day = self._weather.daylight
        self._read_noise, self._shot_noise = 1.2 + 3.0 * (1 - day), 0.02 + 0.06 * (1 - day)
        self._max_gain = 1.0 + 1.4 * min(day / 0.2, 1.0)  # at night the base exposure is all there is

    def picture(self, start_s: float, key: np.uint64 | None) -> NDArray[np.uint8]:
        """The image (H, W, 3) whose first row begins its exposure at `start_s`; without a key it has no noise."""
        radiance = self.radiance(start_s)
        image = np.empty(radiance.shape, np.uint8)
        develop(
            radiance, exposure_gain(radiance, self._max_gain), np.uint64(0) if key is None else key, key is not None,
            self._read_noise, self._shot_noise, image,
        )  # fmt: skip
        return image

    def radiance(self, start_s: float) -> NDArray[np.float32]:
        """Linear radiance (H, W, 3) that reaches the sensor, in units of `sim.light`, averaged over the exposure."""
        i, weather = self.intrinsics, self._weather
        middle_s = start_s + (i.readout_s + i.exposure_s) / 2
        motion = self.world.ego(np.array([middle_s]))
        speed, rate = float(np.linalg.norm(motion.velocity[0])), float(np.linalg.norm(motion.rate[0]))
        pose = motion.pose() @ self.pose
        blur_px = i.exposure_s * max(i.fx, i.fy) * (rate + speed / BLUR_DISTANCE_M)
        moments = min(max(math.ceil(blur_px), 1), MAX_MOMENTS)
        bands = min(max(math.ceil(i.readout_s * (speed + TRAFFIC_MPS) / BAND_M), 1), i.height) if i.readout_s else 1
        edges = np.linspace(0, i.height, bands + 1).astype(np.int64)
        bodies = self.world.parts(middle_s, pose.translation[:2], PARTS_RADIUS_M)
        radiance = np.zeros((i.height, i.width, 3), np.float32)
        render = render_rich if is_rich(self._light) else render_plain
        g = self.ground
        for moment in range(moments):
            after_s = start_s + i.exposure_s * (moment + 0.5) / moments
            turn, origins, dts = self._shutter(after_s, edges, middle_s)
            heading = np.array([math.cos(motion.yaw[0]), math.sin(motion.yaw[0])])
            render(
                bodies, edges, dts, origins, heading, self._rays_x, self._rays_y, turn, self._light,
                weather.extinction_per_m, after_s, 1.0 / moments, g.material, np.array([g.x0_m, g.y0_m, g.cell_m]),
                radiance,
            )  # fmt: skip
        self._stray_light(radiance, pose, bodies)
        self._rain(radiance, pose, motion.velocity[0], middle_s)
        return radiance

    def _shutter(self, start_s: float, edges: NDArray[np.int64], bodies_s: float) -> tuple[Array, Array, Array]:
        """R_world_optical (9, H) of each row, the camera's place (B, 3) and the time since `bodies_s` (B,) of bands."""
        i = self.intrinsics
        per_row = i.readout_s / max(i.height - 1, 1)
        if i.readout_s == 0:
            ego = self.world.ego(np.array([start_s]))
            turn = np.repeat((ego.rotation[0] @ self.pose.rotation).reshape(9, 1), i.height, axis=1)
            return turn, ego.at(self.pose.translation)[0], np.array([start_s - bodies_s])
        rows = self.world.ego(start_s + per_row * np.arange(i.height))
        turn = np.ascontiguousarray((rows.rotation @ self.pose.rotation).reshape(i.height, 9).T)
        times = start_s + per_row * (edges[:-1] + edges[1:] - 1) / 2
        return turn, np.ascontiguousarray(self.world.ego(times).at(self.pose.translation)[0]), times - bodies_s

    def _stray_light(self, radiance: NDArray[np.float32], pose: Transform, bodies: Array) -> None:
        """Glare of a sun that stands low, and bloom of lamps."""
        sun = self._light[SUN : SUN + 3]
        if self._light[SHADOWS] > 0:
            across = np.cross(sun, [0.0, 0.0, 1.0])
            across /= np.linalg.norm(across)
            reach = math.tan(math.radians(0.7 * SUN_RADIUS_DEG))
            disc = np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]]) * reach
            towards = sun + disc[:, :1] * across + disc[:, 1:] * np.cross(across, sun)
            _, hit = cast_rays(bodies, pose.translation, towards, PARTS_RADIUS_M)
            share = float((hit == SKY).mean()) * self._weather.daylight
            local = pose.rotation.T @ sun
            add_glare(radiance, self._rays_x, self._rays_y, local, self._corner_deg, share)
        if self._light[LAMPS] > 0.0:
            add_bloom(radiance)

    def _rain(self, radiance: NDArray[np.float32], pose: Transform, velocity: Array, t_s: float) -> None:
        """Falling drops and drops on the lens, where the weather asks for them."""
        weather, i = self._weather, self.intrinsics
        if weather.wetness > 0 and weather.rain_mmph > 0:
            fall = pose.rotation.T @ (np.array([weather.wind_mps, 0.0, -FALL_MPS]) - velocity)
            key = hash64(self._lens_key, round(t_s * 1e9))
            light = 1.15 * self._light[AIR : AIR + 3]
            exposure_s = max(i.exposure_s, STREAK_S)
            draw_streaks(radiance, np.uint64(key), weather.wetness * weather.rain_mmph, (i.fx, i.cx, i.cy), fall,
                         exposure_s, light)  # fmt: skip
        if weather.lens_drops > 0:
            draw_lens_drops(radiance, self._lens_key, t_s, weather.lens_drops)
