"""The pipeline at its limits: the highest rate that it keeps, what it does beyond, and what encoding early gains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from sensorfuse.bench.pipeline import measure
from sensorfuse.rig import Rig

MOST_LATE = 0.01
HIGHEST_HZ = 200.0
STEPS = 3
Progress = Callable[[str], None]


def _nothing(_: str) -> None:
    return None


def find_rate(rig: Rig, duration_s: float, progress: Progress = _nothing) -> dict[str, Any]:
    """The highest fusion rate with less than 1 % of ticks late, by doubling and then bisection, a short run for each.

    A tick is late whose frame comes more than a period after the deadline, or not at all.
    """
    tried: list[dict[str, float]] = []

    def keeps(rate_hz: float) -> bool:
        progress(f"{rate_hz:.3g} Hz")
        found = measure(rig.with_fusion(rate_hz=rate_hz), duration_s)
        tried.append({"rate_hz": rate_hz, "late": found["late"]})
        return bool(found["late"] < MOST_LATE)

    low, high = 0.0, rig.fusion.rate_hz
    while high < HIGHEST_HZ and keeps(high):
        low, high = high, min(2 * high, HIGHEST_HZ)
    if low == 0.0:
        while high > 0.5 and not keeps(high / 2):
            high /= 2
        low = high / 2
    for _ in range(STEPS):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if keeps(middle) else (low, middle)
    return {"rate_hz": low, "tried": tried}


def overload(rig: Rig, rate_hz: float, factor: float, duration_s: float) -> dict[str, Any]:
    """A run at `factor` times a rate: what it keeps of its cadence, how old frames become, and what is shed."""
    found = measure(rig.with_fusion(rate_hz=min(factor * rate_hz, HIGHEST_HZ)), duration_s)
    kept = ("rate_hz", "ticks", "ticks_expected", "late", "cadence_ms", "shed", "ledger")
    return {name: found[name] for name in kept} | {"age_ms": found["latency_ms"].get("capture_to_fused", {})}


def compare_encoding(rig: Rig, duration_s: float, rounds: int, progress: Progress = _nothing) -> dict[str, Any]:
    """Ages of frames with encoders run as samples arrive and at the tick, in runs that take turns."""
    ages: dict[str, list[float]] = {"arrival": [], "tick": []}
    for k in range(2 * rounds):
        when = ("arrival", "tick", "tick", "arrival")[k % 4]
        progress(f"encoders at the {when}, run {k + 1} of {2 * rounds}")
        ages[when] += measure(rig.with_fusion(encode_on=when), duration_s)["ages_ms"]
    out: dict[str, Any] = {
        when: {f"p{p}": float(np.percentile(v, p)) for p in (50, 90, 99)} for when, v in ages.items() if v
    }
    if len(out) == 2:
        out["gain_ms"] = {p: out["tick"][p] - out["arrival"][p] for p in out["tick"]}
    return out


def print_rate(found: dict[str, Any], console: Console) -> None:
    tried = ", ".join(f"{t['rate_hz']:.3g} Hz {t['late']:.1%} late" for t in found["tried"])
    console.print(f"highest rate with less than {MOST_LATE:.0%} of ticks late: {found['rate_hz']:.3g} Hz ({tried})")


def print_overload(found: dict[str, Any], console: Console) -> None:
    age, cadence = found["age_ms"], found["cadence_ms"]
    words = f"at {found['rate_hz']:.3g} Hz: {found['ticks']} of {found['ticks_expected']} ticks"
    if age and cadence:
        words += f", every {cadence['p50']:.1f} ms (p99 {cadence['p99']:.1f}), age p99 {age['p99']:.0f} ms"
    console.print(words, highlight=False)
    console.print(f"frames that say that something was shed: {found['shed']:.0%}", highlight=False)
    table = Table(title="where messages went")
    reasons = list(dict.fromkeys(r for counts in found["ledger"].values() for r in counts))
    for name in ("stream", *reasons):
        table.add_column(name, justify="left" if name == "stream" else "right")
    for stream, counts in found["ledger"].items():
        table.add_row(stream, *(str(counts.get(r, 0)) for r in reasons))
    console.print(table)


def print_encoding(found: dict[str, Any], console: Console) -> None:
    table = Table(title="age of frames by when encoders run, ms")
    for name in ("encoders run", "p50", "p90", "p99"):
        table.add_column(name, justify="left" if name == "encoders run" else "right")
    for name, label in (("arrival", "as samples arrive"), ("tick", "at the tick"), ("gain_ms", "gain")):
        if name in found:
            table.add_row(label, *(f"{found[name][p]:.1f}" for p in ("p50", "p90", "p99")))
    console.print(table)
