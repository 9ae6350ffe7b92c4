"""Tyre noise: how it grows with speed, how high it reaches, and how alike it is at the microphones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.signal import coherence

from sensorfuse.geometry import Transform
from sensorfuse.sensor_config import AudioConfig
from sensorfuse.sim.sensors.audio import AudioModel
from sensorfuse.sim.sensors.road_noise import WHEELS_M, RoadNoise
from sensorfuse.sim.sensors.sound_sources import SPEED_OF_SOUND_MPS

RATE = 16000
MICROPHONES = np.array([[0.6, 0.1, 1.6], [0.6, -0.1, 1.6], [1.4, 0.1, 1.6]])


@pytest.fixture(scope="module")
def noise() -> RoadNoise:
    white = np.fft.rfft(np.random.default_rng(0).standard_normal(1 << 16))
    return RoadNoise(MICROPHONES, white, RATE, 0.02)


def heard(
    noise: RoadNoise, speed: float, start_s: float = 0.0, samples: int = 1 << 16, rate: float = RATE
) -> np.ndarray:
    out = np.zeros((samples, len(MICROPHONES)))
    noise.add(start_s, rate, np.full(samples, speed), out)
    return out


def test_it_grows_by_thirty_decibels_per_decade_of_speed(noise: RoadNoise) -> None:
    assert not heard(noise, 0.0).any()
    slow, fast = heard(noise, 3.0).std(), heard(noise, 30.0).std()
    assert 20 * np.log10(fast / slow) == pytest.approx(30.0)


def test_its_amplitude_is_that_of_four_wheels_at_their_distances(noise: RoadNoise) -> None:
    distance = np.linalg.norm(MICROPHONES[None] - WHEELS_M[:, None], axis=2)
    expected = 0.02 * np.sqrt((1 / distance**2).sum(axis=0))
    np.testing.assert_allclose(heard(noise, 10.0).std(axis=0), expected, rtol=0.05)


def test_it_is_low_pass(noise: RoadNoise) -> None:
    power = np.abs(np.fft.rfft(heard(noise, 10.0)[:, 0])) ** 2
    hz = np.fft.rfftfreq(1 << 16, 1 / RATE)
    bands = [power[(hz >= a) & (hz < b)].mean() for a, b in ((200, 400), (1800, 2200), (3600, 4400))]
    assert 10 * np.log10(bands[0] / bands[1]) > 10
    assert 10 * np.log10(bands[1] / bands[2]) == pytest.approx(11, abs=2.5)


def test_microphones_hear_it_as_alike_as_the_geometry_says(noise: RoadNoise) -> None:
    """Coherence of independent sources: |sum a b exp(i w (t_a - t_b))|^2 / (sum a^2 sum b^2) over the wheels."""
    out = heard(noise, 12.0)
    distance = np.linalg.norm(MICROPHONES[None] - WHEELS_M[:, None], axis=2)
    for i, j in ((0, 1), (0, 2)):
        hz, measured = coherence(out[:, i], out[:, j], fs=RATE, nperseg=512)
        wave = np.exp(2j * np.pi * hz[:, None] * (distance[:, i] - distance[:, j]) / SPEED_OF_SOUND_MPS)
        cross = np.abs((wave / distance[:, i] / distance[:, j]).sum(axis=1)) ** 2
        theory = cross / ((1 / distance[:, i] ** 2).sum() * (1 / distance[:, j] ** 2).sum())
        band = (hz > 80) & (hz < 2500)
        assert np.abs(measured - theory)[band].mean() < 0.08
        assert theory[band].min() < 0.4
        assert theory[band].max() > 0.9


def test_blocks_join_and_an_own_clock_stretches_it(noise: RoadNoise) -> None:
    long = heard(noise, 10.0, 3.0, 1600)
    parts = [heard(noise, 10.0, 3.0 + i * 160 / RATE, 160) for i in range(10)]
    np.testing.assert_allclose(np.vstack(parts), long, atol=1e-9)
    faster = heard(noise, 10.0, 3.0, 1601, RATE * 1601 / 1600)
    np.testing.assert_allclose(faster[::1601], long[::1601], atol=1e-12)
    assert np.corrcoef(faster[1590:1600, 0], long[1589:1599, 0])[0, 1] > 0.99


@pytest.mark.parametrize(
    ("kind", "tyre_noise", "louder"), [("car", 0.02, True), ("car", 0.0, False), ("drone", 0.02, False)]
)
def test_only_a_car_whose_scenario_says_so_has_it(stage: Any, kind: str, tyre_noise: float, louder: bool) -> None:
    def motion(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        place, attitude = np.zeros((2, len(t), 3, 3))
        place[:, 0, 0], place[:, 1, 0] = 15.0 * t, 15.0
        return place, attitude

    def sound(scenario: dict[str, Any]) -> np.ndarray:
        scene = stage([("car", 900.0, 0, 0, 0, 0)], [], motion, scenario)
        scene.motion = lambda who, t: np.zeros((len(who), 9))
        model = AudioModel(scene, AudioConfig(), Transform.from_rpy([0.5, 0, 1.6], [0, 0, 0]), 0, "microphones")
        return model.block(0.0, 0, 4000, np.random.default_rng(0))

    quiet = sound({"ego": {"kind": kind}})
    driven = sound({"ego": {"kind": kind}, "road": {"tyre_noise": tyre_noise}})
    assert (driven.std() > 1.5 * quiet.std()) == louder
    if not louder:
        np.testing.assert_array_equal(quiet, driven)
