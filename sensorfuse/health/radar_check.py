"""What can be wrong with a radar's detections or scan."""

from __future__ import annotations

from sensorfuse.health.typical import Typical
from sensorfuse.messages import Sample
from sensorfuse.sensor_config import ContentFault, SensorConfig

TYPICAL_DETECTIONS = 3  # a radar that sees less now and then sees nothing
FLAT_SPREAD = 0.5  # of a scan, in counts


class RadarCheck:
    """Looks for a radar that has gone blind."""

    def __init__(self, config: SensorConfig) -> None:
        self._count = Typical(round(config.message_rate_hz / 2))

    def faults(self, sample: Sample) -> dict[ContentFault, str]:
        """What is wrong with this message alone, in words."""
        arrays = sample.arrays
        if "polar" in arrays:
            polar = arrays["polar"]
            thinned = polar[:: max(1, polar.shape[0] // 64), :: max(1, polar.shape[1] // 64)]
            return {"uniform": "empty scan"} if float(thinned.std()) < FLAT_SPREAD else {}
        count, typical = len(arrays["detections"]), self._count.value
        if count == 0 and typical is not None and float(typical) >= TYPICAL_DETECTIONS:
            return {"no_detections": "no detections"}
        self._count.learn(count)
        return {}
