"""A set of tick numbers in a byte each: what a run of many hours may keep."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, MutableSet

MAX_TICK = 1 << 28  # a number beyond is no tick's


class TickSet(MutableSet[int]):
    """Numbers from 0 on, most of them there. Compares and combines with other sets."""

    def __init__(self, ticks: Iterable[int] = ()) -> None:
        self._there = bytearray()
        self._count = 0
        for tick in ticks:
            self.add(tick)

    def __contains__(self, tick: object) -> bool:
        return isinstance(tick, int) and 0 <= tick < len(self._there) and bool(self._there[tick])

    def __iter__(self) -> Iterator[int]:
        return (tick for tick, there in enumerate(self._there) if there)

    def __len__(self) -> int:
        return self._count

    def add(self, value: int) -> None:
        """Numbers below 0 and beyond `MAX_TICK` are left out."""
        if not 0 <= value < MAX_TICK or value in self:
            return
        if value >= len(self._there):
            self._there.extend(bytes(value + 1 - len(self._there)))
        self._there[value] = 1
        self._count += 1

    def discard(self, value: int) -> None:
        if value in self:
            self._there[value] = 0
            self._count -= 1


def longest_gap(there: Container[int], span: tuple[int, int]) -> int:
    """The longest stretch of successive ticks from `span[0]` to `span[1]` - 1 that are not there."""
    longest = run = 0
    for tick in range(*span):
        run = 0 if tick in there else run + 1
        longest = max(longest, run)
    return longest
