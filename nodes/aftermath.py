"""What a person sees of a run that is over: `summary.json` and `report.html` beside the fused log."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensorfuse.nodes.assess import assess
from sensorfuse.nodes.plan import Outcome, RunPlan

from sensorfuse.align.ego_scoring import PoseTrack, score_ego_motion
from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.grid import SPATIAL
from sensorfuse.inject.limits import Limit
from sensorfuse.inject.verdict import Damage
from sensorfuse.log import open_log, read_frames
from sensorfuse.messages import LEDGER_REASONS, Detections, FusedFrame, Sample, Truth
from sensorfuse.plain_json import plain
from sensorfuse.report.page import write_report
from sensorfuse.report.record import RunRecord, Snapshot, choose_snapshots
from sensorfuse.report.summary import build_summary
from sensorfuse.sim import SimulatedRig
from sensorfuse.track.scoring import score_sequence

TruthAt = Callable[[int], Truth | None]
PoseAt = Callable[[int], NDArray[np.float64] | None]

MAX_SHIFT_TICKS = 2  # a picture may show a tick so far off if only there the truth is known
MATCH_NS = 2_000_000  # a sample belongs to a tick if its event time fits the tick's record so well


@dataclass
class Result:
    """What a run left behind."""

    summary: dict[str, Any]
    out: Path
    report: Path
    failures: list[str]  # what the run could not do, though it went on
    damage: Damage  # what faults cost, and the limits kept or not


def conclude(plan: RunPlan, outcome: Outcome, command: str | None = None, limits: Sequence[Limit] = ()) -> Result:
    """Write a run's summary and report. `limits` are compared with what was measured.

    Raises:
        SensorfuseError: its files can't be written.
    """
    first = next(iter(_frames(outcome)), None)
    record = _record(plan, outcome, first, command or shlex.join(sys.argv))
    truth, pose = _truth_source(plan, outcome.origin_ns)
    pairs = _pairs(outcome, truth)
    summary = build_summary(record, _frames(outcome), _score(pairs), _ego_score(outcome, pose))
    damage = assess(plan, outcome, _frames(outcome), pairs)
    damage.hold_to(limits)
    summary["faults"] = damage.to_dict()
    try:
        text = json.dumps(plain(summary), indent=2, allow_nan=False) + "\n"
        (plan.out / "summary.json").write_text(text, encoding="utf-8")
        report = write_report(plan.out, record, summary, _snapshots(plan, outcome, truth))
    except OSError as error:
        words = [f"{plan.out}: the summary and the report can't be written: {error.strerror}", *outcome.failures]
        raise SensorfuseError("\n".join(words)) from None
    return Result(summary, plan.out, report, outcome.failures, damage)


def assess_run(plan: RunPlan, outcome: Outcome) -> Damage:
    """What a run's faults cost, without its summary and report."""
    truth, _ = _truth_source(plan, outcome.origin_ns)
    return assess(plan, outcome, _frames(outcome), _pairs(outcome, truth))


def _frames(outcome: Outcome) -> Iterator[FusedFrame]:
    for path in outcome.log_paths:
        yield from read_frames(path)


def _record(plan: RunPlan, outcome: Outcome, first: FusedFrame | None, command: str) -> RunRecord:
    ledger = outcome.collector.ledger
    streams = plan.rig.streams()
    if plan.log is not None:
        source = str(plan.log)
    else:
        sim = plan.rig.sim
        source = f"synthetic rig, scenario {sim.scenario}, seed {sim.seed}" if sim else "live"
    return RunRecord(
        rig=plan.rig,
        strategy=first.strategy if first else plan.rig.fusion.strategy,
        engine=first.engine if first else plan.rig.fusion.engine,
        model=first.model if first else "",
        source=source,
        command=command,
        rate="live" if plan.log is None else "max" if plan.rate is None else f"{plan.rate:g}",
        deterministic=plan.deterministic,
        ticks_expected=outcome.ticks_expected,
        published={s: ledger.published(s) for s in streams},
        received=outcome.collector.received_total(),
        ledger={s: {r: ledger.counts(s)[r] for r in LEDGER_REASONS} for s in streams},
        timings_ms=outcome.collector.timings_ms,
        events=outcome.events,
        rejected=outcome.rejected,
        exchanges=outcome.exchanges,
        unaccounted=outcome.unaccounted(plan.rig),
        frames_path=outcome.log_paths[0] if outcome.log_paths else plan.out / "fused.mcap",
    )


# ---- truth, score, pictures


