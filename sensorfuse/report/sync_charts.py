"""Pictures of what `sensorfuse sync` found: drift, delays, completeness against waiting, offsets by content."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sensorfuse.report.palette import Theme, plain_axes
from sensorfuse.sync.stream_report import OffsetReport, StreamReport, SyncReport

HUES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#8a7fd0")  # after Okabe and Ito
STYLES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.5, 1.2, 1.5)))
ROW_IN = 0.85
LEARNED_S = 2.0  # before, the line is found, not the drift


def drift_figure(report: SyncReport, theme: Theme, width_in: float) -> Figure | None:
    """How far each clock ran off the host's, jumps taken out; None without receive times."""
    streams = [s for s in report.streams.values() if len(s.clock.curve) > 1]
    if not streams:
        return None
    figure, ax = _one_axes(theme, width_in, 2.6)
    for number, stream in enumerate(streams):
        begin_s = stream.clock.curve[0].at_s + LEARNED_S
        shown = [p for p in stream.clock.curve if p.at_s >= begin_s] or stream.clock.curve[-1:]
        drift = [p.drift_ms - shown[0].drift_ms for p in shown]
        ax.plot([p.at_s for p in shown], drift, label=stream.name, **_line(number))
        for jump in stream.clock.jumps:
            ax.axvline(jump.at_s, color=HUES[number % len(HUES)], linewidth=0.9, linestyle=(0, (2, 2)))
    ax.set_xlabel("seconds of the log", fontsize=8, color=theme.muted)
    ax.set_ylabel("drift, ms", fontsize=8, color=theme.muted)
    _legend(figure, ax, theme, width_in)
    return figure


def delay_figure(report: SyncReport, theme: Theme, width_in: float) -> Figure | None:
    """Per stream the delays over the least: from the smallest to the largest of each moment. None without any."""
    streams = [s for s in report.streams.values() if len(s.clock.curve) > 1]
    if not streams:
        return None
    figure, rows = _rows([s.name for s in streams], report.duration_s, theme, width_in)
    for number, (ax, stream) in enumerate(zip(rows, streams, strict=True)):
        at, least, most = np.array([(p.at_s, p.least_delay_ms, p.most_delay_ms) for p in stream.clock.curve]).T
        hue = HUES[number % len(HUES)]
        ax.fill_between(at, least, most, color=hue, alpha=0.3, linewidth=0)
        ax.plot(at, most, color=hue, linewidth=0.8)
        ax.set_ylim(0, max(float(most.max()) * 1.15, 0.5))
    return figure


def completeness_figure(report: SyncReport, deadline_ms: float | None, theme: Theme, width_in: float) -> Figure | None:
    """The share of complete ticks against the waiting time, per stream and for all; None without receive times."""
    found = report.completeness
    if found is None:
        return None
    figure, ax = _one_axes(theme, width_in, 3.0)
    for number, (name, waits) in enumerate(found.streams.items()):
        ax.plot(found.grid_ms, 100 * np.array(waits.share), label=name, **_line(number))
    ax.plot(found.grid_ms, 100 * np.array(found.all.share), label="all", color=theme.text, linewidth=2.4)
    if deadline_ms is not None and deadline_ms <= found.grid_ms[-1]:
        ax.axvline(deadline_ms, color=theme.muted, linewidth=1.0, linestyle=(0, (3, 2)))
        ax.text(deadline_ms, 2, " the rig's deadline", fontsize=8, color=theme.muted)
    ax.set_ylim(0, 101)
    ax.set_xlim(0, found.grid_ms[-1])
    ax.set_xlabel("waiting time after the tick, ms", fontsize=8, color=theme.muted)
    ax.set_ylabel("complete ticks, %", fontsize=8, color=theme.muted)
    _legend(figure, ax, theme, width_in)
    return figure


