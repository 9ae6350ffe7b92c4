"""A microphone array: each source as heard at each microphone, delayed by its way through the air.

Sound that arrives at t left its source at t' = t - distance(t') / c. t' is solved exactly at the start, middle and
end of a block and interpolated by a parabola in between, per microphone; so arrival time differences give direction,
and the Doppler shift follows from the motion of source and array. Amplitude falls with 1 / distance. Waveforms are
closed functions of emission time, so blocks join without a seam.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sensorfuse.geometry import Transform
from sensorfuse.sensor_config import AudioConfig
from sensorfuse.sim.noise import message_rng
from sensorfuse.sim.scene.world import World
from sensorfuse.sim.sensors.road_noise import RoadNoise
from sensorfuse.sim.sensors.sound_sources import ENGINE, REACH_M, SIREN, SPEED_OF_SOUND_MPS, SoundSources

Array = NDArray[np.float64]

LEVEL = np.array([1.0, 0.6, 0.05])
"""Amplitude at 1 m: siren, horn, engine."""
EGO_ENGINE = 0.003
WIND_AT_1_MPS = 2.0e-5  # grows with the square of the speed of the air
MICROPHONE_NOISE = 3.0e-4
WAIL, YELP, TWO_TONES = range(3)
_TABLE = 1 << 16


@njit(cache=True, fastmath=True)
def _tone(cycles):  # type: ignore[no-untyped-def]
    return math.sin(2.0 * math.pi * (cycles - math.floor(cycles)))


@njit(cache=True, fastmath=True)
def _siren(t, style, pitch):  # type: ignore[no-untyped-def]
    """A siren at emission time t: style 0 wail, 1 yelp, 2 two tones. Cycles are the integral of the pitch."""
    if style == TWO_TONES:
        half = 0.65
        lap = math.floor(t / (2.0 * half))
        rest = t - lap * 2.0 * half
        low, high = 435.0 * pitch, 585.0 * pitch
        cycles = lap * half * (low + high) + (low * rest if rest < half else low * half + high * (rest - half))
    else:
        period = 4.6 if style == WAIL else 0.36
        lap = t / period
        cycles = pitch * (
            1000.0 * t - 380.0 * period / (2.0 * math.pi) * math.cos(2.0 * math.pi * (lap - math.floor(lap)))
        )
    return 0.62 * _tone(cycles) + 0.25 * _tone(2.0 * cycles) + 0.2 * _tone(3.0 * cycles)


@njit(cache=True, fastmath=True)
def _mix(  # type: ignore[no-untyped-def]
    kinds, delays, travelled, style, pitch, period, phase, length, reach, level, start_s, taken_hz, rate_hz, noise, out
):  # fmt: skip
    """Add all sources. `delays` in s, `travelled` in m, (S, C, 3): at the start, middle and end of the block."""
    samples, channels = out.shape
    for s in range(len(kinds)):
        kind = kinds[s]
        for c in range(channels):
            d0, d1, d2 = delays[s, c, 0], delays[s, c, 1], delays[s, c, 2]
            m0, m1, m2 = travelled[s, c, 0], travelled[s, c, 1], travelled[s, c, 2]
            for n in range(samples):
                x = n / samples
                w0, w1, w2 = (1 - x) * (1 - 2 * x), 4 * x * (1 - x), x * (2 * x - 1)
                delay = w0 * d0 + w1 * d1 + w2 * d2
                distance = max(delay * SPEED_OF_SOUND_MPS, 1.0)
                share = distance / reach[kind]
                if share >= 1.0:
                    continue
                gain = level[kind] / distance * (1.0 - share * share)
                t = start_s + n / taken_hz - delay
                if kind == ENGINE:
                    cycles = 24.0 * pitch[s] * t + 2.2 * (w0 * m0 + w1 * m1 + w2 * m2)
                    at = t * rate_hz + phase[s] * _TABLE
                    cell = math.floor(at)
                    i = int(cell) & (_TABLE - 1)
                    rough = noise[i] + (at - cell) * (noise[(i + 1) & (_TABLE - 1)] - noise[i])
                    value = 0.5 * _tone(cycles) + 0.35 * _tone(2.0 * cycles) + 0.2 * _tone(4.0 * cycles) + 0.8 * rough
                else:
                    lap = t / period[s] + phase[s]
                    on = (lap - math.floor(lap)) * period[s]
                    edge = min(on, length[s] - on)
                    if edge <= 0.0:
                        continue
                    if kind == SIREN:
                        value = _siren(t, style[s], pitch[s])
                    else:
                        low, high = 405.0 * pitch[s] * t, 508.0 * pitch[s] * t
                        value = 0.3 * (_tone(low) + _tone(high)) + 0.18 * (
                            _tone(2 * low) + _tone(2 * high) + _tone(3 * high)
                        )
                    value *= min(edge / 0.02, 1.0)
                out[n, c] += gain * value


class AudioModel:
    """One microphone array in one world."""

    def __init__(self, world: World, config: AudioConfig, T_base_sensor: Transform, seed: int, stream: str) -> None:
        self.world, self.config = world, config
        self.sources = SoundSources(world)
        self._microphones = T_base_sensor @ np.asarray(config.microphones_m, dtype=np.float64)  # (C, 3) in base_link
        rng = message_rng(seed, f"{stream}/noise", 0)
        white = np.fft.rfft(rng.standard_normal(_TABLE))
        hz = np.fft.rfftfreq(_TABLE, 1 / config.sample_rate_hz)
        rough = np.fft.irfft(white / np.sqrt(1 + (hz / 900.0) ** 2))
        wind = np.fft.irfft(white * hz / (hz + 20.0) / (1 + (hz / 150.0) ** 1.5))
        self._rough, self._wind = rough / rough.std(), wind / wind.std()  # both repeat without a seam
        self._driven = world.scenario.ego.kind == "car"
        tyres = world.scenario.road.tyre_noise if self._driven else 0.0
        self._road = RoadNoise(self._microphones, white, float(config.sample_rate_hz), tyres)

    def ears(self, t_s: Array) -> Array:
        """Microphones (T, C, 3) in the world at times (T,)."""
        ego = self.world.ego(t_s)
        return ego.position[:, None] + self._microphones @ ego.rotation.transpose(0, 2, 1)

    def block(
        self,
        phase_s: float,
        first: int,
        samples: int,
        rng: np.random.Generator,
        taken_s: tuple[float, float] | None = None,
    ) -> NDArray[np.float32]:
        """Sound (N, C) of samples `first` on; sample n is taken at `phase_s` + n / rate, unless `taken_s` gives the
        true times of the first sample and of the one after the last.
        """
        channels = len(self._microphones)
        rate = self.config.sample_rate_hz if taken_s is None else samples / (taken_s[1] - taken_s[0])
        start = phase_s + first / rate if taken_s is None else taken_s[0]
        times = start + np.array([0.0, 0.5, 1.0]) * samples / rate
        ears = self.ears(times)
        out = rng.standard_normal((samples, channels)) * MICROPHONE_NOISE
        self._add_sources(start, float(rate), times, ears, out)
        self._add_ego(first, times, out)
        return np.clip(out, -1.0, 1.0).astype(np.float32)

    def _add_sources(self, start_s: float, taken_hz: float, times: Array, ears: Array, out: Array) -> None:
        sources = self.sources
        kinds, who = sources.near(float(times[1]), ears[1].mean(axis=0))
        if not len(who):
            return
        shape = (len(who), ears.shape[1], 3)
        everyone = np.broadcast_to(who[:, None, None], shape).ravel()
        when = np.broadcast_to(times[None, None, :], shape).ravel()
        at = np.broadcast_to(ears.transpose(1, 0, 2)[None], (*shape, 3)).reshape(-1, 3)
        emitted, _ = sources.retarded_all(everyone, when, np.ascontiguousarray(at))
        delays = (when - emitted).reshape(shape)
        travelled = np.zeros(shape)
        engine = kinds == ENGINE
        if engine.any():
            travelled[engine] = np.abs(self.world.distance(everyone, emitted).reshape(shape)[engine])
        siren = kinds == SIREN
        period = np.where(siren, sources.siren_period_s[who], sources.horn_period_s[who])
        length = np.where(siren, 0.75 * period, sources.horn_s[who])
        phase = np.where(siren, sources.siren_phase[who], sources.horn_phase[who])
        _mix(
            kinds, delays, travelled, sources.siren_style[who], sources.pitch[who], period, phase, length,
            np.array(REACH_M), LEVEL, start_s, taken_hz, float(self.config.sample_rate_hz), self._rough, out,
        )  # fmt: skip

    def _add_ego(self, first: int, times: Array, out: Array) -> None:
        """Wind in each microphone by itself; of a car its engine, the same everywhere, and its tyres."""
        ego = self.world.ego(times)
        samples = len(out)
        x = np.arange(samples) / samples
        if self._driven:
            self._add_engine(times, x, out)
        speed = np.linalg.norm(ego.velocity, axis=1)
        if self._road.level > 0:
            rate_hz = samples / (times[2] - times[0])
            self._road.add(times[0], rate_hz, np.interp(x, [0.0, 0.5, 1.0], speed), out)
        gust = WIND_AT_1_MPS * np.interp(x, [0.0, 0.5, 1.0], speed + self.world.scenario.weather.wind_mps) ** 2
        index = (first + np.arange(samples))[:, None] + 16127 * np.arange(out.shape[1])[None]
        out += gust[:, None] * self._wind[index % _TABLE]

    def _add_engine(self, times: Array, x: Array, out: Array) -> None:
        """Add the ego's engine; `x` (N,) is how far into the block each sample is, from 0 to 1."""
        along = self.world.ego_distance(times)
        rise = (1 - x) * (1 - 2 * x) * along[0] + 4 * x * (1 - x) * along[1] + x * (2 * x - 1) * along[2]
        t = times[0] + x * (times[2] - times[0])
        cycles = 2 * np.pi * ((24.0 * t + 2.2 * rise) % 1.0)
        out += EGO_ENGINE * (np.sin(cycles) + 0.6 * np.sin(2 * cycles))[:, None]
