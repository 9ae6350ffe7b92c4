"""Short runs of simulated worlds, clean or corrupted: which samples a tick holds, and what they hold. Every evaluation
on simulated worlds plays these.

A tick takes of each stream what the aligner would: the nearest message that has come, or the last two of a window, if
it is not too old for the rig. The tick's velocity is true, its turn rates are what the IMU's samples say, so that a bad
IMU does harm where it does on a robot: maps and objects are moved wrongly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sensorfuse.fusion.evaluation.corruptions import Corruption, RigCorruption, SampleCorruption
from sensorfuse.fusion.evaluation.corruptions.cross_sensor import Message, Schedule, Span
from sensorfuse.fusion.grid import SPATIAL
from sensorfuse.fusion.training.dataset import WINDOW, ideal_tick, visible_objects
from sensorfuse.messages import MODALITIES, Modality, Sample, Tick, Truth
from sensorfuse.rig import Rig
from sensorfuse.sim import SimulatedRig

World = tuple[str, int]
"""Scenario and seed."""

BEFORE_NS, AFTER_NS = 1_300_000_000, 150_000_000  # messages about a run's ticks that may be asked for
START_S = 2.0  # of a world, before the first run


@dataclass
class Scene:
    """One tick to judge: what was measured, what is true, and which true objects count."""

    tick: Tick
    samples: dict[str, list[Sample]]
    truth: Truth
    visible: NDArray[np.bool_]


@dataclass
class Run:
    """Consecutive ticks of one world, for which the random numbers are the same whatever is judged."""

    rig: Rig  # as the robot believes it
    world: SimulatedRig
    number: int  # of the run in its world
    times_ns: tuple[int, ...]
    _raw: dict[tuple[str, int], Sample] = field(default_factory=dict)

    @cached_property
    def truths(self) -> list[Truth]:
        return [self.world.truth(t) for t in self.times_ns]

    @cached_property
    def visible(self) -> list[NDArray[np.bool_]]:
        """Per tick, which objects of its truth count."""
        return [visible_objects(self.world, t) for t in self.times_ns]

    @property
    def span(self) -> Span:
        return Span(self.times_ns[0], self.times_ns[-1])

    @cached_property
    def schedules(self) -> dict[str, Schedule]:
        """Every fused stream's messages about the run."""
        out = {}
        for stream in self.rig.fused_streams():
            first_ns, period_ns = self.world.event_ns(stream, 0), self.rig.sensors[stream].period_ns
            low = max((self.times_ns[0] - BEFORE_NS - first_ns) // period_ns, 0)
            high = max((self.times_ns[-1] + AFTER_NS - first_ns) // period_ns, 0)
            messages = tuple(Message(k, self.world.event_ns(stream, k)) for k in range(low, high + 1))
            out[stream] = Schedule(self.rig.sensors[stream].modality, messages)
        return out

    def sample(self, stream: str, k: int) -> Sample:
        """A message as it was measured, simulated once."""
        if (stream, k) not in self._raw:
            self._raw[(stream, k)] = self.world.sample(stream, k)
        return self._raw[(stream, k)]

    def random(self, *key: int) -> np.random.Generator:
        """Random numbers of this run that depend on nothing but the key."""
        return np.random.default_rng(
            [self.world.seed, *self.world.scenario_name.encode(), self.number, *(k & 0xFFFFFFFF for k in key)]
        )


def make_runs(rig: Rig, worlds: Sequence[World], per_world: int, ticks: int) -> Iterator[Run]:
    """Runs of `ticks` ticks at the rig's cadence, spread over each world's lap, at times between the sensors' own."""
    for scenario, seed in worlds:
        world = SimulatedRig(rig, scenario=scenario, seed=seed)
        rng = np.random.default_rng([seed, *scenario.encode()])
        for number in range(per_world):
            part = (number + rng.random()) / per_world
            start_ns = world.epoch_ns + round((START_S + part * max(world.duration_s - START_S, 0.0)) * 1e9)
            times = tuple(start_ns + n * rig.fusion.period_ns for n in range(ticks))
            yield Run(rig, world, number, times)


def chosen(schedule: Schedule, t_ns: int, period_ns: int, max_age_ns: int) -> list[Message]:
    """What a tick at `t_ns` takes of a stream: the nearest by its stamp, of those that have come by half a period after
    the tick, or the last messages of a window that began before the tick; none that the stamps say is too old.
    """
    spatial = schedule.modality in SPATIAL
    wait_ns = period_ns // 2 if spatial else 0
    there = [
        m for m in schedule.messages if m.event_ns <= t_ns + wait_ns and m.event_ns + m.error_ns >= t_ns - max_age_ns
    ]
    if spatial:
        return [min(there, key=lambda m: abs(m.event_ns + m.error_ns - t_ns))] if there else []
    return [m for m in there if m.event_ns + m.error_ns <= t_ns][-WINDOW:]


@dataclass
class Condition:
    """One run as one corruption at one level leaves it; `corruption` None is the clean run."""

    run: Run
    corruption: Corruption | None = None
    level: float = 0.0
    _samples: dict[tuple[str, Message], Sample] = field(default_factory=dict)

    @property
    def touched(self) -> tuple[Modality, ...]:
        """The modalities whose samples may differ from the clean run's."""
        return () if self.corruption is None or self.level == 0 else self.corruption.modalities

    @cached_property
    def schedules(self) -> dict[str, Schedule]:
        clean = self.run.schedules
        if not self.touched or not self.corruption or isinstance(self.corruption, (SampleCorruption, RigCorruption)):
            return clean
        return self.corruption.change(clean, self.run.span, self.level, self._rng())

    def messages(self, t_ns: int) -> dict[str, list[Message]]:
        """Per stream that has something, what the tick takes."""
        found = {}
        for stream, schedule in self.schedules.items():
            sensor = self.run.rig.sensors[stream]
            taken = chosen(schedule, t_ns, sensor.period_ns, sensor.max_age_ns)
            if taken:
                found[stream] = taken
        return found

    def scenes(self, present: Sequence[Modality] = MODALITIES) -> list[Scene]:
        """The run's ticks, as a robot has them that has only the sensors of some modalities."""
        out = []
        for n, t_ns in enumerate(self.run.times_ns):
            taken = {
                stream: [self.sample(stream, m) for m in messages]
                for stream, messages in self.messages(t_ns).items()
                if self.run.rig.sensors[stream].modality in present
            }
            tick = measured_tick(self.run.rig, t_ns, taken, self.run.truths[n], n)
            out.append(Scene(tick, taken, self.run.truths[n], self.run.visible[n]))
        return out

    def sample(self, stream: str, message: Message) -> Sample:
        """What the message holds under this condition."""
        key = (stream, message)
        if key not in self._samples:
            self._samples[key] = self._make(stream, message)
        return self._samples[key]

    def _make(self, stream: str, message: Message) -> Sample:
        raw = self.run.sample(stream, message.k)
        if raw.modality not in self.touched:
            return raw
        if isinstance(self.corruption, SampleCorruption):
            steady = self.corruption.steady
            rng = self._rng() if steady else self._rng(self.run.rig.streams().index(stream), message.k)
            return self.corruption.change(raw, self.level, rng)
        if isinstance(self.corruption, RigCorruption):
            return self._elsewhere.sample(stream, message.k)
        content = raw if message.content == message.k else self.run.sample(stream, message.content)
        return replace(raw, arrays=content.arrays, meta=content.meta, stamp_ns=raw.stamp_ns + message.error_ns)

    @cached_property
    def _elsewhere(self) -> SimulatedRig:
        """The same world, with the sensors where they really are."""
        assert isinstance(self.corruption, RigCorruption)
        world = self.run.world
        true_rig = self.corruption.change(self.run.rig, self.level, self._rng())
        return SimulatedRig(true_rig, world.scenario_name, world.seed, world.epoch_ns)

    def _rng(self, *key: int) -> np.random.Generator:
        assert self.corruption is not None
        return self.run.random(*self.corruption.name.encode(), *key)


def measured_tick(rig: Rig, t_ns: int, samples: dict[str, list[Sample]], truth: Truth, number: int) -> Tick:
    """An ideal tick but for its turn rates: the mean of its IMU samples' in base_link axes, or 0 without an IMU."""
    tick = ideal_tick(rig, t_ns, samples, truth, number)
    rates = [
        got[k].arrays["gyro_radps"].mean(axis=0) @ rig.sensors[n].T_base_sensor.transform().rotation.T
        for n, got in samples.items()
        if rig.sensors[n].modality == "imu"
        for k in range(len(got))
    ]
    turn = np.mean(rates, axis=0) if rates else np.zeros(3)
    return replace(tick, twist=np.concatenate([tick.twist[:3], turn]))


def modality_subsets(rig: Rig) -> list[tuple[Modality, ...]]:
    """All 2^M - 1 sets of the modalities that the rig fuses, each in their usual order; the largest first."""
    every = [m for m in MODALITIES if m in rig.fusion.modalities]
    sets = [tuple(m for b, m in enumerate(every) if bits >> b & 1) for bits in range(1, 1 << len(every))]
    return sorted(sets, key=lambda s: (-len(s), [every.index(m) for m in s]))
