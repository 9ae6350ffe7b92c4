"""Charts of a run over time, drawn from its summary: what each tick used, how old it was, and where the time went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from sensorfuse.report.palette import Theme, plain_axes
from sensorfuse.report.record import STAGES
from sensorfuse.report.states import STATES
from sensorfuse.report.wording import milliseconds

WIDE_IN, NARROW_IN = 10.6, 4.3
ROW_IN = 0.36


def marked_events(summary: dict[str, Any]) -> list[tuple[int, float, str]]:
    """Events that lie within the run: number in the summary's list (from 1), time in s, text."""
    end_s = _duration_s(summary)
    return [
        (i, e["t_s"], f"{e['process']}: {e['what']}")
        for i, e in enumerate(summary["events"], start=1)
        if e["t_s"] is not None and 0 <= e["t_s"] <= end_s
    ]


def state_figure(summary: dict[str, Any], theme: Theme, width_in: float = WIDE_IN) -> Figure | None:
    """One row per stream: its state at every tick, losses named, events as numbered lines; None without ticks."""
    states = summary["timeline"]["states"]
    if not states:
        return None
    narrow = width_in < 6
    found = [s for s in STATES if any(run[2] == s for runs in states.values() for run in runs)]
    legend_rows = -(-len(found) // (3 if narrow else len(STATES)))
    height = 0.75 + ROW_IN * len(states) + 0.24 * legend_rows + 0.2
    figure = Figure(figsize=(width_in, height), facecolor=theme.ground)
    ax = _time_axes(figure, summary, theme, bottom_in=0.45, top_in=0.3 + 0.24 * legend_rows)
    period_s = summary["timeline"]["period_ms"] / 1e3
    end_s = _duration_s(summary)
    for row, (_, runs) in enumerate(states.items()):
        for first, n, state in runs:
            ax.broken_barh(
                [(first * period_s, n * period_s)], (row - 0.36, 0.72), facecolors=theme.states[state], linewidth=0
            )
            if state != "used" and n * period_s / end_s > (0.2 if narrow else 0.08):
                words = f"{state} {n * period_s:.1f} s"
                ink = theme.text if state == "missing" else "#14181c"
                ax.text((first + n / 2) * period_s, row, words, ha="center", va="center", fontsize=8, color=ink)
    _name_rows(ax, list(states), theme)
    ax.set_ylim(len(states) - 0.5, -0.5)
    _draw_events(ax, summary, theme)
    figure.legend(
        handles=[Patch(facecolor=theme.states[s], label=s if narrow else f"{s}: {STATES[s]}") for s in found],
        loc="upper left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=min(len(found), 3 if narrow else 4),
        frameon=False,
        fontsize=8,
        labelcolor=theme.muted,
        handlelength=1.1,
        handleheight=0.9,
        columnspacing=1.6,
        borderpad=0.2,
    )
    return figure


def age_figure(summary: dict[str, Any], theme: Theme, width_in: float = WIDE_IN) -> Figure | None:
    """One small plot per stream: the age of what each tick used, in ms; a loss is a gap. None without ticks."""
    curves = summary["timeline"]["age_ms"]
    if not curves:
        return None
    height = 0.5 + 0.62 * len(curves)
    figure = Figure(figsize=(width_in, height), facecolor=theme.ground)
    left, right = _margins(curves, width_in)
    period_s = summary["timeline"]["period_ms"] / 1e3
    rows = len(curves)
    for row, (stream, curve) in enumerate(curves.items()):
        top = 1 - (0.06 + row * 0.62) / height
        ax = figure.add_axes((left, top - 0.5 / height, right - left, 0.5 / height))
        plain_axes(ax, theme, "both")
        ax.set_xlim(0, _duration_s(summary))
        ax.yaxis.set_major_locator(MaxNLocator(2, integer=True))
        ax.xaxis.set_major_locator(MaxNLocator(5 if width_in < 6 else 10, steps=[1, 2, 5, 10]))
        ax.tick_params(labelbottom=row == rows - 1, labelsize=7.5)
        ax.yaxis.tick_right()
        if curve:
            ticks, ages = np.asarray(curve, dtype=np.float64).T
            ax.plot((ticks + 0.5) * period_s, ages, linestyle="", marker=".", markersize=3, color=theme.accent)
            span = max(float(ages.max()), 0) - min(float(ages.min()), 0) or 1.0
            ax.set_ylim(min(float(ages.min()), 0) - 0.12 * span, max(float(ages.max()), 0) + 0.12 * span)
        else:
            ax.set_yticks([])
            ax.text(
                0.5, 0.5, "never used", transform=ax.transAxes, color=theme.muted, fontsize=8, ha="center", va="center"
            )
        ax.text(
            -0.012,
            0.5,
            stream,
            transform=ax.transAxes,
            color=theme.text,
            fontsize=9,
            ha="right",
            va="center",
            parse_math=False,
        )
        if row == rows - 1:
            ax.set_xlabel("seconds since the first tick", fontsize=8, color=theme.muted)
    return figure


def latency_figure(
    summary: dict[str, Any], timings_ms: Mapping[str, Sequence[float]], theme: Theme, width_in: float = WIDE_IN
) -> Figure | None:
    """Per stage a bar to p50, on to p99, and a stroke at the maximum; below, capture to fused per tick in order.

    None where nothing was timed.
    """
    rows = {stage: row for stage, row in summary["latency_ms"].items() if row["n"]}
    if not rows:
        return None
    ordered = [s for s in STAGES if s in rows] + [s for s in rows if s not in STAGES]
    series = np.asarray(timings_ms.get("capture_to_fused", []), dtype=np.float64)
    narrow = width_in < 6
    bars_in, series_in = 0.3 * len(ordered) + 0.1, 1.3 if len(series) > 1 else 0.0
    height = 0.35 + bars_in + 0.5 + (series_in + 0.6 if series_in else 0.0)
    figure = Figure(figsize=(width_in, height), facecolor=theme.ground)
    left = 1.55 / width_in
    ax = figure.add_axes((left, 1 - (0.35 + bars_in) / height, 1 - left - 0.15 / width_in, bars_in / height))
    plain_axes(ax, theme, "x")
    widest = max(rows[s]["p99"] for s in ordered) or 1.0
    reach = {s: max(rows[s]["p99"], rows[s]["max"] if rows[s]["max"] <= widest * 1.5 else 0.0) for s in ordered}
    ax.set_xlim(min(0.0, *(rows[s]["p50"] for s in ordered)), max(reach.values()) * (1.25 if narrow else 1.14) or 1.0)
    for y, stage in enumerate(ordered):
        p50, p99, top = rows[stage]["p50"], rows[stage]["p99"], rows[stage]["max"]
        ax.barh(y, p99, height=0.58, color=theme.accent_soft, linewidth=0)
        ax.barh(y, p50, height=0.58, color=theme.accent, linewidth=0)
        if top <= widest * 1.5:
            ax.plot([top, top], [y - 0.29, y + 0.29], color=theme.muted, linewidth=1.4)
        words = milliseconds(p50) if narrow else f"{milliseconds(p50)}  /  {milliseconds(p99)}"
        ax.text(reach[stage] + widest * 0.015, y, words, va="center", fontsize=7.5, color=theme.muted)
    ax.set_yticks(range(len(ordered)), [STAGES.get(s, (s, ""))[0] for s in ordered])
    for label in ax.get_yticklabels():
        label.set(color=theme.text, fontsize=8.5, parse_math=False)
    ax.set_ylim(len(ordered) - 0.45, -0.55)
    ax.set_xlabel("ms", fontsize=8, color=theme.muted)
    handles: list[Any] = [
        Patch(facecolor=theme.accent, label="p50"),
        Patch(facecolor=theme.accent_soft, label="to p99"),
    ]
    handles.append(Line2D([], [], linestyle="", marker="|", markersize=8, color=theme.muted, label="maximum"))
    figure.legend(
        handles=handles, loc="upper right", frameon=False, fontsize=8, labelcolor=theme.muted, ncols=3, borderpad=0.2
    )
    if series_in:
        below = figure.add_axes((left, 0.48 / height, 1 - left - 0.15 / width_in, series_in / height))
        plain_axes(below, theme, "y")
        below.plot(np.arange(len(series)), series, color=theme.accent, linewidth=1.0)
        below.set_ylim(0, float(np.nanmax(series)) * 1.1 or 1.0)
        below.set_xlim(0, max(len(series) - 1, 1))
        below.yaxis.set_major_locator(MaxNLocator(4))
        below.set_xlabel("frames in order", fontsize=8, color=theme.muted)
        words = "capture to\nfused, ms"
        below.text(
            -0.5 / width_in / (1 - left),
            0.5,
            words,
            transform=below.transAxes,
            color=theme.text,
            fontsize=8.5,
            ha="right",
            va="center",
        )
    return figure


# ---- parts


def _duration_s(summary: dict[str, Any]) -> float:
    return max(summary["timeline"]["ticks"], 1) * summary["timeline"]["period_ms"] / 1e3


def _margins(names: Any, width_in: float) -> tuple[float, float]:
    """Left and right edge of the axes, as shares of the width, with room for the longest stream name."""
    longest = max((len(n) for n in names), default=0)
    return min(0.35 + 0.075 * longest, 0.35 * width_in) / width_in, 1 - 0.35 / width_in


def _time_axes(figure: Figure, summary: dict[str, Any], theme: Theme, bottom_in: float, top_in: float) -> Any:
    width_in, height = figure.get_size_inches()
    left, right = _margins(summary["timeline"]["states"], width_in)
    ax = figure.add_axes((left, bottom_in / height, right - left, 1 - (bottom_in + top_in) / height))
    plain_axes(ax, theme, "x")
    ax.set_xlim(0, _duration_s(summary))
    ax.xaxis.set_major_locator(MaxNLocator(5 if width_in < 6 else 10, steps=[1, 2, 5, 10]))
    ax.set_xlabel("seconds since the first tick", fontsize=8, color=theme.muted)
    return ax


def _name_rows(ax: Any, names: list[str], theme: Theme) -> None:
    ax.set_yticks(range(len(names)), names)
    for label in ax.get_yticklabels():
        label.set(color=theme.text, fontsize=9, parse_math=False)


def _draw_events(ax: Any, summary: dict[str, Any], theme: Theme) -> None:
    """A line per event; numbers of events too close together to tell apart share one label."""
    end_s = _duration_s(summary)
    near = end_s * (0.05 if ax.figure.get_size_inches()[0] < 6 else 0.02)
    groups: list[list[tuple[int, float]]] = []
    for number, t_s, _ in sorted(marked_events(summary), key=lambda e: e[1]):
        ax.axvline(t_s, color=theme.text, linewidth=0.9, linestyle=(0, (3, 2)), zorder=5)
        if groups and t_s - groups[-1][0][1] < near:
            groups[-1].append((number, t_s))
        else:
            groups.append([(number, t_s)])
    for group in groups:
        first, last = group[0][0], group[-1][0]
        text = str(first) if len(group) == 1 else f"{first}–{last}" if last - first == len(group) - 1 else f"{first}+"
        ax.text(
            group[0][1],
            1.02,
            text,
            transform=ax.get_xaxis_transform(),
            ha="center",
            va="bottom",
            fontsize=8,
            color=theme.text,
        )
