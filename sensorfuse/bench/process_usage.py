"""Processor time and memory of each process of a run."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import psutil

PERIOD_S = 1.0
SHARE_EVERY = 5  # looks: the system walks through all of a process's pages to tell its share of those


@dataclass
class _Seen:
    pid: int
    first_cpu_s: float
    first_s: float
    last_cpu_s: float = 0.0
    last_s: float = 0.0
    resident: list[int] = field(default_factory=list)
    proportional: list[int] = field(default_factory=list)


class ProcessUsage:
    """`note` looks at the processes once a second; an incarnation that follows another counts anew."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}
        self._next_s = 0.0

    def note(self, pids: Mapping[str, int], elapsed_s: float) -> None:
        """What the processes, by name, have used `elapsed_s` after the start; too soon after the last, nothing."""
        if elapsed_s < self._next_s:
            return
        self._next_s = elapsed_s + PERIOD_S
        for name, pid in pids.items():
            with suppress(psutil.Error):
                process = psutil.Process(pid)
                spent = process.cpu_times()
                cpu_s = spent.user + spent.system
                if name not in self._seen or self._seen[name].pid != pid:
                    self._seen[name] = _Seen(pid, cpu_s, elapsed_s)
                seen = self._seen[name]
                seen.last_cpu_s, seen.last_s = cpu_s, elapsed_s
                seen.resident.append(process.memory_info().rss)
                if len(seen.resident) % SHARE_EVERY == 1:
                    with suppress(psutil.Error, AttributeError):
                        seen.proportional.append(process.memory_full_info().pss)

    def figures(self) -> dict[str, dict[str, Any]]:
        """By process: share of one core, and the most memory seen in megabytes: resident, and with what processes
        share divided among them (None where the system does not tell).
        """
        return {
            name: {
                "cpu": (s.last_cpu_s - s.first_cpu_s) / (s.last_s - s.first_s) if s.last_s > s.first_s else None,
                "resident_mb": max(s.resident) / 1e6,
                "proportional_mb": max(s.proportional) / 1e6 if s.proportional else None,
            }
            for name, s in self._seen.items()
            if s.resident
        }
