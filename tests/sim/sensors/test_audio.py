"""The microphones: Doppler, arrival differences, spreading, and blocks that join."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sensorfuse.geometry import Transform
from sensorfuse.sensor_config import AudioConfig
from sensorfuse.sim.scenario import Scenario, load_scenario
from sensorfuse.sim.scene.rigid_motion import RigidMotion
from sensorfuse.sim.scene.world import World
from sensorfuse.sim.sensors.audio import EGO_ENGINE, MICROPHONE_NOISE, TWO_TONES, AudioModel
from sensorfuse.sim.sensors.sound_sources import REACH_M, SIREN, SPEED_OF_SOUND_MPS, SoundSources

RATE = 16000
CONFIG = AudioConfig(sample_rate_hz=RATE)
POSE = Transform.from_rpy([0.5, 0.0, 1.6], [0, 0, 0.4])


class OneSiren:
    """A siren on a straight line, an ego that stands at the origin, no wind."""

    names = ("emergency_vehicle",)
    motors = moving = np.array([True])
    size = np.array([[6.0, 2.1, 2.3]])
    scenario = Scenario.model_validate({"weather": {"wind_mps": 0}})

    def __init__(
        self,
        place: tuple[float, float],
        velocity: tuple[float, float],
        ego_velocity: tuple[float, float, float] = (0.0, 0.0, 0.0),
        ego_rpy: tuple[float, float, float] = (0.0, 0.0, 0.0),
    ) -> None:
        self.place, self.velocity = np.array(place), np.array(velocity)
        self.ego_velocity, self.ego_rpy = np.array(ego_velocity), np.array(ego_rpy)

    def motion(self, who: np.ndarray, t_s: Any) -> np.ndarray:
        out = np.zeros((len(who), 9))
        t = np.broadcast_to(np.asarray(t_s, float), who.shape)
        out[:, :2], out[:, 3:5] = self.place + t[:, None] * self.velocity, self.velocity
        return out

    def distance(self, who: np.ndarray, t_s: Any) -> np.ndarray:
        return np.zeros(len(who))

    def ego(self, t_s: np.ndarray) -> RigidMotion:
        t = np.atleast_1d(t_s)
        place, rpy = np.zeros((2, len(t), 3, 3))
        place[:, 0], place[:, 1], rpy[:, 0] = t[:, None] * self.ego_velocity, self.ego_velocity, self.ego_rpy
        return RigidMotion.from_derivatives(place, rpy)

    def ego_distance(self, t_s: np.ndarray) -> np.ndarray:
        return np.zeros(len(np.atleast_1d(t_s)))


class OneCar(OneSiren):
    names = ("car",)


def listen(world: OneSiren, phase: float = 0.0) -> AudioModel:
    model = AudioModel(world, CONFIG, POSE, 0, "microphones")  # type: ignore[arg-type]
    model._wind[:] = 0.0
    model.sources.siren_style[:] = TWO_TONES
    model.sources.pitch[:] = 1.0
    model.sources.siren_phase[:], model.sources.siren_period_s[:] = 0.0, 1000.0
    return model


def loudest_hz(pcm: np.ndarray) -> float:
    window = pcm * np.hanning(len(pcm))
    spectrum = np.abs(np.fft.rfft(window, 1 << 19))
    spectrum[: 200 * (1 << 19) // RATE] = 0.0  # the ego's engine
    return float(np.argmax(spectrum)) * RATE / (1 << 19)


@pytest.mark.parametrize("speed", [0.0, 20.0, -20.0])
@pytest.mark.parametrize("ear_speed", [0.0, 15.0, -15.0])
def test_a_moving_siren_is_heard_at_the_doppler_frequency(speed: float, ear_speed: float) -> None:
    """On the line of sight f = f0 (c + w) / (c - v); the low tone of 435 Hz lasts from emission 1.3 s on for 0.65 s.

    v is the speed of the siren towards the array, w that of the array towards the siren.
    """
    world = OneSiren((-60.0, 0.0), (speed, 0.0), (-ear_speed, 0.0, 0.0))
    model = listen(world)
    c = SPEED_OF_SOUND_MPS
    reached_s = (1.45 + (60.5 - 1.45 * speed) / c) / (1 + ear_speed / c)
    pcm = model.block(0.0, int(reached_s * RATE), 4000, np.random.default_rng(0))[:, 0]
    assert loudest_hz(pcm) == pytest.approx(435.0 * (c + ear_speed) / (c - speed), abs=0.7)


MOVING_AND_TILTED: dict[str, Any] = {"ego_velocity": (14.0, -6.0, 1.0), "ego_rpy": (0.4, -0.3, 0.9)}


@pytest.mark.parametrize("ego", [{}, MOVING_AND_TILTED])
def test_arrival_differences_give_the_direction(ego: dict[str, Any]) -> None:
    """The siren's clean sound (no microphone noise to speak of) reaches each microphone when geometry says.

    A tone of f0 at the source has phase 2 pi f0 (t - distance(t) / c) at a microphone, wherever that goes; what
    the array hears is f0 (1 - d distance / dt / c).
    """
    azimuth, seconds, samples = 2.1, 2.2, 1600
    still = OneSiren((0.0, 0.0), (0.0, 0.0), **ego)
    centre = (still.ego(np.array([seconds])).pose() @ POSE).translation
    world = OneSiren((centre[0] + 40 * np.cos(azimuth), centre[1] + 40 * np.sin(azimuth)), (0.0, 0.0), **ego)
    model = listen(world)
    pcm = model.block(0.0, round(seconds * RATE), samples, np.random.default_rng(0)).astype(float)
    source = np.array([*world.place, 0.7 * 2.3])

    def distances(t: float) -> np.ndarray:
        pose = world.ego(np.array([t])).pose() @ POSE
        return np.linalg.norm(pose @ np.array(CONFIG.microphones_m) - source, axis=1)

    middle = seconds + samples / 2 / RATE
    heard = 1 - (distances(middle + 1e-3) - distances(middle - 1e-3)) / 2e-3 / SPEED_OF_SOUND_MPS
    spectrum = np.fft.rfft(pcm * np.hanning(len(pcm))[:, None], axis=0)
    hz = np.fft.rfftfreq(len(pcm), 1 / RATE)
    strong = np.abs(spectrum[:, 0]) > 0.2 * np.abs(spectrum[:, 0]).max()
    differ = 0.0
    for i in range(1, 4):
        phase = np.angle(spectrum[strong, i] * spectrum[strong, 0].conj())  # below 700 Hz it does not wrap at 30 cm
        weight = np.abs(spectrum[strong, 0]) ** 2
        low = (hz[strong] > 300) & (hz[strong] < 620)
        delay = -(weight * phase / (2 * np.pi * hz[strong]))[low].sum() / weight[low].sum()
        expected = (distances(middle)[i] - distances(middle)[0]) / SPEED_OF_SOUND_MPS / heard[0]
        differ = max(differ, abs(expected))
        assert delay == pytest.approx(expected, abs=4e-6)
    assert differ > 2e-4


def test_amplitude_falls_with_distance() -> None:
    """As 1 / distance, but for the fading out towards where the siren falls silent."""
    levels = {}
    for distance in (10.0, 20.0, 40.0, 80.0):
        silent = listen(OneSiren((distance, 0.0), (0.0, 0.0)))
        silent.sources.siren_period_s[:] = 1e9
        first = int((20.0 + distance / SPEED_OF_SOUND_MPS) * RATE)
        pcm = silent.block(0.0, first, 8000, np.random.default_rng(0)).astype(float)
        power = (pcm**2).mean(axis=0) - MICROPHONE_NOISE**2 - EGO_ENGINE**2 * (0.5 + 0.18)
        ear = np.linalg.norm(POSE @ np.array(CONFIG.microphones_m) - [distance, 0, 0.7 * 2.3], axis=1)
        fading = 1 - (ear / REACH_M[SIREN]) ** 2
        levels[distance] = np.sqrt(power) * ear / fading
    for distance in (20.0, 40.0, 80.0):
        np.testing.assert_allclose(levels[distance] / levels[10.0], 1.0, atol=0.01)
    assert 0.3 < levels[10.0].mean() < 1.0


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
