"""The strategies' figures in the terminal, and what they amount to."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from sensorfuse.bench.strategy_rows import FULL

BUDGET_MS = 25.0
"""What a tick may take on one core at the 99th percentile, by the design's goal, while encoders run between ticks."""


def way_of(row: dict[str, Any]) -> str:
    """A row's strategy and how it is run, in words."""
    return f"{row['strategy']}, {row['backend']} {row['precision']}" if row["model_mb"] else row["strategy"]


def front(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of the rows with every sensor and a score, those that no other beats in both p99 and score; fastest first."""
    known = sorted(
        (r for r in rows if r["presence"] == FULL and r["nds"] is not None), key=lambda r: r["tick_ms"]["p99"]
    )
    out: list[dict[str, Any]] = []
    for row in known:
        if not out or row["nds"] > out[-1]["nds"]:
            out.append(row)
    return out


def worst_loss(rows: list[dict[str, Any]], clock: str) -> dict[str, Any] | None:
    """The row that the loss of sensors slows most, by `tick` (on the wall) or `computed` (processor time)."""
    lost = [r for r in rows if r["presence"] != FULL and r["against_full"]]
    return max(lost, key=lambda r: float(r["against_full"][clock]), default=None)


def conclusions(figures: dict[str, Any]) -> list[str]:
    """A sentence per thing that a user wants to know."""
    rows = figures["rows"]
    said = []
    best = [r for r in front(rows) if r["tick_ms"]["p99"] <= BUDGET_MS]
    if best:
        row = best[-1]
        said.append(f"most accurate within {BUDGET_MS:g} ms: {way_of(row)}: NDS {row['nds']:.3f}, {_tick_words(row)}")
    elif front(rows):
        row = front(rows)[0]
        said.append(
            f"nothing with a score keeps {BUDGET_MS:g} ms at the 99th percentile here; nearest is {way_of(row)}: "
            f"{_tick_words(row)}"
        )
    for clock, words in (("tick", "on the wall"), ("computed", "of processor time")):
        worst = worst_loss(rows, clock)
        if worst is not None:
            change = worst["against_full"][clock]
            said.append(
                f"losing sensors changes p50 {words} by at most {change:+.1%} ({way_of(worst)}, {worst['presence']})"
            )
    said.append(f"networks opened while sensors came and went: {figures['opened_while_measuring']}")
    return said


def _tick_words(row: dict[str, Any]) -> str:
    took, computed = row["tick_ms"], row["computed_p99_ms"]
    return f"p50 {took['p50']:.1f} ms, p99 {took['p99']:.1f} ms a tick ({computed:.1f} ms of processor time)"


def print_figures(figures: dict[str, Any], console: Console) -> None:
    """A table per strategy and way to run it, with a row per presence state."""
    busy = "a busy process" if figures["load"] == 1 else f"{figures['load']} busy processes"
    load = f", {busy} beside it" if figures["load"] else ""
    rate = f"{figures['rate_hz']:g} Hz" if figures["rate_hz"] else "back to back"
    threads = f"{figures['threads']} thread{'s' if figures['threads'] > 1 else ''}"
    console.print(f"a whole tick in ms: {figures['samples']} ticks a row, {rate}, {threads}{load}", highlight=False)
    for way in dict.fromkeys(way_of(r) for r in figures["rows"]):
        table = Table(title=way, title_justify="left")
        for name in ("presence", "p50", "p90", "p99", "p99.9", "max", "CPU", "encode", "NDS", "limit"):
            table.add_column(name, justify="left" if name in ("presence", "limit") else "right", no_wrap=True)
        for row in (r for r in figures["rows"] if way_of(r) == way):
            took = row["tick_ms"]
            cells = ["–" if took[k] is None else f"{took[k]:.1f}" for k in ("p50", "p90", "p99", "p999", "max")]
            cells += [f"{row['computed_ms']:.1f}", f"{encode_ms(row):.1f}"]
            cells += ["–" if row["nds"] is None else f"{row['nds']:.3f}", row["limit"]["name"] if row["limit"] else "–"]
            table.add_row(row["presence"], *cells)
        console.print(table)
    firsts = [
        r for r in figures["rows"] if r["presence"] == FULL or FULL not in {x["presence"] for x in figures["rows"]}
    ]
    more = Table(title="of each way to run")
    for name in ("strategy", "cold, ms", "memory, MB", "files, MB", "joules a tick"):
        more.add_column(name, justify="left" if name == "strategy" else "right")
    for row in {way_of(r): r for r in firsts}.values():
        joules = "–" if row["joules"] is None else f"{row['joules']:.3f}"
        files = f"{row['model_mb']:.1f}" if row["model_mb"] else "–"
        more.add_row(way_of(row), f"{row['cold_ms']:.0f}", f"{row['memory_mb']:.0f}", files, joules)
    console.print(more)
    for sentence in conclusions(figures):
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)
    for name, reason in figures["left_out"].items():
        console.print(f"left out: {name}: {reason}", markup=False, highlight=False, soft_wrap=True)


def encode_ms(row: dict[str, Any]) -> float:
    """One run of each encoder that has something to encode: what is done between ticks."""
    return sum(float(v["p50"]) for v in row["encode_ms"].values())
