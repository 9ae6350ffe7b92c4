"""The synthetic rig: for any stream of a rig and any message number, the message; for any time, the truth.

Everything is a pure function of (rig, scenario, seed, stream, k). A sensor measures the world at the true times at
which its own oscillator triggers it, and stamps what it measured by its own clock (`Device`).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensorfuse.errors import SensorfuseError
from sensorfuse.geometry import Transform
from sensorfuse.messages import MessageTruth, Sample, Truth
from sensorfuse.rig import Rig
from sensorfuse.sensor_config import AudioConfig, ImuConfig, LidarConfig, RadarConfig, SensorConfig
from sensorfuse.sim.devices.device import Device, check_devices
from sensorfuse.sim.devices.device_clock import DeviceClock
from sensorfuse.sim.noise import message_rng, noise_key
from sensorfuse.sim.scenario import load_scenario
from sensorfuse.sim.scene.ground import GroundMap
from sensorfuse.sim.scene.world import World
from sensorfuse.sim.sensors.audio import AudioModel
from sensorfuse.sim.sensors.camera import CameraModel
from sensorfuse.sim.sensors.imu import ImuModel
from sensorfuse.sim.sensors.lidar import LidarModel
from sensorfuse.sim.sensors.polar_radar import BINS, PolarRadarModel
from sensorfuse.sim.sensors.radar import RadarModel
from sensorfuse.sim.truth import TruthModel
from sensorfuse.sim.visibility import VisibilityModel

Content = tuple[dict[str, NDArray[Any]], dict[str, Any]]  # arrays and meta


class Delivery(NamedTuple):
    """One receipt of message `k`; `copy` 0 is the first."""

    recv_ns: int
    k: int
    copy: int


class SimulatedRig:
    """A rig in a synthetic world.

    `scenario` and `seed` default to the rig's `sim` block. The scenario starts at the reference time `epoch_ns`.
    Stamps are in each device's own clock: reference time less the sensor's `offset_s`, which is what the rig's user
    believes, unless the scenario's `devices` say what is true.

    Raises:
        SensorfuseError: no scenario is given or none has that name, its devices are not the rig's, or the seed is
            negative.
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
        config = load_scenario(self.scenario_name)
        check_devices(rig, config.devices, self.scenario_name)
        self.world = World(config, self.seed)
        self.duration_s = self.world.lap_s
        self.begin_at(epoch_ns)
        self._models: dict[str, Any] = {}
        self._frozen: dict[str, tuple[int, Content]] = {}
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
            self._ground = GroundMap.of(self.world.scenario.road, self.world.road, self.world.crossings)
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
                lens_key = noise_key(self.seed, f"{stream}/lens", 0)
                model = CameraModel(self.world, sensor.intrinsics, pose, self.ground, lens_key)
            self._models[stream] = model
        return self._models[stream]

    # ---- time

    def begin_at(self, epoch_ns: int) -> None:
        """Let the scenario begin at another reference time: the same world and devices, then."""
        self.epoch_ns = int(epoch_ns)
        self._devices: dict[str, Device] = {}

    def _device(self, stream: str, k: int = 0) -> Device:
        if stream not in self._devices:
            devices = self.world.scenario.devices
            self._devices[stream] = Device(self.rig, stream, devices, self.seed, self.epoch_ns)
        if k < 0:
            raise SensorfuseError(f"stream {stream!r}: message numbers start at 0, got {k}")
        return self._devices[stream]

    def clock(self, stream: str) -> DeviceClock:
        """The true clock of a stream's device.

        Raises:
            SensorfuseError: the rig has no such stream.
        """
        return self._device(stream).clock

    def event_ns(self, stream: str, k: int) -> int:
        """The true time, reference clock, of the instant that the `k`-th message's stamp names.

        Raises:
            SensorfuseError: the rig has no such stream, or `k` is negative.
        """
        return self.epoch_ns + self._device(stream, k).schedule.event_ns(k)

    def stamp_ns(self, stream: str, k: int) -> int:
        """The stamp of the `k`-th message, device's clock.

        Raises:
            SensorfuseError: the rig has no such stream, or `k` is negative.
        """
        return self.clock(stream).stamp_ns(self.event_ns(stream, k))

    def due_ns(self, stream: str, k: int) -> int:
        """When the `k`-th measurement ends, reference clock; the message is received later by its way to the host.

        Raises:
            SensorfuseError: the rig has no such stream, or `k` is negative.
        """
        return self.epoch_ns + self._device(stream, k).schedule.span_ns(k)[1]

    def first_due(self, stream: str, t_ns: int) -> int:
        """The first message whose measurement ends at or after a reference time.

        Raises:
            SensorfuseError: the rig has no such stream.
        """
        return self._device(stream).schedule.first_ending(t_ns - self.epoch_ns)

    def deliveries(self, stream: str, start_k: int = 0) -> Iterator[Delivery]:
        """What arrives of messages `start_k` on, without end, in order of receipt: none of the lost, copies again.

        Raises:
            SensorfuseError: the rig has no such stream, or `start_k` is negative.
        """
        arrivals = self._device(stream, start_k).transport.arrivals(start_k)
        return (Delivery(self.epoch_ns + a.recv_ns, a.k, a.copy) for a in arrivals if not a.lost)

    def events(self, stream: str, end_k: int | None = None) -> Iterator[MessageTruth]:
        """What really happens to messages 0 to `end_k` - 1 of a stream (default: without end), in order of receipt;
        lost ones too.

        Raises:
            SensorfuseError: the rig has no such stream.
        """
        seq, device = 0, self._device(stream)
        for arrival in device.transport.arrivals(0, end_k):
            k = arrival.k
            yield MessageTruth(
                stream=stream,
                seq=-1 if arrival.lost else seq,
                k=k,
                stamp_ns=self.stamp_ns(stream, k),
                event_ns=self.event_ns(stream, k),
                end_ns=self.due_ns(stream, k),
                recv_ns=self.epoch_ns + arrival.recv_ns,
                lost=arrival.lost,
                copy=arrival.copy,
                content_k=device.content_k(k),
                marks=device.transport.marks(k),
            )
            seq += not arrival.lost

    # ---- messages

    def sample(self, stream: str, k: int) -> Sample:
        """The `k`-th message of a stream; of a lost one, `recv_ns` is when it would have been received.

        Raises:
            SensorfuseError: the rig has no such stream, or `k` is negative.
        """
        sensor = self.rig.sensor(stream)
        device = self._device(stream, k)
        content_k = device.content_k(k)
        if content_k == k:
            arrays, meta = self._content(stream, sensor, device, k)
        else:
            if self._frozen.get(stream, (-1,))[0] != content_k:
                self._frozen[stream] = content_k, self._content(stream, sensor, device, content_k)
            arrays, meta = self._frozen[stream][1]
            arrays, meta = {name: array.copy() for name, array in arrays.items()}, dict(meta)
        return Sample(
            stream=stream,
            modality=sensor.modality,
            seq=k,
            stamp_ns=self.stamp_ns(stream, k),
            recv_ns=self.epoch_ns + device.transport.received_ns(k),
            frame=sensor.frame,
            arrays=arrays,
            meta=meta,
            stamp=device.schedule.semantics,
            calibration=sensor.calibration,
        )

    def _content(self, stream: str, sensor: SensorConfig, device: Device, k: int) -> Content:
        """What the `k`-th measurement holds."""
        start_ns, end_ns = device.schedule.span_ns(k)
        model = self._model(stream, sensor)
        rng = message_rng(self.seed, stream, k)
        if sensor.modality == "lidar":
            points, intensity, ring, after_s, _ = model.sweep(
                start_ns / 1e9, (end_ns - start_ns) / 1e9, noise_key(self.seed, stream, k)
            )
            true_ns = self.epoch_ns + start_ns + np.round(after_s * 1e9).astype(np.int64)
            limits = np.iinfo(np.int32)  # the clock may be set in the middle of a sweep
            time_ns = np.clip(device.clock.stamps_ns(true_ns) - self.stamp_ns(stream, k), limits.min, limits.max)
            return {"points": points, "intensity": intensity, "ring": ring, "time_ns": time_ns.astype(np.int32)}, {}
        if sensor.modality == "radar" and isinstance(model, PolarRadarModel):
            power, azimuths = model.scan(start_ns / 1e9, (end_ns - start_ns) / 1e9, rng)
            return {"polar": power, "azimuths_rad": azimuths}, {"range_resolution_m": model.config.max_range_m / BINS}
        if sensor.modality == "radar":
            return {"detections": model.detections((start_ns + end_ns) / 2e9, rng)}, {}
        if sensor.modality == "imu":
            times_ns = device.schedule.imu_times_ns(k)
            gyro, accel = model.batch(times_ns / 1e9, k)
            stamps_ns = device.clock.stamps_ns(self.epoch_ns + times_ns)
            return {"gyro_radps": gyro, "accel_mps2": accel, "time_ns": stamps_ns - stamps_ns[0]}, {}
        if sensor.modality == "audio":
            first, end = device.schedule.sound_samples(k)
            taken_s = None if device.clock.ideal else device.schedule.block_s(k)
            pcm = model.block(device.schedule.phase_ns / 1e9, first, end - first, rng, taken_s)
            return {"pcm": pcm}, {"sample_rate_hz": model.config.sample_rate_hz}
        return {"image": model.picture(start_ns / 1e9, noise_key(self.seed, stream, k))}, {}

    # ---- truth

    def truth(self, t_ns: int, visibility: bool = False) -> Truth:
        """What really is at a reference time: objects within 80 m, the ego's pose and twist, audible sounds; with
        `visibility`, what each sensor could see of the objects too.
        """
        t_s = (t_ns - self.epoch_ns) / 1e9
        truth = self._truth.at(t_ns, t_s)
        if visibility:
            seen = self._eyes.at(t_s, truth.objects.track_id)
            truth.visibility = {stream: share for stream, (share, _) in seen.items()}
            truth.in_view = {stream: in_view for stream, (_, in_view) in seen.items()}
        return truth

    def visibility(self, t_ns: int) -> dict[str, NDArray[np.float32]]:
        """Per camera, LiDAR and radar stream: the share (N,) of each object of `truth(t_ns)` that it could see."""
        return self.truth(t_ns, visibility=True).visibility

    @cached_property
    def _eyes(self) -> VisibilityModel:
        return VisibilityModel(self.world, self.rig)

    def visible(self, t_ns: int) -> NDArray[np.int64]:
        """How many of 32 x 256 ideal LiDAR rays around the roof meet each object of `truth(t_ns)`, row by row (N,)."""
        return self._truth.visible((t_ns - self.epoch_ns) / 1e9, self.ground)
