"""The sections of the report, each a function from a summary (and a little more) to a fragment of HTML."""

from __future__ import annotations

from typing import Any

import numpy as np

from sensorfuse.messages import LEDGER_REASONS, FusedFrame, StreamUse
from sensorfuse.report.health import mode_words
from sensorfuse.report.markup import figure, note, table, text
from sensorfuse.report.record import STAGES, RunRecord
from sensorfuse.report.states import STATES, state_of
from sensorfuse.report.summary import off_by
from sensorfuse.report.wording import MODALITY_LABELS, count, milliseconds, percent, seconds

REASON_WORDS = {
    "fused": "went into a fused frame",
    "superseded": "a newer or nearer sample of its stream was taken instead",
    "late": "came after the ticks it could have served",
    "no_tick": "no tick wanted it: before the first, after the last, the same content once more, or a stream that "
    "fusion does not use",
    "queue_full": "dropped at a full queue, or skipped because fusion was behind",
    "transport_lost": "published, never received: lost on a socket or inside a process that died",
    "corrupt": "its payload broke the contract of its modality",
    "quarantined": "its stamp could not be trusted",
}
SHOWN_MISSES = 20


def tiles(summary: dict[str, Any]) -> str:
    """The key figures."""
    ticks = f"{figure(summary, ('ticks',), count)} <small>of {figure(summary, ('ticks_expected',), count)}</small>"
    missed = len(summary["ticks_missed"])
    cells = [
        _tile("ticks published", ticks, "none missed" if missed == 0 else f'<span class="bad">{missed} missed</span>'),
        _tile(
            "with every modality",
            figure(summary, ("ticks_full",), count),
            text(percent(summary["ticks_full"], summary["ticks"])) + " of the ticks",
        ),
    ]
    for stage, name in _timed_tiles(summary):
        p50 = f"{figure(summary, ('latency_ms', stage, 'p50'), milliseconds)} <small>ms</small>"
        cells.append(_tile(name, p50, f"p99 {figure(summary, ('latency_ms', stage, 'p99'), milliseconds)} ms"))
    gaps = {m: row["longest_gap_s"] for m, row in summary["modalities"].items()}
    worst = max(gaps, key=lambda m: gaps[m], default=None)
    if worst is not None:
        value = figure(summary, ("modalities", worst, "longest_gap_s"), lambda gap: seconds(gap) if gap else "none")
        cells.append(
            _tile(
                "longest gap", value, text(MODALITY_LABELS.get(worst, worst)) if gaps[worst] else "no modality was away"
            )
        )
    published = sum(row["published"] for row in summary["streams"].values())
    verdict = (
        '<span class="good">all accounted for</span>'
        if summary["ledger_balanced"]
        else '<span class="bad">not all accounted for</span>'
    )
    cells.append(_tile("messages published", text(count(published)), verdict))
    return f'<div class="tiles">{"".join(cells)}</div>'


