"""The whole rig for a long time, with random faults: what must never happen, and what must not grow.

A synthetic world is made up once and played again and again through the real processes, so that the machine has its
time for the pipeline.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from rich.console import Console

from sensorfuse.bench.faults import make_world
from sensorfuse.bench.goals import Goal, figures, print_goals
from sensorfuse.collector import Collector
from sensorfuse.endpoints import run_folder
from sensorfuse.inject.random_faults import random_faults
from sensorfuse.nodes.launch import check_log
from sensorfuse.nodes.plan import Outcome, RunPlan
from sensorfuse.nodes.supervisor import Supervisor
from sensorfuse.rig import Rig
from sensorfuse.shared_memory import count_rings

WORLD_S = 15.0
LOOK_S = 2.0  # between two looks at memory and handles
TELL_S = 30.0  # between two lines of progress
WARM_UP_SHARE, LAST_SHARE = 0.25, 0.25  # of the run: before growth counts, and what it is measured at
MAX_GROWTH = 0.02


@dataclass
class Looks:
    """What was seen of the run's processes and folders, a row per look; `look` is told the folder of its sockets."""

    at_s: list[float] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)  # proportional set size, all processes together
    handles: list[int] = field(default_factory=list)
    sockets: list[int] = field(default_factory=list)  # files in the run's folder
    shared: list[int] = field(default_factory=list)  # rings of payloads in shared memory

    def look(self, at_s: float, pids: dict[str, int], whole: int, folder: Path) -> None:
        """Take a row; none while a process is missing, which would look as if memory had been given back."""
        if len(pids) < whole:
            return
        memory, handles = 0, 0
        try:
            for pid in pids.values():
                process = psutil.Process(pid)
                memory += process.memory_full_info().pss
                handles += process.num_fds()
        except (psutil.Error, OSError):
            return
        self.at_s.append(at_s)
        self.memory_mb.append(memory / 1e6)
        self.handles.append(handles)
        self.sockets.append(sum(1 for _ in folder.iterdir()))
        self.shared.append(count_rings(folder))

    def early_and_late(self, values: list[Any], length_s: float) -> tuple[float, float]:
        """Medians: after the warm-up as long as the last part, and in the last part of the run."""
        at, row = np.asarray(self.at_s), np.asarray(values, dtype=np.float64)
        early = row[(at >= WARM_UP_SHARE * length_s) & (at < (WARM_UP_SHARE + LAST_SHARE) * length_s)]
        late = row[at >= (1 - LAST_SHARE) * length_s]
        return (float(np.median(early)), float(np.median(late))) if len(early) and len(late) else (np.nan, np.nan)


def measure(
    rig: Rig, out: Path, minutes: float, rate_hz: float, seed: int, tell: Callable[[str], None] = print
) -> dict[str, Any]:
    """Run `rig` for `minutes` at `rate_hz` ticks a second with faults drawn from `seed`; returns figures and goals.

    Args:
        out: folder for the world, the fused log and the processes' own logs.
        tell: told how it stands, twice a minute.
    """
    rig = rig.with_fusion(rate_hz=rate_hz)
    log, length_s = out / "world.mcap", 60 * minutes
    tell("making up the world")
    make_world(rig, log, WORLD_S)
    faults = random_faults(rig, length_s, seed)
    looks, begun = Looks(), time.monotonic()
    next_look, next_line = 0.0, TELL_S

    def watch(collector: Collector, elapsed_s: float) -> None:
        nonlocal next_look, next_line
        if elapsed_s >= next_look:
            next_look = elapsed_s + LOOK_S
            looks.look(elapsed_s, supervisor.pids(), len(supervisor.children) + 2, run_folder(rig))
        if elapsed_s >= next_line:
            next_line += TELL_S
            due = int(elapsed_s * rate_hz)
            memory = f"{looks.memory_mb[-1]:.0f} MB" if looks.memory_mb else "–"
            tell(
                f"{elapsed_s / 60:.1f} of {minutes:g} min: {len(collector.frame_ids)} of some {due} ticks, {memory}, "
                f"{sum(f.at_s < elapsed_s for f in faults)} of {len(faults)} faults"
            )

    plan = RunPlan(
        rig, "replay", out, log=log, log_start_ns=check_log(log, rig, allow_missing=False), loop_s=length_s,
        faults=faults, fault_seed=seed, on_progress=watch,
    )  # fmt: skip
    supervisor = Supervisor(plan)
    outcome = supervisor.run()
    return _figures(rig, outcome, looks, length_s, time.monotonic() - begun, Counter(f.kind for f in faults))


