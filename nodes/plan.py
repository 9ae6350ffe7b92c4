"""What a run is to do, and what it amounted to."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sensorfuse.collector import Collector
from sensorfuse.inject.fault import Fault
from sensorfuse.processes import Mode
from sensorfuse.report.record import Event
from sensorfuse.rig import Rig
from sensorfuse.tick_set import longest_gap

HELD_S = 3.0  # of a stream's messages an aligner or a fusion process holds so much at most: what is older has ended


@dataclass
class RunPlan:
    """What to run. `log` None: the synthetic rig feeds the sensors. `rate` None: as fast as it goes, without loss.

    `loop_s`: the log is played again and again, for so many seconds of its time. `made_ahead_s`: so many seconds of a
    synthetic world are made up before the run begins, and take no time from it. `faults` are put in, with what they
    leave to chance drawn from `fault_seed`. `orphan_s`: the processes go on so long without their supervisor, for
    another one to take them over.
    """

    rig: Rig
    mode: Mode
    out: Path
    log: Path | None = None
    log_start_ns: int = 0
    rate: float | None = 1.0
    deterministic: bool = False
    loop_s: float = 0.0
    duration_s: float | None = None
    record_inputs: bool = False
    only: tuple[str, ...] | None = None
    made_ahead_s: float = 0.0
    faults: tuple[Fault, ...] = ()
    fault_seed: int = 0
    orphan_s: float = 0.0
    on_progress: Callable[[Collector, float], None] | None = None

    @property
    def lossless(self) -> bool:
        return self.log is not None and (self.deterministic or self.rate is None)

    @property
    def twins(self) -> bool:
        """Whether aligner and fusion have a standby each."""
        return self.mode != "record" and not self.lossless


@dataclass
class Outcome:
    """What the run amounted to."""

    collector: Collector
    events: list[Event]
    ticks_expected: int
    origin_ns: int
    log_paths: list[Path]
    rejected: dict[str, int]  # records of the log that could not be read, by "stream: reason"
    failures: list[str]  # what a process could not do and no other start of it could
    exchanges: dict[str, dict[str, Any]]  # how well each process on another host last knew the time (`Timekeeper`)

    @property
    def ticks_missed(self) -> int:
        """Ticks that were expected and never published."""
        return self.ticks_expected - sum(t < self.ticks_expected for t in self.collector.frame_ids)

    @property
    def longest_gap(self) -> int:
        """Successive ticks missed, at most."""
        return longest_gap(self.collector.frame_ids, (0, self.ticks_expected))

    def unaccounted(self, rig: Rig) -> dict[str, int]:
        """Per stream, the messages that were received and that nobody ended. What an aligner or a fusion process held
        when it was killed, and what was under way when a supervisor took the run over, is lost with them.
        """
        losses = sum(_takes_messages_along(e) for e in self.events)
        held = {s: losses * math.ceil(HELD_S * 1e9 / c.period_ns) for s, c in rig.sensors.items()}
        return self.collector.unaccounted(held)


def _takes_messages_along(event: Event) -> bool:
    if event.process == "supervisor":
        return event.what.startswith("took over")
    ends = event.what.startswith(("died (", "did not stop when told"))
    return ends and event.process.startswith(("align.", "fusion."))
