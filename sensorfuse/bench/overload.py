"""More than the machine can do: a world is replayed faster and faster, and the frames must keep coming."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from sensorfuse.bench.faults import make_world
from sensorfuse.bench.pipeline import ProcessorTimes
from sensorfuse.collector import Collector
from sensorfuse.log import read_frames
from sensorfuse.nodes.launch import check_log
from sensorfuse.nodes.plan import RunPlan
from sensorfuse.nodes.supervisor import Supervisor
from sensorfuse.report.states import SHED
from sensorfuse.rig import Rig
from sensorfuse.tick_set import longest_gap

RATES = (1.0, 2.0, 4.0, 8.0)
SETTLE_TICKS = 10


def measure(
    rig: Rig, rates: Sequence[float] = RATES, log: Path | None = None, on_rate: Callable[[str], None] = print
) -> list[dict[str, Any]]:
    """A row of figures per rate: ticks published of those expected, longest gap, latency in milliseconds of real time,
    and the share of ticks that went without a sensor because fusion was behind, as their frames say.

    Args:
        rig: with a synthetic world, unless `log` has been recorded with it.
        rates: log seconds per second; all that is to be done grows by as much.
        log: the world to replay; made up when None.
        on_rate: told of each run that begins.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if log is None:
            on_rate("making up the world")
            log = folder / "world.mcap"
            make_world(rig, log)
        plan = RunPlan(rig, "replay", folder, log=log, log_start_ns=check_log(log, rig, allow_missing=False))
        rows = []
        for rate in rates:
            on_rate(f"at {rate:g} times its pace")
            rows.append(_run(replace(plan, out=folder / f"{rate:g}", rate=rate)))
        return rows


def _run(plan: RunPlan) -> dict[str, Any]:
    machine = ProcessorTimes()

    def watch(_: Collector, elapsed_s: float) -> None:
        if elapsed_s >= 0:
            machine.note()

    plan.on_progress = watch
    outcome = Supervisor(plan).run()
    there = {t for t in outcome.collector.frame_ids if t < outcome.ticks_expected}
    frames = [f for path in outcome.log_paths for f in read_frames(path)]
    shed = sum(any(u.reason.startswith(SHED) for u in f.uses) for f in frames)
    waits = np.asarray(outcome.collector.timings_ms["capture_to_fused"][SETTLE_TICKS:])
    ledger = outcome.collector.ledger
    return {
        "rate": plan.rate,
        "ticks": len(there),
        "ticks_expected": outcome.ticks_expected,
        "longest_gap": longest_gap(there, (0, outcome.ticks_expected)),
        "latency_ms": dict(zip(("p50", "p99", "max"), np.percentile(waits, [50, 99, 100]).tolist(), strict=True)),
        "shed_share": shed / max(1, len(frames)),
        "ledger_off": sum(abs(ledger.published(s) - sum(ledger.counts(s).values())) for s in plan.rig.streams()),
        "processors": machine.shares(),
    }


def print_figures(rows: Sequence[dict[str, Any]], console: Console) -> None:
    """A line per rate."""
    table = Table(title="more and more to do: latency from reference time to frame, ms")
    for name in ("pace", "ticks", "longest gap", "p50", "p99", "max", "ticks with sensors shed", "processors busy"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            f"{row['rate']:g}",
            f"{row['ticks']}/{row['ticks_expected']}",
            str(row["longest_gap"]),
            *(f"{row['latency_ms'][k]:.0f}" for k in ("p50", "p99", "max")),
            f"{row['shed_share']:.0%}",
            f"{row['processors'].get('busy', float('nan')):.0%}",
        )
    console.print(table)
