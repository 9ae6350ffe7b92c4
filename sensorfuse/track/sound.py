"""Sirens and horns in blocks of a microphone array: what, how sure, and from where.

A block's spectrum gives tonal peaks over a local noise floor. A horn is a chord under 600 Hz with harmonics; a siren is
one strong sweeping or alternating tone with its harmonics. Direction is the steered response power with phase transform
(SRP-PHAT: DiBiase 2000, on the GCC-PHAT of Knapp and Carter 1976), over the tonal bins of the event alone, so that
wind, tyres and a second source elsewhere in the spectrum do not pull it. Far field; elevation is taken as level.
Engines are left out: below the array's resolution and masked by the robot's own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d, median_filter

from sensorfuse.geometry import Transform
from sensorfuse.messages import SoundEvent

Array = NDArray[np.float64]

SPEED_OF_SOUND_MPS = 343.0
FFT_S = 0.128  # 2048 samples at 16 kHz: bins are as wide at any rate
AZIMUTHS = 144
PEAK_RATIO = 12.0  # of a tonal bin over its local floor, in power
STEERED_HZ = (250.0, 5000.0)
SIREN_HZ = (380.0, 1700.0)
HORN_LOW_HZ, HORN_HIGH_HZ = (345.0, 470.0), (430.0, 590.0)
HORN_RATIO = (1.215, 1.295)  # of the two tones of a horn: about a major third
MIN_TONE = 4.1e-6  # mean square of a tone below which nothing is heard


@dataclass(frozen=True)
class SoundBlock:
    """What one block tells: per event name its score, the pitch (Hz) and the steered power (A,) of its bins.

    `time_s` is the middle of the block after its stamp. `steered` is None where the array tells no direction.
    """

    time_s: float
    score: dict[str, float] = field(default_factory=dict)
    pitch_hz: dict[str, float] = field(default_factory=dict)
    steered: dict[str, Array | None] = field(default_factory=dict)


def steered_power(spectrum: NDArray[np.complexfloating], hz: Array, microphones: Array, azimuths: Array) -> Array:
    """SRP-PHAT (A,) in [-1, 1] of spectra (F, C) at frequencies (F,) for plane waves from `azimuths` (A,).

    `microphones` (C, 3) metres in the axes of the azimuths. 1 means that all pairs agree at all frequencies.
    """
    i, j = np.triu_indices(len(microphones), 1)
    cross = spectrum[:, i] * spectrum[:, j].conj()
    cross = cross / np.maximum(np.abs(cross), 1e-20)  # (F, P)
    toward = np.stack([np.cos(azimuths), np.sin(azimuths)])
    lead_s = (microphones[i] - microphones[j])[:, :2] @ toward / SPEED_OF_SOUND_MPS  # (P, A): i hears earlier by this
    steer = np.exp(-2j * np.pi * hz[:, None, None] * lead_s[None])  # (F, P, A)
    return np.asarray(np.einsum("fp,fpa->a", cross, steer).real / cross.size)


class SoundDetector:
    """Listens with one array. Holds no state between blocks."""

    def __init__(self, microphones_m: NDArray[np.floating], T_base_sensor: Transform) -> None:
        self.microphones = np.asarray(microphones_m, dtype=np.float64) @ T_base_sensor.rotation.T  # base_link axes
        self.azimuths = np.arange(AZIMUTHS) * 2 * np.pi / AZIMUTHS - np.pi
        spread = self.microphones[:, :2] - self.microphones[:, :2].mean(axis=0)
        self.directional = len(spread) >= 3 and bool(np.linalg.svd(spread, compute_uv=False)[1] > 0.01)

    def analyse(self, pcm: NDArray[np.floating], rate_hz: int) -> SoundBlock:
        """Evidence of one block (N, C) in [-1, 1]. Of a block longer than 128 ms the latest part counts."""
        block = np.asarray(pcm, dtype=np.float64)
        size = 2 * round(FFT_S * rate_hz / 2)
        middle = (len(block) - min(len(block), size) / 2) / rate_hz
        block = block[-size:]
        window = np.asarray(np.hanning(len(block)), dtype=np.float64)
        spectrum = np.fft.rfft((block - block.mean(axis=0)) * window[:, None], size, axis=0)
        spectrum = spectrum / max(float(np.sqrt((window**2).sum() * size)), 1e-12)
        power = np.asarray(np.square(np.abs(spectrum)).mean(axis=1), dtype=np.float64)
        hz: Array = np.linspace(0.0, rate_hz / 2, size // 2 + 1, dtype=np.float64)
        peaks, width = self._peaks(power, hz, size / max(len(block), 1))
        out = SoundBlock(middle)
        horn = _horn_pitch(peaks)
        if horn is not None:
            self._add(out, "horn", horn[0], horn[1], spectrum, hz, _horn_tones(horn[0]), width)
            peaks = [p for p in peaks if not _belongs(p[0], _horn_tones(horn[0]))]
        siren = [p for p in peaks if SIREN_HZ[0] <= p[0] <= SIREN_HZ[1]]
        if siren:
            pitch, ratio, _ = max(siren, key=lambda p: p[2])
            tones = np.array([pitch, 2 * pitch, 3 * pitch])
            harmonic = any(_belongs(p[0], tones[1:]) for p in peaks)
            self._add(out, "siren", pitch, ratio * (1.0 if harmonic else 0.15), spectrum, hz, tones, width)
        return out

    def _peaks(self, power: Array, hz: Array, stretch: float) -> tuple[list[tuple[float, float, float]], float]:
        """Tonal peaks `(Hz, ratio to the local floor, power)` and the half-width of a tone in Hz."""
        step = hz[1]
        half = int(np.ceil(2 * stretch))
        floor = median_filter(power, size=int(420 / step) | 1, mode="nearest") + 1e-12
        local = maximum_filter1d(power, 2 * half + 1, mode="nearest")
        index = np.flatnonzero((power >= local) & (power > PEAK_RATIO * floor) & (hz > 250) & (hz < 5200))
        total = power[index] * 2 * half
        return [
            (float(hz[k]), float(power[k] / floor[k]), float(p))
            for k, p in zip(index, total, strict=True)
            if p > MIN_TONE
        ], half * step

    def _add(
        self,
        out: SoundBlock,
        name: str,
        pitch: float,
        ratio: float,
        spectrum: NDArray[np.complexfloating],
        hz: Array,
        tones: Array,
        width: float,
    ) -> None:
        """Score by the tones' level over the floor; steer with the bins of those tones that stand out."""
        out.score[name] = float(1 / (1 + np.exp(-(10 * np.log10(max(ratio, 1e-3)) - 15.0) / 3.0)))
        out.pitch_hz[name] = pitch
        out.steered[name] = None
        if self.directional and spectrum.shape[1] == len(self.microphones):
            near = (np.abs(hz[:, None] - tones[None]) < 0.6 * width).any(axis=1)
            level = np.square(np.abs(spectrum)).mean(axis=1)
            chosen = near & (hz > STEERED_HZ[0]) & (hz < STEERED_HZ[1]) & (level > 0.003 * level[near].max(initial=0))
            if chosen.any():
                out.steered[name] = steered_power(spectrum[chosen], hz[chosen], self.microphones, self.azimuths)


