"""What a second without a sensor costs, and how soon after it a strategy is back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sensorfuse.fusion.evaluation.corruptions import StreamCorruption
from sensorfuse.fusion.evaluation.corruptions.cross_sensor import Schedule, Schedules, Span, silenced
from sensorfuse.fusion.evaluation.robustness_play import Contestant, Evidence, Player, Record
from sensorfuse.fusion.evaluation.robustness_runs import Condition, World, make_runs
from sensorfuse.fusion.grid import SPATIAL
from sensorfuse.messages import Modality
from sensorfuse.rig import Rig

GAPS: dict[str, tuple[Modality, ...]] = {**{m: (m,) for m in SPATIAL}, "all_three": SPATIAL}
GAP_NS = 1_000_000_000
TICKS_BEFORE, TICKS_AFTER = 4, 6
CLEAN = ""


@dataclass
class GapRecords:
    """Records by (strategy, gap or `CLEAN`, tick of the run). The gap is over before tick `end`."""

    begin: int
    end: int
    records: dict[tuple[str, str, int], Record] = field(default_factory=dict)

    def curve(self, strategy: str, gap: str, metric: str) -> list[float]:
        """The score of every tick, over all runs; NaN where there was nothing to find."""
        ticks = sorted(n for s, g, n in self.records if (s, g) == (strategy, gap))
        return [self.records[strategy, gap, n].scores().get(metric, float("nan")) for n in ticks]


def gap_of(modalities: Sequence[Modality], begin_ns: int) -> StreamCorruption:
    """Nothing measured by some modalities from `begin_ns` after the run's first tick, for `GAP_NS` times the level."""

    def change(streams: Schedules, span: Span, level: float, rng: np.random.Generator) -> dict[str, Schedule]:
        start_ns = span.start_ns + begin_ns
        return {n: silenced(s, start_ns, start_ns + round(level * GAP_NS), modalities) for n, s in streams.items()}

    return StreamCorruption("silence", tuple(modalities), change)


def judge_gaps(
    rig: Rig,
    worlds: Sequence[World],
    per_world: int,
    contestants: Mapping[str, Contestant],
    player: Player,
    progress: Callable[[str, float], None],
) -> GapRecords:
    """Every contestant on runs with a gap in each of `GAPS`, and on the same runs without."""
    period_ns = rig.fusion.period_ns
    end = TICKS_BEFORE + -(-GAP_NS // period_ns)
    out = GapRecords(TICKS_BEFORE, end)
    for n, run in enumerate(make_runs(rig, worlds, per_world, end + TICKS_AFTER)):
        condition = Condition(run)
        clean = player.encode(condition)
        _enter(out, CLEAN, condition, clean, contestants, player)
        for gap, modalities in GAPS.items():
            condition = Condition(run, gap_of(modalities, TICKS_BEFORE * period_ns - period_ns // 2), 1.0)
            _enter(out, gap, condition, player.encode(condition, clean), contestants, player)
        progress("gaps", (n + 1) / (len(worlds) * per_world))
    return out


def _enter(
    out: GapRecords,
    gap: str,
    condition: Condition,
    evidence: Mapping[str, Evidence],
    contestants: Mapping[str, Contestant],
    player: Player,
) -> None:
    for label, contestant in contestants.items():
        for tick, outcome in enumerate(player.play(condition, evidence, contestant)):
            out.records.setdefault((label, gap, tick), Record()).add(outcome)
