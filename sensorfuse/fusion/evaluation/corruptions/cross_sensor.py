"""What befalls streams, their times and their mounts, not what one measurement holds.

A stream corruption takes the schedules of all streams over a run and gives new ones: which messages come, what their
stamps are off by, whose content they carry. A rig corruption takes the rig that the robot believes and gives the one
that is true. Level 0 changes nothing. Failure modes after Beemelmanns et al., "MultiCorrupt", IV 2024 (missing frames,
temporal and spatial misalignment), and the literature on modalities that are missing at unequal rates (Ma et al.,
"SMIL", AAAI 2021).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sensorfuse.fusion.grid import SPATIAL
from sensorfuse.geometry import Transform, exp_rotation
from sensorfuse.messages import MODALITIES, Modality
from sensorfuse.rig import Rig
from sensorfuse.sensor_config import PoseConfig

OFFSET_NS = (10_000_000, 300_000_000)  # at the least level and the greatest
JITTER_NS = 100_000_000  # one sigma
ROTATION_DEG = (0.5, 5.0)
TRANSLATION_M = (0.01, 0.2)
SLOWEST = 4  # one message of so many comes
FREEZE_NS = 1_000_000_000
IMBALANCE = (1.0, 0.6, 0.3, 0.1, 0.0)
"""Of the level, each modality's share of messages lost, in an order drawn at random."""


@dataclass(frozen=True)
class Message:
    """One message of a stream: number `k`, taken at `event_ns` (reference clock). Its stamp is off by `error_ns`, and
    it carries what message `content_k` measured (-1: its own).
    """

    k: int
    event_ns: int
    error_ns: int = 0
    content_k: int = -1

    @property
    def content(self) -> int:
        return self.k if self.content_k < 0 else self.content_k


@dataclass(frozen=True)
class Schedule:
    """The messages of one stream about a run, in the order in which they were taken."""

    modality: Modality
    messages: tuple[Message, ...]


@dataclass(frozen=True)
class Span:
    """The run's ticks lie from `start_ns` to `end_ns`, both included."""

    start_ns: int
    end_ns: int


Schedules = Mapping[str, Schedule]
Change = Callable[[Schedules, Span, float, np.random.Generator], dict[str, Schedule]]
StreamChange = Callable[[Schedule, Span, float, np.random.Generator], Schedule]


def graded(level: float, least: float, most: float) -> float:
    """0 at level 0; from there on from the least to the most, by equal steps."""
    return 0.0 if level == 0 else least + (most - least) * level


def of(modalities: Sequence[Modality], change: StreamChange) -> Change:
    """A change of one stream, done to every stream of some modalities."""

    def changed(streams: Schedules, span: Span, level: float, rng: np.random.Generator) -> dict[str, Schedule]:
        return {n: change(s, span, level, rng) if s.modality in modalities else s for n, s in streams.items()}

    return changed


def lost(schedule: Schedule, span: Span, level: float, rng: np.random.Generator) -> Schedule:
    """Messages lost at random, each with the probability `level`: at 1 the modality is missing."""
    draw = rng.random(len(schedule.messages))
    return replace(schedule, messages=tuple(m for m, d in zip(schedule.messages, draw, strict=True) if d >= level))


def frozen(schedule: Schedule, span: Span, level: float, rng: np.random.Generator) -> Schedule:
    """New stamps, the old content: stuck since `level` seconds before the end of the run."""
    since_ns = span.end_ns - round(FREEZE_NS * level)
    before = [m.k for m in schedule.messages if m.event_ns <= since_ns]
    if level == 0 or not before:
        return schedule
    stuck = tuple(replace(m, content_k=before[-1]) if m.k > before[-1] else m for m in schedule.messages)
    return replace(schedule, messages=stuck)


def offset(schedule: Schedule, span: Span, level: float, rng: np.random.Generator) -> Schedule:
    """Stamps off by 10 to 300 ms, all by the same; early or late, drawn for the run."""
    error_ns = round(graded(level, *OFFSET_NS)) * int(rng.choice([-1, 1]))
    return replace(schedule, messages=tuple(replace(m, error_ns=m.error_ns + error_ns) for m in schedule.messages))


