"""The ledger: every published sample ends with exactly one reason.

The aligner closes the samples that no tick chose, the fusion process those that a tick chose. What was published and
never closed by either was lost on the way (`transport_lost`): on a socket, or inside a process that was killed. So
for every stream the reasons add up to what was published, whatever happened: that proves nothing. What was never closed
(`unclosed`) can be checked against what the aligners say that they received (`Collector.unaccounted`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sensorfuse.messages import LEDGER_REASONS, LedgerReason

MAX_OPEN = 20_000  # a hole this far behind the newest closed sample is given up as lost


@dataclass
class _Account:
    """One incarnation of one stream: which sequence numbers are closed, in constant memory."""

    published: int = 0
    begin: int = 0  # what lies below is not this ledger's
    floor: int = 0  # every seq below is closed or given up
    closed_above: set[int] = field(default_factory=set)
    counts: dict[LedgerReason, int] = field(default_factory=lambda: dict.fromkeys(LEDGER_REASONS, 0))

    def close(self, seq: int, reason: LedgerReason) -> bool:
        if seq < self.floor or seq in self.closed_above:
            return False
        self.counts[reason] += 1
        self.closed_above.add(seq)
        self.published = max(self.published, seq + 1)
        while self.floor in self.closed_above:
            self.closed_above.remove(self.floor)
            self.floor += 1
        while len(self.closed_above) > MAX_OPEN:
            self.floor += 1
            while self.floor in self.closed_above:
                self.closed_above.remove(self.floor)
                self.floor += 1
        return True


class Ledger:
    """Accounts per stream and incarnation. The first reason given for a sample stands."""

    def __init__(self, streams: list[str]) -> None:
        self._accounts: dict[str, dict[int, _Account]] = {s: {} for s in streams}

    def _account(self, stream: str, boot: int) -> _Account:
        return self._accounts.setdefault(stream, {}).setdefault(boot, _Account())

    def note_published(self, stream: str, boot: int, count: int) -> None:
        """The publisher says that it has published `count` samples so far."""
        account = self._account(stream, boot)
        account.published = max(account.published, count)

    def begin_at(self, stream: str, boot: int, count: int) -> None:
        """Leave the first `count` samples of an incarnation, published before anybody kept this ledger, to others."""
        account = self._account(stream, boot)
        account.begin = account.floor = account.published = count
        account.counts = dict.fromkeys(LEDGER_REASONS, 0)
        account.closed_above.clear()

    def close(self, stream: str, boot: int, seq: int, reason: LedgerReason) -> bool:
        """End one sample. False when it was closed before (a second opinion, say of a standby, changes nothing)."""
        return self._account(stream, boot).close(seq, reason)

    def published(self, stream: str) -> int:
        return sum(a.published - a.begin for a in self._accounts.get(stream, {}).values())

    def counts(self, stream: str) -> dict[LedgerReason, int]:
        """Per reason; what was published and never closed counts as lost."""
        total: dict[LedgerReason, int] = dict.fromkeys(LEDGER_REASONS, 0)
        for account in self._accounts.get(stream, {}).values():
            for reason, n in account.counts.items():
                total[reason] += n
        total["transport_lost"] += self.unclosed(stream)
        return total

    def unclosed(self, stream: str) -> int:
        """Samples that were published and that nobody ended: what is inferred to be lost, not told."""
        accounts = self._accounts.get(stream, {}).values()
        return sum(a.published - a.begin - sum(a.counts.values()) for a in accounts)
