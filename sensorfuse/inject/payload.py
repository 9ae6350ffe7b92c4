"""What a fault makes of one sample's payload. The sample given is never changed; the arrays of the result are new."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensorfuse.inject.fault import CONTENT_KINDS
from sensorfuse.messages import Modality, Sample
from sensorfuse.sensor_config import SensorConfig

NOISE: dict[Modality, str] = {
    "camera": "camera_salt_and_pepper",
    "lidar": "lidar_range_noise",
    "radar": "radar_ghosts",
    "imu": "imu_noise",
    "audio": "audio_noise",
}
"""Which corruption `noise` is, by modality."""
_EMPTIED = {"lidar", "radar"}  # blank is nothing there, not zeros


def noisy(sample: Sample, level: float, rng: np.random.Generator) -> Sample:
    """The modality's noise, at a level from 0 to 1."""
    return CONTENT_KINDS[NOISE[sample.modality]].change(sample, level, rng)


def blank(sample: Sample, config: SensorConfig) -> Sample:
    """A black picture, an empty cloud or list of detections, a dark scan, silence, zeros. Times stay."""
    if "jpeg" in sample.arrays and config.intrinsics is not None:
        shape = (config.intrinsics.height, config.intrinsics.width, 3)
        return replace(sample, arrays={"image": np.zeros(shape, np.uint8)})
    empty = sample.modality in _EMPTIED and "polar" not in sample.arrays
    kept = {"time_ns", "azimuths_rad"}
    return replace(
        sample,
        arrays={
            n: np.zeros((0, *a.shape[1:]), a.dtype) if empty else a if n in kept else np.zeros_like(a)
            for n, a in sample.arrays.items()
        },
    )


def garbage(sample: Sample, rng: np.random.Generator) -> Sample:
    """Random bytes of the same types and shapes."""
    return replace(sample, arrays={n: _from_bytes(rng.bytes(a.nbytes), a) for n, a in sample.arrays.items()})


def bits_flipped(sample: Sample, share: float, rng: np.random.Generator) -> Sample:
    """A share of the payload's bits flipped, at least one."""
    out = {}
    for name, array in sample.arrays.items():
        raw = np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8).copy()
        if len(raw):
            count = max(1, int(rng.binomial(8 * len(raw), share)))
            at = rng.integers(0, 8 * len(raw), count)
            np.bitwise_xor.at(raw, at // 8, (1 << (at % 8)).astype(np.uint8))
        out[name] = _from_bytes(raw.tobytes(), array)
    return replace(sample, arrays=out)


def _from_bytes(data: bytes, like: NDArray[Any]) -> NDArray[Any]:
    return np.frombuffer(data, like.dtype).reshape(like.shape)
