"""What was compiled, for people and for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from sensorfuse.deploy.compiled import Compiled, Row, Score

COLUMNS = ("network", "precision", "target", "for", "", "MB", "s", "parity", "gate", "in fp32", "key")


def figures(compiled: Compiled) -> dict[str, Any]:
    """All of it as plain values."""
    return {
        "ok": compiled.ok,
        "seconds": round(compiled.seconds, 2),
        "engines": [asdict(r) for r in compiled.rows],
        "scores": [{**asdict(s), "loss": round(s.loss, 5)} for s in compiled.scores],
        "left_out": [asdict(x) for x in compiled.left_out],
    }


def form(score: Score) -> str:
    """Which INT8 it is."""
    return "int8 for TensorRT" if score.symmetric else "int8 for CPUs"


def cells(row: Row) -> list[str]:
    """One row of the table."""
    kept = ", ".join(f"{n} {operator}" for operator, n in row.kept.items())
    return [
        row.network,
        row.precision,
        row.target,
        row.architecture,
        row.status,
        f"{row.size / 1e6:.2f}" if row.size else "",
        f"{row.seconds:.1f}" if row.seconds else "",
        f"{row.parity:.1g}" if row.parity is not None else "",
        f"{row.gate:g}" if row.gate is not None else "",
        kept,
        row.key[:12],
    ]


def print_compiled(compiled: Compiled, console: Console) -> None:
    """The table of engines, scores, and what was left out and why."""
    table = Table(title=f"{len(compiled.rows)} engines in {compiled.seconds:.0f} s")
    for name in COLUMNS:
        table.add_column(name, justify="right" if name in ("MB", "s", "parity", "gate") else "left")
    for row in compiled.rows:
        table.add_row(*cells(row))
    if compiled.rows:
        console.print(table)
    for score in compiled.scores:
        told = f"score {score.before:.4f} in fp32, {score.after:.4f} in {form(score)}: {100 * score.loss:+.2f} % lost"
        console.print(f"{score.strategy}: {told}", highlight=False, soft_wrap=True)
    for row in compiled.rows:
        if row.reason:
            console.print(f"{row.network} {row.precision} {row.target}: {row.reason}", highlight=False, soft_wrap=True)
    for one in compiled.left_out:
        console.print(f"{one.name}: left out: {one.reason}", highlight=False, soft_wrap=True)


def markdown(compiled: Compiled) -> str:
    """The tables as Markdown."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in compiled.rows]
    if compiled.scores:
        lines += ["", "| strategy | score in fp32 | in | | lost |", "|---|---|---|---|---|"]
        lines += [
            f"| {s.strategy} | {s.before:.4f} | {form(s)} | {s.after:.4f} | {100 * s.loss:+.2f} % |"
            for s in compiled.scores
        ]
    lines += [f"\n{x.name}: left out: {x.reason}" for x in compiled.left_out]
    return "\n".join(lines) + "\n"