def offset_figure(report: SyncReport, theme: Theme, width_in: float) -> Figure | None:
    """Offsets by content over the log, with two sigmas; the band is the whole log's. None where none was observed."""
    streams = [(s, shown) for s in report.streams.values() if (shown := _accepted(s))]
    if not streams:
        return None
    figure, rows = _rows([s.name for s, _ in streams], report.duration_s, theme, width_in)
    for number, (ax, (stream, shown)) in enumerate(zip(rows, streams, strict=True)):
        hue = HUES[number % len(HUES)]
        at = [o.at_s for o in shown]
        values, sigmas = (1e3 * np.array(v) for v in ([o.offset_s for o in shown], [o.sigma_s for o in shown]))
        ax.errorbar(at, values, yerr=2 * sigmas, fmt="o", color=hue, markersize=3.5, linewidth=1.2)
        assert stream.content is not None
        if stream.content.whole.accepted:
            middle, sigma = 1e3 * stream.content.whole.offset_s, 1e3 * stream.content.whole.sigma_s
            ax.axhspan(middle - 2 * sigma, middle + 2 * sigma, color=hue, alpha=0.15, linewidth=0)
            ax.axhline(middle, color=hue, linewidth=0.9, linestyle=(0, (3, 2)))
    return figure


def _accepted(stream: StreamReport) -> Sequence[OffsetReport]:
    if stream.content is None:
        return ()
    whole = (stream.content.whole,) if stream.content.whole.accepted else ()
    return tuple(o for o in stream.content.windows if o.accepted) or whole


def _line(number: int) -> dict[str, Any]:
    return {"color": HUES[number % len(HUES)], "linestyle": STYLES[number % len(STYLES)], "linewidth": 1.5}


def _one_axes(theme: Theme, width_in: float, height_in: float) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width_in, height_in), facecolor=theme.ground)
    left, bottom, top = 0.62, 0.48, 0.42
    box = (left / width_in, bottom / height_in, 1 - (left + 0.2) / width_in, 1 - (bottom + top) / height_in)
    ax = figure.add_axes(box)
    plain_axes(ax, theme, "both")
    ax.xaxis.set_major_locator(MaxNLocator(5 if width_in < 6 else 10, steps=[1, 2, 5, 10]))
    ax.yaxis.set_major_locator(MaxNLocator(5))
    return figure, ax


def _legend(figure: Figure, ax: Any, theme: Theme, width_in: float) -> None:
    handles, names = ax.get_legend_handles_labels()
    figure.legend(
        handles,
        names,
        loc="upper left",
        ncols=min(len(names), 3 if width_in < 6 else 8),
        frameon=False,
        fontsize=8,
        labelcolor=theme.muted,
        handlelength=2.4,
        columnspacing=1.4,
        borderpad=0.2,
    )


def _rows(names: list[str], duration_s: float, theme: Theme, width_in: float) -> tuple[Figure, list[Any]]:
    """An axes per stream, one below the other, over the log's seconds."""
    height = 0.5 + ROW_IN * len(names)
    figure = Figure(figsize=(width_in, height), facecolor=theme.ground)
    left = min(0.35 + 0.075 * max(len(n) for n in names), 0.35 * width_in)
    axes = []
    for row, name in enumerate(names):
        top = 1 - (0.08 + row * ROW_IN) / height
        box = (left / width_in, top - (ROW_IN - 0.15) / height, 1 - (left + 0.55) / width_in, (ROW_IN - 0.15) / height)
        ax = figure.add_axes(box)
        plain_axes(ax, theme, "both")
        ax.set_xlim(0, max(duration_s, 0.1))
        ax.yaxis.set_major_locator(MaxNLocator(3))
        ax.yaxis.tick_right()
        ax.xaxis.set_major_locator(MaxNLocator(5 if width_in < 6 else 10, steps=[1, 2, 5, 10]))
        ax.tick_params(labelbottom=row == len(names) - 1, labelsize=7.5)
        style: dict[str, Any] = {
            "transform": ax.transAxes,
            "color": theme.text,
            "fontsize": 9,
            "ha": "right",
            "va": "center",
        }
        ax.text(-0.012, 0.5, name, parse_math=False, **style)
        axes.append(ax)
    axes[-1].set_xlabel("seconds of the log", fontsize=8, color=theme.muted)
    return figure, axes
