"""Late fusion: every sensor detects on its own, and what they found is fused as objects.

x = (sum_s H_s' R_s^-1 H_s)^-1 sum_s H_s' R_s^-1 z_s over the sensors s that saw the object (Durrant-Whyte and
Henderson, Multisensor Data Fusion, 2008), score 1 - prod_s (1 - w_s a_s). Nothing here is trained, so each modality
gives only what it can honestly give: objects come from LiDAR and radar, direction of sirens and horns from audio,
rotation from the IMU (and velocity, from an INS), velocity over ground from radar Doppler. A camera gives none of
these without training: it is accepted and carries no weight.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sensorfuse.align.deskew import BodyMotion
from sensorfuse.fusion.degraded import fade
from sensorfuse.fusion.fuser import FusionResult
from sensorfuse.fusion.hearing import Hearing, PcmBlock
from sensorfuse.geometry import Transform
from sensorfuse.messages import CLASSES, Detections, Sample, SoundEvent, StreamTick, Tick
from sensorfuse.rig import Rig
from sensorfuse.sensor_config import AudioConfig, LidarConfig, RadarConfig
from sensorfuse.track.lidar_detector import LidarDetector, LidarDetectorConfig
from sensorfuse.track.object_fusion import fuse_detections
from sensorfuse.track.priors import VEHICLES
from sensorfuse.track.radar_detector import RadarDetector, RadarDetectorConfig, RadarReturns, base_velocity
from sensorfuse.track.radar_polar import RadarPolarConfig, RadarPolarDetector
from sensorfuse.track.sound import SoundDetector, fuse_sounds
from sensorfuse.track.timed import TimedDetections, move_detections

Array = NDArray[np.float64]

SHAPE_ORDER = {"lidar": 0, "radar": 1}
RADAR_SCORE_WEIGHT = 0.7  # radar's objects are less sure evidence than their scores say when they agree with LiDAR's
GYRO_SIGMA_RADPS = 0.01
INS_SIGMA_MPS = 0.3
SOUND_NS = 100_000_000
SOUND_MISSING = 0.4  # of it, and each half that is there is listened to by itself
SIREN_CONE_RAD = np.radians(12.0)
SIREN_RANGE_M = 60.0


@dataclass(frozen=True)
class InertialEvidence:
    """One IMU message in base axes: mean angular rate (3,), and the INS's velocity (3,) at its last sample or None."""

    rate_radps: Array
    velocity_mps: Array | None


