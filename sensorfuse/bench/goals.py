"""Goals with what was measured against them: a line each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Goal:
    """What was aimed at and what came out, both in `unit` ("" for shares and counts).

    `goal` is the most that is allowed, or with `at_least` the least.
    """

    name: str
    goal: float
    measured: float
    unit: str = ""
    at_least: bool = False

    @property
    def met(self) -> bool:
        return bool(self.measured >= self.goal if self.at_least else self.measured <= self.goal)


def figures(goals: Sequence[Goal]) -> list[dict[str, Any]]:
    """The lines as plain values."""
    return [{**asdict(g), "met": g.met} for g in goals]


def print_goals(title: str, goals: Sequence[Goal], console: Console) -> None:
    """A row per goal."""
    table = Table(title=title)
    for name in ("goal", "aim", "measured", ""):
        table.add_column(name, justify="left" if name == "goal" else "right")
    for g in goals:
        aim = f"{'>=' if g.at_least else '<='} {g.goal:g} {g.unit}".rstrip()
        table.add_row(g.name, aim, _measured(g), "met" if g.met else "NOT MET")
    console.print(table)


def _measured(goal: Goal) -> str:
    if math.isnan(goal.measured):
        return "not measured"
    if math.isinf(goal.measured) and goal.unit == "s":
        return "never"
    return f"{goal.measured:.4g} {goal.unit}".rstrip()
