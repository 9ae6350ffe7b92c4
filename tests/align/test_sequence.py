"""Copies are told from samples that come out of order, whatever the incarnation."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sensorfuse.align import sequence as module
from sensorfuse.align.sequence import Sequence


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 40)), max_size=200))
def test_a_sample_is_new_exactly_once(arrivals: list[tuple[int, int]]) -> None:
    sequence, seen = Sequence(), set()
    for key in arrivals:
        assert sequence.is_new(*key) is (key not in seen)
        seen.add(key)
    assert sequence.copies == len(arrivals) - len(seen)


def test_memory_is_bounded_by_forgetting_what_was_skipped_long_ago(monkeypatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 10)
    sequence = Sequence()
    for seq in range(0, 4000, 2):
        assert sequence.is_new(7, seq)
    assert sequence.is_new(7, 10**12)
    assert len(sequence._skipped) == 10
    assert sequence.is_new(7, 10**12 - 1)
    assert not sequence.is_new(7, 1), "too long ago to tell"
    for boot in range(100):
        sequence.is_new(boot, 0)
    assert len(sequence._others) <= module.INCARNATIONS
