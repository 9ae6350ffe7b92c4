"""Goals are judged by what was measured."""

from __future__ import annotations

from sensorfuse.bench.goals import Goal, figures


def test_goals_are_met_or_not_by_the_figure() -> None:
    rows = figures([Goal("a", 1.0, 0.5, "ms"), Goal("b", 1.0, 1.5, "ms")])
    assert [r["met"] for r in rows] == [True, False]


def test_a_goal_may_be_a_floor() -> None:
    rows = figures([Goal("a", 1.0, 0.5, at_least=True), Goal("b", 1.0, 1.5, at_least=True)])
    assert [r["met"] for r in rows] == [False, True]
