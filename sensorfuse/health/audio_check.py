"""What can be wrong with blocks of sound."""

from __future__ import annotations

import numpy as np

from sensorfuse.messages import Sample
from sensorfuse.sensor_config import ContentFault, SensorConfig

SILENT = 1e-6  # of full scale: less than half a count of 16 bits, which no microphone's own noise is
CLIPPED_LEVEL, CLIPPED_SHARE = 0.999, 0.05
DEAD_SHARE = 0.01  # of the other channels' level


class AudioCheck:
    """Looks for digital silence, for clipping, and for a microphone that is quiet while the others hear."""

    def __init__(self, config: SensorConfig) -> None:
        del config

    def faults(self, sample: Sample) -> dict[ContentFault, str]:
        """What is wrong with this block alone, in words."""
        pcm = sample.arrays["pcm"]
        if pcm.size == 0:
            return {}
        channels = np.ascontiguousarray(pcm.T)
        swing = np.ptp(channels, axis=1).astype(np.float64)
        if float(swing.max()) <= SILENT:
            return {"silent": "digital silence"}
        found: dict[ContentFault, str] = {}
        if np.count_nonzero(np.abs(channels) >= CLIPPED_LEVEL) > CLIPPED_SHARE * pcm.size:
            found["clipped"] = "clipped"
        if len(swing) > 1:
            dead = np.flatnonzero(swing <= np.maximum(SILENT, DEAD_SHARE * np.median(swing)))
            if len(dead):
                names = " and ".join(str(i + 1) for i in dead.tolist())
                found["dead_channel"] = f"microphone {names} is dead"
        return found
