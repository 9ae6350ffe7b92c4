"""Small worlds for the detectors and the tracker: ray-cast boxes on a plane, radar lists, detections."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sensorfuse.geometry import Transform
from sensorfuse.messages import CLASSES, Detections

Array = NDArray[np.float64]


def make_detections(
    xy: Array, *, score: float = 0.8, sigma_m: float = 0.2, velocity: Array | None = None, class_name: str = "car"
) -> Detections:
    """Car-sized detections at places (N, 2); velocity unknown unless given."""
    places = np.asarray(xy, dtype=np.float64).reshape(-1, 2)
    n = len(places)
    covariance = np.zeros((n, 4, 4))
    covariance[:, [0, 1], [0, 1]] = sigma_m**2
    covariance[:, [2, 3], [2, 3]] = 64.0 if velocity is None else 0.25
    return Detections(
        class_id=np.full(n, CLASSES.index(class_name), np.uint8),
        score=np.full(n, score, np.float32),
        center=np.column_stack([places, np.full(n, 0.8)]),
        size=np.tile([4.4, 1.8, 1.55], (n, 1)),
        yaw=np.zeros(n),
        velocity=np.full((n, 2), np.nan) if velocity is None else np.asarray(velocity, dtype=np.float64).reshape(-1, 2),
        covariance=covariance,
        track_id=np.full(n, -1, np.int64),
    )


def cast_sweep(
    boxes: Array, mount: Transform, *, rings: int = 32, columns: int = 512, slope: float = 0.0, noise_m: float = 0.01
) -> NDArray[np.float32]:
    """Points (N, 3) in the sensor frame of a sweep over boxes (B, 7: x y z length width height yaw) on z = slope * x.

    Slab method per box, brute force; rays that meet nothing within 80 m give NaN.
    """
    elevation = np.radians(np.linspace(-25.0, 15.0, rings))
    azimuth = np.linspace(np.pi, -np.pi, columns, endpoint=False)
    a, e = np.meshgrid(azimuth, elevation)
    rays = np.stack([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)], -1).reshape(-1, 3) @ mount.rotation.T
    origin = mount.translation
    with np.errstate(divide="ignore", invalid="ignore"):
        down = (slope * origin[0] - origin[2]) / (rays[:, 2] - slope * rays[:, 0])
        nearest = np.where(down > 0, down, np.inf)
        for x, y, z, length, width, height, yaw in boxes:
            turn = np.array([[np.cos(yaw), np.sin(yaw), 0], [-np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
            local, start = rays @ turn.T, turn @ (origin - [x, y, z])
            half = 0.5 * np.array([length, width, height])
            t0, t1 = (-half - start) / local, (half - start) / local
            enter, leave = np.minimum(t0, t1).max(axis=1), np.maximum(t0, t1).min(axis=1)
            nearest = np.where((enter < leave) & (enter > 0), np.minimum(nearest, enter), nearest)
    nearest = np.where(nearest < 80.0, nearest, np.nan)
    rng = np.random.default_rng(0)
    hit = origin + rays * (nearest + rng.normal(0, noise_m, len(rays)))[:, None]
    return (mount.inverse() @ hit).astype(np.float32)


def radar_list(
    points: Array, velocities: Array, sensor_velocity: Array, mount: Transform, noise: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Detections (N, 5) of points (N, 2) in base_link at the sensor's height that move over ground with `velocities`
    (N, 2).
    """
    away = np.column_stack([points, np.full(len(points), mount.translation[2])]) - mount.translation
    local = away @ mount.rotation
    distance = np.linalg.norm(away, axis=1)
    unit = away[:, :2] / distance[:, None]
    rate = ((velocities - sensor_velocity) * unit).sum(axis=1)
    azimuth = np.arctan2(local[:, 1], local[:, 0])
    out = np.column_stack([distance, azimuth, np.zeros(len(points)), rate, np.full(len(points), 10.0)])
    out[:, :4] += rng.normal(size=(len(points), 4)) * [0.1, 0.01, 0.0, 0.08] * noise
    return out.astype(np.float32)
