"""Limits that a run with faults passes or fails."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sensorfuse.errors import SensorfuseError

MEASURES: dict[str, tuple[bool, str]] = {
    # name: (at least, what it is)
    "ticks_missed": (False, "ticks expected and never published"),
    "ticks_late": (False, "ticks missed, or published more than a period after their deadline"),
    "longest_gap": (False, "successive ticks missed, at most"),
    "latency_ms": (False, "from a tick's reference time to its frame, 99th percentile"),
    "score": (True, "detection score (NDS) of the tracks over the whole run"),
    "score_during": (True, "the same while a fault lasts, the least of all faults"),
    "score_after": (True, "the same from a fault's end on, the least of all faults"),
    "recovery_s": (False, "from a fault's end until its stream is used steadily again, the longest of all faults"),
    "ledger_off": (False, "messages that the ledger does not account for"),
    "failures": (False, "what processes could not do although they were started again"),
}


@dataclass(frozen=True)
class Limit:
    """The most that a measure may come to; of scores, the least."""

    measure: str
    value: float

    @property
    def at_least(self) -> bool:
        return MEASURES[self.measure][0]

    def met(self, measured: float | None) -> bool:
        """What was not measured does not pass."""
        if measured is None or math.isnan(measured):
            return False
        return measured >= self.value if self.at_least else measured <= self.value

    def __str__(self) -> str:
        return f"{self.measure} {'>=' if self.at_least else '<='} {self.value:g}"


def parse_limit(text: str) -> Limit:
    """Read `MEASURE=VALUE`.

    Raises:
        SensorfuseError: no such measure, or no number.
    """
    measure, _, value = text.partition("=")
    try:
        return make_limit(measure.strip(), float(value))
    except ValueError:
        raise SensorfuseError(f"limit {text!r}: expected MEASURE=NUMBER, as ticks_missed=0") from None


def make_limit(measure: str, value: float) -> Limit:
    """A limit on a measure.

    Raises:
        SensorfuseError: there is no such measure.
    """
    if measure not in MEASURES:
        raise SensorfuseError(f"limit {measure}={value:g}: nothing is called so; there are {', '.join(MEASURES)}")
    return Limit(measure, value)
