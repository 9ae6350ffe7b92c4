"""The summary as a few lines of terminal text."""

from __future__ import annotations

from typing import Any

from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sensorfuse.messages import LEDGER_REASONS
from sensorfuse.report import health
from sensorfuse.report.record import STAGES
from sensorfuse.report.wording import MODALITY_LABELS, milliseconds, seconds

CELLS = 40
USED, PARTLY, ABSENT, NOTHING = "━", "╍", "·", " "


def print_summary(summary: dict[str, Any], console: Console) -> None:
    """Print a summary (as `build_summary` makes it): headline, a bar per modality over the run, latency, ledger."""
    console.print()
    console.print(Text(summary["headline"], style="bold"))
    facts = (
        summary["rig"],
        summary["strategy"],
        summary["model"],
        summary["engine"],
        summary["precision"],
        _rate(summary["rate"]),
    )
    console.print(Text(" · ".join(f for f in facts if f), style="dim"))
    parts = [
        _modalities(summary),
        health.terminal(summary),
        _score(summary),
        _ego_score(summary),
        _latency(summary),
        _ledger(summary),
        _exchanges(summary),
    ]
    for part in parts:
        if part is not None:
            console.print()
            console.print(Padding(part, (0, 0, 0, 2)))
    for event in summary["events"]:
        at = "" if event["t_s"] is None else f"{event['t_s']:8.2f} s  "
        console.print(Text(f"  {at}{event['process']}: {event['what']}", style="dim"), highlight=False)
    console.print()


def _rate(rate: str) -> str:
    return {"live": "live", "max": "as fast as it goes"}.get(rate, f"{rate} × real time")


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for i, name in enumerate(columns):
        table.add_column(name, justify="left" if i == 0 else "right", no_wrap=True)
    return table


def _modalities(summary: dict[str, Any]) -> Group | None:
    if not summary["ticks"]:
        return None
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("modality", no_wrap=True)
    table.add_column("the run, left to right", no_wrap=True)
    for name in ("used", "absent", "longest gap"):
        table.add_column(name, justify="right", no_wrap=True)
    for modality, row in summary["modalities"].items():
        table.add_row(
            MODALITY_LABELS.get(modality, modality),
            _bar(summary, modality),
            str(row["ticks_used"]),
            Text(str(row["ticks_absent"]), style="" if row["ticks_absent"] == 0 else "yellow"),
            seconds(row["longest_gap_s"]) if row["longest_gap_s"] else "none",
        )
    key = Text(f"{USED} used   {PARTLY} partly   {ABSENT} absent", style="dim")
    return Group(table, key)


def _bar(summary: dict[str, Any], modality: str) -> Text:
    """One cell per stretch of the run: used throughout, in part, or not at all; blank where no frame came."""
    length = summary["timeline"]["ticks"]
    used, seen = [False] * length, [False] * length
    for stream, runs in summary["timeline"]["states"].items():
        if summary["uses"][stream]["modality"] == modality:
            for first, n, state in runs:
                for tick in range(first, min(first + n, length)):
                    seen[tick] = True
                    used[tick] = used[tick] or state == "used"
    bar = Text()
    cells = min(CELLS, length)
    for cell in range(cells):
        span = slice(cell * length // cells, (cell + 1) * length // cells)
        if not any(seen[span]):
            bar.append(NOTHING)
        elif all(u or not s for u, s in zip(used[span], seen[span], strict=True)):
            bar.append(USED, style="cyan")
        elif any(used[span]):
            bar.append(PARTLY, style="yellow")
        else:
            bar.append(ABSENT, style="yellow")
    return bar


def _latency(summary: dict[str, Any]) -> Table | None:
    table = _table("latency, ms", "p50", "p99", "max")
    for stage, row in summary["latency_ms"].items():
        if row["n"]:
            style = "bold" if stage == "capture_to_fused" else ""
            label = STAGES.get(stage, (stage, ""))[0]
            table.add_row(Text(label), *(milliseconds(row[k]) for k in ("p50", "p99", "max")), style=style)
    return table if table.row_count else None


def _score(summary: dict[str, Any]) -> Text | None:
    score = summary["score"]
    if not score or not score["truths"]:
        return None
    out = Text("tracks against truth: ")
    out.append(f"mAP {score['mean_ap']:.3f}, NDS {score['nds']:.3f}", style="bold")
    out.append(f", {score['recall']['2']:.0%} found within 2 m")
    frames, scope = score["frames"], "" if score["complete"] else "; the annotation leaves objects out"
    out.append(f" ({score['truths']} objects, {score['detections']} tracks, {frames} frames{scope})", style="dim")
    return out


def _ego_score(summary: dict[str, Any]) -> Text | None:
    score = summary["ego_score"]
    if not score:
        return None
    out = Text(f"own motion against truth, over {score['interval_s']:g} s: ")
    out.append(f"{score['rotation_median_deg']:.2f}° and {score['position_median_m']:.2f} m", style="bold")
    out.append(" off at the median, of ")
    out.append(f"{score['true_rotation_median_deg']:.1f}° and {score['true_distance_median_m']:.1f} m")
    out.append(f" ({score['pairs']} pairs of ticks)", style="dim")
    return out


def _ledger(summary: dict[str, Any]) -> Group | None:
    streams = summary["streams"]
    if not streams:
        return None
    shown = [r for r in LEDGER_REASONS if r == "fused" or any(row[r] for row in streams.values())]
    table = _table("messages", "published", "received", *(r.replace("_", " ") for r in shown))
    for stream, row in streams.items():
        table.add_row(Text(stream), *(str(row[k]) for k in ("published", "received", *shown)))
    verdict = (
        Text("every published message is accounted for", style="green")
        if summary["ledger_balanced"]
        else Text("NOT every published message is accounted for", style="bold red")
    )
    return Group(table, verdict)


def _exchanges(summary: dict[str, Any]) -> Table | None:
    if not summary["exchanges"]:
        return None
    table = _table("clock of", "state", "ahead by", "within ±", "exchanges")
    for process, row in summary["exchanges"].items():
        ahead = "–" if row["offset_s"] is None else f"{row['offset_s']:+.6f} s"
        within = "–" if row["bound_ms"] is None else f"{milliseconds(row['bound_ms'])} ms"
        table.add_row(Text(process), row["state"], ahead, within, str(row["exchanges"]))
    return table
