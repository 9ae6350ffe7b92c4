"""The LiDAR against closed forms, carried by something that tilts, turns and flies: each ray from its own pose."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from sensorfuse.geometry import Transform, exp_rotation
from sensorfuse.sensor_config import LidarConfig
from sensorfuse.sim.scenario import WeatherConfig
from sensorfuse.sim.scene.ground import GroundMap
from sensorfuse.sim.scene.rigid_motion import RigidMotion
from sensorfuse.sim.scene.shapes import BOX, COLUMNS, COS, CYLINDER, HX, HY, HZ, KIND, OWNER, SIN, VX, VY, X, Y, Z, part
from sensorfuse.sim.sensors.lidar import LidarModel

POSE = Transform.from_rpy([0.7, -0.3, 0.4], [0.25, -0.15, 0.6])
CONFIG = LidarConfig(rings=40, columns=360, elevation_deg=(-60.0, 30.0), max_range_m=120.0)
GROUND_MAP = GroundMap(np.zeros((1, 1), np.uint8), 0.0, 0.0, 1.0)
PERIOD_S = 0.1
START_S = 3.0


def lively(t: np.ndarray) -> RigidMotion:
    """Fast flight with large swings of roll, pitch and yaw, 9 m up."""
    size = np.array([4.0, 6.0, 1.0, 0.5, 0.45, 1.5])
    speed = np.array([1.1, 0.9, 2.0, 3.0, 2.6, 1.3])
    angle = np.asarray(t)[:, None] * speed + np.arange(6)
    orders = np.stack([size * np.sin(angle), size * speed * np.cos(angle), -size * speed**2 * np.sin(angle)], axis=1)
    orders[:, 0, 2] += 9.0
    return RigidMotion.from_derivatives(np.ascontiguousarray(orders[..., :3]), np.ascontiguousarray(orders[..., 3:]))


def stub(parts: np.ndarray) -> SimpleNamespace:
    clear = SimpleNamespace(weather=WeatherConfig(visibility_m=1e9))
    return SimpleNamespace(ego=lively, scenario=clear, parts=lambda t_s, around, radius_m: parts)


def sweep(parts: np.ndarray, pose: Transform = POSE) -> tuple[np.ndarray, np.ndarray]:
    """Range (C, R), NaN without an echo, and what each ray hit (C, R)."""
    points, _, ring, after_s, hit = LidarModel(stub(parts), CONFIG, pose, GROUND_MAP).sweep(START_S, PERIOD_S, None)
    out = np.full((CONFIG.columns, CONFIG.rings), np.nan)
    out[np.round(after_s / PERIOD_S * CONFIG.columns).astype(int), ring] = np.linalg.norm(points.astype(float), axis=1)
    return out, hit.reshape(out.shape)


def rays(pose: Transform = POSE) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Time after the middle (C, 1), origin (C, 1, 3), unit direction (C, R, 3) of all rays, in the world."""
    t = START_S + PERIOD_S * np.arange(CONFIG.columns) / CONFIG.columns
    azimuth = np.pi - 2 * np.pi * np.arange(CONFIG.columns) / CONFIG.columns
    elevation = np.radians(np.linspace(*CONFIG.elevation_deg, CONFIG.rings))
    local = np.empty((CONFIG.columns, CONFIG.rings, 3))
    for c, a in enumerate(azimuth):
        up = np.stack([np.cos(elevation), 0 * elevation, np.sin(elevation)], axis=1)
        local[c] = up @ exp_rotation([0.0, 0.0, a]).T
    ego = lively(t)
    poses = [ego.pose(c) @ pose for c in range(CONFIG.columns)]
    origin = np.stack([p.translation for p in poses])[:, None]
    direction = np.stack([ray @ p.rotation.T for ray, p in zip(local, poses, strict=True)])
    return (t - START_S - PERIOD_S / 2)[:, None], origin, direction


def plane_range(origin: np.ndarray, direction: np.ndarray) -> np.ndarray:
    down = direction[..., 2] < 0
    return np.where(down, -origin[..., 2] / np.where(down, direction[..., 2], -1.0), np.inf)