def _truth_source(plan: RunPlan, origin_ns: int) -> tuple[TruthAt, PoseAt]:
    """Truth at a time, and the true pose: from the simulated world, or from the log's annotation nearest to it and
    its poses around it.
    """
    if plan.log is None:
        sim = SimulatedRig(plan.rig, epoch_ns=origin_ns)
        return sim.truth, lambda t_ns: sim.world.ego_pose((t_ns - origin_ns) / 1e9).matrix()
    with open_log(plan.log, offsets_ns=plan.rig.clock_offsets_ns()) as reader:
        known = list(reader.truth())
    times = np.array([t.stamp_ns for t in known], dtype=np.int64)

    def nearest(t_ns: int) -> Truth | None:
        if len(times) == 0:
            return None
        i = int(np.argmin(np.abs(times - t_ns)))
        return known[i] if abs(int(times[i]) - t_ns) <= plan.rig.fusion.period_ns // 2 else None

    return nearest, PoseTrack(known).at


def _pairs(outcome: Outcome, truth: TruthAt) -> dict[int, tuple[Detections, Truth]]:
    """By tick, the tracks and the truth where it is known; no annotation counts twice."""
    pairs = {}
    used: set[int] = set()
    for frame in _frames(outcome):
        real = truth(frame.t_ref_ns)
        if real is not None and real.stamp_ns not in used:
            used.add(real.stamp_ns)
            pairs[frame.tick_id] = (frame.tracks, real)
    return pairs


def _score(pairs: dict[int, tuple[Detections, Truth]]) -> dict[str, Any] | None:
    """Score the tracks against truth wherever it is known."""
    if not any(len(real.objects) for _, real in pairs.values()):
        return None
    return score_sequence(list(pairs.values()))


def _ego_score(outcome: Outcome, pose: PoseAt) -> dict[str, Any] | None:
    """Score the dead-reckoned pose wherever the true one is known."""
    rows = []
    for frame in _frames(outcome):
        true = pose(frame.t_ref_ns)
        if true is not None:
            rows.append((frame.t_ref_ns, frame.pose, true))
    return score_ego_motion(rows)


def _snapshots(plan: RunPlan, outcome: Outcome, truth: TruthAt) -> list[Snapshot]:
    known = {f.tick_id: f.mode for f in _frames(outcome) if _annotated(truth(f.t_ref_ns))}
    modes = {f.tick_id: f.mode for f in _frames(outcome)}
    chosen = {_nearest_annotated(k, modes[k], known) for k in choose_snapshots(_frames(outcome))}
    frames = [f for f in _frames(outcome) if f.tick_id in chosen]
    samples = _samples_of_log(plan, frames) if plan.log is not None else _samples_of_sim(plan, outcome, frames)
    return [Snapshot(f, samples[f.tick_id], truth(f.t_ref_ns)) for f in frames]


def _annotated(truth: Truth | None) -> bool:
    return truth is not None and len(truth.objects) > 0


def _nearest_annotated(tick_id: int, mode: str, known: dict[int, str]) -> int:
    """A tick of the same mode close by at whose time the truth is known; the tick itself where there is none."""
    for step in sorted(range(-MAX_SHIFT_TICKS, MAX_SHIFT_TICKS + 1), key=abs):
        if known.get(tick_id + step) == mode:
            return tick_id + step
    return tick_id


def _samples_of_sim(plan: RunPlan, outcome: Outcome, frames: list[FusedFrame]) -> dict[int, dict[str, Sample]]:
    """The world is a function of time: make again what each tick used."""
    sim = SimulatedRig(plan.rig, epoch_ns=outcome.origin_ns)
    out: dict[int, dict[str, Sample]] = {}
    for frame in frames:
        out[frame.tick_id] = {}
        for use in frame.uses:
            if use.used and use.modality in SPATIAL:
                out[frame.tick_id][use.stream] = sim.sample(
                    use.stream, _k_at(sim, use.stream, frame.t_ref_ns - use.age_ns)
                )
    return out


def _k_at(sim: SimulatedRig, stream: str, event_ns: int) -> int:
    """The message of a stream that is truly nearest to a time."""
    k = sim.first_due(stream, event_ns)
    return min(range(max(0, k - 2), k + 2), key=lambda n: abs(sim.event_ns(stream, n) - event_ns))


def _samples_of_log(plan: RunPlan, frames: list[FusedFrame]) -> dict[int, dict[str, Sample]]:
    """One pass over the log, keeping only what the chosen ticks used."""
    assert plan.log is not None
    rig = plan.rig
    wanted = {
        (use.stream, frame.tick_id): frame.t_ref_ns - use.age_ns
        for frame in frames
        for use in frame.uses
        if use.used and use.modality in SPATIAL
    }
    out: dict[int, dict[str, Sample]] = {f.tick_id: {} for f in frames}
    by_log_name = rig.by_log_stream()
    with open_log(plan.log, offsets_ns=rig.clock_offsets_ns()) as reader:
        names = [n for n in reader.streams() if n in by_log_name and any(by_log_name[n] == s for s, _ in wanted)]
        for sample in reader.samples(names):
            stream = by_log_name[sample.stream]
            event = sample.stamp_ns + rig.sensors[stream].offset_ns
            for (name, tick_id), t in wanted.items():
                if name == stream and abs(event - t) < MATCH_NS:
                    out[tick_id][stream] = sample
    return out
