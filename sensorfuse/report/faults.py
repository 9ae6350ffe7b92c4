"""The faults of a run, and what they cost: a table for the terminal and one for the page."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from sensorfuse.report.markup import note, table, text

HEAD = ("fault", "ticks", "longest gap", "used", "back after", "NDS before", "during", "after")


def fault_rows(damage: dict[str, Any]) -> list[list[str]]:
    """A row of text per fault, under HEAD."""
    return [
        [
            v["fault"],
            f"{v['ticks']}/{v['ticks_expected']}",
            str(v["longest_gap"]),
            "–" if v["used_share"] is None else f"{v['used_share']:.0%}",
            back_after(v),
            *("–" if v[k] is None else f"{v[k]:.3f}" for k in ("score_before", "score_during", "score_after")),
        ]
        for v in damage["faults"]
    ]


def back_after(row: dict[str, Any]) -> str:
    """How soon a stream was used again, of a row with `recovered` and `recovery_s` (`Damage.to_dict`)."""
    if row["recovered"] is False:
        return "never"
    return "–" if row["recovery_s"] is None else f"{row['recovery_s']:.1f} s"


def limit_rows(damage: dict[str, Any]) -> list[list[str]]:
    """A row of text per limit: the limit, what was measured, kept or not."""
    return [
        [
            row["limit"],
            "–" if row["measured"] is None else f"{row['measured']:.4g}",
            "kept" if row["met"] else "NOT KEPT",
        ]
        for row in damage["limits"]
    ]


def fault_section(damage: dict[str, Any] | None) -> str:
    """A fragment of HTML; "" for a run without faults."""
    if not damage or not damage["faults"]:
        return ""
    rows = [[text(cell) for cell in row] for row in fault_rows(damage)]
    kept = [[text(cell) for cell in row] for row in limit_rows(damage)]
    told = note(
        "Ticks of the time that a fault lasts and two seconds after. NDS: detection score of the tracks against truth."
    )
    return table(HEAD, rows) + told + (table(("limit", "measured", ""), kept, "narrow") if kept else "")


def fault_table(damage: dict[str, Any]) -> Table:
    """The same for the terminal."""
    out = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for i, name in enumerate(HEAD):
        out.add_column(name, justify="left" if i == 0 else "right", no_wrap=True)
    for row in fault_rows(damage):
        out.add_row(*row)
    return out
