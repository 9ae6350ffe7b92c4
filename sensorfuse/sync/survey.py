"""One pass over a log that finds how its streams' clocks relate."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from sensorfuse.align.paced_time import PacedTime
from sensorfuse.align.replay_rate import ReplayRate
from sensorfuse.log import open_log
from sensorfuse.log.reader import LogReader, MergedReader
from sensorfuse.messages import Sample, sample_duration_ns
from sensorfuse.rig import FusionConfig, Rig, load_rig
from sensorfuse.sync.clock_tally import ClockTally, same_pace
from sensorfuse.sync.completeness import Completeness
from sensorfuse.sync.content_offsets import ContentOffsets
from sensorfuse.sync.phase_lock import PhaseLock
from sensorfuse.sync.settings import suggest
from sensorfuse.sync.step_tally import StepTally
from sensorfuse.sync.stream_plan import StreamPlan, guess_rig, plan_streams
from sensorfuse.sync.stream_report import ContentReport, StreamReport, SyncReport
from sensorfuse.sync.verdict import judge

PROGRESS_EVERY = 20
PACE_NS = 8_000_000_000  # of receipts, at the beginning, that tell the log's pace
NO_RECEIPTS = "no receive times in this log, so drift, delay and waiting cannot be told of these streams"
Progress = Callable[[int, float], None]


class _Survey:
    """The state of one pass."""

    def __init__(
        self, plans: dict[str, StreamPlan], rig: Rig | None, has_recv: bool, content: bool, pace: float = 1.0
    ) -> None:
        self.plans = plans
        self.has_recv = has_recv
        self.time = PacedTime()
        self.pace = pace
        self.steps = {name: StepTally() for name in plans}
        self.clocks = {name: ClockTally(plan.clock(), has_recv) for name, plan in plans.items()}
        fused = set(rig.fused_streams()) if rig is not None else set()
        self.awaited = {name: plan for name, plan in plans.items() if rig is None or plan.name in fused}
        self.completeness = Completeness(self.awaited, (rig.fusion if rig else FusionConfig()).period_ns)
        self.content = ContentOffsets(plans) if content else None
        self.lock = PhaseLock(_densest(plans))
        self.start_ns: int | None = None
        self.end_ns = 0

    def take(self, sample: Sample) -> None:
        stream, stamp_ns = sample.stream, sample.stamp_ns
        if self.start_ns is None:
            self.start_ns = self.end_ns = sample.recv_ns
            self.time.set_rate(self.pace, sample.recv_ns)
        recv_ns = self.time.paced_ns(sample.recv_ns)
        self.end_ns = max(self.end_ns, recv_ns)
        span_ns = sample_duration_ns(sample)
        epoch = self.clocks[stream].clock.epoch
        reading = self.clocks[stream].push(stamp_ns, recv_ns, span_ns, recv_ns - self.start_ns)
        if reading is None:
            return
        if reading.epoch != epoch:
            self.steps[stream].restart()
        self.steps[stream].push(reading.event_ns - reading.offset_ns)  # the stamp; of a counter: unwrapped
        if stream == self.lock.reference:
            self.lock.push_reference(stamp_ns + sample.arrays.get("time_ns", np.zeros(1, np.int64)))
        else:
            self.lock.push(stream, stamp_ns)
        if stream in self.awaited:
            self.completeness.push(stream, reading.event_ns, span_ns, recv_ns)
        if self.content is not None:
            self.content.push(stream, sample, reading, self.start_ns)

    def _known_s(self, plan: StreamPlan, content: ContentReport | None) -> float:
        """To what the rig says it knows the offset between a stream and what it was compared with."""
        names = (plan.name, content.whole.reference if content is not None else "")
        sigmas = (p.config.offset_sigma_s for p in self.plans.values() if p.config is not None and p.name in names)
        return math.hypot(*sigmas)

    def report(self, reader: LogReader, rig: Rig | None, messages: int) -> SyncReport:
        content = self.content.reports() if self.content is not None else {}
        streams = {}
        clocks = {name: clock.report() for name, clock in self.clocks.items()}
        for name, plan in self.plans.items():
            steps, clock = self.steps[name].report(), clocks[name]
            phase = self.lock.report(name)
            if phase is not None and not same_pace(clock, clocks[self.lock.reference]):
                phase = replace(phase, locked=False)  # each is regular by its own clock, but those drift apart
            rejected = sum(n for (s, _), n in reader.rejected.items() if s == name)
            streams[plan.name] = StreamReport(
                name=plan.name,
                log_stream=name,
                modality=plan.modality,
                stamp_source=plan.info.stamp_source,
                offset_s=None if plan.config is None else plan.config.offset_s,
                offset_sigma_s=None if plan.config is None else plan.config.offset_sigma_s,
                steps=steps,
                clock=clock,
                phase=phase,
                rejected=rejected,
                notes=plan.info.notes,
                content=content.get(name),
                verdict=judge(
                    plan, steps, clock, phase, content.get(name), rejected, self._known_s(plan, content.get(name))
                ),
            )
        timed = self.has_recv and any(s.clock.receive_times == "recorded" for s in streams.values())
        completeness = self.completeness.report(self.end_ns) if timed else None
        duration_s = (self.end_ns - self.start_ns) / 1e9 if self.start_ns is not None else 0.0
        settings = suggest(self.plans, streams, completeness, rig)
        rig_name = rig.name if rig is not None else None
        untimed = [s.name for s in streams.values() if s.clock.receive_times == "none" and s.steps.count]
        notes = (*reader.notes, *((f"{NO_RECEIPTS}: {', '.join(untimed)}",) if untimed else ()))
        if self.pace != 1.0:
            notes = (pace_words(self.pace), *notes)
        return SyncReport(
            str(reader.path),
            reader.format,
            rig_name,
            duration_s,
            messages,
            streams,
            completeness,
            settings,
            notes,
            self.pace,
        )


def _densest(plans: dict[str, StreamPlan]) -> str:
    """The stream with the most samples a second: an IMU where there is one."""
    rank = {"imu": 2, "audio": 0}
    return max(plans, key=lambda name: (rank.get(plans[name].modality, 1), -plans[name].period_ns), default="")


def pace_of_log(reader: LogReader) -> float:
    """How fast the log was played when it was recorded, by its beginning: 1.0 if it was not."""
    rate, end_ns = ReplayRate(), None
    for sample in reader.samples():
        rate.push(sample.stream, sample.stamp_ns, sample.recv_ns - sample_duration_ns(sample))
        end_ns = sample.recv_ns + PACE_NS if end_ns is None else end_ns
        if sample.recv_ns > end_ns:
            break
    return rate.rate


def pace_words(pace: float) -> str:
    """What a log's pace means."""
    text = f"the log was played at {pace:.3g} times its own pace when it was recorded"
    return f"{text}: delays, waits and clocks are told in its own seconds"


