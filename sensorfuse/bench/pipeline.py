"""Live overhead of the pipeline: what it adds between a tick's last needed sample and its fused frame."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from sensorfuse.nodes.supervisor import RunPlan, Supervisor
from sensorfuse.rig import Rig

WARM_UP_TICKS = 20


def measure(rig: Rig, duration_s: float) -> dict[str, Any]:
    """Run a rig live and return p50, p90, p99 and max per stage in milliseconds, and the ticks published of those
    expected.

    `overhead` is the pipeline's own time from the arrival of the last sample that a tick needed to its frame:
    transport, alignment, queues, scheduling. Encoders that run in between, fusion model and tracker are left out. The
    synthetic world is made up beforehand: a robot does not do that.
    """
    with tempfile.TemporaryDirectory() as folder:
        outcome = Supervisor(
            RunPlan(rig, "run", Path(folder), duration_s=duration_s, made_ahead_s=duration_s + 1)
        ).run()
    stages = {}
    for stage, values in outcome.collector.timings_ms.items():
        kept = np.asarray(values[WARM_UP_TICKS:])
        if len(kept):
            p50, p90, p99 = np.percentile(kept, [50, 90, 99])
            stages[stage] = {"p50": float(p50), "p90": float(p90), "p99": float(p99), "max": float(kept.max())}
    return {
        "rig": rig.name,
        "strategy": rig.fusion.strategy,
        "streams": rig.streams(),
        "rate_hz": rig.fusion.rate_hz,
        "duration_s": duration_s,
        "ticks": len(outcome.collector.frame_ids),
        "ticks_expected": outcome.ticks_expected,
        "latency_ms": stages,
    }


def print_figures(figures: dict[str, Any], console: Console) -> None:
    """A table of the stages."""
    ticks = f"{figures['ticks']} of {figures['ticks_expected']} ticks"
    table = Table(title=f"{figures['strategy']} at {figures['rate_hz']:g} Hz: {ticks}, ms")
    for name in ("stage", "p50", "p90", "p99", "max"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    for stage, row in figures["latency_ms"].items():
        table.add_row(stage, *(f"{row[k]:.2f}" for k in ("p50", "p90", "p99", "max")))
    console.print(table)
