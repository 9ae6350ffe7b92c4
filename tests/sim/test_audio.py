"""The microphones: Doppler, arrival differences, spreading, and blocks that join."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sensorfuse.geometry import Transform
from sensorfuse.rig import AudioConfig
from sensorfuse.sim.audio import TWO_TONES, AudioModel
from sensorfuse.sim.rigid_motion import RigidMotion
from sensorfuse.sim.scenario import Scenario, load_scenario
from sensorfuse.sim.sound_sources import SPEED_OF_SOUND_MPS, SoundSources
from sensorfuse.sim.world import World

RATE = 16000
CONFIG = AudioConfig(sample_rate_hz=RATE)
POSE = Transform.from_rpy([0.5, 0.0, 1.6], [0, 0, 0.4])


class OneSiren:
    """A siren on a straight line, an ego that stands at the origin, no wind."""

    names = ("emergency_vehicle",)
    motors = moving = np.array([True])
    size = np.array([[6.0, 2.1, 2.3]])
    scenario = Scenario.model_validate({"weather": {"wind_mps": 0}})

    def __init__(self, place: tuple[float, float], velocity: tuple[float, float]) -> None:
        self.place, self.velocity = np.array(place), np.array(velocity)

    def motion(self, who: np.ndarray, t_s: Any) -> np.ndarray:
        out = np.zeros((len(who), 9))
        t = np.broadcast_to(np.asarray(t_s, float), who.shape)
        out[:, :2], out[:, 3:5] = self.place + t[:, None] * self.velocity, self.velocity
        return out

    def distance(self, who: np.ndarray, t_s: Any) -> np.ndarray:
        return np.zeros(len(who))

    def ego(self, t_s: np.ndarray) -> RigidMotion:
        return RigidMotion.from_derivatives(*np.zeros((2, len(np.atleast_1d(t_s)), 3, 3)))

    def ego_distance(self, t_s: np.ndarray) -> np.ndarray:
        return np.zeros(len(np.atleast_1d(t_s)))


class OneCar(OneSiren):
    names = ("car",)


def listen(world: OneSiren, phase: float = 0.0) -> AudioModel:
    model = AudioModel(world, CONFIG, POSE, 0, "microphones")  # type: ignore[arg-type]
    model.sources.siren_style[:] = TWO_TONES
    model.sources.pitch[:] = 1.0
    model.sources.siren_phase[:], model.sources.siren_period_s[:] = 0.0, 1000.0
    return model


def loudest_hz(pcm: np.ndarray) -> float:
    window = pcm * np.hanning(len(pcm))
    spectrum = np.abs(np.fft.rfft(window, 1 << 19))
    return float(np.argmax(spectrum)) * RATE / (1 << 19)


@pytest.mark.parametrize("speed", [0.0, 20.0, -20.0])
def test_a_moving_siren_is_heard_at_the_doppler_frequency(speed: float) -> None:
    """On the line of sight f = f0 / (1 - v / c); the low tone of 435 Hz lasts from emission 1.3 s on for 0.65 s."""
    world = OneSiren((-60.0, 0.0), (speed, 0.0))
    model = listen(world)
    first = int((1.3 + 75 / SPEED_OF_SOUND_MPS + 0.1) * RATE)
    pcm = model.block(0.0, first, 4000, np.random.default_rng(0))[:, 0]
    assert loudest_hz(pcm) == pytest.approx(435.0 / (1 - speed / SPEED_OF_SOUND_MPS), abs=0.7)


def test_arrival_differences_give_the_direction() -> None:
    """The siren's clean sound (no microphone noise to speak of) reaches each microphone when geometry says."""
    azimuth = 2.1
    world = OneSiren((0.5 + 40 * np.cos(azimuth), 40 * np.sin(azimuth)), (0.0, 0.0))
    model = listen(world)
    pcm = model.block(0.0, 20 * RATE, 8000, np.random.default_rng(0)).astype(float)
    microphones = POSE @ np.array(CONFIG.microphones_m)
    source = np.array([*world.place, 0.7 * 2.3])
    distance = np.linalg.norm(microphones - source, axis=1)
    spectrum = np.fft.rfft(pcm * np.hanning(len(pcm))[:, None], axis=0)
    hz = np.fft.rfftfreq(len(pcm), 1 / RATE)
    strong = np.abs(spectrum[:, 0]) > 0.2 * np.abs(spectrum[:, 0]).max()
    for i in range(1, 4):
        phase = np.angle(spectrum[strong, i] * spectrum[strong, 0].conj())  # below 700 Hz it does not wrap at 30 cm
        weight = np.abs(spectrum[strong, 0]) ** 2
        low = (hz[strong] > 300) & (hz[strong] < 620)
        delay = -(weight * phase / (2 * np.pi * hz[strong]))[low].sum() / weight[low].sum()
        assert delay == pytest.approx((distance[i] - distance[0]) / SPEED_OF_SOUND_MPS, abs=4e-6)