class LateFusion:
    """Object-level fusion of whatever sensors are there. Implements `fuser.Fuser`; needs no weights."""

    strategy = "late"
    encoders = "late"
    model = ""
    engine = "numpy"
    precision = "float64"

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.failures: deque[str] = deque()
        self._mount: dict[str, Transform] = {n: s.T_base_sensor.transform() for n, s in rig.sensors.items()}
        self._lidars: dict[str, LidarDetector] = {}
        self._radars: dict[str, RadarDetector] = {}
        self._polars: dict[str, RadarPolarDetector] = {}
        self._sounds: dict[str, SoundDetector] = {}
        self._hearing: dict[str, Hearing] = {}
        for name, sensor in rig.sensors.items():
            if sensor.modality == "lidar":
                lidar = sensor.lidar or LidarConfig()
                low, high = lidar.elevation_deg
                spacing = LidarDetectorConfig(
                    max_range_m=min(lidar.max_range_m, 80.0),
                    column_spacing_rad=2 * np.pi / lidar.columns,
                    ring_spacing_rad=float(np.radians(high - low)) / max(lidar.rings - 1, 1),
                )
                self._lidars[name] = LidarDetector(spacing)
            elif sensor.modality == "radar":
                radar = sensor.radar or RadarConfig()
                noise = RadarDetectorConfig(
                    range_sigma_m=max(radar.range_noise_m, 0.05),
                    azimuth_sigma_rad=max(float(np.radians(radar.azimuth_noise_deg)), 0.002),
                    doppler_sigma_mps=max(radar.doppler_noise_mps, 0.05),
                )
                self._radars[name] = RadarDetector(noise)
                self._polars[name] = RadarPolarDetector(RadarPolarConfig(max_range_m=radar.max_range_m))
            elif sensor.modality == "audio":
                places = np.array((sensor.audio or AudioConfig()).microphones_m, dtype=np.float64)
                self._sounds[name] = SoundDetector(places, self._mount[name])
                self._hearing[name] = Hearing()

    # ---- on arrival

    def encode(self, sample: Sample) -> TimedDetections | RadarReturns | InertialEvidence | PcmBlock | None:
        """What the sample's sensor says by itself; None for a camera; of sound, which is cut at the tick, the block.

        Raises:
            SensorfuseError: the rig has no such stream, or a block of sound has no rate.
        """
        self.rig.sensor(sample.stream)
        mount, arrays = self._mount[sample.stream], sample.arrays
        if sample.modality == "lidar":
            return self._lidars[sample.stream].detect(arrays["points"], mount, arrays.get("time_ns"))
        if sample.modality == "radar" and "polar" in arrays:
            rows = len(arrays["polar"])
            azimuths = arrays.get("azimuths_rad", -2 * np.pi * np.arange(rows, dtype=np.float32) / rows)
            step_m = float(sample.meta.get("range_resolution_m", 0.0)) or self._polar_step(sample)
            scan_s = float(sample.meta.get("scan_s", 0.0))
            return self._polars[sample.stream].detect(arrays["polar"], azimuths, step_m, mount, scan_s, sample.stamp)
        if sample.modality == "radar":
            return self._radars[sample.stream].returns(arrays["detections"], mount)
        if sample.modality == "imu":
            velocity = arrays.get("velocity_mps")
            rate = mount.rotation @ arrays["gyro_radps"].mean(axis=0)
            return InertialEvidence(rate, None if velocity is None else mount.rotation @ velocity[-1])
        if sample.modality == "audio":
            return PcmBlock.of_sample(sample, self.rig.sensor(sample.stream).audio or AudioConfig())
        return None

    def forget(self) -> None:
        """Drop the sounds of earlier ticks."""
        self._hearing = {name: Hearing() for name in self._hearing}

    def _polar_step(self, sample: Sample) -> float:
        radar = self.rig.sensor(sample.stream).radar or RadarConfig()
        return radar.max_range_m / sample.arrays["polar"].shape[1]

    # ---- on tick

    def fuse(self, tick: Tick, evidence: dict[str, list[Any]]) -> FusionResult:
        """Objects, ego motion and sounds at t_ref from what `encode` made of the tick's samples; any stream may be
        absent.
        """
        streams = {s.stream: s for s in tick.streams if evidence.get(s.stream)}
        motion = _EgoMotion(tick)
        self._listen_to_motion(motion, streams, evidence)
        twist, sigma = motion.twist(), motion.sigma()
        path = BodyMotion.of_tick(tick, twist)
        sources: dict[str, Detections] = {}
        for name, stream in streams.items():
            found = self._objects(stream, evidence[name][-1], twist, path)
            if found is not None:
                sources[name] = fade(found, stream.health.weight)
        order = sorted(sources, key=lambda n: (SHAPE_ORDER.get(streams[n].modality, 9), n))
        fused, shares = fuse_detections([(sources[n], 1.0 if n == order[0] else RADAR_SCORE_WEIGHT) for n in order])
        sounds, heard = self._sounds_at(tick.t_ref_ns, streams, evidence, path)
        fused = name_by_siren(fused, sounds)
        return FusionResult(
            detections=fused,
            sources=sources,
            weights=_weights(dict(zip(order, shares.sum(axis=0), strict=True)), motion.shares, heard),
            sounds=sounds,
            twist=twist if motion.shares else None,
            twist_sigma=sigma if motion.shares else None,
        )

    def _listen_to_motion(
        self, motion: _EgoMotion, streams: dict[str, StreamTick], evidence: dict[str, list[Any]]
    ) -> None:
        """Rates first: a radar's lever arm needs the yaw rate."""
        for name in streams:
            messages = [e for e in evidence[name] if isinstance(e, InertialEvidence)]
            if messages:
                motion.add(
                    name, np.mean([m.rate_radps for m in messages], axis=0), np.full(3, GYRO_SIGMA_RADPS), "rate"
                )
            told = [m.velocity_mps for m in messages if m.velocity_mps is not None]
            if told:
                motion.add(name, told[-1], np.full(3, INS_SIGMA_MPS), "velocity")
        for name in streams:
            last = evidence[name][-1]
            if isinstance(last, RadarReturns) and np.isfinite(last.sigma_xy).all():
                velocity = base_velocity(last.velocity_xy, self._mount[name], float(motion.twist()[5]))
                motion.add(name, np.array([*velocity, 0.0]), np.array([*last.sigma_xy, np.inf]), "velocity")

    def _objects(self, stream: StreamTick, last: Any, twist: Array, path: BodyMotion) -> Detections | None:
        """One sensor's objects at t_ref, or None from one that gives none."""
        if isinstance(last, TimedDetections):
            return move_detections(last, stream.dt_ns, path)
        if isinstance(last, RadarReturns):
            x, y = self._mount[stream.stream].translation[:2]
            own = twist[:2] + twist[5] * np.array([-y, x])
            known = np.isfinite(last.sigma_xy).all() or bool(np.abs(twist[:2]).max() > 0)
            found = self._radars[stream.stream].detect(last, own if known else None)
            return move_detections(TimedDetections(found, np.zeros(len(found), np.int64)), stream.dt_ns, path)
        return None

    def _sounds_at(
        self, t_ns: int, streams: dict[str, StreamTick], evidence: dict[str, list[Any]], path: BodyMotion
    ) -> tuple[list[SoundEvent], list[str]]:
        """Events of the best array per name, and which arrays listened."""
        events: dict[str, SoundEvent] = {}
        heard = []
        for name, stream in streams.items():
            if stream.modality != "audio":
                continue
            hearing = self._hearing[name]
            hearing.listen(t_ns + stream.dt_ns, evidence[name])
            windows = hearing.windows(t_ns, SOUND_NS, 1, SOUND_MISSING) or hearing.windows(t_ns, SOUND_NS // 2, 2)
            if not windows:
                continue
            heard.append(name)
            blocks = [self._sounds[name].analyse(w.pcm, round(w.rate_hz)) for w in windows]
            then = path.at([w.start_ns + round(1e9 * b.time_s) - t_ns for w, b in zip(windows, blocks, strict=True)])
            turned = np.arctan2(then[:, 0, 1], then[:, 0, 0])  # of the body since, left positive
            for event in fuse_sounds(blocks, turned.tolist()):
                if event.name not in events or event.score > events[event.name].score:
                    events[event.name] = event
        return [events[n] for n in sorted(events)], heard


class _EgoMotion:
    """Inverse-variance mean of what the streams say about the body's motion; the tick's own twist where none does."""

    def __init__(self, tick: Tick) -> None:
        self._tick = tick
        self._information = np.zeros(6)
        self._sum = np.zeros(6)
        self.shares: dict[str, float] = {}

    def add(self, stream: str, value: Array, sigma: Array, part: Literal["velocity", "rate"]) -> None:
        """A measurement (3,) with its one sigma (3,), inf where unobserved."""
        rows = slice(0, 3) if part == "velocity" else slice(3, 6)
        information = np.where(np.isfinite(sigma), 1.0 / np.square(np.maximum(sigma, 1e-3)), 0.0)
        self._information[rows] += information
        self._sum[rows] += information * value
        self.shares[stream] = self.shares.get(stream, 0.0) + 0.5

    def twist(self) -> Array:
        """(6,), finite: own where observed, else the tick's, else 0."""
        own = self._sum / np.maximum(self._information, 1e-12)
        return np.where(self._information > 0, own, np.nan_to_num(np.asarray(self._tick.twist, dtype=np.float64)))

    def sigma(self) -> Array:
        """One sigma (6,), inf where nobody observes."""
        own = 1.0 / np.sqrt(np.maximum(self._information, 1e-12))
        return np.where(self._information > 0, own, np.asarray(self._tick.twist_sigma, dtype=np.float64))


def name_by_siren(found: Detections, sounds: list[SoundEvent]) -> Detections:
    """The vehicle in the direction of a siren is the emergency vehicle: shape cannot tell, sound can."""
    sirens = [s for s in sounds if s.name == "siren"]
    if not sirens or not len(found):
        return found
    bearing = np.arctan2(found.center[:, 1], found.center[:, 0])
    off = np.abs((bearing - sirens[0].azimuth_rad + np.pi) % (2 * np.pi) - np.pi)
    large = np.isin(found.class_id, VEHICLES) & (found.size[:, 2] > 1.9)
    near = np.hypot(*found.center[:, :2].T) < SIREN_RANGE_M
    belief = np.where(
        large & near & (off < SIREN_CONE_RAD), found.score * np.exp(-0.5 * (off / SIREN_CONE_RAD * 2) ** 2), 0.0
    )
    if belief.max() <= 0:
        return found
    named = found.select(np.arange(len(found)))
    named.class_id[int(np.argmax(belief))] = CLASSES.index("emergency_vehicle")
    return named


def _weights(objects: dict[str, float], motion: dict[str, float], heard: list[str]) -> dict[str, float]:
    """Shares summing to 1: objects, ego motion and sound count alike where each has a sensor that serves it.

    A sensor that looked and found nothing counts as a thousandth of an object.
    """
    parts = []
    if objects:
        parts.append({n: v + 1e-3 for n, v in objects.items()})
    if motion:
        parts.append(motion)
    if heard:
        parts.append(dict.fromkeys(heard, 1.0))
    out: dict[str, float] = {}
    for part in parts:
        total = sum(part.values())
        for name, value in part.items():
            out[name] = out.get(name, 0.0) + value / total / len(parts)
    return out