def _timed_tiles(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """The two latencies worth a tile, of those that the run has."""
    names = (("capture_to_fused", "latency, median"), ("overhead", "overhead, median"), ("fuse", "fusion, median"))
    return [(s, name) for s, name in names if summary["latency_ms"].get(s, {"n": 0})["n"]][:2]


def _tile(name: str, value: str, more: str) -> str:
    parts = (("name", name), ("value", value), ("more", more))
    return '<div class="tile">' + "".join(f'<div class="{kind}">{part}</div>' for kind, part in parts) + "</div>"


def modalities(summary: dict[str, Any]) -> str:
    """Per modality: how long it was used and away; per degraded mode: how many ticks."""
    rows = []
    for name in summary["modalities"]:
        path = ("modalities", name)
        absent = summary["modalities"][name]["ticks_absent"]
        cell = figure(summary, (*path, "ticks_absent"), count)
        rows.append(
            [
                text(MODALITY_LABELS.get(name, name)),
                figure(summary, (*path, "ticks_used"), count),
                f'<span class="absent">{cell}</span>' if absent else f'<span class="zero">{cell}</span>',
                figure(summary, (*path, "longest_gap_s"), lambda gap: seconds(gap) if gap else "none"),
                text(_reasons(summary, name)),
            ]
        )
    modes = ", ".join(f"{figure(summary, ('modes', m), count)} {text(mode_words(m))}" for m in summary["modes"])
    head = ("modality", "ticks used", "ticks absent", "longest gap", "absent because")
    return table(head, rows, "last-words") + (note(f"Ticks by what they were made of: {modes}.") if modes else "")


def _reasons(summary: dict[str, Any], modality: str) -> str:
    found: dict[str, int] = {}
    for use in summary["uses"].values():
        if use["modality"] == modality:
            for reason, n in use["absent_because"].items():
                found[reason] = found.get(reason, 0) + n
    return ", ".join(f"{reason}: {n}" for reason, n in found.items()) or "–"


def ages(summary: dict[str, Any]) -> str:
    """Per stream: age, alignment bound and share in the fusion."""
    rows = []
    for stream, use in summary["uses"].items():
        path = ("uses", stream)
        weight = "–" if use["weight_mean"] is None else figure(summary, (*path, "weight_mean"), lambda w: f"{w:.2f}")
        figures = [
            figure(summary, (*path, kind, k), milliseconds) for kind in ("age_ms", "bound_ms") for k in ("p50", "p99")
        ]
        rows.append([text(stream), *figures, weight])
    head = ("stream", "age p50, ms", "p99", "alignment bound p50, ms", "p99", "mean weight")
    return table(head, rows) if rows else ""


def latency(summary: dict[str, Any]) -> str:
    """The stages' percentiles; a sentence where the run had no clock."""
    timed = {s: row for s, row in summary["latency_ms"].items() if row["n"]}
    rows = []
    for stage in [*(s for s in STAGES if s in timed), *(s for s in timed if s not in STAGES)]:
        label, meaning = STAGES.get(stage, (stage, ""))
        cells = [figure(summary, ("latency_ms", stage, k), milliseconds) for k in ("p50", "p99", "max")]
        rows.append(
            [
                text(label),
                *cells,
                figure(summary, ("latency_ms", stage, "n"), count),
                f'<span class="muted">{text(meaning)}</span>',
            ]
        )
    if not rows:
        return note("Nothing was timed in this run.")
    untimed = (
        ""
        if "capture_to_fused" in timed
        else note("A replay without a clock has no latency; the figures are durations of work.")
    )
    return table(("stage", "p50, ms", "p99, ms", "max, ms", "ticks", "what it measures"), rows, "last-words") + untimed


def ledger(summary: dict[str, Any]) -> str:
    """Every published message by what became of it, with the check that what was received was ended."""
    rows = []
    for stream, row in summary["streams"].items():
        cells = []
        for key in ("published", "received", *LEDGER_REASONS):
            cell = figure(summary, ("streams", stream, key), count)
            cells.append(f'<span class="zero">{cell}</span>' if row[key] == 0 else cell)
        off = off_by(row)
        check = '<span class="good">adds up</span>' if off == 0 else f'<span class="bad">off by {off}</span>'
        rows.append([text(stream), *cells, check])
    if not rows:
        return ""
    head = ("stream", "published", "received", *(r.replace("_", " ") for r in LEDGER_REASONS), "check")
    words = "".join(f"<dt>{text(r.replace('_', ' '))}</dt><dd>{text(w)}</dd>" for r, w in REASON_WORDS.items())
    told = note(
        "Every message that a sensor published ends with one reason. The check compares what nobody ended with what "
        "did not reach the aligner, by its own count: beyond that, only what a killed process held may be lost."
    )
    return table(head, rows) + told + f"<details><summary>What the reasons mean</summary><dl>{words}</dl></details>"


def exchanges(summary: dict[str, Any]) -> str:
    """Per process on another host: how well its time is known."""
    rows = []
    for name, row in summary["exchanges"].items():
        path = ("exchanges", name)
        grade = "good" if row["state"] == "locked" else "absent"
        cells = [
            f'<span class="{grade}">{text(row["state"])}</span>',
            "–" if row["offset_s"] is None else f"{row['offset_s']:+.6f}",
            *(figure(summary, (*path, key), milliseconds) for key in ("bound_ms", "sigma_ms", "round_trip_ms")),
            "–" if row["skew_ppm"] is None else f"{row['skew_ppm']:+.1f}",
            *(figure(summary, (*path, key), count) for key in ("exchanges", "refused", "resets")),
        ]
        rows.append([text(name), *cells])
    if not rows:
        return ""
    head = ("process", "state", "ahead by, s", "within ±, ms", "sigma, ms", "round trip, ms", "fast by, ppm")
    told = "By how much the clock of the process's host is ahead of this one's, from exchanges of stamps; at the end."
    return table((*head, "exchanges", "refused", "jumps"), rows) + note(told)


def provenance(frame: FusedFrame | None, t0_ns: int | None) -> str:
    """What one frame says it is made of."""
    if frame is None:
        return ""
    rows = [_use_row(use, full=True) for use in frame.uses]
    head = ("stream", "state", "age, ms", "skew, ms", "bound ±, ms", "weight")
    made = " · ".join(m for m in (frame.strategy, frame.model, frame.engine, frame.precision) if m)
    facts = f"Tick {frame.tick_id}, {seconds(_since(frame, t0_ns))} into the run, {mode_words(frame.mode)}; "
    facts += f"made by {made}; "
    facts += "closed by its deadline" if frame.deadline_hit else "complete before its deadline"
    facts += f"; {len(frame.detections)} detections, {len(frame.tracks)} tracks."
    motion = ""
    if np.isfinite(frame.twist).all():
        forward, turn = float(frame.twist[0]), float(np.degrees(frame.twist[5]))
        motion = note(
            f"Ego motion at the tick: {text(f'{forward:.2f}')} m/s forward, {text(f'{turn:.1f}')}°/s turning left."
        )
    told = note(
        "Skew is the time error that no propagation removed; bound is the two-sigma bound of the alignment error."
    )
    return f"<p>{text(facts)}</p>" + table(head, rows) + motion + told


def tick_uses(frame: FusedFrame) -> str:
    """What a frame is made of, in short, to stand beside its pictures."""
    return table(("stream", "state", "age, ms", "weight"), [_use_row(use, full=False) for use in frame.uses])


def _use_row(use: StreamUse, full: bool) -> list[str]:
    state = state_of(use)
    if use.used:
        extra = [milliseconds(use.skew_ns / 1e6), milliseconds(use.bound_ns / 1e6)] if full else []
        cells = [milliseconds(use.age_ns / 1e6), *extra, f"{use.weight:.2f}"]
        return [text(use.stream), '<span class="used">used</span>', *map(text, cells)]
    told = use.reason if full and use.reason else state
    title = STATES[state]
    return [
        text(use.stream),
        f'<span class="absent" title="{text(title)}">{text(told)}</span>',
        *["–"] * (4 if full else 2),
    ]


def _since(frame: FusedFrame, t0_ns: int | None) -> float | None:
    return None if t0_ns is None else (frame.t_ref_ns - t0_ns) / 1e9


def scene_title(frame: FusedFrame, t0_ns: int | None) -> str:
    words = mode_words(frame.mode)
    return (
        f"<h3>Tick {frame.tick_id}: {text(words)}<small>{text(seconds(_since(frame, t0_ns)))} into the run</small></h3>"
    )


def events(summary: dict[str, Any]) -> str:
    """What happened to processes, numbered as in the timeline."""
    end_s = summary["timeline"]["ticks"] * summary["timeline"]["period_ms"] / 1e3
    rows = []
    for number, event in enumerate(summary["events"], start=1):
        inside = event["t_s"] is not None and -60 <= event["t_s"] <= end_s + 60
        at = f"{event['t_s']:.2f} s" if inside else "–"
        rows.append([str(number), text(at), text(event["process"]), text(event["what"])])
    return table(("", "time", "process", "what"), rows, "words") if rows else note("Nothing happened to any process.")


def how(record: RunRecord, summary: dict[str, Any]) -> str:
    """Command, source, rig and versions: enough to run it again."""
    rate = {"live": "live", "max": "replay, as fast as it goes"}.get(record.rate, f"replay, {record.rate} × real time")
    missed = ", ".join(map(str, summary["ticks_missed"][:SHOWN_MISSES])) + (
        " …" if len(summary["ticks_missed"]) > SHOWN_MISSES else ""
    )
    rows = [
        ["source", text(record.source)],
        ["rig", text(f"{record.rig.name}" + (f": {record.rig.description}" if record.rig.description else ""))],
        ["strategy", text(" · ".join(v for v in (record.strategy, record.model) if v))],
        ["engine", _engines(summary)],
        ["pace", text(rate + (", deterministic" if record.deterministic else ""))],
        ["cadence", text(f"{record.rig.fusion.rate_hz:g} Hz, deadline {record.rig.fusion.deadline_ms:g} ms")],
        ["deadline hits", f"{figure(summary, ('deadline_hits',), count)} ticks closed by their deadline"],
        ["missed ticks", text(missed or "none")],
        ["fused log", text(record.frames_path)],
        ["versions", text(", ".join(f"{k} {v}" if k != "machine" else v for k, v in summary["versions"].items()))],
    ]
    rig = f"<details><summary>The rig as it was used</summary><pre>{text(record.rig.to_yaml())}</pre></details>"
    return f"<pre>{text(record.command)}</pre>" + table(("", ""), rows, "words bare") + rig


def _engines(summary: dict[str, Any]) -> str:
    """What computed; where an engine was replaced in the run, each with its ticks."""
    if len(summary["engines"]) < 2:
        return text(" · ".join(v for v in (summary["engine"], summary["precision"]) if v))
    return "<br>".join(f"{text(engine)}: {count(ticks)} ticks" for engine, ticks in summary["engines"].items())


def kicker(record: RunRecord) -> str:
    return text(f"sensorfuse · {record.rig.name} · {record.strategy} on {record.engine} · {record.source}")
