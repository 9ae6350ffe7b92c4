"""What the faults of a run cost, from its frames, its truth and its counts."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from sensorfuse.nodes.plan import Outcome, RunPlan

from sensorfuse.inject.verdict import Damage, judge, score, tick_rows, worst
from sensorfuse.messages import Detections, FusedFrame, Truth


def assess(
    plan: RunPlan, outcome: Outcome, frames: Iterable[FusedFrame], pairs: dict[int, tuple[Detections, Truth]]
) -> Damage:
    """Verdicts of all faults, and every measure that a limit may be set on.

    Args:
        plan, outcome: the run.
        frames: all that were published, in any order.
        pairs: tracks and truth by tick, where the truth is known.
    """
    fusion = plan.rig.fusion
    rows = tick_rows(frames, outcome.origin_ns, pairs)
    verdicts = judge(plan.faults, rows, outcome.ticks_expected, fusion.period_ns / 1e9)
    waits_ms = np.asarray(outcome.collector.timings_ms["capture_to_fused"])
    late_ms = (fusion.deadline_ns + fusion.period_ns) / 1e6
    return Damage(
        verdicts,
        {
            "ticks_missed": outcome.ticks_missed,
            "ticks_late": outcome.ticks_missed + int((waits_ms > late_ms).sum()),
            "longest_gap": outcome.longest_gap,
            "latency_ms": float(np.percentile(waits_ms, 99)) if len(waits_ms) else None,
            "score": worst([score(rows)], most=False),
            "score_during": worst((v.score_during for v in verdicts), most=False),
            "score_after": worst((v.score_after for v in verdicts), most=False),
            "recovery_s": worst((v.recovery_s for v in verdicts), most=True),
            "ledger_off": sum(outcome.unaccounted(plan.rig).values()),
            "failures": len(outcome.failures),
        },
    )