def _horn_tones(low_hz: float) -> Array:
    high = low_hz * 1.254
    return np.array([low_hz, high, 2 * low_hz, 2 * high, 3 * high, 3 * low_hz])


def _belongs(hz: float, tones: Array) -> bool:
    return bool((np.abs(hz / tones - 1) < 0.045).any())


def _horn_pitch(peaks: list[tuple[float, float, float]]) -> tuple[float, float] | None:
    """The lower tone of a chord of two and its ratio to the floor, or None: two peaks of like power, a third apart."""
    best = None
    for low in peaks:
        for high in peaks:
            if not (HORN_LOW_HZ[0] <= low[0] <= HORN_LOW_HZ[1] and HORN_HIGH_HZ[0] <= high[0] <= HORN_HIGH_HZ[1]):
                continue
            alike = 0.2 < low[2] / high[2] < 5.0
            if alike and HORN_RATIO[0] < high[0] / low[0] < HORN_RATIO[1]:
                ratio = float(np.sqrt(low[1] * high[1]))
                if best is None or ratio > best[1]:
                    best = (low[0], ratio)
    return best


def fuse_sounds(blocks: list[SoundBlock], turned_rad: list[float], min_score: float = 0.3) -> list[SoundEvent]:
    """Events over the blocks of one tick: mean score, and the direction where the summed steered power peaks.

    `turned_rad` says by how much the body has turned about its z axis since each block's middle. An event without
    direction (too few microphones) is left out: a listener needs where.
    """
    events = []
    for name in sorted({n for b in blocks for n in b.score}):
        score = sum(b.score.get(name, 0.0) for b in blocks) / len(blocks)
        turned = np.zeros(AZIMUTHS)
        for block, turn in zip(blocks, turned_rad, strict=True):
            steered = block.steered.get(name)
            if steered is not None:
                shift = turn * AZIMUTHS / (2 * np.pi)  # a fixed source wanders right as the body turns left
                index = np.arange(AZIMUTHS) + shift
                turned += block.score[name] * np.interp(index, np.arange(AZIMUTHS), steered, period=AZIMUTHS)
        if score < min_score or not turned.any():
            continue
        k = int(np.argmax(turned))
        left, right = turned[k - 1], turned[(k + 1) % AZIMUTHS]
        bend = left - 2 * turned[k] + right
        peak = k + (0.5 * (left - right) / bend if bend < 0 else 0.0)
        azimuth = (peak * 2 * np.pi / AZIMUTHS) % (2 * np.pi) - np.pi
        events.append(SoundEvent(name, float(azimuth), float(score)))
    return events