def jitter(schedule: Schedule, span: Span, level: float, rng: np.random.Generator) -> Schedule:
    """Stamps off by up to 100 ms (one sigma), each by itself."""
    errors = np.rint(rng.standard_normal(len(schedule.messages)) * JITTER_NS * level).astype(np.int64).tolist()
    moved = (replace(m, error_ns=m.error_ns + e) for m, e in zip(schedule.messages, errors, strict=True))
    return replace(schedule, messages=tuple(moved))


def slowed(schedule: Schedule, span: Span, level: float, rng: np.random.Generator) -> Schedule:
    """One message of 1 + 3 level comes, as evenly as that can be, beginning anywhere."""
    stride = 1 + (SLOWEST - 1) * level
    start = rng.random() * stride
    kept = tuple(m for m in schedule.messages if (m.k + start) % stride < 1)
    return schedule if level == 0 else replace(schedule, messages=kept)


def gap(streams: Schedules, span: Span, level: float, rng: np.random.Generator) -> dict[str, Schedule]:
    """One of camera, LiDAR and radar, drawn for the run, is silent for `level` of the run without a break."""
    there = [m for m in SPATIAL if any(s.modality == m for s in streams.values())]
    place = rng.random()
    if level == 0 or not there:
        return dict(streams)
    silent = there[int(rng.integers(len(there)))]
    length_ns = span.end_ns - span.start_ns + 200_000_000  # from before the first tick until after the last
    start_ns = span.start_ns - 100_000_000 + round(place * (1 - level) * length_ns)
    return {n: silenced(s, start_ns, start_ns + round(level * length_ns), (silent,)) for n, s in streams.items()}


def silenced(schedule: Schedule, start_ns: int, end_ns: int, modalities: Sequence[Modality]) -> Schedule:
    """The stream without what was taken from `start_ns` until before `end_ns`, if it is of one of the modalities."""
    if schedule.modality not in modalities:
        return schedule
    return replace(schedule, messages=tuple(m for m in schedule.messages if not start_ns <= m.event_ns < end_ns))


def imbalanced(streams: Schedules, span: Span, level: float, rng: np.random.Generator) -> dict[str, Schedule]:
    """Messages of all modalities are lost, of each at another rate; which is worst is drawn for the run."""
    share = dict(zip(MODALITIES, rng.permutation(IMBALANCE).tolist(), strict=True))
    return {n: lost(s, span, level * share[s.modality], rng) for n, s in streams.items()}


def rotated(rig: Rig, level: float, rng: np.random.Generator) -> Rig:
    """Camera, LiDAR and radar are mounted 0.5 to 5 degrees off, each about an axis drawn at random."""
    angle = np.radians(graded(level, *ROTATION_DEG))
    return _remounted(rig, lambda: Transform(exp_rotation(_direction(rng) * angle), np.zeros(3)))


def shifted(rig: Rig, level: float, rng: np.random.Generator) -> Rig:
    """Camera, LiDAR and radar are mounted 1 to 20 cm off, each in a direction drawn at random."""
    away = graded(level, *TRANSLATION_M)
    return _remounted(rig, lambda: Transform(np.eye(3), _direction(rng) * away))


def _remounted(rig: Rig, error: Callable[[], Transform]) -> Rig:
    """The rig with `T_sensor_sensor'` of each spatial sensor behind its mount."""
    sensors = dict(rig.sensors)
    for name, sensor in sensors.items():
        if sensor.modality in SPATIAL:
            pose = sensor.T_base_sensor.transform() @ error()
            mount = PoseConfig(matrix=pose.matrix().tolist())
            sensors[name] = sensor.model_copy(update={"T_base_sensor": mount})
    return rig.model_copy(update={"sensors": sensors})


def _direction(rng: np.random.Generator) -> np.ndarray:  # type: ignore[type-arg]
    vector = rng.standard_normal(3)
    return np.asarray(vector / np.linalg.norm(vector))
