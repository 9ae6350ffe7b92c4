"""Motion between a sensor's time and the tick's, on simulated carriers whose true motion is known.

Three carriers (a car, somebody who walks with the sensors in hand, a drone), each with its rig's IMU and with
velocities ten times a second, good to 5 cm/s along each axis, as matching LiDAR sweeps gives them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, Slerp

from sensorfuse.align.deskew import BodyMotion, deskew
from sensorfuse.align.ego_motion import EgoMotion
from sensorfuse.bench.goals import Goal
from sensorfuse.rig import shipped_rig
from sensorfuse.sensor_config import ImuConfig
from sensorfuse.sim.scenario import load_scenario
from sensorfuse.sim.scene.world import World
from sensorfuse.sim.sensors.imu import ImuModel

Array = NDArray[np.float64]

CARRIERS = {"car": "synthetic", "handheld": "handheld", "drone": "drone"}  # and the rig that has its IMU
VELOCITY_HZ, VELOCITY_SIGMA_MPS = 10, 0.05
SETTLED_S = 5.0
PERIOD_NS = 100_000_000
POSE_GAP_NS = 50_000_000
POINT_AGE_NS, POINT_RANGE_M = 90_000_000, 20.0
CLOUD = 1_000_000
S = 1_000_000_000


class Carrier:
    """A world, the IMU on what moves through it, and the estimator that listens to both."""

    def __init__(self, kind: str, seed: int) -> None:
        rig = shipped_rig(CARRIERS[kind])
        assert rig.sim is not None
        self.world = World(load_scenario(rig.sim.scenario), seed)
        sensor = rig.sensors["imu"]
        self.mount = sensor.T_base_sensor.transform()
        self.config = sensor.imu or ImuConfig()
        self.rate_hz = sensor.rate_hz
        self._imu = ImuModel(self.world, self.config, self.rate_hz, self.mount, seed, "imu")
        self._rng = np.random.default_rng((seed, 0xE60))
        self.ego = EgoMotion()

    def run(self, start_s: float, duration_s: float, velocity_until_s: float = np.inf) -> Iterator[int]:
        """Feed the estimator from a time on; yields each tick's time once all up to it is known."""
        per_message = self.config.samples_per_message
        tick = -(-round(start_s * S) // PERIOD_NS)
        first, last = (int(t * self.rate_hz / per_message) for t in (start_s, start_s + duration_s))
        for k in range(first, last):
            index = np.arange(k * per_message, (k + 1) * per_message)
            times = np.rint(index * (S / self.rate_hz)).astype(np.int64)
            gyro, accel = self._imu.batch(times / 1e9, k)
            turn = self.mount.rotation.T
            self.ego.push_rates(times, gyro @ turn, accel @ turn, self.mount.translation)
            while (t := tick * PERIOD_NS) <= times[-1]:
                if t <= velocity_until_s * 1e9:
                    noise = self._rng.normal(0, VELOCITY_SIGMA_MPS, 3)
                    self.ego.push_velocity(t, self.velocity(t) + noise, np.full(3, VELOCITY_SIGMA_MPS))
                self.ego.advance(t)
                yield t
                tick += 1

    def poses(self, times_ns: Array | NDArray[np.int64]) -> tuple[Array, Array]:
        """True attitude (N, 3, 3) and place (N, 3) at times (N,)."""
        motion = self.world.ego(np.asarray(times_ns) / 1e9)
        return motion.rotation, motion.position

    def velocity(self, t_ns: int) -> Array:
        """True velocity (3,) in body axes."""
        motion = self.world.ego(t_ns / 1e9)
        return np.asarray(motion.rotation[0].T @ motion.velocity[0])


@dataclass
class CarrierErrors:
    """Errors of rotation in degrees, and of points in metres; `slerp` and `steady` are the usual way's."""

    rotation_deg: list[float]
    slerp_deg: list[float]
    point_m: list[Array]
    steady_m: list[Array]  # with the twist at the tick held
    previous_m: list[Array]  # with the twist of the sweep before


def carrier_errors(kind: str, seed: int, duration_s: float, points: int = 16) -> CarrierErrors:
    """Rotation over 50 ms, and points 20 m away seen 90 ms before the tick, at every tick but the first seconds'."""
    carrier = Carrier(kind, seed)
    rng = np.random.default_rng((seed, 0x9015))
    out = CarrierErrors([], [], [], [], [])
    twists: list[Array] = []
    for t in carrier.run(0.0, duration_s):
        twists.append(carrier.ego.twist_at(t)[0])
        if t < SETTLED_S * S:
            continue
        turned = carrier.ego.poses(t - POSE_GAP_NS, np.array([t]))[0, :, :3]
        rotation, place = carrier.poses(np.array([t - PERIOD_NS, t - POSE_GAP_NS, t, t - POINT_AGE_NS]))
        out.rotation_deg.append(_angle_deg(turned, rotation[1].T @ rotation[2]))
        ends = Rotation.from_matrix(rotation[[0, 2]])
        out.slerp_deg.append(_angle_deg(Slerp([0.0, 1.0], ends)(0.5).as_matrix(), rotation[1]))
        way = rng.normal(size=(points, 3))
        seen = POINT_RANGE_M * way / np.linalg.norm(way, axis=1, keepdims=True)
        real = (seen @ rotation[3].T + place[3] - place[2]) @ rotation[2]
        age = np.full(points, -POINT_AGE_NS)
        motions = (
            (out.point_m, BodyMotion(*carrier.ego.recent_motion(t))),
            (out.steady_m, BodyMotion.from_twist(twists[-1])),
            (out.previous_m, BodyMotion.from_twist(twists[-2])),
        )
        for errors, motion in motions:
            errors.append(np.linalg.norm(deskew(seen, age, motion) - real, axis=1))
    return out


def _angle_deg(a: Array, b: Array) -> float:
    return float(np.degrees(Rotation.from_matrix(a.T @ b).magnitude()))


def outage_errors(kind: str, seed: int, starts: int, outage_s: float = 1.0) -> tuple[Array, Array]:
    """Velocity errors (N,) a second after the last measured one, at moments spread over a lap: the estimator's, and
    those of holding what was estimated then.
    """
    own, held = [], []
    lap_s = Carrier(kind, seed).world.lap_s
    for start_s in np.round(np.arange(starts) * lap_s / starts, 1):
        carrier = Carrier(kind, seed)
        last_s = float(start_s) + SETTLED_S
        before = np.zeros(3)
        for t in carrier.run(float(start_s), SETTLED_S + outage_s + 0.2, velocity_until_s=last_s + 0.01):
            if t == round(last_s * S):
                before = carrier.ego.twist_at(t)[0][:3]
            elif t == round((last_s + outage_s) * S):
                real = carrier.velocity(t)
                own.append(float(np.linalg.norm(carrier.ego.twist_at(t)[0][:3] - real)))
                held.append(float(np.linalg.norm(before - real)))
    return np.array(own), np.array(held)


def cloud_ms(count: int = CLOUD, trials: int = 5) -> float:
    """Processor time to deskew `count` points on one core, the median of some trials, in milliseconds."""
    rng = np.random.default_rng(0)
    cloud = rng.uniform(-50, 50, (count, 3)).astype(np.float32)
    after = np.linspace(-PERIOD_NS, 0, count).astype(np.int32)
    motion = BodyMotion.from_twist(np.array([8.0, 0.2, 0.1, 0.3, -0.2, 0.9]))
    deskew(cloud[:10], after[:10], motion)
    spent = []
    for _ in range(trials):
        started = time.process_time()
        deskew(cloud, after, motion)
        spent.append(1e3 * (time.process_time() - started))
    return float(np.median(spent))


def measure(trials: int = 2, duration_s: float = 20.0) -> list[Goal]:
    """The goals of motion: over `trials` worlds of each carrier; what the usual way gives stands beside it."""
    goals: list[Goal] = []
    for kind, most_deg, most_m in (("car", 0.02, 0.01), ("handheld", 0.02, 0.01), ("drone", 0.06, 0.03)):
        runs = [carrier_errors(kind, seed, duration_s) for seed in range(trials)]
        rotation, slerp = (np.concatenate([getattr(r, n) for r in runs]) for n in ("rotation_deg", "slerp_deg"))
        point, steady, previous = (
            np.concatenate([np.concatenate(getattr(r, n)) for r in runs]) for n in ("point_m", "steady_m", "previous_m")
        )
        name = f"{kind}: rotation over 50 ms, mean (SLERP at 10 Hz {slerp.mean():.3f} deg)"
        goals.append(Goal(name, most_deg, float(rotation.mean()), "deg"))
        beside = f"(constant rate {steady.mean():.3f} m, the last sweep's {previous.mean():.3f} m)"
        goals.append(Goal(f"{kind}: point at 20 m, 90 ms old, mean {beside}", most_m, float(point.mean()), "m"))
        goals.append(Goal(f"{kind}: the same, 95th percentile", 2 * most_m, float(np.percentile(point, 95)), "m"))
        own, held = (np.sqrt(np.mean(e**2)) for e in outage_errors(kind, 0, 8 * trials))
        name = f"{kind}: velocity after 1 s unmeasured, rms, at most half of holding the last ({held:.3f} m/s)"
        goals.append(Goal(name, float(0.5 * held), float(own), "m/s"))
    goals.append(Goal(f"{CLOUD} points deskewed, one core", 60.0, cloud_ms(), "ms"))
    return goals
