"""The matrix of faults: each modality killed, frozen, slow, with another time, with losses, with garbage; and each pair
killed. A synthetic world, made up once, is replayed in real time through the real processes, once per row.
"""

from __future__ import annotations

import itertools
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from sensorfuse.bench.goals import Goal, print_goals
from sensorfuse.inject.fault import Fault
from sensorfuse.messages import MODALITIES, Modality
from sensorfuse.nodes.aftermath import assess_run
from sensorfuse.nodes.launch import check_log
from sensorfuse.nodes.plan import RunPlan
from sensorfuse.nodes.supervisor import Supervisor
from sensorfuse.report.faults import back_after
from sensorfuse.rig import Rig
from sensorfuse.sim import SimulatedRig
from sensorfuse.sim.recording import write_simulated_log

EPOCH_NS = 1_700_000_000_000_000_000
WORLD_S = 15.0
AT_S, FOR_S = 5.0, 4.0
KINDS: dict[str, tuple[str, float | None]] = {
    "killed": ("kill", None),
    "frozen": ("freeze", None),
    "10x slower": ("slow", 10.0),
    "clock +5 s": ("clock_step", 5.0),
    "30 % loss": ("drop", 0.3),
    "garbage": ("garbage", None),
}
PAIRS_KIND = "killed"
Row = tuple[str, tuple[Modality, ...]]  # what is done, to whom


def all_rows(modalities: Sequence[Modality] = MODALITIES, kinds: Sequence[str] = tuple(KINDS)) -> list[Row]:
    """Every kind for every modality, then every pair killed."""
    rows: list[Row] = [(kind, (modality,)) for modality in modalities for kind in kinds]
    if PAIRS_KIND in kinds:
        rows += [(PAIRS_KIND, pair) for pair in itertools.combinations(modalities, 2)]
    return rows


def few_rows() -> list[Row]:
    """Every modality killed, every kind for the LiDAR, and the two that see most killed together."""
    rows: list[Row] = [("killed", (modality,)) for modality in MODALITIES]
    return [*rows, *((kind, ("lidar",)) for kind in KINDS if kind != "killed"), ("killed", ("camera", "lidar"))]


def make_world(rig: Rig, path: Path, duration_s: float = WORLD_S) -> None:
    """Make up the rig's synthetic world and write it as a log."""
    write_simulated_log(SimulatedRig(rig, epoch_ns=EPOCH_NS), path, round(duration_s * 1e9))


def faults_of(row: Row, rig: Rig) -> tuple[Fault, ...]:
    """Of all streams of the row's modalities."""
    (kind, value), modalities = KINDS[row[0]], row[1]
    streams = [s for s, c in rig.sensors.items() if c.modality in modalities]
    return tuple(Fault(target=s, kind=kind, value=value, at_s=AT_S, for_s=FOR_S) for s in streams)


def measure(
    rig: Rig, rows: Sequence[Row], log: Path | None = None, on_row: Callable[[str], None] = print
) -> dict[str, Any]:
    """Run a row after the other, and first none of them; returns figures per row.

    Args:
        rig: with a synthetic world, unless `log` has been recorded with it.
        rows: what is to go wrong.
        log: the world to replay; made up when None.
        on_row: told of each row that begins.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if log is None:
            on_row("making up the world")
            log = folder / "world.mcap"
            make_world(rig, log)
        plan = RunPlan(rig, "replay", folder, log=log, log_start_ns=check_log(log, rig, allow_missing=False))
        found = []
        for i, (kind, modalities) in enumerate([("nothing", ()), *rows]):
            on_row(f"{i} of {len(rows)}: {' and '.join(modalities) or 'no fault'} {kind if modalities else ''}")
            faults = faults_of((kind, modalities), rig) if modalities else ()
            found.append(_run(replace(plan, out=folder / str(i), faults=faults), kind, modalities))
    baseline, *figures = found
    return {
        "rig": rig.name,
        "strategy": rig.fusion.strategy,
        "fault_s": [AT_S, AT_S + FOR_S],
        "baseline": baseline,
        "rows": figures,
    }


def _run(plan: RunPlan, kind: str, modalities: tuple[Modality, ...]) -> dict[str, Any]:
    outcome = Supervisor(plan).run()
    shown = plan if plan.faults else replace(plan, faults=(Fault(target="none", kind="drop", at_s=AT_S, for_s=FOR_S),))
    damage = assess_run(shown, outcome)
    plain = damage.to_dict()
    verdicts, measures = plain["faults"], plain["measures"]
    used = [v["used_share"] for v in verdicts if v["used_share"] is not None]
    returns = [v["recovered"] for v in verdicts if v["recovered"] is not None]
    return {
        "kind": kind,
        "modalities": list(modalities),
        "ticks": outcome.ticks_expected - outcome.ticks_missed,
        "ticks_expected": outcome.ticks_expected,
        "longest_gap": measures["longest_gap"],
        "ticks_late": measures["ticks_late"],
        "used_share": min(used, default=None),
        "recovered": all(returns) if returns else None,
        "recovery_s": measures["recovery_s"],
        "nds": [verdicts[0][k] for k in ("score_before", "score_during", "score_after")],
        "ledger_off": measures["ledger_off"],
    }


def goals(figures: dict[str, Any]) -> list[Goal]:
    """What the rows must show."""
    rows = figures["rows"]
    share = min(r["ticks"] / r["ticks_expected"] for r in rows)
    gap = max(r["longest_gap"] for r in rows)
    known = [r for r in rows if r["recovered"] is not None]
    recovery = max((r["recovery_s"] if r["recovered"] else math.inf for r in known), default=math.nan)
    return [
        Goal("ticks published of those expected, least of all rows", 1.0, share, at_least=True),
        Goal("longest gap of all rows", 1, gap, "ticks"),
        Goal("from good data to steady use, longest of all rows", 2.0, recovery, "s"),
        Goal("messages not accounted for", 0, sum(r["ledger_off"] for r in rows)),
    ]


def print_figures(figures: dict[str, Any], console: Console) -> None:
    """A line per row, and the goals."""
    begin, end = figures["fault_s"]
    table = Table(title=f"{figures['strategy']}: a fault from {begin:g} to {end:g} s; NDS before, during and after it")
    for name in ("what", "to whom", "ticks", "gap", "late", "used", "back after", "before", "during", "after"):
        table.add_column(name, justify="left" if name in ("what", "to whom") else "right")
    for row in [figures["baseline"], *figures["rows"]]:
        table.add_row(
            row["kind"],
            ", ".join(row["modalities"]),
            f"{row['ticks']}/{row['ticks_expected']}",
            str(row["longest_gap"]),
            str(row["ticks_late"]),
            "–" if not row["modalities"] or row["used_share"] is None else f"{row['used_share']:.0%}",
            back_after(row),
            *("–" if v is None else f"{v:.3f}" for v in row["nds"]),
        )
    console.print(table)
    print_goals("faults", goals(figures), console)
