"""How the streams were over a run, and what each degraded mode of it was worth: gathered frame by frame, then shown."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from sensorfuse.messages import HEALTH_STATES, FusedFrame, StreamHealth
from sensorfuse.report.markup import figure, note, table, text
from sensorfuse.report.wording import MODALITY_LABELS, count, join, milliseconds, seconds

MAX_REASONS = 8  # shown per stream; further ones are counted together
OTHERS = "other reasons"


@dataclass
class _Stream:
    states: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    last: StreamHealth = field(default_factory=StreamHealth)


@dataclass
class _Mode:
    ticks: int = 0
    score: float = float("nan")
    figure: str = ""
    ms: float = float("nan")


class HealthHistory:
    """Feed it every frame once; ask at the end."""

    def __init__(self) -> None:
        self._streams: dict[str, _Stream] = {}
        self._modes: dict[str, _Mode] = {}

    def add(self, frame: FusedFrame) -> None:
        for use in frame.uses:
            stream = self._streams.setdefault(use.stream, _Stream())
            stream.last = use.health
            stream.states[use.health.state] += 1
            if use.health.reason:
                known = use.health.reason in stream.reasons or len(stream.reasons) < MAX_REASONS
                stream.reasons[use.health.reason if known else OTHERS] += 1
        mode = self._modes.setdefault(frame.mode, _Mode())
        mode.ticks += 1
        mode.score, mode.figure, mode.ms = frame.expected_score, frame.expected_figure, frame.expected_ms

    def streams(self) -> dict[str, dict[str, Any]]:
        """Per stream: ticks by `states`, `reasons`, and the `period_ms`, `jitter_ms` and counts that it ended with."""
        return {
            name: {
                "states": {s: stream.states[s] for s in HEALTH_STATES if stream.states[s]},
                "reasons": dict(sorted(stream.reasons.items())),
                "period_ms": stream.last.period_ns / 1e6 or None,
                "jitter_ms": stream.last.jitter_ns / 1e6,
                **{n: getattr(stream.last, n) for n in ("heard", "missed", "refused", "doubted")},
            }
            for name, stream in self._streams.items()
        }

    def modes(self, period_s: float) -> dict[str, dict[str, Any]]:
        """Per mode: `ticks`, `duration_s`, and what the strategy is known to do in it; None where not measured."""
        ordered = sorted(self._modes.items(), key=lambda item: (item[0] != "full", -item[1].ticks, item[0]))
        return {
            name: {
                "ticks": mode.ticks,
                "duration_s": mode.ticks * period_s,
                "expected_score": _known(mode.score),
                "expected_figure": mode.figure,
                "expected_ms": _known(mode.ms),
            }
            for name, mode in ordered
        }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def mode_words(mode: str) -> str:
    """A degraded mode for people: `no_lidar_audio` -> "without LiDAR and audio"."""
    if mode == "full":
        return "all modalities"
    return f"without {join([MODALITY_LABELS.get(m, m) for m in mode.removeprefix('no_').split('_')])}"


def troubled(summary: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The streams that were not ok, or odd, in some tick."""
    return {n: row for n, row in summary["health"].items() if row["reasons"] or set(row["states"]) - {"ok"}}


def _states(row: dict[str, Any]) -> str:
    return ", ".join(f"{state} {ticks}" for state, ticks in row["states"].items() if state != "ok") or "ok"


def _reasons(row: dict[str, Any]) -> str:
    return ", ".join(f"{reason}: {ticks}" for reason, ticks in row["reasons"].items()) or "–"


def _expected(row: dict[str, Any]) -> str:
    return "not measured" if row["expected_score"] is None else f"{row['expected_score']:.3f}"


def terminal(summary: dict[str, Any]) -> Group | None:
    """The modes of a run and its troubled streams; None where there was one mode and no trouble."""
    parts: list[Any] = []
    figures = {row["expected_figure"] for row in summary["mode_figures"].values() if row["expected_figure"]}
    if len(summary["mode_figures"]) > 1:
        modes = _columns("mode", "for", "expected score", "work, ms")
        for mode, row in summary["mode_figures"].items():
            modes.add_row(
                Text(mode_words(mode)), seconds(row["duration_s"]), _expected(row), milliseconds(row["expected_ms"])
            )
        parts.append(modes)
        parts += [Text(f"expected score: {name}", style="dim") for name in sorted(figures)]
    sick = troubled(summary)
    if sick:
        health = _columns("health", "ticks not ok", "because")
        for stream, row in sick.items():
            health.add_row(Text(stream), Text(_states(row), style="yellow"), Text(_reasons(row)))
        parts += [Text(""), health] if parts else [health]
    return Group(*parts) if parts else None


def _columns(*names: str) -> Table:
    out = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in names:
        out.add_column(name)
    return out


def modes(summary: dict[str, Any]) -> str:
    """Per mode: how long it lasted, and what the strategy is known to do in it."""
    rows = []
    for mode, row in summary["mode_figures"].items():
        path = ("mode_figures", mode)
        score, ms = text("not measured"), "–"
        if row["expected_score"] is not None:
            score = figure(summary, (*path, "expected_score"), lambda v: f"{v:.3f}")
            ms = figure(summary, (*path, "expected_ms"), milliseconds)
        ticks, lasted = figure(summary, (*path, "ticks"), count), figure(summary, (*path, "duration_s"), seconds)
        rows.append([text(mode_words(mode)), ticks, lasted, score, ms])
    named = sorted({row["expected_figure"] for row in summary["mode_figures"].values() if row["expected_figure"]})
    told = note(f"Expected score: {', '.join(named)}, of this strategy with what the mode has.") if named else ""
    return (table(("mode", "ticks", "for", "expected score", "work per tick, ms"), rows) + told) if rows else ""


def streams(summary: dict[str, Any]) -> str:
    """Per stream: its health over the run, and its pace as learned."""
    rows = []
    for stream, row in summary["health"].items():
        path = ("health", stream)
        pace = "–" if row["period_ms"] is None else figure(summary, (*path, "period_ms"), milliseconds)
        fine = not set(row["states"]) - {"ok"}
        rows.append(
            [
                text(stream),
                f'<span class="{"good" if fine else "absent"}">{text(_states(row))}</span>',
                pace,
                figure(summary, (*path, "jitter_ms"), milliseconds),
                *(figure(summary, (*path, n), count) for n in ("heard", "missed", "refused", "doubted")),
                text(_reasons(row)),
            ]
        )
    head = ("stream", "ticks not ok", "period, ms", "jitter, ms", "heard", "missed", "refused", "doubted", "because")
    return table(head, rows, "last-words") if rows else ""
