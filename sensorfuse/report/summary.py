"""The run in numbers: one JSON-ready dictionary, built in one pass over the frames."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from sensorfuse import __version__
from sensorfuse.messages import LEDGER_REASONS, FusedFrame
from sensorfuse.plain_json import plain
from sensorfuse.report.health import HealthHistory
from sensorfuse.report.record import RunRecord
from sensorfuse.report.states import StateHistory, percentiles
from sensorfuse.report.terminal import print_summary
from sensorfuse.report.wording import headline
from sensorfuse.tick_set import longest_gap

__all__ = ["build_summary", "print_summary"]


def build_summary(
    record: RunRecord,
    frames: Iterable[FusedFrame],
    score: dict[str, Any] | None,
    ego_score: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Summarise a run; `frames` may be a generator and is read once. A tick id that comes twice counts once.

    The result holds plain numbers, strings, lists and dictionaries only (`json.dumps` takes it with `allow_nan=False`):

    - `ticks`, `ticks_expected`, `ticks_missed` (ids), `ticks_full`, `deadline_hits`, `modes` (mode -> ticks);
    - `streams`: per stream `published`, `received`, a count per ledger reason, and `unaccounted`: received, and ended
      by nobody; `ledger_balanced`;
    - `rejected`: records of the log that could not be read, by "stream: reason";
    - `exchanges`: per process on another host how far that host's clock is from this one's and how well that is known:
      `state`, `offset_s`, `sigma_ms`, `bound_ms`, `skew_ppm`, `round_trip_ms`, `exchanges`, `refused`, `resets`;
    - `latency_ms`: per stage `n`, `p50`, `p99`, `max`;
    - `modalities`: per modality `ticks_used`, `ticks_absent`, `longest_gap_s`;
    - `health`: per stream ticks by state and reason, learned pace, counts (`HealthHistory.streams`); `mode_figures`:
      per mode how long it lasted and what the strategy is known to do in it;
    - `uses`: per stream what the ticks used of it (`StateHistory.use`), ages and bounds in ms;
    - `timeline`: `t0_ns`, `period_ms`, `ticks`, `states` (runs) and `age_ms` (curves) per stream;
    - `engines`: per engine and precision the ticks that it made, in order: more than one where an engine failed in the
      run; `engine` and `precision` are the first frame's;
    - `strategy`, `model`, `engine`, `precision`, `rig`, `source`, `command`, `rate`, `deterministic`, `events`,
      `score`, `ego_score`, `versions`, `headline`.

    A modality's gap is the longest stretch of the rig's cadence, in seconds, in which no published frame used it.
    """
    history, health = StateHistory(), HealthHistory()
    seen: set[int] = set()
    modes: Counter[str] = Counter()
    engines: Counter[str] = Counter()
    deadline_hits, objects, t0_ns, precision = 0, 0, None, ""
    period_ns = record.rig.fusion.period_ns
    for frame in frames:
        if frame.tick_id in seen:
            continue
        seen.add(frame.tick_id)
        history.add(frame)
        health.add(frame)
        modes[frame.mode] += 1
        engines[f"{frame.engine} {frame.precision}"] += 1
        deadline_hits += frame.deadline_hit
        objects += len(frame.tracks)
        if t0_ns is None:
            t0_ns, precision = frame.t_ref_ns - frame.tick_id * period_ns, frame.precision
    length = max([record.ticks_expected, *(t + 1 for t in seen)])
    streams = {s: _account(record, s) for s in record.published}
    summary: dict[str, Any] = {
        "rig": record.rig.name,
        "source": record.source,
        "strategy": record.strategy,
        "model": record.model,
        "engine": record.engine,
        "precision": precision,
        "engines": dict(engines),
        "rate": record.rate,
        "deterministic": record.deterministic,
        "command": record.command,
        "ticks": len(seen),
        "ticks_expected": record.ticks_expected,
        "ticks_missed": sorted(set(range(record.ticks_expected)) - seen),
        "ticks_full": modes.get("full", 0),
        "deadline_hits": deadline_hits,
        "tracks_per_tick": objects / len(seen) if seen else 0.0,
        "modes": dict(sorted(modes.items(), key=lambda item: (item[0] != "full", -item[1], item[0]))),
        "mode_figures": health.modes(period_ns / 1e9),
        "health": health.streams(),
        "modalities": _modalities(record, history, seen, length),
        "uses": {s: history.use(s) for s in history.streams},
        "streams": streams,
        "rejected": dict(record.rejected),
        "exchanges": {name: _exchange(status) for name, status in sorted(record.exchanges.items())},
        "ledger_balanced": all(off_by(row) == 0 for row in streams.values()),
        "latency_ms": {stage: percentiles(values) for stage, values in record.timings_ms.items()},
        "events": [_event(e.t_ns, e.process, e.what, t0_ns) for e in record.events],
        "score": score,
        "ego_score": ego_score,
        "timeline": {
            "t0_ns": t0_ns,
            "period_ms": period_ns / 1e6,
            "ticks": length,
            "states": {s: history.runs(s) for s in history.streams},
            "age_ms": {s: history.age_curve(s) for s in history.streams},
        },
        "versions": versions(),
    }
    summary["headline"] = headline(summary)
    return plain(summary)


