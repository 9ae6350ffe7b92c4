"""What can be wrong with an IMU's samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sensorfuse.align.ego_motion import out_of_range
from sensorfuse.messages import Sample
from sensorfuse.sensor_config import ContentFault, ImuConfig, SensorConfig

CONSTANT_SAMPLES, CONSTANT_S = 20, 0.25  # coarse steps repeat a while at rest, all six axes at once not so long
SATURATED_SHARE = 0.2  # of a message's samples
EXTREME_SHARE, EXTREME_REACH = 0.5, 0.3  # of the samples lie exactly at their extreme; of the range


class ImuCheck:
    """Looks for samples at the end of the range, and for an IMU that says the same for ever."""

    def __init__(self, config: SensorConfig) -> None:
        self._config = config.imu or ImuConfig()
        self._enough = max(CONSTANT_SAMPLES, round(CONSTANT_S * config.rate_hz))
        self._last: NDArray[np.float64] | None = None
        self._same = 0  # samples in a row that equal the one before

    def faults(self, sample: Sample) -> dict[ContentFault, str]:
        """What is wrong with this message, seen with those before, in words."""
        gyro, accel = sample.arrays["gyro_radps"], sample.arrays["accel_mps2"]
        rows = np.hstack([gyro, accel])
        before = rows[:1] if self._last is None else self._last[None]
        differ = np.flatnonzero((np.vstack([before, rows[:-1]]) != rows).any(axis=1))
        self._same = len(rows) - 1 - int(differ[-1]) if len(differ) else self._same + len(rows)
        self._last = rows[-1].copy()
        found: dict[ContentFault, str] = {}
        if self._same >= self._enough:
            found["constant"] = "constant rates and forces"
        cut = np.count_nonzero(out_of_range(gyro, accel, self._config)) >= SATURATED_SHARE * len(rows)
        if cut or self._repeats_extreme(gyro, accel):
            found["saturated"] = "saturated"
        return found

    def _repeats_extreme(self, gyro: NDArray[np.float64], accel: NDArray[np.float64]) -> bool:
        """Whether an axis sits at one high value, as where an amplifier clips before the end of the range."""
        if len(gyro) < 4:
            return False
        for values, reach in ((gyro, self._config.gyro_range_radps), (accel, self._config.accel_range_mps2)):
            size = np.abs(values)
            top = size.max(axis=0)
            often = np.count_nonzero(size == top, axis=0) >= EXTREME_SHARE * len(values)
            if (often & (top > EXTREME_REACH * reach)).any():
                return True
        return False
