"""Motion signatures: the little that a sensor's process measures from each sample, so that the aligner never needs
the data. The parts are in `sensorfuse.align.signatures`.

A signature is a small dict of plain numbers. Times are nanoseconds of the device's clock, moved from what the stamp
names to the instant that the content belongs to. What a sample does not tell has no key, or infinite sigma.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sensorfuse.align.signatures.camera_turn import CameraTurn
from sensorfuse.align.signatures.image_motion import ImageMotion
from sensorfuse.align.signatures.lidar_turn import LidarTurn
from sensorfuse.align.signatures.onset import Onset
from sensorfuse.align.signatures.picture import grey_picture
from sensorfuse.align.signatures.radar_turn import RadarTurn
from sensorfuse.align.signatures.span import comparable, middle_ns
from sensorfuse.messages import Sample
from sensorfuse.rig import Rig
from sensorfuse.sensor_config import RadarConfig, SensorConfig
from sensorfuse.track.radar_detector import ego_velocity

MIN_INLIERS = 5
MIN_SIGMA_MPS = 0.05


def is_asked_for_motion(rig: Rig, stream: str) -> bool:
    """Whether a running pipeline has a use for what a stream sees of motion: its offset is uncertain, or it is a LiDAR
    and no Doppler radar tells the velocity, or a camera and a microphone's offset is uncertain.
    """
    config = rig.sensors[stream]
    if config.modality == "lidar" and not any(_is_doppler(s) for s in rig.sensors.values()):
        return True
    deaf = config.modality == "camera" and any(
        s.modality == "audio" and s.offset_sigma_s > 0 for s in rig.sensors.values()
    )
    return config.offset_sigma_s > 0 or deaf


def _is_doppler(config: SensorConfig) -> bool:
    return config.modality == "radar" and (config.radar or RadarConfig()).kind == "detections"


class SignatureExtractor:
    """Measures the samples of one stream, in order. Deterministic; never raises on data that `sample_problem` passes.

    - `level`: mean brightness of a picture, loudness of sound (rms), number of points or detections.
    - `turn_rad` (3,), `turn_sigma_rad` (3,), `turn_span_ns` (2,): camera, LiDAR, scanning radar. The sensor's rotation
      vector from the last used sample to this one in its own axes, log(R_a^T R_b) with R = R_world_sensor; one sigma,
      inf where unobserved; the two instants.
    - `ego_velocity_mps` (3,), `ego_velocity_sigma_mps` (3,): radar detections, LiDAR. Velocity of the sensor's own
      place in base axes; inf where unobserved. A LiDAR's is the mean over `turn_span_ns`.
    - `motion`, `motion_span_ns` (2,): camera. Mean absolute change of the picture in grey levels.
    - `onset`, `onset_start_ns`, `onset_hop_ns`: sound. Onset strength per hop.

    Without `motion` only the level, and the velocity that a list of radar detections gives for next to nothing.
    """

    def __init__(self, config: SensorConfig, motion: bool = True) -> None:
        self.config = config
        self._asked = motion
        self._T_base_sensor = config.T_base_sensor.transform()
        self._camera = CameraTurn(config)
        self._motion, self._motion_ns = ImageMotion(), 0
        self._lidar = LidarTurn(config)
        self._radar = RadarTurn(config)
        self._onset = Onset()

    def measure(self, sample: Sample) -> dict[str, Any]:
        """The signature of the stream's next sample."""
        arrays = sample.arrays
        if sample.modality == "camera":
            return self._picture(sample)
        if "points" in arrays:
            level = {"level": float(len(arrays["points"]))}
            return level | (self._lidar.measure(sample, middle_ns(sample, self.config)) if self._asked else {})
        if "detections" in arrays:
            return self._doppler(sample)
        if "polar" in arrays and self._asked:
            return self._radar.measure(sample, middle_ns(sample, self.config))
        if "pcm" in arrays and arrays["pcm"].size:
            rate = sample.meta.get("sample_rate_hz")
            rate_hz = int(rate) if isinstance(rate, int | float) and 0 < rate < 1e7 else 0
            level = {"level": float(np.sqrt(np.mean(np.square(arrays["pcm"]))))}
            if not self._asked:
                return level
            return level | self._onset.measure(arrays["pcm"], rate_hz, sample.stamp_ns)
        return {}

    def warm_up(self, sample: Sample) -> None:
        """Compile what a stream with samples like this one needs, and stay as new."""
        warm = SignatureExtractor(self.config, self._asked)
        for k in range(3):
            arrays = dict(sample.arrays)
            for name, axis in (("image", 1), ("image_mono", 1), ("polar", 0)):
                if name in arrays:
                    arrays[name] = np.roll(arrays[name], k, axis=axis)
            if "points" in arrays:
                arrays["points"] = arrays["points"] + np.float32(0.01 * k)
            stamp_ns = sample.stamp_ns + k * self.config.period_ns
            head = sample.stream, sample.modality, k, stamp_ns, stamp_ns, sample.frame
            warm.measure(Sample(*head, arrays, sample.meta, sample.stamp))

    def _picture(self, sample: Sample) -> dict[str, Any]:
        if not self._asked:
            raw = next((sample.arrays[n] for n in ("image", "image_mono") if n in sample.arrays), None)
            return {} if raw is None else {"level": float(raw[::8, ::8].mean())}
        grey = grey_picture(sample)
        if grey is None:
            return {}
        raw = next((sample.arrays[n] for n in ("image", "image_mono") if n in sample.arrays), grey)
        signature: dict[str, Any] = {"level": float(raw[::8, ::8].mean())}
        at_ns, before_ns = middle_ns(sample, self.config), self._motion_ns
        energy, self._motion_ns = self._motion.measure(grey), at_ns
        if energy is not None and comparable(before_ns, at_ns, self.config):
            signature |= {"motion": energy, "motion_span_ns": [before_ns, at_ns]}
        return signature | self._camera.measure(grey, at_ns)

    def _doppler(self, sample: Sample) -> dict[str, Any]:
        """The velocity of the body from a list of detections."""
        detections = sample.arrays["detections"]
        velocity, sigma, inliers = ego_velocity(detections, self._T_base_sensor)
        signature: dict[str, Any] = {"level": float(len(detections))}
        if int(np.sum(inliers)) < MIN_INLIERS:
            return signature
        sigma_x, sigma_y = (max(float(v), MIN_SIGMA_MPS) for v in sigma)
        return signature | {
            "ego_velocity_mps": [float(velocity[0]), float(velocity[1]), 0.0],
            "ego_velocity_sigma_mps": [sigma_x, sigma_y, float("inf")],
        }
