"""A log made up in memory: streams of small samples with any stamps and receipts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sensorfuse.log.reader import LogReader, StreamInfo
from sensorfuse.messages import Modality, Sample
from sensorfuse.rig import Rig, parse_rig

EPOCH_NS = 1_700_000_000_000_000_000
Message = tuple[float, float]  # stamp and receipt, seconds from the epoch

RIG = """
name: two
sensors:
  camera:  # looks ahead
    modality: camera
    rate_hz: 20
    frame: camera_optical_frame
    T_base_sensor: {xyz: [1.0, 0.0, 1.0]}
    stamp: mid
    intrinsics: {width: 64, height: 48, fx: 60.0, fy: 60.0, cx: 31.5, cy: 23.5}
  imu:
    modality: imu
    rate_hz: 100
    frame: imu_link
    T_base_sensor: {}
    offset_s: 0.25  # measured by hand
    imu: {samples_per_message: 5}
fusion:
  rate_hz: 10
  modalities: [camera, imu]
  deadline_ms: 100
"""


def two_sensor_rig() -> Rig:
    return parse_rig(RIG)


def sample(stream: str, modality: Modality, stamp_ns: int, recv_ns: int) -> Sample:
    """An IMU message has five measurements 10 ms apart."""
    if modality == "imu":
        zeros = np.zeros((5, 3))
        arrays = {"gyro_radps": zeros, "accel_mps2": zeros, "time_ns": np.arange(5, dtype=np.int64) * 10_000_000}
    else:
        arrays = {"image_mono": np.zeros((2, 2), np.uint8)}
    return Sample(stream, modality, 0, stamp_ns, recv_ns, f"{stream}_link", arrays)


class FakeLog(LogReader):
    """Given messages by stream."""

    format = "fake"

    def __init__(self, messages: dict[str, list[Message]]) -> None:
        super().__init__(Path("fake.log"))
        self._messages = messages

    def streams(self) -> dict[str, StreamInfo]:
        return {n: StreamInfo(n, _modality(n), None, f"{n}_link", len(m), "device") for n, m in self._messages.items()}

    def _samples(self, streams: list[str]) -> Iterator[Sample]:
        rows = sorted((recv, n, stamp) for n in streams for stamp, recv in self._messages[n])
        for recv, name, stamp in rows:
            yield sample(name, _modality(name), EPOCH_NS + round(stamp * 1e9), EPOCH_NS + round(recv * 1e9))


def _modality(stream: str) -> Modality:
    return "imu" if stream == "imu" else "camera"


def regular(
    rate_hz: float, duration_s: float, delay_s: float, jitter_s: float = 0.0, ppm: float = 0.0, seed: int = 0
) -> list[Message]:
    """A clock that runs `ppm` slow, and delays with an exponential rest."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(rate_hz * duration_s)) / rate_hz
    received = np.maximum.accumulate(t + delay_s + (rng.exponential(jitter_s, len(t)) if jitter_s else 0.0))
    return list(zip((t * (1 - ppm * 1e-6)).tolist(), received.tolist(), strict=True))
