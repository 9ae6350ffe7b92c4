"""Which of a publisher's samples have come already."""

from __future__ import annotations

REMEMBERED = 4096  # sequence numbers that may still come, per incarnation
INCARNATIONS = 4


class Sequence:
    """Tells a sample from its copy by incarnation and sequence number, in bounded memory.

    What counts are the numbers that were skipped: one of those is new, any other below the newest came before. The
    sample `next_seq` of `boot` is what comes if nothing is amiss: whoever has many may count it up without `is_new`.
    """

    __slots__ = ("_others", "_skipped", "boot", "copies", "next_seq")

    def __init__(self) -> None:
        self.copies = 0
        self.boot = 0
        self.next_seq = 0
        self._skipped: dict[int, None] = {}  # ascending, as numbers are only ever skipped forward
        self._others: dict[int, tuple[int, dict[int, None]]] = {}  # earlier incarnations, some of it may be on its way

    def is_new(self, boot: int, seq: int) -> bool:
        """Whether this sample never came before; remembers it."""
        if boot == self.boot and seq == self.next_seq:
            self.next_seq = seq + 1
            return True
        if boot != self.boot:
            self._turn_to(boot)
        if seq >= self.next_seq:
            self._skipped.update(dict.fromkeys(range(max(self.next_seq, seq - REMEMBERED), seq)))
            while len(self._skipped) > REMEMBERED:
                del self._skipped[next(iter(self._skipped))]
            self.next_seq = seq + 1
            return True
        if seq in self._skipped:
            del self._skipped[seq]
            return True
        self.copies += 1
        return False

    def _turn_to(self, boot: int) -> None:
        self._others[self.boot] = (self.next_seq, self._skipped)
        self.boot = boot
        self.next_seq, self._skipped = self._others.pop(boot, (0, {}))
        while len(self._others) >= INCARNATIONS:
            del self._others[next(iter(self._others))]
