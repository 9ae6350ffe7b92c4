"""From what a user asks for to faults, limits and a duration."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sensorfuse.errors import SensorfuseError
from sensorfuse.inject.fault import CONTENT_KINDS, KINDS, Fault, parse_fault
from sensorfuse.inject.limits import MEASURES, Limit, parse_limit
from sensorfuse.inject.scenario import load_fault_scenario

AFTERMATH_S = 4.0  # of a run after its last fault
LEAST_S = 15.0


@dataclass(frozen=True)
class Orders:
    """What to put in, and what to hold the run to."""

    faults: tuple[Fault, ...]
    limits: tuple[Limit, ...]
    seed: int
    duration_s: float


def combine(
    faults: Sequence[str], limits: Sequence[str], scenario: Path | None, seed: int | None, duration_s: float | None
) -> Orders:
    """Faults and limits of a scenario file, and those given beside it, which win.

    Raises:
        SensorfuseError: one of them does not read, or there is none.
    """
    file = load_fault_scenario(scenario) if scenario is not None else None
    all_faults = (*(file.faults if file else ()), *map(parse_fault, faults))
    if not all_faults:
        raise SensorfuseError("no fault: give --fault TARGET:KIND[:VALUE][@START[+DURATION]], or --scenario FILE")
    by_measure = {known.measure: known for known in (*(file.all_limits() if file else ()), *map(parse_limit, limits))}
    last_s = max((f.end_s if math.isfinite(f.end_s) else f.at_s + AFTERMATH_S for f in all_faults), default=0.0)
    given = duration_s if duration_s is not None else file.duration_s if file else None
    chosen = seed if seed is not None else file.seed if file else 0
    return Orders(all_faults, tuple(by_measure.values()), chosen, given or max(LEAST_S, last_s + AFTERMATH_S))


def describe_kinds() -> str:
    """What can be put in and what can be limited, as text."""
    lines = ["faults (TARGET:KIND[:VALUE][@START[+DURATION]]):"]
    for name, kind in KINDS.items():
        usual = "" if kind.default is None or not kind.unit else f", usually {kind.default:g}"
        unit = f" [{kind.unit}{usual}]" if kind.unit else ""
        lines.append(f"  {kind.place:8}{name:12}{kind.meaning}{unit}")
    lines.append(f"  stream  corruptions of content, at a level from 0 to 1: {', '.join(CONTENT_KINDS)}")
    lines.append("limits (MEASURE=NUMBER):")
    lines += [f"  {name:14}{'at least; ' if least else ''}{what}" for name, (least, what) in MEASURES.items()]
    return "\n".join(lines)
