"""Which of a publisher's samples have come already."""

from __future__ import annotations

REMEMBERED = 4096  # sequence numbers that may still come, per incarnation
INCARNATIONS = 4


class Sequence:
    """Tells a sample from its copy by incarnation and sequence number, in bounded memory.

    What counts are the numbers that were skipped: one of those is new, any other below the newest came before.
    """

    __slots__ = ("_boot", "_next", "_others", "_skipped", "copies")

    def __init__(self) -> None:
        self.copies = 0
        self._boot = 0
        self._next = 0
        self._skipped: dict[int, None] = {}  # ascending, as numbers are only ever skipped forward
        self._others: dict[int, tuple[int, dict[int, None]]] = {}  # earlier incarnations, some of it may be on its way

    def is_new(self, boot: int, seq: int) -> bool:
        """Whether this sample never came before; remembers it."""
        if boot == self._boot and seq == self._next:
            self._next = seq + 1
            return True
        if boot != self._boot:
            self._turn_to(boot)
        if seq >= self._next:
            self._skipped.update(dict.fromkeys(range(max(self._next, seq - REMEMBERED), seq)))
            while len(self._skipped) > REMEMBERED:
                del self._skipped[next(iter(self._skipped))]
            self._next = seq + 1
            return True
        if seq in self._skipped:
            del self._skipped[seq]
            return True
        self.copies += 1
        return False

    def _turn_to(self, boot: int) -> None:
        self._others[self._boot] = (self._next, self._skipped)
        self._boot = boot
        self._next, self._skipped = self._others.pop(boot, (0, {}))
        while len(self._others) >= INCARNATIONS:
            del self._others[next(iter(self._others))]
