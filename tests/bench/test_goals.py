"""Goals are judged by what was measured."""

from __future__ import annotations

import io
import math

from rich.console import Console

from sensorfuse.bench.goals import Goal, figures, print_goals


def test_goals_are_met_or_not_by_the_figure() -> None:
    rows = figures([Goal("a", 1.0, 0.5, "ms"), Goal("b", 1.0, 1.5, "ms")])
    assert [r["met"] for r in rows] == [True, False]


def test_a_goal_may_be_a_floor() -> None:
    rows = figures([Goal("a", 1.0, 0.5, at_least=True), Goal("b", 1.0, 1.5, at_least=True)])
    assert [r["met"] for r in rows] == [False, True]


def test_what_never_came_and_what_was_not_measured_are_said_in_words() -> None:
    out = io.StringIO()
    print_goals("goals", [Goal("a", 2.0, math.inf, "s"), Goal("b", 2.0, math.nan, "s")], Console(file=out, width=100))
    assert "never" in out.getvalue()
    assert "not measured" in out.getvalue()
    assert out.getvalue().count("NOT MET") == 2