def survey(reader: LogReader, rig: Rig | None, content: bool = True, progress: Progress | None = None) -> SyncReport:
    """Read a log, in memory that does not grow with it: its beginning for its pace, then all of it once.

    Args:
        reader: an open log, opened with the rig's offsets.
        rig: names the streams, their offsets and the cadence; without one every stream is read, at 10 ticks a second.
        content: also compare what the streams saw, which takes the time of looking at every picture and sweep.
        progress: called now and then with the number of messages read and the log's seconds.

    Raises:
        SensorfuseError: the rig names no stream of the log, or the log's storage cannot be read.
    """
    plans = plan_streams(reader, rig)
    has_recv = not isinstance(reader, MergedReader)
    state = _Survey(plans, rig, has_recv, content, pace_of_log(reader) if has_recv else 1.0)
    count = 0
    for count, sample in enumerate(reader.samples(), start=1):
        state.take(sample)
        if progress is not None and count % PROGRESS_EVERY == 0 and state.start_ns is not None:
            progress(count, (state.end_ns - state.start_ns) / 1e9)
    return state.report(reader, rig, count)


def survey_log(
    path: Path, rig_name: str | None = None, content: bool = True, progress: Progress | None = None
) -> tuple[Rig | None, SyncReport]:
    """Open a log and survey it; without a rig's name or file with the rig that fits it, if one does.

    Raises:
        SensorfuseError: the log or the rig cannot be read, or do not go together.
    """
    if rig_name is not None:
        rig: Rig | None = load_rig(rig_name)
    else:
        with open_log(path) as reader:
            rig = guess_rig(reader)
    with open_log(path, rig.clock_offsets_ns() if rig is not None else None) as reader:
        return rig, survey(reader, rig, content, progress)
