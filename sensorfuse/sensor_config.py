"""A rig's sensors: what each one is, where it is mounted, how its clock runs and what is made of its health."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sensorfuse.geometry import Transform
from sensorfuse.messages import MODALITIES, Modality, StampSemantics
from sensorfuse.yaml_model import YamlModel, key_fault

Vector3 = tuple[float, float, float]


class PoseConfig(YamlModel):
    """`T_base_sensor`: `xyz` in metres with one of `rpy_deg` (fixed-axis roll, pitch, yaw) or `quaternion_xyzw`; or
    `matrix`.
    """

    xyz: Vector3 = (0.0, 0.0, 0.0)
    rpy_deg: Vector3 | None = None
    quaternion_xyzw: tuple[float, float, float, float] | None = None
    matrix: tuple[tuple[float, float, float, float], ...] | None = None

    @model_validator(mode="after")
    def _one_rotation(self) -> PoseConfig:
        if sum(v is not None for v in (self.rpy_deg, self.quaternion_xyzw, self.matrix)) > 1:
            raise ValueError("give one of rpy_deg, quaternion_xyzw and matrix")
        self.transform()
        if max(abs(v) for v in self.transform().translation) > 20:
            raise ValueError("a sensor lies within 20 m of the base; is xyz in metres?")
        return self

    def transform(self) -> Transform:
        if self.matrix is not None:
            return Transform.from_matrix(self.matrix)
        if self.quaternion_xyzw is not None:
            return Transform.from_quaternion(self.xyz, self.quaternion_xyzw)
        rpy = [v * 3.141592653589793 / 180 for v in self.rpy_deg or (0.0, 0.0, 0.0)]
        return Transform.from_rpy(self.xyz, rpy)


class Intrinsics(YamlModel):
    """Pinhole camera: pixels, and OpenCV distortion coefficients (`radtan`: k1 k2 p1 p2 [k3]; `equidistant`:
    k1..k4).
    """

    width: Annotated[int, Field(gt=0)]
    height: Annotated[int, Field(gt=0)]
    fx: Annotated[float, Field(gt=0)]
    fy: Annotated[float, Field(gt=0)]
    cx: float
    cy: float
    distortion_model: Literal["none", "radtan", "equidistant"] = "none"
    distortion: tuple[float, ...] = ()
    readout_s: Annotated[float, Field(ge=0)] = 0.0  # rolling shutter, first to last row
    exposure_s: Annotated[float, Field(ge=0)] = 0.0

    @model_validator(mode="after")
    def _plausible(self) -> Intrinsics:
        if not 0.2 <= self.fx / self.width <= 5:
            raise key_fault("fx", f"{self.fx} is not plausible for a {self.width} pixel wide image (0.2 to 5 widths)")
        counts = {"none": (0,), "radtan": (4, 5), "equidistant": (4,)}[self.distortion_model]
        if len(self.distortion) not in counts:
            raise key_fault(
                "distortion",
                f"distortion_model {self.distortion_model} takes {' or '.join(map(str, counts))} coefficients",
            )
        return self


class LidarConfig(YamlModel):
    """Spinning LiDAR: rings from `elevation_deg` low to high, `columns` per turn, clockwise or not is the driver's
    matter.
    """

    rings: Annotated[int, Field(ge=1, le=256)] = 32
    columns: Annotated[int, Field(ge=8, le=8192)] = 512
    elevation_deg: tuple[float, float] = (-25.0, 15.0)
    max_range_m: Annotated[float, Field(gt=0)] = 100.0
    range_noise_m: Annotated[float, Field(ge=0)] = 0.02


class RadarConfig(YamlModel):
    """`detections`: a list of peaks with Doppler. `polar`: a scanning radar's power image."""

    kind: Literal["detections", "polar"] = "detections"
    max_range_m: Annotated[float, Field(gt=0)] = 100.0
    fov_deg: Annotated[float, Field(gt=0, le=360)] = 120.0
    elevation_fov_deg: Annotated[float, Field(gt=0, le=180)] = 180.0  # of a list of detections; 180 is no limit
    range_noise_m: Annotated[float, Field(ge=0)] = 0.15
    azimuth_noise_deg: Annotated[float, Field(ge=0)] = 1.0
    doppler_noise_mps: Annotated[float, Field(ge=0)] = 0.1


class ImuConfig(YamlModel):
    """Continuous-time noise (per sqrt(Hz)) and what one message holds. Bias instability is the floor of the Allan
    deviation, resolution the size of one count; 0 leaves either out.
    """

    samples_per_message: Annotated[int, Field(ge=1, le=4000)] = 10
    gyro_noise_density: Annotated[float, Field(ge=0)] = 2.0e-4  # rad/s/sqrt(Hz)
    gyro_random_walk: Annotated[float, Field(ge=0)] = 2.0e-5  # rad/s^2/sqrt(Hz)
    accel_noise_density: Annotated[float, Field(ge=0)] = 2.0e-3  # m/s^2/sqrt(Hz)
    accel_random_walk: Annotated[float, Field(ge=0)] = 3.0e-3  # m/s^3/sqrt(Hz)
    gyro_bias_instability_radps: Annotated[float, Field(ge=0)] = 0.0
    accel_bias_instability_mps2: Annotated[float, Field(ge=0)] = 0.0
    gyro_resolution_radps: Annotated[float, Field(ge=0)] = 0.0
    accel_resolution_mps2: Annotated[float, Field(ge=0)] = 0.0
    gyro_range_radps: Annotated[float, Field(gt=0)] = 8.7
    accel_range_mps2: Annotated[float, Field(gt=0)] = 157.0


