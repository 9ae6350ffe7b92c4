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
MIN_SIGMA_MPS = 0.05


def motion_signature(sample: Sample, config: SensorConfig) -> dict[str, Any]:
    """What the sample says about motion, as plain numbers.

    `ego_velocity_mps` (vx, vy, vz) is the velocity of the sensor's own place in base axes, from radar Doppler, with
    `ego_velocity_sigma_mps` (inf where unobserved). `level` is the mean brightness of an image, the loudness of audio
    (rms), or the number of points or detections.
    """
    arrays = sample.arrays
    if "detections" in arrays:
        velocity, sigma, inliers = ego_velocity(arrays["detections"], config.T_base_sensor.transform())
        level = float(len(arrays["detections"]))
        if int(np.sum(inliers)) < MIN_INLIERS:
            return {"level": level}
        vx, vy = map(float, velocity)
        sigma_x, sigma_y = (max(float(v), MIN_SIGMA_MPS) for v in sigma)
        return {
            "level": level,
            "ego_velocity_mps": [vx, vy, 0.0],
            "ego_velocity_sigma_mps": [sigma_x, sigma_y, float("inf")],
        }
    for name in ("image", "image_mono"):
        if name in arrays:
            return {"level": float(arrays[name][::8, ::8].mean())}
    if "points" in arrays:
        return {"level": float(len(arrays["points"]))}
    if "pcm" in arrays:
        return {"level": float(np.sqrt(np.mean(np.square(arrays["pcm"]))))}
    return {}
