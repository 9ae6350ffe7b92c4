"""The robustness of strategies as tables for a terminal."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from sensorfuse.fusion.evaluation.robustness_gaps import GAPS
from sensorfuse.fusion.evaluation.robustness_summary import SINGLE, headline

ABREAST = 4
"""Strategies side by side in a table with one column for each."""


def print_tables(report: dict[str, Any], console: Console | None = None) -> None:
    """Strategies at a glance; corruption by corruption; set of modalities by set of modalities; gaps;
    times.
    """
    console = console or Console()
    strategies = report["strategies"]
    console.print(_overview(report))
    names = [s for s in strategies if s != SINGLE]
    for make in (_corruptions, _subsets, _gaps):
        for first in range(0, len(names), ABREAST):
            console.print(make(strategies, names[first : first + ABREAST]))
    console.print(_times(strategies))


def _table(title: str, caption: str, columns: list[str], words: int = 1) -> Table:
    """A table whose first `words` columns hold words, the others numbers."""
    table = Table(
        title=title,
        caption=caption,
        box=box.SIMPLE_HEAD,
        padding=0,
        title_justify="left",
        caption_justify="left",
    )
    for n, column in enumerate(columns):
        table.add_column(column, justify="left" if n < words else "right", no_wrap=n < words)
    return table


def _name(label: str, report: dict[str, Any]) -> str:
    single = report["protocol"]["single"]
    return f"{single['modality']} alone" if label == SINGLE else _words(label)


def _overview(report: dict[str, Any]) -> Table:
    protocol = report["protocol"]
    caption = (
        f"{protocol['ticks']} ticks of {len(protocol['worlds'])} unseen worlds; levels "
        f"{', '.join(f'{x:.2g}' for x in protocol['levels'])}. ahead: NDS within 80 degrees; mRA: mean over "
        "corruptions of NDS over clean NDS, ±: 95 % over worlds; mRRA: sum of NDS over "
        f"{protocol['base']}'s, less 1; τ rel: mean NDS over levels, /clean: over clean NDS; τ eff: above "
        f"{protocol['base']}'s curve shifted to the same clean NDS; alone: the best single sensor, by "
        f"{_words(protocol['single']['strategy'])}"
    )
    columns = ["strategy", "NDS", "mAP", "ahead", "mRA", "±", "mRRA", "τ rel", "/clean", "τ eff"]
    table = _table("Robustness", caption, columns)
    for label, row in report["strategies"].items():
        low, high = row["mra_interval"]
        half = None if low is None else (high - low) / 2
        scores = [row["clean"].get(k) for k in ("nds", "map", "nds_ahead")]
        measures = [row["mra"], half, *(row[k] for k in ("mrra", "tau_rel", "tau_rel_of_clean", "tau_eff"))]
        table.add_row(_name(label, report), *map(_number, [*scores, *measures]))
    return table


def _times(strategies: dict[str, Any]) -> Table:
    caption = "ms to fuse a tick, on this machine as busy as it was; worst: the greatest under any corruption"
    columns = ["strategy", "clean p50", "p99", "worst p50", "p99", "under"]
    table = _table("Time to fuse", caption, columns)
    for label, row in strategies.items():
        if label != SINGLE:
            times = {c: r["fuse_ms"] for c, r in row["corruptions"].items() if "fuse_ms" in r}
            slowest = max(times, key=lambda c, t=times: t[c]["p50"])  # type: ignore[misc]
            shown = [row["clean"]["fuse_ms"][q] for q in ("p50", "p99")] + [times[slowest][q] for q in ("p50", "p99")]
            table.add_row(_words(label), *(f"{v:.1f}" for v in shown), _words(slowest))
    return table


def _corruptions(strategies: dict[str, Any], labels: list[str]) -> Table:
    caption = "RA, and the score at the worst level: NDS, or F1 of sounds where only sound is touched"
    table = _table("Resistance to each corruption", caption, ["corruption", "score", *map(_words, labels)], words=2)
    for corruption in next(iter(strategies.values()))["corruptions"]:
        metric = headline(corruption)
        cells = []
        for label in labels:
            measured = strategies[label]["corruptions"][corruption].get(metric)
            cells.append(_pair(measured["ra"], _number(measured["worst"])) if measured else "–")
        table.add_row(_words(corruption), {"nds": "NDS", "sound_f1": "F1"}[metric], *cells)
    return table


def _subsets(strategies: dict[str, Any], labels: list[str]) -> Table:
    caption = "NDS all around, and within 80 degrees ahead. Behind the robot only the LiDAR looks."
    table = _table("With these modalities", caption, ["modalities", *map(_words, labels)])
    for subset in strategies[labels[0]]["subsets"]:
        scores = [strategies[s]["subsets"][subset] for s in labels]
        table.add_row(subset, *(_pair(s.get("nds"), _number(s.get("nds_ahead"))) for s in scores))
    return table


def _gaps(strategies: dict[str, Any], labels: list[str]) -> Table:
    caption = "share of the NDS left during a second without; ticks after it until 95 % of the NDS is back"
    table = _table("Gaps", caption, ["gap in", *map(_words, labels)])
    for gap in GAPS:
        rows = [strategies[s]["gaps"][gap] for s in labels]
        back = ["never" if r["recovery_ticks"] is None else str(r["recovery_ticks"]) for r in rows]
        table.add_row(_words(gap), *(_pair(r["left"], b) for r, b in zip(rows, back, strict=True)))
    return table


def _words(name: str) -> str:
    return name.replace("_", " ")


def _pair(value: float | None, other: str) -> str:
    """Two values side by side, which no line break parts."""
    return f"{_number(value)}\N{NO-BREAK SPACE}\N{NO-BREAK SPACE}{other:>5}".replace(" ", "\N{NO-BREAK SPACE}")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