class AudioConfig(YamlModel):
    """Microphone array: positions in the sensor frame, metres; `rate_hz` of the sensor is the block rate."""

    sample_rate_hz: Annotated[int, Field(ge=1000, le=192000)] = 16000
    microphones_m: tuple[Vector3, ...] = (
        (0.1, 0.1, 0.0),
        (0.1, -0.1, 0.0),
        (-0.1, -0.1, 0.0),
        (-0.1, 0.1, 0.0),
    )


class CounterConfig(YamlModel):
    """Stamps read from a counter of `bits` bits that ticks every `tick_ns` and wraps."""

    bits: Annotated[int, Field(ge=8, le=62)]
    tick_ns: Annotated[int, Field(ge=1, le=1_000_000_000)] = 1

    @property
    def turn_ns(self) -> int:
        return self.tick_ns << self.bits


ContentFault = Literal[
    "frozen", "duplicate", "uniform", "dark", "overexposed", "blurred", "empty", "sparse", "beams", "sectors",
    "no_detections", "constant", "saturated", "silent", "clipped", "dead_channel",
]  # fmt: skip
"""What a sensor's process may find wrong with its content; `sensorfuse.health.content` says what each means."""


class HealthConfig(YamlModel):
    """What is made of a stream's health. It is lost after `lost_s` of silence (default: 12 periods, at least 1.5 s);
    back, it is checked for `recover_s` before it votes, and its weight grows over `fade_s`.

    `ignore` names faults of content that are not looked for. Data that is odd but usable is reported; `suspect` says
    whether it also counts less (`suspect_weight`) or is left out.

    Weights between 0 and 1 are for strategies that fuse objects (`late`). Learned ones know a stream as present or
    absent: one that fades in or is downweighted they count in full, so with them only `exclude` has an effect.
    """

    lost_s: Annotated[float | None, Field(gt=0, le=600)] = None
    recover_s: Annotated[float, Field(ge=0, le=60)] = 0.3
    fade_s: Annotated[float, Field(ge=0, le=60)] = 0.7
    ignore: tuple[ContentFault, ...] = ()
    suspect: Literal["report", "downweight", "exclude"] = "report"
    suspect_weight: Annotated[float, Field(gt=0, le=1)] = 0.5


MAX_RATE_HZ: dict[Modality, float] = {"camera": 1000, "lidar": 200, "radar": 200, "imu": 20000, "audio": 2000}


class SensorConfig(YamlModel):
    """One device.

    `rate_hz` is the rate of measurements (for an IMU, of its samples; a message holds `imu.samples_per_message`; for
    audio, of its blocks). `offset_s` is added to the device's stamps to reach the reference clock, known to
    `offset_sigma_s`; `counter` says that the stamps wrap; `clock: reference` that the device keeps the reference clock
    (PTP, stamps given by the host), so that no drift is looked for. `lateness_ms` is how far out of order its messages
    may come (default: the fusion's). `required` streams make a tick incomplete when they are absent.
    `log_stream` names the stream in a log when it differs from the sensor's name.
    """

    modality: Modality
    rate_hz: Annotated[float, Field(gt=0)]
    frame: Annotated[str, Field(min_length=1)]
    T_base_sensor: PoseConfig
    stamp: StampSemantics = "start"
    offset_s: float = 0.0
    offset_sigma_s: Annotated[float, Field(ge=0)] = 0.0
    counter: CounterConfig | None = None
    clock: Literal["device", "reference"] = "device"
    required: bool = False
    lateness_ms: Annotated[float | None, Field(ge=0, le=2000)] = None
    max_age_s: Annotated[float | None, Field(gt=0)] = None  # older than this is stale; default 2.5 message periods
    log_stream: str | None = None
    calibration: str = ""
    intrinsics: Intrinsics | None = None
    lidar: LidarConfig | None = None
    radar: RadarConfig | None = None
    imu: ImuConfig | None = None
    audio: AudioConfig | None = None
    health: HealthConfig = HealthConfig()

    @model_validator(mode="after")
    def _consistent(self) -> SensorConfig:
        if self.rate_hz > MAX_RATE_HZ[self.modality]:
            raise key_fault(
                "rate_hz",
                f"{self.rate_hz:g} Hz is impossible for {self.modality} (at most {MAX_RATE_HZ[self.modality]:g})",
            )
        if self.modality == "camera" and self.intrinsics is None:
            raise ValueError("a camera needs intrinsics (width, height, fx, fy, cx, cy)")
        for name in MODALITIES:
            block = "intrinsics" if name == "camera" else name
            if name != self.modality and getattr(self, block) is not None:
                raise key_fault(block, f"a {self.modality} takes no {block!r} block")
        return self

    @property
    def message_rate_hz(self) -> float:
        if self.modality == "imu":
            return self.rate_hz / (self.imu or ImuConfig()).samples_per_message
        return self.rate_hz

    @property
    def period_ns(self) -> int:
        """Nominal time between messages."""
        return round(1e9 / self.message_rate_hz)

    @property
    def max_age_ns(self) -> int:
        return round(self.max_age_s * 1e9) if self.max_age_s is not None else round(2.5 * self.period_ns)

    @property
    def offset_ns(self) -> int:
        return round(self.offset_s * 1e9)
