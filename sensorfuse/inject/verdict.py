"""What faults cost: per fault the ticks, the score before, during and after, and how soon its stream was used again."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sensorfuse.inject.fault import Fault
from sensorfuse.inject.limits import Limit
from sensorfuse.messages import Detections, FusedFrame, Truth
from sensorfuse.tick_set import longest_gap
from sensorfuse.track.scoring import score_sequence

STEADY_TICKS = 5  # used in so many successive ticks, a stream has recovered
SETTLE_S = 2.0  # after a fault's end, what recovery may take: scores "after" begin there
LEAD_S = 2.0  # at the beginning of a run, before tracks are there: scores "before" begin there


@dataclass
class TickRow:
    """What is kept of one frame: its number, its time into the run, what it used, and tracks with their truth."""

    tick_id: int
    t_s: float
    used: frozenset[str]
    pair: tuple[Detections, Truth] | None = None


@dataclass
class Verdict:
    """One fault. Ticks and the longest gap are of the time that it lasts and `SETTLE_S` after; NaN: not measured."""

    fault: str
    begin_s: float
    end_s: float
    ticks: int
    ticks_expected: int
    longest_gap: int
    used_share: float
    recovery_s: float
    score_before: float
    score_during: float
    score_after: float


@dataclass
class Damage:
    """All faults of a run, and the run as a whole."""

    verdicts: list[Verdict] = field(default_factory=list)
    measures: dict[str, float | None] = field(default_factory=dict)

    limits: list[tuple[Limit, float | None, bool]] = field(default_factory=list)  # what was measured, and kept or not

    def hold_to(self, limits: Sequence[Limit]) -> None:
        """Compare with limits."""
        self.limits = [(limit, m := self.measures.get(limit.measure), limit.met(m)) for limit in limits]

    @property
    def kept(self) -> bool:
        return all(met for _, _, met in self.limits)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, None for what was not measured; `recovered` is False for a stream that never came back."""
        rows = []
        for verdict in self.verdicts:
            row = {k: _finite(v) for k, v in asdict(verdict).items()}
            rows.append({**row, "recovered": None if math.isnan(verdict.recovery_s) else row["recovery_s"] is not None})
        limits = [{"limit": str(limit), "measured": _finite(m), "met": met} for limit, m, met in self.limits]
        return {"faults": rows, "measures": {k: _finite(v) for k, v in self.measures.items()}, "limits": limits}


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def tick_rows(
    frames: Iterable[FusedFrame], origin_ns: int, pairs: dict[int, tuple[Detections, Truth]]
) -> list[TickRow]:
    """Rows of frames, in order of time; `pairs` has tracks and truth by tick where the truth is known."""
    rows = {
        f.tick_id: TickRow(
            f.tick_id,
            (f.t_ref_ns - origin_ns) / 1e9,
            frozenset(u.stream for u in f.uses if u.used),
            pairs.get(f.tick_id),
        )
        for f in frames
    }
    return sorted(rows.values(), key=lambda r: r.tick_id)


def judge(faults: Sequence[Fault], rows: Sequence[TickRow], ticks_expected: int, period_s: float) -> list[Verdict]:
    """A verdict per fault; `ticks_expected` is of the whole run."""
    out = []
    last_s = ticks_expected * period_s
    for fault in faults:
        end_s = min(fault.end_s, last_s)
        others = [(f.at_s, f.end_s + SETTLE_S) for f in faults if f is not fault]
        span = (math.ceil(fault.at_s / period_s), min(ticks_expected, math.ceil((end_s + SETTLE_S) / period_s)))
        there = {r.tick_id for r in rows if span[0] <= r.tick_id < span[1]}
        during = [r for r in rows if fault.at_s <= r.t_s < end_s]
        clear_s = min([last_s, *(f.at_s for f in faults if f.at_s > end_s)])
        out.append(
            Verdict(
                fault=str(fault),
                begin_s=fault.at_s,
                end_s=end_s,
                ticks=len(there),
                ticks_expected=max(0, span[1] - span[0]),
                longest_gap=longest_gap(there, span),
                used_share=sum(fault.target in r.used for r in during) / len(during) if during else math.nan,
                recovery_s=recovery_s(fault, rows, end_s),
                score_before=score(r for r in rows if LEAD_S <= r.t_s < fault.at_s and not _within(r.t_s, others)),
                score_during=score(during),
                score_after=score(r for r in rows if end_s + SETTLE_S <= r.t_s < clear_s),
            )
        )
    return out


def recovery_s(fault: Fault, rows: Sequence[TickRow], end_s: float) -> float:
    """From a fault's end until the first of `STEADY_TICKS` successive ticks that use its stream; infinite where that
    never comes, NaN for what is no stream, for what never ended, and where the run ended too soon to tell.
    """
    after = [r for r in rows if r.t_s >= end_s]
    if not any(fault.target in r.used for r in rows) or math.isinf(fault.end_s) or len(after) < STEADY_TICKS:
        return math.nan
    run = 0
    for i, row in enumerate(after):
        run = run + 1 if fault.target in row.used else 0
        if run == STEADY_TICKS:
            return max(0.0, after[i - STEADY_TICKS + 1].t_s - end_s)
    return math.inf


def score(rows: Iterable[TickRow]) -> float:
    """NDS of the rows whose truth is known; NaN for none."""
    pairs = [r.pair for r in rows if r.pair is not None]
    if not any(len(truth.objects) for _, truth in pairs):
        return math.nan
    return float(score_sequence(pairs)["nds"])


def worst(values: Iterable[float], most: bool) -> float | None:
    """The largest (or least) of what was measured; None when nothing was."""
    known = [v for v in values if not math.isnan(v)]
    return (max(known) if most else min(known)) if known else None


def _within(t_s: float, spans: Sequence[tuple[float, float]]) -> bool:
    return any(a <= t_s < b for a, b in spans)
