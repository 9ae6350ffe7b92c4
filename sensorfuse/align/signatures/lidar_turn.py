"""A LiDAR's rotation and velocity from one sweep to the next."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensorfuse.align.signatures.range_image import MIN_RANGE_M, RangeImage, range_image
from sensorfuse.align.signatures.span import comparable
from sensorfuse.align.signatures.sweep_registration import deskew, register
from sensorfuse.geometry import exp_rotation
from sensorfuse.messages import Sample
from sensorfuse.sensor_config import LidarConfig, SensorConfig

MAX_COLUMNS = 720
SOURCE_POINTS = 1200
FIRST_ROUNDS = 4
MIN_POINTS = 300
MIN_MATCHED = 0.3
RANGE_M = 8.0  # at which a radian and a metre weigh alike
INFLATION = 2.0  # of sigma: neighbouring points err alike
TURN_FLOOR_RAD, SPEED_FLOOR = 1e-4, 0.03  # least sigma: rad, and m/s
FIRST_BEND_SIGMA, BEND_LEARNING = 0.02, 0.1  # rad
BEND_SHARE = 0.2  # of a change that the deskew does not know of, what ends up in the turn
ARM_M = 12.0  # at which an error of the deskewed turn shows as translation
HIDDEN = 0.1  # of a direction cosine: less does not count
MAX_SIGMA_RAD, MAX_SIGMA_MPS = 0.05, 3.0  # less certain is unobserved

Array = NDArray[np.float64]


class LidarTurn:
    """Registers each sweep with the last. One per stream; feed in order."""

    def __init__(self, config: SensorConfig) -> None:
        self.config = config
        self.lidar = config.lidar or LidarConfig()
        self._rotation = config.T_base_sensor.transform().rotation
        low, high = self.lidar.elevation_deg
        self._elevation = (math.radians(low), max(math.radians(high), math.radians(low) + 1e-3))
        self._before: tuple[int, Array, NDArray[np.float64]] | None = None  # middle, points, late in seconds
        self._motion: tuple[Array, Array, float] | None = None  # turn, shift, and the seconds that they took
        self._bend, self._bend_sigma = np.zeros(3), FIRST_BEND_SIGMA

    def measure(self, sample: Sample, at_ns: int) -> dict[str, Any]:
        """`turn_rad`, `turn_sigma_rad`, `turn_span_ns`, `ego_velocity_mps` and `ego_velocity_sigma_mps` of a sweep
        whose middle is at `at_ns` against the last one.

        Velocity is the sensor's mean one in base axes. Unobserved axes are 0 with infinite sigma. Nothing where the
        sweeps do not tell. A sweep that repeats the last one counts as not taken.
        """
        points, late_s = self._cleaned(sample, at_ns)
        before = self._before
        if before is not None and points.shape == before[1].shape and np.array_equal(points, before[1]):
            return {}
        self._before = at_ns, points, late_s
        if before is None or len(points) < MIN_POINTS or len(before[1]) < MIN_POINTS:
            self._motion = None
            return {}
        if not comparable(before[0], at_ns, self.config):
            self._motion = None
            return {}
        return self._register(before, points, late_s, at_ns)

    def _cleaned(self, sample: Sample, at_ns: int) -> tuple[Array, Array]:
        """Points (N, 3) that are no carrier and no NaN, and their times (N,) after the middle in seconds."""
        points = np.asarray(sample.arrays["points"], np.float64)
        reach2 = (points * points).sum(axis=1)
        keep = (reach2 > MIN_RANGE_M**2) & (reach2 < 1e8)
        points = points[keep]
        times = sample.arrays.get("time_ns")
        if times is None or len(times) != len(keep):
            return points, np.zeros(len(points))
        return points, (times[keep] + (sample.stamp_ns - at_ns)) / 1e9

    def _register(self, before: tuple[int, Array, Array], points: Array, late_s: Array, at_ns: int) -> dict[str, Any]:
        span_s = (at_ns - before[0]) / 1e9
        turn, shift = np.zeros(3), np.zeros(3)
        if self._motion is not None:
            share = span_s / self._motion[2]
            turn, shift = self._motion[0] * share, self._motion[1] * share
        bend = self._bend if self._motion is not None else np.zeros(3)
        pick = np.linspace(0, len(points) - 1, min(SOURCE_POINTS, len(points))).astype(np.int64)
        source, late = np.ascontiguousarray(points[pick]), late_s[pick] / span_s
        found = None
        for _ in range(
            1 if self._motion is not None else FIRST_ROUNDS
        ):  # the first sweep is deskewed by what it helps to find
            image = self._image(before[1], before[2] / span_s, turn, shift, bend)
            found = register(image, source, late, bend, turn, shift, RANGE_M)
            if found is None or found.matched < MIN_MATCHED:
                self._motion = None
                return {}
            turn, shift = found.turn, found.shift
        assert found is not None
        self._learn_bend(turn, span_s)
        self._motion = turn, shift, span_s
        return self._signature(found.covariance, found.observed, before[0], at_ns)

    def _learn_bend(self, turn: Array, span_s: float) -> None:
        """The change of turn from one sweep to the next, and how much that changes in turn."""
        if self._motion is None:
            self._bend, self._bend_sigma = np.zeros(3), FIRST_BEND_SIGMA
            return
        bend = turn - self._motion[0] * (span_s / self._motion[2])
        change = float(np.sqrt(np.mean((bend - self._bend) ** 2)))
        self._bend_sigma += BEND_LEARNING * (change - self._bend_sigma)
        self._bend = bend

    def _image(self, points: Array, late: Array, turn: Array, shift: Array, bend: Array) -> RangeImage:
        still = np.empty_like(points)
        deskew(points, late, turn, shift, bend, still)
        return range_image(
            still, self.lidar.rings, min(self.lidar.columns, MAX_COLUMNS), self._elevation, self.lidar.range_noise_m
        )

    def _signature(self, covariance: Array, observed: NDArray[np.bool_], a_ns: int, b_ns: int) -> dict[str, Any]:
        assert self._motion is not None
        turn, shift, span_s = self._motion
        spread = INFLATION * np.sqrt(np.maximum(np.diag(covariance), 0.0))
        sigma = np.hypot(spread[:3], TURN_FLOOR_RAD + BEND_SHARE * self._bend_sigma)
        sigma[(sigma > MAX_SIGMA_RAD) | ~observed[:3]] = np.inf
        signature: dict[str, Any] = {}
        if np.isfinite(sigma).any():
            seen = np.where(np.isfinite(sigma), turn, 0.0)
            signature = {"turn_rad": seen.tolist(), "turn_sigma_rad": sigma.tolist(), "turn_span_ns": [a_ns, b_ns]}
        sway = SPEED_FLOOR + BEND_SHARE * self._bend_sigma * ARM_M / span_s
        axes = np.hypot(spread[3:] / span_s, sway)
        axes[(axes > MAX_SIGMA_MPS) | ~observed[3:]] = np.inf
        signature.update(self._velocity(exp_rotation(-0.5 * turn) @ shift / span_s, axes))
        return signature

    def _velocity(self, velocity: Array, sigma: Array) -> dict[str, Any]:
        """The sensor's velocity (3,) in its own axes half way between the sweeps, turned to base axes."""
        seen = np.isfinite(sigma)
        hidden = (np.abs(self._rotation[:, ~seen]) > HIDDEN).any(axis=1)  # base axes that hold an unobserved one
        base = self._rotation[:, seen] @ velocity[seen]
        spread = np.sqrt(self._rotation[:, seen] ** 2 @ sigma[seen] ** 2)
        base[hidden], spread[hidden] = 0.0, np.inf
        if hidden.all():
            return {}
        return {"ego_velocity_mps": base.tolist(), "ego_velocity_sigma_mps": spread.tolist()}
