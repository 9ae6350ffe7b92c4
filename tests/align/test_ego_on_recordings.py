"""Ego motion on a real drone's IMU, against a motion-capture system's poses (EuRoC V1_01)."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from sensorfuse.align.ego_motion import EgoMotion
from sensorfuse.align.ego_scoring import PoseTrack
from sensorfuse.align.gyro_bias import GyroBias
from sensorfuse.log.euroc import EurocReader
from sensorfuse.rig import shipped_rig

S = 1_000_000_000
MS = 1_000_000


class Flight:
    """The recording's first 35 s: velocities to 5 cm/s ten times a second, but for one second in five."""

    def __init__(self, folder: Path) -> None:
        rng, bias, ego = np.random.default_rng(0), GyroBias(), EgoMotion()
        reader = EurocReader(folder)
        self.track = PoseTrack(list(islice(reader.truth(), 8000)))
        turn = shipped_rig("euroc").sensors["imu"].T_base_sensor.transform().rotation.T
        self.turns_deg: list[float] = []
        self.moves_m: list[float] = []
        self.outages: list[tuple[float, float, float]] = []  # error after 1 s, of holding, and sigma
        tick, first, held = None, 0, np.zeros(3)
        for sample in reader.samples({"imu0"}):
            if sample.modality != "imu":
                continue
            gyro, force = sample.arrays["gyro_radps"], sample.arrays["accel_mps2"]
            times = sample.stamp_ns + sample.arrays["time_ns"]
            bias.update(sample.stamp_ns, gyro, force, ego.moves())
            ego.push_rates(times, (gyro - bias.value) @ turn, force @ turn, np.zeros(3))
            if tick is None:
                tick = first = int(times[0])
            while tick <= times[-1]:
                velocity = self._velocity(tick)
                phase = (tick - first) / S % 5
                if velocity is not None:
                    if not 3.05 < phase < 4.05:
                        ego.push_velocity(tick, velocity + rng.normal(0, 0.05, 3), np.full(3, 0.05))
                    if 2.95 < phase < 3.05:
                        held = ego.twist_at(tick)[0][:3]
                    if tick - first > 10 * S:
                        self._compare(ego, tick, velocity, held, 3.95 < phase < 4.05)
                tick += 100 * MS
            if tick - first > 35 * S:
                break

    def _velocity(self, t: int) -> np.ndarray | None:
        a, b, here = (self.track.at(t + d * MS) for d in (-10, 10, 0))
        if a is None or b is None or here is None:
            return None
        return np.asarray(here[:3, :3].T @ (b[:3, 3] - a[:3, 3]) / 0.02)

    def _compare(self, ego: EgoMotion, t: int, velocity: np.ndarray, held: np.ndarray, outage: bool) -> None:
        before, now = self.track.at(t - 50 * MS), self.track.at(t)
        assert now is not None
        if before is not None:
            real = np.linalg.inv(before) @ now
            found = ego.poses(t - 50 * MS, np.array([t]))[0]
            turn = Rotation.from_matrix(found[:, :3].T @ real[:3, :3])
            self.turns_deg.append(float(np.degrees(turn.magnitude())))
            self.moves_m.append(float(np.linalg.norm(found[:, 3] - real[:3, 3])))
        if outage:
            twist, sigma = ego.twist_at(t)
            errors = [float(np.linalg.norm(v - velocity)) for v in (twist[:3], held)]
            self.outages.append((*errors, float(np.linalg.norm(sigma[:3]))))


@pytest.fixture(scope="module")
def flight(data_dir: Path) -> Flight:
    if not (data_dir / "euroc").is_dir():
        pytest.skip(f"no EuRoC recording in {data_dir}")
    return Flight(data_dir / "euroc")


@pytest.mark.data
def test_motion_over_50_ms(flight: Flight) -> None:
    """The truth itself is good to some hundredths of a degree and millimetres."""
    assert len(flight.turns_deg) > 150
    assert np.mean(flight.turns_deg) < 0.04
    assert np.mean(flight.moves_m) < 0.005


@pytest.mark.data
def test_a_second_without_velocities(flight: Flight) -> None:
    own, held, sigma = np.sqrt(np.mean(np.square(flight.outages), axis=0))
    assert own < 0.6 * held
    assert 0.3 * sigma < own < 2 * sigma
