"""Which ticks a report shows."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorfuse.report.record import MAX_SNAPSHOTS, choose_snapshots


def frames_of(modes: str) -> list[Any]:
    """`F` a full tick, any other letter a degraded one."""
    return [SimpleNamespace(tick_id=i, mode="full" if m == "F" else f"no_{m}") for i, m in enumerate(modes)]


def test_a_loss_and_what_lies_around_it() -> None:
    chosen = choose_snapshots(iter(frames_of("F" * 80 + "L" * 41 + "F" * 79)))
    assert len(chosen) == MAX_SNAPSHOTS
    assert chosen[0] == 10, "the first full tick, settled"
    assert 100 in chosen, "the middle of the loss"
    assert 131 in chosen, "after recovery, settled"


def test_longer_losses_come_first() -> None:
    modes = "F" * 30 + "".join("L" * n + "F" * 12 for n in (2, 9, 3, 20, 4, 15))
    chosen = choose_snapshots(frames_of(modes))
    degraded = [t for t in chosen if modes[t] == "L"]
    runs = [len(run) for t in degraded for run in [modes[: t + 1].split("F")[-1] + modes[t + 1 :].split("F")[0]]]
    assert sorted(runs) == [9, 15, 20] or sorted(runs) == [15, 20]


def test_blips_and_the_first_moments_are_not_shown_for_their_own_sake() -> None:
    modes = "A" * 5 + "F" * 20 + "LLLL" + "F" * 20 + "L" * 12 + "F" * 30
    chosen = choose_snapshots(frames_of(modes), limit=3)
    assert chosen == [15, 55, 71]


@given(st.text("FLA", max_size=80), st.integers(1, 8))
def test_always_sorted_distinct_ticks_that_exist(modes: str, limit: int) -> None:
    chosen = choose_snapshots(frames_of(modes), limit)
    assert chosen == sorted(set(chosen))
    assert set(chosen) <= set(range(len(modes)))
    assert len(chosen) == min(limit, len(modes))
    if "FFFFF" in modes:
        assert any(modes[t] == "F" for t in chosen)
    if limit > 1 and re.search(r"L{11,}|A{11,}", modes):
        assert any(modes[t] != "F" for t in chosen)


@pytest.mark.parametrize("modes", ["", "F", "L"])
def test_hardly_any_tick(modes: str) -> None:
    assert choose_snapshots(frames_of(modes)) == list(range(len(modes)))