def box_range(row: np.ndarray, dt: np.ndarray, origin: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Where the last of the three slabs is entered before the first is left."""
    axes = np.array([[row[COS], row[SIN], 0], [-row[SIN], row[COS], 0], [0, 0, 1.0]])
    middle = row[[X, Y, Z]] + dt[..., None] * [row[VX], row[VY], 0.0]
    start, way = (origin - middle) @ axes.T, direction @ axes.T
    sides = np.stack([(s * row[[HX, HY, HZ]] - start) / way for s in (-1, 1)])
    enter, leave = sides.min(axis=0).max(axis=-1), sides.max(axis=0).min(axis=-1)
    return np.where((enter < leave) & (enter > 0), enter, np.inf)


def cylinder_range(row: np.ndarray, dt: np.ndarray, origin: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """The mantle by the quadratic, or the top by the plane, whichever is hit first."""
    start = origin - row[[X, Y, Z]] - dt[..., None] * [row[VX], row[VY], 0.0]
    a = (direction[..., :2] ** 2).sum(-1)
    b = (start[..., :2] * direction[..., :2]).sum(-1)
    c = (start[..., :2] ** 2).sum(-1) - row[HX] ** 2
    with np.errstate(invalid="ignore"):
        mantle = (-b - np.sqrt(b * b - a * c)) / a
    top = (row[HZ] - start[..., 2]) / direction[..., 2]
    on_mantle = np.abs(start[..., 2] + mantle * direction[..., 2]) <= row[HZ]
    on_top = np.hypot(*np.moveaxis(start[..., :2] + top[..., None] * direction[..., :2], -1, 0)) <= row[HX]
    on_top &= (top > 0) & (start[..., 2] > 0)
    return np.minimum(np.where(on_mantle & (mantle > 0), mantle, np.inf), np.where(on_top, top, np.inf))


def agree(got: np.ndarray, expected: np.ndarray) -> None:
    """Ranges agree to the last digit of float32, and echoes are where they should be, but for a few at an edge."""
    expected = np.where(expected <= CONFIG.max_range_m, expected, np.nan)
    assert np.isfinite(expected).sum() > 200
    odd = np.isfinite(got) != np.isfinite(expected)
    assert odd.sum() <= 2
    close = np.isclose(got, expected, rtol=2e-7, atol=1e-6, equal_nan=True)
    assert (~close).sum() <= 2


def test_ground() -> None:
    got, hit = sweep(np.zeros((0, COLUMNS)))
    _, origin, direction = rays()
    agree(got, plane_range(origin, direction))
    assert set(hit[np.isfinite(got)]) == {-1}


@pytest.mark.parametrize("kind", [BOX, CYLINDER])
@pytest.mark.parametrize("speed", [0.0, 12.0])
def test_solid_beside_and_below(kind: float, speed: float) -> None:
    """One part at a time, all round the sensor: far, near, tall, and right underneath."""
    dt, origin, direction = rays()
    places = [(14.0, 3.0, 4.0, 4.0), (-9.0, -7.0, 2.0, 2.0), (2.0, 15.0, 10.0, 10.0), (-3.0, 2.0, 0.8, 0.8)]
    for i, (x, y, z, hz) in enumerate(places):
        row = part(kind, (x, y, z), (2.5, 2.5 if kind == CYLINDER else 1.5, hz), (0, 0, 0))
        row[OWNER], row[VX], row[VY] = 7.0, speed, -0.5 * speed
        row[COS], row[SIN] = np.cos(0.7 * i), np.sin(0.7 * i)
        got, hit = sweep(row[None])
        solid = (box_range if kind == BOX else cylinder_range)(row, dt, origin, direction)
        agree(got, np.minimum(solid, plane_range(origin, direction)))
        assert (hit == 7).sum() == pytest.approx((solid < plane_range(origin, direction)).sum(), abs=2)


def test_nothing_is_left_out_of_a_crowded_scene() -> None:
    """Many parts at once, so that what may be hit is picked among many: the nearest of all closed forms."""
    rng = np.random.default_rng(3)
    rows = []
    for i in range(120):
        kind, far, bearing = (BOX, CYLINDER)[i % 2], rng.uniform(8, 70), rng.uniform(-np.pi, np.pi)
        half = rng.uniform(0.2, 3.0, 3)
        row = part(kind, (far * np.cos(bearing), far * np.sin(bearing), half[2]), tuple(half), (0, 0, 0))
        yaw = rng.uniform(-np.pi, np.pi)
        row[OWNER], row[COS], row[SIN], row[VX], row[VY] = i, np.cos(yaw), np.sin(yaw), *rng.uniform(-9, 9, 2)
        rows.append(row)
    parts = np.stack(rows)
    for rpy in ([0.25, -0.15, 0.6], [1.5, 0.0, 0.0], [0.0, 1.2, 0.0]):
        pose = Transform.from_rpy([0.1, 0.0, 0.2], rpy)
        dt, origin, direction = rays(pose)
        solid = [(box_range if r[KIND] == BOX else cylinder_range)(r, dt, origin, direction) for r in parts]
        got, hit = sweep(parts, pose)
        expected = np.minimum(np.min(solid, axis=0), plane_range(origin, direction))
        agree(got, expected)
        seen = np.isfinite(got) & (hit >= 0)
        assert (np.argmin(solid, axis=0)[seen] == hit[seen]).mean() > 0.9999
