"""What `sensorfuse sync` finds of a log: a report per stream, and of the log as a whole."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from sensorfuse.messages import Modality
from sensorfuse.sync.clock_tally import ClockReport
from sensorfuse.sync.completeness import CompletenessReport
from sensorfuse.sync.phase_lock import PhaseReport
from sensorfuse.sync.step_tally import StepReport

Grade = Literal["good", "note", "bad"]


@dataclass(frozen=True)
class OffsetReport:
    """A stream's offset against a reference by what both saw: what must be added to the rig's `offset_s`.

    With `accepted`, `t_reference = t_stream + offset_s`, one sigma `sigma_s`; else the log does not tell, and `reason`
    says why. `peak` is the correlation's, `gap` its lead over the best other maximum; `excitation` says how much there
    was to compare. `at_s` is the middle of the stretch that was looked at, in seconds from the log's beginning.
    """

    reference: str
    method: str
    accepted: bool
    reason: str
    offset_s: float
    sigma_s: float
    peak: float
    gap: float
    excitation: float
    at_s: float = 0.0


@dataclass(frozen=True)
class ContentReport:
    """Offsets by content of one stream: over the whole log, and over windows where the log is long."""

    whole: OffsetReport
    windows: tuple[OffsetReport, ...] = ()
    drift_ppm: float | None = None
    drift_sigma_ppm: float | None = None


@dataclass(frozen=True)
class Finding:
    """A sentence of the verdict. `good` needs nothing, `note` is worth knowing, `bad` wants something done."""

    grade: Grade
    text: str


@dataclass(frozen=True)
class StreamReport:
    """One stream. `offset_s` and `offset_sigma_s` are the rig's, None for a stream that the rig does not name."""

    name: str
    log_stream: str
    modality: Modality
    stamp_source: str
    offset_s: float | None
    offset_sigma_s: float | None
    steps: StepReport
    clock: ClockReport
    phase: PhaseReport | None
    rejected: int
    notes: tuple[str, ...] = ()
    content: ContentReport | None = None
    verdict: tuple[Finding, ...] = ()

    @property
    def grade(self) -> Grade:
        grades = {f.grade for f in self.verdict}
        return "bad" if "bad" in grades else "note" if "note" in grades else "good"


@dataclass(frozen=True)
class SyncReport:
    """A whole log. `settings` are what to put into the rig, by sensor; under "fusion" what goes into that block.

    `pace`: how many seconds of stamps came per second of receipts, where the log was recorded from another that was
    played. All else is told at that pace, so delays are in the seconds of the first recording.
    """

    path: str
    format: str
    rig: str | None
    duration_s: float
    messages: int
    streams: dict[str, StreamReport]
    completeness: CompletenessReport | None
    settings: dict[str, dict[str, float]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    pace: float = 1.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON: what is not finite becomes null."""
        plain: dict[str, Any] = _finite(asdict(self))
        for name, stream in self.streams.items():
            plain["streams"][name]["grade"] = stream.grade
        return plain


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
