"""A set of tick numbers behaves as a set does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sensorfuse.tick_set import MAX_TICK, TickSet

TICKS = st.sets(st.integers(0, 500))


@given(first=TICKS, second=TICKS, gone=st.integers(0, 500))
def test_as_a_set(first: set[int], second: set[int], gone: int) -> None:
    mine = TickSet(first)
    assert mine == first
    assert list(mine) == sorted(first)
    assert len(mine) == len(first)
    assert (gone in mine) == (gone in first)
    assert second - mine == second - first
    assert mine - second == first - second
    mine.discard(gone)
    assert mine == first - {gone}
    assert max(mine, default=-1) == max(first - {gone}, default=-1)


def test_what_is_no_tick_is_left_out() -> None:
    mine = TickSet([-1, MAX_TICK, 3, 3])
    assert mine == {3}
    assert "3" not in mine
