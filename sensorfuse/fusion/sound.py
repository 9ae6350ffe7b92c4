"""A block of sound as numbers: band energies, how tonal each band is, and from where it comes.

Direction is the steered response power with phase transform (SRP-PHAT: DiBiase 2000, on the GCC-PHAT of Knapp and
Carter 1976) over 36 azimuths of base_link, far field. It depends on the rig only through the microphone positions, so
one set of weights serves any array of three or more microphones that are not in line. With fewer, direction is absent
and marked so.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sensorfuse.geometry import Transform
from sensorfuse.sensor_config import AudioConfig, SensorConfig

BANDS = 40
AZIMUTHS = 36
SOUND_FEATURES = 2 * BANDS + 1 + AZIMUTHS + 1  # band levels, tonality, loudness, steered power, direction known
SPEED_OF_SOUND_MPS = 343.0
FFT_S = 0.064  # 1024 samples at 16 kHz: bins are as wide at any rate
BAND_RANGE_HZ = (60.0, 7600.0)
STEERED_RANGE_HZ = (200.0, 4000.0)
FLOOR = 1e-10


def azimuth_bins() -> NDArray[np.float64]:
    """The steered azimuths (36,), radians, left positive, from -pi in equal steps; symmetric about forward."""
    return np.asarray((np.arange(AZIMUTHS) + 0.5) * (2 * np.pi / AZIMUTHS) - np.pi)


def direction_observable(microphones_m: NDArray[np.float64], T_base_sensor: Transform) -> bool:
    """Whether the array tells left from right and front from back: three microphones spanning the x-y plane by 1 cm."""
    if len(microphones_m) < 3:
        return False
    xy = (microphones_m @ T_base_sensor.rotation.T)[:, :2]
    return bool(np.linalg.svd(xy - xy.mean(axis=0), compute_uv=False)[1] > 0.01)


class SoundFeatures:
    """Turns PCM blocks of one array into feature vectors (118,). Tables are made once per sample rate."""

    @classmethod
    def of_sensor(cls, sensor: SensorConfig) -> SoundFeatures:
        """For an audio sensor of a rig."""
        places = np.array((sensor.audio or AudioConfig()).microphones_m, dtype=np.float64)
        return cls(places, sensor.T_base_sensor.transform())

    def __init__(self, microphones_m: NDArray[np.float64], T_base_sensor: Transform) -> None:
        self.microphones_m = np.asarray(microphones_m, dtype=np.float64)
        self.directional = direction_observable(self.microphones_m, T_base_sensor)
        self._xyz = self.microphones_m @ T_base_sensor.rotation.T  # (C, 3) base_link axes
        self._tables: dict[int, tuple[NDArray[np.int64], slice, NDArray[np.complex64]]] = {}

    def _table(self, rate_hz: int) -> tuple[NDArray[np.int64], slice, NDArray[np.complex64]]:
        """Band number of each bin (-1 outside), the steered bins, and steering phases (36, pairs * bins)."""
        if rate_hz not in self._tables:
            hz = np.fft.rfftfreq(round(FFT_S * rate_hz), 1 / rate_hz)
            edges = np.geomspace(*BAND_RANGE_HZ, BANDS + 1)
            band = np.searchsorted(edges, hz, side="right") - 1
            band[(hz < edges[0]) | (hz >= edges[-1])] = -1
            low, high = np.searchsorted(hz, STEERED_RANGE_HZ)
            i, j = np.triu_indices(len(self._xyz), 1)
            azimuth = azimuth_bins()
            toward = np.stack([np.cos(azimuth), np.sin(azimuth)])  # (2, 36)
            delay_s = (self._xyz[i] - self._xyz[j])[:, :2] @ toward / SPEED_OF_SOUND_MPS  # (pairs, 36): j hears later
            phase = -2j * np.pi * delay_s.T[:, :, None] * hz[None, None, low:high]
            self._tables[rate_hz] = band, slice(low, high), np.exp(phase).reshape(AZIMUTHS, -1).astype(np.complex64)
        return self._tables[rate_hz]

    def __call__(self, pcm: NDArray[np.float32], rate_hz: int) -> NDArray[np.float32]:
        """Features (118,) of a block (N, C) in [-1, 1].

        A block with another number of channels than the rig says still has its bands; its direction is marked unknown.
        Of a block longer than the transform, the latest part counts.
        """
        size = round(FFT_S * rate_hz)
        pcm = pcm[-size:]
        band, steered, steering = self._table(rate_hz)
        out = np.zeros(SOUND_FEATURES, np.float32)
        spectrum = np.fft.rfft(pcm * np.hanning(len(pcm))[:, None], size, axis=0) / max(len(pcm), 1)  # (F, C)
        power = np.square(np.abs(spectrum)).mean(axis=1)
        inside = band >= 0
        total = np.bincount(band[inside], power[inside], BANDS)
        count = np.maximum(np.bincount(band[inside], minlength=BANDS), 1)
        peak = np.zeros(BANDS)
        np.maximum.at(peak, band[inside], power[inside])
        out[:BANDS] = np.log10(total + FLOOR) / 5 + 1
        out[BANDS : 2 * BANDS] = np.log1p(peak * count / (total + FLOOR)) / 3
        out[2 * BANDS] = np.log10(np.square(pcm).mean() + FLOOR) / 5 + 1
        if self.directional and pcm.shape[1] == len(self._xyz):
            i, j = np.triu_indices(len(self._xyz), 1)
            cross = (spectrum[steered, i] * spectrum[steered, j].conj()).T  # (pairs, bins)
            cross = (cross / (np.abs(cross) + FLOOR)).reshape(-1).astype(np.complex64)
            out[2 * BANDS + 1 : -1] = (steering @ cross).real / len(cross)
            out[-1] = 1.0
        return out