def off_by(row: dict[str, int]) -> int:
    """By how much a stream's account is off: what was received and ended by nobody, and what the reasons do not add up
    to; 0 when every message is accounted for.
    """
    return row["unaccounted"] + abs(row["published"] - sum(row[reason] for reason in LEDGER_REASONS))


def versions() -> dict[str, str]:
    """Of the package and of what its results depend on; `machine` names system, processor and core count."""
    found = {"sensorfuse": __version__, "python": platform.python_version(), "numpy": np.__version__}
    for name in ("onnxruntime-gpu", "onnxruntime"):
        try:
            found.setdefault("onnxruntime", importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            continue
    found["machine"] = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return found


def _account(record: RunRecord, stream: str) -> dict[str, int]:
    counts = record.ledger.get(stream, {})
    row = {"published": record.published[stream], "received": record.received.get(stream, 0)}
    reasons: dict[str, int] = {reason: counts.get(reason, 0) for reason in LEDGER_REASONS}
    return {**row, **reasons, "unaccounted": record.unaccounted.get(stream, 0)}


def _exchange(status: dict[str, Any]) -> dict[str, Any]:
    """A `Timekeeper`'s status in seconds and milliseconds; the offset's sign is that of the other host's clock."""
    known = status["state"] != "learning"  # before, its figures mean nothing
    return {
        "state": status["state"],
        "offset_s": -status["offset_ns"] / 1e9 if known else None,
        "sigma_ms": status["sigma_ns"] / 1e6 if known else None,
        "bound_ms": status["bound_ns"] / 1e6 if known else None,
        "skew_ppm": -status["skew_ppm"] if known else None,
        "round_trip_ms": status["round_trip_ns"] / 1e6,
        **{key: status[key] for key in ("exchanges", "refused", "resets")},
    }


def _modalities(record: RunRecord, history: StateHistory, seen: set[int], length: int) -> dict[str, dict[str, Any]]:
    out: dict[str, dict[str, Any]] = {}
    for modality in record.rig.fusion.modalities:
        used = history.used_ticks(s for s, c in record.rig.sensors.items() if c.modality == modality)
        gap_s = longest_gap(used, (0, length)) * record.rig.fusion.period_ns / 1e9
        out[modality] = {"ticks_used": len(used), "ticks_absent": len(seen) - len(used), "longest_gap_s": gap_s}
    return out


def _event(t_ns: int, process: str, what: str, t0_ns: int | None) -> dict[str, Any]:
    return {"t_s": None if t0_ns is None else (t_ns - t0_ns) / 1e9, "process": process, "what": what}
