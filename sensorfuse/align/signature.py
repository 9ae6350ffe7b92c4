"""Motion signatures: the little that a sensor's process measures from each sample, so that the aligner never needs
the data.

Radar with Doppler gives the velocity of the body. The other modalities' signatures are level checks that health uses.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sensorfuse.messages import Sample
from sensorfuse.rig import SensorConfig
from sensorfuse.track.radar_detector import ego_velocity

MIN_INLIERS = 5


def motion_signature(sample: Sample, config: SensorConfig) -> dict[str, Any]:
    """What the sample says about motion, as plain numbers.

    `ego_velocity_mps` (vx, vy, vz) in base axes with `ego_velocity_sigma_mps` (inf where unobserved), from radar
    Doppler;
    `level` is the mean brightness of an image, the loudness of audio (rms), or the number of points of a cloud.
    """
    arrays = sample.arrays
    if "detections" in arrays:
        velocity, sigma, inliers = ego_velocity(arrays["detections"], config.T_base_sensor.transform())
        if int(np.sum(inliers)) < MIN_INLIERS:
            return {"level": float(len(arrays["detections"]))}
        spread = float(np.max(sigma))
        return {
            "level": float(len(arrays["detections"])),
            "ego_velocity_mps": [float(velocity[0]), float(velocity[1]), 0.0],
            "ego_velocity_sigma_mps": [max(spread, 0.05), max(spread, 0.05), float("inf")],
        }
    for name in ("image", "image_mono"):
        if name in arrays:
            return {"level": float(arrays[name][::8, ::8].mean())}
    if "points" in arrays:
        return {"level": float(len(arrays["points"]))}
    if "pcm" in arrays:
        return {"level": float(np.sqrt(np.mean(np.square(arrays["pcm"]))))}
    return {}
