"""The synthetic rig: for any stream of a rig and any message number, the message; for any time, the truth.

Everything is a pure function of (rig, scenario, seed, stream, k). Sensors are not in step with each other: each stream
starts at its own moment within its first period, drawn by the seed.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensorfuse.errors import SensorfuseError
from sensorfuse.geometry import Transform
from sensorfuse.messages import Sample, Truth
from sensorfuse.rig import AudioConfig, ImuConfig, LidarConfig, RadarConfig, Rig, SensorConfig
from sensorfuse.sim.audio import AudioModel
from sensorfuse.sim.camera import CameraModel
from sensorfuse.sim.ground import GroundMap
from sensorfuse.sim.imu import ImuModel
from sensorfuse.sim.lidar import LidarModel
from sensorfuse.sim.noise import message_rng, noise_key
from sensorfuse.sim.polar_radar import BINS, PolarRadarModel
from sensorfuse.sim.radar import RadarModel
from sensorfuse.sim.scenario import load_scenario
from sensorfuse.sim.truth import TruthModel
from sensorfuse.sim.world import World

RADAR_FRAME_S = 0.02  # how long a radar integrates for one list of detections
DELAY_NS = {"camera": 4_000_000, "lidar": 2_000_000, "radar": 3_000_000, "imu": 500_000, "audio": 1_000_000}
"""From the end of the measurement to receipt: processing in the device, and the cable."""


class SimulatedRig:
    """A rig in a synthetic world.

    `scenario` and `seed` default to the rig's `sim` block. The scenario starts at the reference
    time `epoch_ns`.
    Stamps are in each device's own clock: reference time less the sensor's `offset_s`.

    Raises:
        SensorfuseError: no scenario is given or none has that name, or the seed is negative.
    """

    def __init__(self, rig: Rig, scenario: str | None = None, seed: int | None = None, epoch_ns: int = 0) -> None:
        if scenario is None and rig.sim is None:
            raise SensorfuseError(
                f"rig {rig.name!r} has no `sim` block: add `sim: {{scenario: town}}`, or name a scenario"
            )
        self.rig = rig
        self.scenario_name = scenario or (rig.sim.scenario if rig.sim else "")
        self.seed = int(seed if seed is not None else rig.sim.seed if rig.sim else 0)
        if self.seed < 0:
            raise SensorfuseError(f"sim.seed: expected 0 or more, got {self.seed}")
        self.epoch_ns = int(epoch_ns)
        self.world = World(load_scenario(self.scenario_name), self.seed)
        self.duration_s = self.world.lap_s
        self._models: dict[str, Any] = {}
        self._ground: GroundMap | None = None
        self._truth = TruthModel(self.world, self._ears())

    def _ears(self) -> Transform:
        """Where sound directions are taken from: the middle of the first microphone array, else base_link."""
        for sensor in self.rig.sensors.values():
            if sensor.modality == "audio":
                pose = sensor.T_base_sensor.transform()
                middle = np.mean((sensor.audio or AudioConfig()).microphones_m, axis=0)
                return Transform(pose.rotation, pose @ middle)
        return Transform.identity()

    @property
    def ground(self) -> GroundMap:
        if self._ground is None:
            self._ground = GroundMap.of(self.world.scenario.road, self.world.road)
        return self._ground

    def _model(self, stream: str, sensor: SensorConfig) -> Any:
        if stream not in self._models:
            pose = sensor.T_base_sensor.transform()
            if sensor.modality == "lidar":
                model: Any = LidarModel(self.world, sensor.lidar or LidarConfig(), pose, self.ground)
            elif sensor.modality == "radar":
                radar = sensor.radar or RadarConfig()
                model = (PolarRadarModel if radar.kind == "polar" else RadarModel)(self.world, radar, pose)
            elif sensor.modality == "imu":
                model = ImuModel(self.world, sensor.imu or ImuConfig(), sensor.rate_hz, pose, self.seed, stream)
            elif sensor.modality == "audio":
                model = AudioModel(self.world, sensor.audio or AudioConfig(), pose, self.seed, stream)
            else:
                assert sensor.intrinsics is not None
                model = CameraModel(self.world, sensor.intrinsics, pose, self.ground)
            self._models[stream] = model
        return self._models[stream]

    # ---- time

    def _phase_ns(self, stream: str, sensor: SensorConfig) -> int:
        return zlib.crc32(f"{self.seed}/{stream}".encode()) % sensor.period_ns

    def _span_ns(self, stream: str, k: int) -> tuple[int, int]:
        """Start and end of the `k`-th measurement, relative to the epoch."""
        sensor = self.rig.sensor(stream)
        if k < 0:
            raise SensorfuseError(f"stream {stream!r}: message numbers start at 0, got {k}")
        phase = self._phase_ns(stream, sensor)
        if sensor.modality == "audio":
            rate = (sensor.audio or AudioConfig()).sample_rate_hz
            first, end = _block(sensor, rate, k)
            return phase + round(first * 1e9 / rate), phase + round(end * 1e9 / rate)
        start = phase + round(k * 1e9 / sensor.message_rate_hz)
        if sensor.modality == "imu":
            n = (sensor.imu or ImuConfig()).samples_per_message
            return start, start + round((n - 1) * 1e9 / sensor.rate_hz)
        if sensor.modality == "camera":
            assert sensor.intrinsics is not None
            return start, start + round(1e9 * (sensor.intrinsics.exposure_s + sensor.intrinsics.readout_s))
        if sensor.modality == "radar" and (sensor.radar or RadarConfig()).kind == "detections":
            return start, start + min(round(RADAR_FRAME_S * 1e9), sensor.period_ns)
        return start, start + sensor.period_ns

    def due_ns(self, stream: str, k: int) -> int:
        """When the `k`-th message is ready to be published, reference clock: the end of its measurement.

        Raises:
            SensorfuseError: the rig has no such stream, or `k` is negative.
        """
        return self.epoch_ns + self._span_ns(stream, k)[1]

    # ---- messages

    def sample(self, stream: str, k: int) -> Sample:
        """The `k`-th message of a stream.

        Raises:
            SensorfuseError: the rig has no such stream, or `k` is negative.
        """
        sensor = self.rig.sensor(stream)
        start_ns, end_ns = self._span_ns(stream, k)
        model = self._model(stream, sensor)
        semantics = sensor.stamp if sensor.modality in ("camera", "lidar", "radar") else "start"
        named_ns = {"start": start_ns, "mid": (start_ns + end_ns) // 2, "end": end_ns}[semantics]
        rng = message_rng(self.seed, stream, k)
        arrays: dict[str, NDArray[Any]] = {}
        meta: dict[str, Any] = {}
        if sensor.modality == "lidar":
            points, intensity, ring, after_s, _ = model.sweep(
                start_ns / 1e9, (end_ns - start_ns) / 1e9, noise_key(self.seed, stream, k)
            )
            time_ns = (np.round(after_s * 1e9) - (named_ns - start_ns)).astype(np.int32)
            arrays = {"points": points, "intensity": intensity, "ring": ring, "time_ns": time_ns}
        elif sensor.modality == "radar" and isinstance(model, PolarRadarModel):
            power, azimuths = model.scan(start_ns / 1e9, (end_ns - start_ns) / 1e9, rng)
            arrays = {"polar": power, "azimuths_rad": azimuths}
            meta["range_resolution_m"] = model.config.max_range_m / BINS
        elif sensor.modality == "radar":
            arrays["detections"] = model.detections((start_ns + end_ns) / 2e9, rng)
        elif sensor.modality == "imu":
            n = (sensor.imu or ImuConfig()).samples_per_message
            time_ns = np.round(np.arange(n) * (1e9 / sensor.rate_hz)).astype(np.int64)
            gyro, accel = model.batch((start_ns + time_ns) / 1e9, k)
            arrays = {"gyro_radps": gyro, "accel_mps2": accel, "time_ns": time_ns}
        elif sensor.modality == "audio":
            rate = model.config.sample_rate_hz
            first, end = _block(sensor, rate, k)
            arrays["pcm"] = model.block(self._phase_ns(stream, sensor) / 1e9, first, end - first, rng)
            meta["sample_rate_hz"] = rate
        else:
            arrays["image"] = model.picture((start_ns + end_ns) / 2e9, noise_key(self.seed, stream, k))
        due_ns = self.epoch_ns + end_ns
        return Sample(
            stream=stream,
            modality=sensor.modality,
            seq=k,
            stamp_ns=self.epoch_ns + named_ns - sensor.offset_ns,
            recv_ns=due_ns + DELAY_NS[sensor.modality] + int(rng.exponential(300_000)),
            frame=sensor.frame,
            arrays=arrays,
            meta=meta,
            stamp=semantics,
            calibration=sensor.calibration,
        )

    # ---- truth

    def truth(self, t_ns: int) -> Truth:
        """What really is at a reference time: objects within 80 m, the ego's pose and twist, audible sounds."""
        return self._truth.at(t_ns, (t_ns - self.epoch_ns) / 1e9)

    def visible(self, t_ns: int) -> NDArray[np.int64]:
        """How many of 32 x 256 ideal LiDAR rays around the roof meet each object of `truth(t_ns)`, row by row (N,)."""
        return self._truth.visible((t_ns - self.epoch_ns) / 1e9, self.ground)


def _block(sensor: SensorConfig, rate_hz: int, k: int) -> tuple[int, int]:
    """First sound sample of block `k`, and of the next."""
    return round(k * rate_hz / sensor.rate_hz), round((k + 1) * rate_hz / sensor.rate_hz)
