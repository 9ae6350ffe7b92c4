"""What travels: one dataclass per kind of message, with the meaning, unit and shape of every field.

Times are integer nanoseconds. `stamp_ns` is in the sensor's own clock; `recv_ns` is in the host's clock. Nothing here
opens a socket or a file. Arrays are numpy; letters: N points or samples, C channels, A azimuths, R range bins, H x W
pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Modality = Literal["camera", "lidar", "radar", "imu", "audio"]
MODALITIES: tuple[Modality, ...] = ("camera", "lidar", "radar", "imu", "audio")

StampSemantics = Literal["start", "mid", "end"]
"""What instant of the measurement `stamp_ns` names: exposure / scan / block start, middle or end."""

CLASSES: tuple[str, ...] = (
    "car",
    "van",
    "truck",
    "bus",
    "emergency_vehicle",
    "cyclist",
    "pedestrian",
    "unknown",
)
SOUND_CLASSES: tuple[str, ...] = ("siren", "horn", "engine")

ARRAY_SPECS: dict[Modality, dict[str, tuple[str, tuple[int | None, ...]]]] = {
    # name: (dtype, shape with None for any). A leading "?" in the name marks an optional array.
    "camera": {
        "image": ("uint8", (None, None, 3)),  # H x W x 3 RGB, or `image_mono`, or `jpeg`: exactly one of the three
        "image_mono": ("uint8", (None, None)),  # H x W grey
        "jpeg": ("uint8", (None,)),  # a whole JPEG or PNG file
    },
    "lidar": {
        "points": ("float32", (None, 3)),  # N x 3 metres, sensor frame
        "?intensity": ("float32", (None,)),  # N, 0..255
        "?ring": ("uint16", (None,)),  # N, 0 is the lowest ring
        "?time_ns": ("int32", (None,)),  # N, relative to the stamp
    },
    "radar": {
        "detections": (
            "float32",
            (None, 5),
        ),  # N x [range_m, azimuth_rad (left +), elevation_rad, doppler_mps, rcs_dbsm]
        "polar": ("uint8", (None, None)),  # A x R power; with `azimuths_rad`; meta: range_resolution_m
        "?azimuths_rad": ("float32", (None,)),  # A, left positive, 0 is forward of the sensor
    },
    "imu": {
        "gyro_radps": ("float64", (None, 3)),  # N x 3 angular rate, sensor frame
        "accel_mps2": ("float64", (None, 3)),  # N x 3 specific force (gravity in it unless meta: gravity_removed)
        "time_ns": ("int64", (None,)),  # N, relative to the stamp (first sample is 0)
        "?velocity_mps": ("float64", (None, 3)),  # N x 3 velocity in the sensor frame, from an INS
    },
    "audio": {
        "pcm": ("float32", (None, None)),  # N x C in [-1, 1]; meta: sample_rate_hz; stamp is that of the first sample
    },
}
ONE_OF: dict[Modality, tuple[str, ...]] = {"camera": ("image", "image_mono", "jpeg"), "radar": ("detections", "polar")}


@dataclass
class Sample:
    """One measurement of one sensor.

    `doppler_mps` of a radar detection is the range rate: positive moves away from the sensor.
    `seq` counts from 0 within `boot`, an id of the publishing process's incarnation.
    `recv_ns` is host time at receipt; for a log without receive times it is the stamp plus the rig's known offset.
    """

    stream: str
    modality: Modality
    seq: int
    stamp_ns: int
    recv_ns: int
    frame: str
    arrays: dict[str, NDArray[Any]]
    meta: dict[str, Any] = field(default_factory=dict)
    stamp: StampSemantics = "start"
    calibration: str = ""


def sample_duration_ns(sample: Sample) -> int:
    """What a sample covers from its stamp on: an IMU batch, an audio block, a sweep; 0 where it is one instant."""
    arrays = sample.arrays
    if sample.modality == "imu" and len(arrays.get("time_ns", ())) > 1:
        times = arrays["time_ns"]
        return max(0, int((times[-1] - times[0]) * len(times) // (len(times) - 1)))  # the clock may be set back
    if sample.modality == "audio" and "pcm" in arrays and sample.meta.get("sample_rate_hz"):
        return int(len(arrays["pcm"]) * 1_000_000_000 // int(sample.meta["sample_rate_hz"]))
    if sample.modality == "lidar" and len(arrays.get("time_ns", ())):
        return max(0, int(arrays["time_ns"].max()))
    return 0


MOST = {"gyro_radps": 1e3, "accel_mps2": 1e5, "velocity_mps": 1e4, "time_ns": 1e16, "detections": 1e6, "pcm": 1e6}
"""What no sensor's value exceeds, by array: more is damage, and would overflow what is computed with it. Times within a
message leap by 2^32 units where a device's counter wraps in it.
"""


def _within(values: NDArray[Any], most: float) -> bool:
    return bool(values.max() <= most) and bool(values.min() >= -most)


def sample_problem(sample: Sample) -> str | None:
    """Say in words why a sample's payload breaks its modality's contract, or None when it is sound.

    Checks names, dtypes, shapes, equal lengths, and that points, rates and detections are finite. NaN points are
    legal in a LiDAR cloud only if at least one point is finite (sensors mark no-returns so).
    """
    spec = ARRAY_SPECS.get(sample.modality)
    if spec is None:
        return f"unknown modality {sample.modality!r}, expected one of {', '.join(MODALITIES)}"
    plain = {name.lstrip("?"): value for name, value in spec.items()}
    for name, array in sample.arrays.items():
        if name not in plain:
            return f"unknown array {name!r} for {sample.modality}, expected {', '.join(plain)}"
        dtype, shape = plain[name]
        if array.dtype != np.dtype(dtype):
            return f"array {name!r} has dtype {array.dtype}, expected {dtype}"
        if array.ndim != len(shape) or any(s is not None and s != a for s, a in zip(shape, array.shape, strict=True)):
            expected = "x".join("any" if s is None else str(s) for s in shape)
            return f"array {name!r} has shape {array.shape}, expected {expected}"
    choices = ONE_OF.get(sample.modality, ())
    if choices and sum(c in sample.arrays for c in choices) != 1:
        return f"{sample.modality} needs exactly one of {', '.join(choices)}, got {', '.join(sample.arrays) or 'none'}"
    for name in spec:
        if not name.startswith("?") and name not in choices and name not in sample.arrays:
            return f"array {name!r} is missing"
    lengths = {name: len(a) for name, a in sample.arrays.items()}
    if sample.modality in ("lidar", "imu") and len(set(lengths.values())) > 1:
        return f"arrays differ in length: {lengths}"
    if "polar" in sample.arrays and lengths.get("azimuths_rad", lengths["polar"]) != lengths["polar"]:
        return f"arrays differ in length: {lengths}"
    if any(
        a.size == 0
        for n, a in sample.arrays.items()
        if n in ("image", "image_mono", "jpeg", "polar", "pcm", "gyro_radps")
    ):
        return "empty payload"
    for name in ("detections", "gyro_radps", "accel_mps2", "pcm"):
        if name in sample.arrays and not np.isfinite(sample.arrays[name]).all():
            return f"array {name!r} holds NaN or infinite values"
    for name, most in MOST.items():
        if name in sample.arrays and sample.arrays[name].size and not _within(sample.arrays[name], most):
            return f"array {name!r} holds values beyond {most:g}, which no sensor measures"
    if "points" in sample.arrays and lengths["points"] and not np.isfinite(sample.arrays["points"]).all(axis=1).any():
        return "no finite point in the cloud"
    return None


@dataclass
class Detections:
    """Objects in `base_link` at one reference time; N rows."""

    class_id: NDArray[np.uint8]  # (N,) index into CLASSES
    score: NDArray[np.float32]  # (N,) in [0, 1]
    center: NDArray[np.float64]  # (N, 3) metres
    size: NDArray[np.float64]  # (N, 3) length, width, height, metres
    yaw: NDArray[np.float64]  # (N,) radians, heading of the length axis
    velocity: NDArray[np.float64]  # (N, 2) m/s over ground, base_link axes; NaN where unknown
    covariance: NDArray[np.float64]  # (N, 4, 4) of [x, y, vx, vy]
    track_id: NDArray[np.int64]  # (N,) -1 where untracked

    def __len__(self) -> int:
        return len(self.score)

    @staticmethod
    def empty() -> Detections:
        return Detections(
            np.zeros(0, np.uint8),
            np.zeros(0, np.float32),
            np.zeros((0, 3)),
            np.zeros((0, 3)),
            np.zeros(0),
            np.zeros((0, 2)),
            np.zeros((0, 4, 4)),
            np.zeros(0, np.int64),
        )

    def select(self, index: NDArray[Any]) -> Detections:
        """The rows that an index array or a boolean mask picks."""
        return Detections(**{name: getattr(self, name)[index] for name in self.__dataclass_fields__})

    @staticmethod
    def concatenate(parts: list[Detections]) -> Detections:
        if not parts:
            return Detections.empty()
        return Detections(
            **{n: np.concatenate([getattr(p, n) for p in parts]) for n in Detections.__dataclass_fields__}
        )


@dataclass
class SoundEvent:
    """A sound heard at the tick: class (of SOUND_CLASSES), direction in base_link (left positive), score in [0, 1]."""

    name: str
    azimuth_rad: float
    score: float


@dataclass
class Truth:
    """What really was at `stamp_ns` (reference clock): annotated or simulated objects and ego motion.

    `objects.center` is in base_link at that time. `pose` is T_world_base. `complete` is False where an annotation is
    known not to hold every object (RADIATE labels what its annotators saw in the radar image). `visibility` and
    `in_view` are known of simulated objects: per camera, LiDAR and radar stream, row by row of `objects`.
    """

    stamp_ns: int
    objects: Detections
    pose: NDArray[np.float64] | None = None  # (4, 4)
    twist: NDArray[np.float64] | None = None  # (6,) vx vy vz wx wy wz in base_link, m/s and rad/s
    sounds: list[SoundEvent] = field(default_factory=list)
    complete: bool = True
    range_m: float | None = None  # annotated out to this range
    visibility: dict[str, NDArray[np.float32]] = field(default_factory=dict)  # (N,) seen share of the silhouette, 0..1
    in_view: dict[str, NDArray[np.bool_]] = field(default_factory=dict)  # (N,) in field of view and range, even hidden


@dataclass
class MessageTruth:
    """What really happened to one message of a simulated device; each receipt of a message has one of its own.

    `seq` counts the stream's receipts from 0, as a reader of the log does. A lost message has -1, and `recv_ns` is when
    it would have been received. Times but `stamp_ns` are on the reference clock.
    """

    stream: str
    seq: int
    k: int  # the number of the measurement
    stamp_ns: int  # device's clock
    event_ns: int  # the true time of the instant that the stamp names
    end_ns: int  # end of the measurement
    recv_ns: int
    lost: str = ""  # "", or why: drop, burst, outage
    copy: int = 0  # the same message once more, or the how manieth time
    content_k: int = 0  # the measurement whose content it carries: another than `k` while frozen
    marks: tuple[str, ...] = ()  # what befell it on its way: spike, reordered, stalled

    @property
    def frozen(self) -> bool:
        return self.content_k != self.k

    @property
    def delay_ns(self) -> int:
        return self.recv_ns - self.end_ns


LedgerReason = Literal[
    "fused", "superseded", "late", "no_tick", "queue_full", "transport_lost", "corrupt", "quarantined"
]
LEDGER_REASONS: tuple[LedgerReason, ...] = (
    "fused",
    "superseded",
    "late",
    "no_tick",
    "queue_full",
    "transport_lost",
    "corrupt",
    "quarantined",
)

StreamStatus = Literal["ok", "late", "missing", "idle", "stale", "suspect", "invalid", "recovering"]
"""Per stream in a tick: ok; late (came after the deadline); missing (never seen); idle (silent for long: not waited
for); stale (last sample older than its age limit); suspect (stamps quarantined); invalid and recovering (its health:
it has no vote)."""


HealthState = Literal["ok", "late", "stale", "lost", "recovering", "invalid"]
"""Of a stream: ok; late (overdue, too late for its ticks, or losing messages); stale (what is here of it is too old);
lost (silent for long, or never heard); recovering (back, and checked before it votes); invalid (what comes cannot be
used: its content, its stamps, its calibration)."""
HEALTH_STATES: tuple[HealthState, ...] = ("ok", "late", "stale", "lost", "recovering", "invalid")


@dataclass
class StreamHealth:
    """How a stream is at a tick. `reason` says why it is not ok, or what is odd of it although it is.

    `period_ns` and `jitter_ns` are learned from the stream (0 before); `jitter_ns` is how much longer than the median
    the 95th percentile of its delays is. The counts are since the start: messages heard, missed (by number, or for a
    hole in time), refused (content, stamp or calibration) and doubted (usable, but odd).
    """

    state: HealthState = "ok"
    reason: str = ""
    weight: float = 1.0  # of its vote: 0 without one, less than 1 while it fades in or is doubted; `late` alone fades
    period_ns: int = 0
    jitter_ns: int = 0
    heard: int = 0
    missed: int = 0
    refused: int = 0
    doubted: int = 0


BOUND_RANGE_M = 20.0


@dataclass
class StreamTick:
    """What one tick holds of one stream. `dt_ns` = event time - t_ref (negative: older).

    `bound_ns` bounds the error of `dt_ns` (two sigma, and a step of the stamps), `bound_m` what that comes to at
    `BOUND_RANGE_M`, with the motion of the tick; infinite where the motion is not known.
    """

    stream: str
    modality: Modality
    status: StreamStatus
    boot: int = 0
    seqs: list[int] = field(default_factory=list)  # one for camera/lidar/radar, all of the window for imu/audio
    dt_ns: int = 0
    sigma_ns: int = 0  # one-sigma bound of dt
    offset_ns: int = 0  # added to the stamp
    method: str = "nearest"
    bound_ns: int = 0
    bound_m: float = 0.0
    health: StreamHealth = field(default_factory=StreamHealth)


@dataclass
class Tick:
    """An aligned set: which samples make the picture at `t_ref_ns` (reference clock)."""

    tick_id: int
    t_ref_ns: int
    emit_ns: int
    deadline_hit: bool
    streams: list[StreamTick]
    pose: NDArray[np.float64]  # (4, 4) T_odom_base at t_ref
    twist: NDArray[np.float64]  # (6,) vx vy vz wx wy wz in base_link
    twist_sigma: NDArray[np.float64]  # (6,) one sigma; inf where never observed
    dispositions: list[tuple[str, int, int, LedgerReason]] = field(default_factory=list)  # stream, boot, seq, reason
    last_needed_recv_ns: int = 0  # arrival of the last sample that the tick holds
    pose_covariance: NDArray[np.float64] = field(default_factory=lambda: np.full((6, 6), np.nan))  # see FusedFrame
    motion_ns: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))  # (K,) after t_ref, ascending
    motion: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 3, 4)))  # (K, 3, 4) T_ref_t: base at each
    pace: float = 1.0  # seconds of reference time per second of the host; not 1 where a log is played at another pace
    shift_ns: int = 0  # host time - reference time at t_ref; `emit_ns` and `last_needed_recv_ns` are host time


@dataclass
class StreamUse:
    """Provenance of one stream in a fused frame. `reason` is "" when used."""

    stream: str
    modality: Modality
    used: bool
    reason: str
    age_ns: int  # t_ref - event time
    skew_ns: int  # |event time - t_ref| that no propagation removed
    bound_ns: int  # what the alignment error hardly exceeds: the skew, and how surely the sample's time is known
    weight: float  # share of the fusion given to it, 0..1
    bound_m: float = 0.0  # what not knowing the sample's time comes to at BOUND_RANGE_M; inf where motion is not known
    health: StreamHealth = field(default_factory=StreamHealth)


@dataclass
class FusedFrame:
    """One per tick, whichever sensors were alive."""

    tick_id: int
    t_ref_ns: int
    detections: Detections  # this tick's evidence, untracked
    tracks: Detections  # confirmed tracks, with track_id
    twist: NDArray[np.float64]  # (6,) base_link
    twist_sigma: NDArray[np.float64]  # (6,)
    pose: NDArray[np.float64]  # (4, 4) T_odom_base
    sounds: list[SoundEvent]
    uses: list[StreamUse]
    strategy: str
    model: str  # id of the weights, "" for strategies that need none
    engine: str
    precision: str
    deadline_hit: bool
    mode: str  # "full", or "no_" and the absent modalities: what degraded mode made this
    timings_ns: dict[str, int] = field(default_factory=dict)  # per stage; empty in deterministic replay
    dispositions: list[tuple[str, int, int, LedgerReason]] = field(default_factory=list)
    # of x y z and a small turn about x y z, in odometry axes, since odometry began; all NaN where it is not known
    pose_covariance: NDArray[np.float64] = field(default_factory=lambda: np.full((6, 6), np.nan))
    # what the strategy scored and took in tests with the modalities of `mode`; NaN where that was not measured
    expected_score: float = math.nan
    expected_figure: str = ""  # which score that is
    expected_ms: float = math.nan  # of work per tick: the encoders of what is there, and the fusion
