"""Shadows fall where a ray to the sun, cast the slow way, meets something."""

from __future__ import annotations

import numpy as np

from sensorfuse.sim.scenario import WeatherConfig
from sensorfuse.sim.scene.shapes import BOX, COS, CYLINDER, HX, HY, HZ, KIND, SIN, X, Y, part
from sensorfuse.sim.sensors.light import light_of
from sensorfuse.sim.sensors.raycast import SKY, cast_rays
from sensorfuse.sim.sensors.shadow import STRIPS, in_shadow, sort_strips


def test_shadows_agree_with_single_rays() -> None:
    rng = np.random.default_rng(4)
    rows = []
    for _ in range(40):
        x, y = rng.uniform(-60, 60, 2)
        height = rng.uniform(0.5, 6)
        row = part(
            BOX if rng.random() < 0.6 else CYLINDER, (x, y, height), (rng.uniform(0.2, 5), rng.uniform(0.2, 4), height),
            (0, 0, 0),
        )  # fmt: skip
        yaw = rng.uniform(0, 6)
        row[COS], row[SIN] = np.cos(yaw), np.sin(yaw)
        rows.append(row)
    parts = np.stack(rows)
    light = light_of(WeatherConfig(sun_elevation_deg=9.0, sun_azimuth_deg=70.0))
    starts, members = np.zeros(STRIPS + 1, np.int64), np.zeros(5000, np.int64)
    sort_strips(parts, light, 0.0, 0.0, starts, members)
    points = np.column_stack([rng.uniform(-50, 50, (3000, 2)), rng.uniform(0.01, 8, 3000)])
    got = [in_shadow(parts, light, 0.0, 0.0, starts, members, *p) for p in points]
    want = [cast_rays(parts, p, light[None, :3], 500.0)[1][0] != SKY for p in points]
    dx, dy = points[:, 0, None] - parts[:, X], points[:, 1, None] - parts[:, Y]
    u, v = np.abs(parts[:, COS] * dx + parts[:, SIN] * dy), np.abs(parts[:, COS] * dy - parts[:, SIN] * dx)
    flat = np.where(parts[:, KIND] == BOX, (u < parts[:, HX]) & (v < parts[:, HY]), np.hypot(u, v) < parts[:, HX])
    inside = (flat & (points[:, 2, None] < 2 * parts[:, HZ])).any(axis=1)
    outside = ~inside
    assert 200 < np.array(want)[outside].sum() < outside.sum() - 200
    assert (np.array(got) != np.array(want))[outside].mean() < 0.003


def test_the_sun_casts_no_shadow_by_default_or_behind_cloud() -> None:
    starts = light_of(WeatherConfig())
    cloudy = light_of(WeatherConfig(sun_elevation_deg=9.0, rain_mmph=10.0))
    low = light_of(WeatherConfig(sun_elevation_deg=9.0))
    assert (starts[5], cloudy[5], low[5]) == (0.0, 0.0, 1.0)