def test_amplitude_falls_with_distance() -> None:
    levels = []
    for distance in (10.0, 20.0):
        pcm = listen(OneSiren((distance, 0.0), (0.0, 0.0))).block(0.0, 20 * RATE, 8000, np.random.default_rng(0))
        levels.append(pcm.std())
    assert levels[0] / levels[1] == pytest.approx(2.0, rel=0.1)
    assert levels[0] < 0.5


def test_blocks_join_without_a_seam() -> None:
    """One long block and ten short ones differ only by how finely the delay is interpolated."""
    world = OneSiren((-30.0, 6.0), (15.0, 0.0))

    class Silent(np.random.Generator):
        def standard_normal(self, size: Any = None, *_: Any) -> Any:  # type: ignore[override]
            return np.zeros(size)

    quiet = Silent(np.random.PCG64(0))
    model = listen(world)
    long = model.block(0.0, RATE, 800, quiet)
    short = np.vstack([model.block(0.0, RATE + 80 * i, 80, quiet) for i in range(10)])
    assert np.abs(long).max() > 0.01
    np.testing.assert_allclose(long, short, atol=2e-4)


def test_direction_can_be_found_in_the_simulated_town() -> None:
    """Steered response power over azimuth peaks at the truth while a siren is loud and near."""
    world = World(load_scenario("town"), 0)
    model = AudioModel(world, CONFIG, POSE, 0, "microphones")
    sources = SoundSources(world)
    xyz = POSE @ np.array(CONFIG.microphones_m)
    errors = []
    for t in np.arange(2.0, world.lap_s, 3.0):
        ear = world.ego_pose(t).matrix()
        centre = ear[:3, :3] @ xyz.mean(axis=0) + ear[:3, 3]
        heard = []
        for name, who in sources.loud(t):
            emitted, place = sources.retarded(who, t, centre)
            if np.linalg.norm(place - centre) < 45 and sources.sounding(name, who, emitted):
                heard.append(ear[:3, :3].T @ (place - centre))
        if len(heard) != 1:
            continue
        pcm = model.block(0.0, int((t - 0.025) * RATE), 800, np.random.default_rng(0))
        spectrum = np.fft.rfft(pcm * np.hanning(800)[:, None], 2048, axis=0)[26:300]
        hz = np.fft.rfftfreq(2048, 1 / RATE)[26:300]
        grid = np.linspace(-np.pi, np.pi, 361)
        lead = (xyz - xyz.mean(axis=0))[:, :2] @ np.stack([np.cos(grid), np.sin(grid)]) / SPEED_OF_SOUND_MPS
        steer = np.exp(-2j * np.pi * hz[None, :, None] * lead[:, None, :])
        power = (np.abs((spectrum.T[:, :, None] * steer).sum(axis=0)) ** 2).sum(axis=0)
        best = grid[int(np.argmax(power))]
        true = np.arctan2(heard[0][1], heard[0][0])
        errors.append(abs((best - true + np.pi) % (2 * np.pi) - np.pi))
    assert len(errors) >= 5
    assert np.median(errors) < np.radians(6)


def test_an_engine_is_quiet_and_steady() -> None:
    near = listen(OneCar((8.0, 0.0), (0.0, 0.0))).block(0.0, 0, 8000, np.random.default_rng(0))
    gone = listen(OneCar((50.0, 0.0), (0.0, 0.0))).block(0.0, 0, 8000, np.random.default_rng(0))
    assert near.std() > 1.3 * gone.std()
    assert near.std() < 0.05
