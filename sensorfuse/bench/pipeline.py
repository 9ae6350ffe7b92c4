"""Live overhead of the pipeline: what it adds between a tick's last needed sample and its fused frame."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from sensorfuse.bench.process_usage import ProcessUsage
from sensorfuse.collector import Collector
from sensorfuse.fusion.runner import SHED
from sensorfuse.log import read_frames
from sensorfuse.nodes.supervisor import RunPlan, Supervisor
from sensorfuse.rig import Rig

WARM_UP_TICKS = 20
LAST_TICKS = 2  # fall into the stopping of the sensors


def measure(rig: Rig, duration_s: float) -> dict[str, Any]:
    """Run a rig live and return p50, p90, p99 and max per stage in milliseconds, the ticks published of those
    expected and the share of late ones, what was shed, and what each process used.

    `overhead` is the pipeline's own time from the arrival of the last sample that a tick needed to its frame:
    transport, alignment, queues, scheduling. Encoders that run in between, fusion model and tracker are left out. The
    synthetic world is made up beforehand: a robot does not do that.
    """
    machine, usage = ProcessorTimes(), ProcessUsage()

    def watch(_: Collector, elapsed_s: float) -> None:
        if elapsed_s >= 0:
            machine.note()
            children = {n: c.handle for n, c in supervisor.children.items()}
            usage.note({n: h.pid for n, h in children.items() if h is not None and h.alive()}, elapsed_s)

    with tempfile.TemporaryDirectory() as folder:
        supervisor = Supervisor(
            RunPlan(rig, "run", Path(folder), duration_s=duration_s, made_ahead_s=duration_s + 1, on_progress=watch)
        )
        outcome = supervisor.run()
        frames = [f for path in outcome.log_paths for f in read_frames(path)]
        shed = [any(u.reason == SHED for u in f.uses) for f in frames[WARM_UP_TICKS:]]
    collector = outcome.collector
    stages = {}
    for stage, values in collector.timings_ms.items():
        kept = np.asarray(values[WARM_UP_TICKS:-LAST_TICKS])
        if len(kept):
            stages[stage] = _spread(kept)
    ages = np.asarray(collector.timings_ms["capture_to_fused"][WARM_UP_TICKS:-LAST_TICKS])
    period_ms = rig.fusion.period_ns / 1e6
    late = int((ages > rig.fusion.deadline_ms + period_ms).sum()) + outcome.ticks_missed
    return {
        "rig": rig.name,
        "strategy": rig.fusion.strategy,
        "streams": rig.streams(),
        "rate_hz": rig.fusion.rate_hz,
        "duration_s": duration_s,
        "ticks": len(collector.frame_ids),
        "ticks_expected": outcome.ticks_expected,
        "late": late / max(1, len(ages)),
        "cadence_ms": cadence_ms(collector.published_ns[WARM_UP_TICKS:-LAST_TICKS]),
        "shed": sum(shed) / max(1, len(shed)),
        "ledger": {s: {r: n for r, n in collector.ledger.counts(s).items() if n} for s in rig.streams()},
        "processors": machine.shares(),
        "processes": usage.figures(),
        "latency_ms": stages,
        "ages_ms": ages.tolist(),
    }


def cadence_ms(published_ns: Sequence[int]) -> dict[str, float]:
    """Between a frame and the next, in milliseconds of real time, whether or not ticks are missing between them."""
    at = np.asarray(published_ns, dtype=np.int64)
    return _spread((at[1:] - at[:-1]) / 1e6) if len(at) > 1 else {}


def _spread(values: NDArray[np.float64]) -> dict[str, float]:
    p50, p90, p99 = np.percentile(values, [50, 90, 99])
    return {"p50": float(p50), "p90": float(p90), "p99": float(p99), "max": float(values.max())}


class ProcessorTimes:
    """What the machine's processors did between the first and the last note; nothing where the system does not tell."""

    def __init__(self) -> None:
        self._first: list[int] | None = None
        self._last: list[int] | None = None

    def note(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._last = [int(v) for v in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
            self._first = self._first or self._last

    def shares(self) -> dict[str, float]:
        """Shares of the time: busy with anything at all, and taken away by the host of a virtual machine."""
        if self._first is None or self._last is None:
            return {}
        spent = np.subtract(self._last, self._first)
        total = max(1, int(spent.sum()))
        return {"busy": float(1 - spent[3:5].sum() / total), "stolen": float(spent[7] / total)}


def print_figures(figures: dict[str, Any], console: Console) -> None:
    """A table of the stages."""
    ticks = f"{figures['ticks']} of {figures['ticks_expected']} ticks"
    table = Table(title=f"{figures['strategy']} at {figures['rate_hz']:g} Hz: {ticks}, ms")
    for name in ("stage", "p50", "p90", "p99", "max"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    for stage, row in figures["latency_ms"].items():
        table.add_row(stage, *(f"{row[k]:.2f}" for k in ("p50", "p90", "p99", "max")))
    console.print(table)
    if figures["processors"]:
        console.print(
            "processors: {busy:.0%} busy, {stolen:.1%} taken away by the host".format(**figures["processors"])
        )
    usage = Table(title="processes")
    for name in ("process", "of a core", "resident, MB", "its share, MB"):
        usage.add_column(name, justify="left" if name == "process" else "right")
    for name, row in figures["processes"].items():
        cells = ("cpu", "{:.0%}"), ("resident_mb", "{:.0f}"), ("proportional_mb", "{:.0f}")
        usage.add_row(name, *("–" if row[k] is None else form.format(row[k]) for k, form in cells))
    console.print(usage)
    if figures["cadence_ms"]:
        words = "frames every {p50:.1f} ms, p99 {p99:.1f}; {late:.1%} late, {shed:.1%} with something shed"
        console.print(words.format(**figures["cadence_ms"], late=figures["late"], shed=figures["shed"]))
