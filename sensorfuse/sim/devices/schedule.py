"""When a device measures: its oscillator triggers message k at phase + k * period, so its true times follow its clock.

Sensors are not in step with each other: each starts at its own moment within its first period, drawn by the seed.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sensorfuse.messages import StampSemantics
from sensorfuse.sensor_config import AudioConfig, ImuConfig, RadarConfig, SensorConfig
from sensorfuse.sim.devices.device_clock import DeviceClock

Nanoseconds = NDArray[np.int64]

_CHUNK = 256  # measurements whose times are found at a time
RADAR_FRAME_S = 0.02  # how long a radar integrates for one list of detections


class Schedule:
    """The measurements of one stream. True times are nanoseconds since the scenario's beginning, as integers."""

    def __init__(self, stream: str, sensor: SensorConfig, seed: int, clock: DeviceClock) -> None:
        self.sensor, self.clock = sensor, clock
        self.phase_ns = zlib.crc32(f"{seed}/{stream}".encode()) % sensor.period_ns
        self.semantics: StampSemantics = sensor.stamp if sensor.modality in ("camera", "lidar", "radar") else "start"
        self._chunks: dict[int, tuple[Nanoseconds, Nanoseconds, Nanoseconds]] = {}  # true starts, ends and events

    def sound_samples(self, k: int) -> tuple[int, int]:
        """First sound sample of block `k`, and of the next."""
        rate = (self.sensor.audio or AudioConfig()).sample_rate_hz
        return round(k * rate / self.sensor.rate_hz), round((k + 1) * rate / self.sensor.rate_hz)

    def readings_ns(self, k: ArrayLike) -> tuple[Nanoseconds, Nanoseconds]:
        """What the oscillator reads at the start and at the end of measurements `k` (N,)."""
        sensor = self.sensor
        k_ = np.atleast_1d(np.asarray(k, np.int64))
        if sensor.modality == "audio":
            rate = (sensor.audio or AudioConfig()).sample_rate_hz
            first, end = (np.rint((k_ + i) * rate / sensor.rate_hz) for i in (0, 1))
            return self.phase_ns + _whole(first * 1e9 / rate), self.phase_ns + _whole(end * 1e9 / rate)
        start = self.phase_ns + _whole(k_ * 1e9 / sensor.message_rate_hz)
        return start, start + self._length_ns()

    def _length_ns(self) -> int:
        sensor = self.sensor
        if sensor.modality == "imu":
            return round(((sensor.imu or ImuConfig()).samples_per_message - 1) * 1e9 / sensor.rate_hz)
        if sensor.modality == "camera":
            assert sensor.intrinsics is not None
            return round(1e9 * (sensor.intrinsics.exposure_s + sensor.intrinsics.readout_s))
        if sensor.modality == "radar" and (sensor.radar or RadarConfig()).kind == "detections":
            return min(round(RADAR_FRAME_S * 1e9), sensor.period_ns)
        return sensor.period_ns

    def _chunk(self, chunk: int) -> tuple[Nanoseconds, Nanoseconds, Nanoseconds]:
        if chunk not in self._chunks:
            start, end = self.readings_ns(np.arange(chunk * _CHUNK, (chunk + 1) * _CHUNK))
            named = {"start": start, "mid": (start + end) // 2, "end": end}[self.semantics]
            times = _whole(self.clock.when_ns(np.concatenate([start, end, named]))).reshape(3, _CHUNK)
            self._chunks[chunk] = times[0], times[1], times[2]
        return self._chunks[chunk]

    def span_ns(self, k: int) -> tuple[int, int]:
        """True start and end of the `k`-th measurement."""
        start, end, _ = self._chunk(k // _CHUNK)
        return int(start[k % _CHUNK]), int(end[k % _CHUNK])

    def event_ns(self, k: int) -> int:
        """True time of the instant that the `k`-th stamp names: start, middle or end."""
        return int(self._chunk(k // _CHUNK)[2][k % _CHUNK])

    def imu_times_ns(self, k: int) -> Nanoseconds:
        """True times of the samples of an IMU's `k`-th message (N,)."""
        n = (self.sensor.imu or ImuConfig()).samples_per_message
        steps = np.round(np.arange(n) * (1e9 / self.sensor.rate_hz))
        return _whole(self.clock.when_ns(self.readings_ns(k)[0] + steps))

    def block_s(self, k: int) -> tuple[float, float]:
        """True times, in seconds, of the first sound sample of block `k` and of that of the next block."""
        rate = (self.sensor.audio or AudioConfig()).sample_rate_hz
        start, end = self.clock.when_ns(self.phase_ns + np.array(self.sound_samples(k)) * 1e9 / rate)
        return start / 1e9, end / 1e9

    def first_starting(self, elapsed_ns: int) -> int:
        """The first measurement that begins at or after a true time."""
        first, _ = self.readings_ns(0)
        ahead = int(self.clock.oscillator_ns(elapsed_ns)[0]) - int(first[0])
        k = max(0, ahead // self.sensor.period_ns - 1)
        while k > 0 and self.span_ns(k - 1)[0] >= elapsed_ns:
            k -= 1
        while self.span_ns(k)[0] < elapsed_ns:
            k += 1
        return k

    def first_ending(self, elapsed_ns: int) -> int:
        """The first measurement that ends at or after a true time."""
        start, end = self.readings_ns(0)
        k = max(0, self.first_starting(elapsed_ns - int(end[0] - start[0])) - 1)
        while self.span_ns(k)[1] < elapsed_ns:
            k += 1
        return k


def _whole(ns: NDArray[np.floating[Any]]) -> Nanoseconds:
    return np.rint(ns).astype(np.int64)