def _figures(
    rig: Rig, outcome: Outcome, looks: Looks, length_s: float, took_s: float, faults: Counter[str]
) -> dict[str, Any]:
    ledger, missed = outcome.collector.ledger, outcome.ticks_missed
    memory, handles, sockets, shared = (
        looks.early_and_late(v, length_s) for v in (looks.memory_mb, looks.handles, looks.sockets, looks.shared)
    )
    waits = np.asarray(outcome.collector.timings_ms["capture_to_fused"])
    aims = [
        Goal("ticks missed", 0, missed),
        Goal("longest gap", 1, outcome.longest_gap, "ticks"),
        Goal("messages not accounted for", 0, sum(outcome.unaccounted(rig).values())),
        Goal("deaths that nobody caused", 0, unexpected_deaths(outcome)),
        Goal("memory of all processes, growth", MAX_GROWTH, memory[1] / memory[0] - 1),
        Goal("open files and sockets, growth", 0, handles[1] - handles[0]),
        Goal("files in the sockets' folder, growth", 0, sockets[1] - sockets[0]),
        Goal("rings in shared memory, growth", 0, shared[1] - shared[0]),
    ]
    return {
        "rig": rig.name,
        "strategy": rig.fusion.strategy,
        "rate_hz": rig.fusion.rate_hz,
        "length_s": length_s,
        "took_s": took_s,
        "ticks": outcome.ticks_expected - missed,
        "ticks_expected": outcome.ticks_expected,
        "messages": sum(ledger.published(s) for s in rig.streams()),
        "faults": dict(sorted(faults.items())),
        "capture_to_fused_ms": dict(zip(("p50", "p99"), np.percentile(waits, [50, 99]).tolist(), strict=True))
        if len(waits)
        else {},
        "memory_mb": list(memory),
        "handles": list(handles),
        "goals": figures(aims),
        "passed": all(g.met for g in aims),
        "unexpected": [f"{e.process}: {e.what}" for e in outcome.events if e.what.startswith("died (exit code")],
    }


def unexpected_deaths(outcome: Outcome) -> int:
    """Deaths that were neither caused on purpose nor by the supervisor, nor by a disk that is full on purpose."""
    deaths: Counter[str] = Counter()
    for event in outcome.events:
        if event.what.startswith("died (") and event.process != "nursery":
            deaths[event.process] += 1
        elif event.what.startswith(("killed on purpose", "said nothing for", "stays down for now")):
            deaths[event.process] -= 1
    return sum(max(0, n) for n in deaths.values())


def print_figures(found: dict[str, Any], console: Console) -> None:
    """What came of it, goal by goal."""
    console.print("{ticks} of {ticks_expected} ticks at {rate_hz:g} Hz, {messages} messages".format(**found))
    if waits := found["capture_to_fused_ms"]:
        console.print("a tick was fused {p50:.0f} ms after its time at the median, {p99:.0f} ms (p99)".format(**waits))
    console.print("faults: " + ", ".join(f"{n} {kind}" for kind, n in found["faults"].items()), highlight=False)
    numbers = (*found["memory_mb"], *found["handles"])
    console.print("memory {:.0f} MB, later {:.0f} MB; handles {:.0f}, later {:.0f}".format(*numbers))
    print_goals("soak", [Goal(**{k: v for k, v in g.items() if k != "met"}) for g in found["goals"]], console)
