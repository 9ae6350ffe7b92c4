"""Pictures of a robustness report: curves, accuracy against robustness, sets of modalities, gaps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.evaluation.robustness_summary import SINGLE, headline
from sensorfuse.report.palette import LIGHT, plain_axes, png_bytes

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = ("o", "s", "D", "v", "P", "X")
COLUMNS = 6
WIDE_IN, ACROSS_IN = 13.0, 10.6
CELL_IN = (0.46, 0.24)


def write_plots(report: dict[str, Any], folder: Path) -> list[Path]:
    """Write `curves.png`, `accuracy.png`, `modalities.png` and `gaps.png`.

    Raises:
        SensorfuseError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        pictures = {
            "curves": curves_figure(report),
            "accuracy": accuracy_figure(report),
            "modalities": subsets_figure(report),
            "gaps": gaps_figure(report),
        }
        paths = []
        for name, figure in pictures.items():
            paths.append(folder / f"{name}.png")
            paths[-1].write_bytes(png_bytes(figure, 110))
    except OSError as error:
        raise SensorfuseError(f"{folder}: plots cannot be written there: {error}") from None
    return paths


def style_of(labels: list[str]) -> dict[str, dict[str, Any]]:
    """How each contestant is drawn: late fusion in black, the single sensor grey and dotted, the others by turns."""
    out: dict[str, dict[str, Any]] = {}
    others = 0
    for label in labels:
        if label == SINGLE:
            out[label] = {"color": LIGHT.states["idle"], "linestyle": ":", "marker": "."}
        elif label == "late":
            out[label] = {"color": LIGHT.text, "linestyle": "--", "marker": "."}
        else:
            turn = others // len(COLOURS)
            marker = MARKERS[(others + turn) % len(MARKERS)]
            style = ("-", "-.", (0, (5, 1)), (0, (1, 1)))[turn % 4]
            out[label] = {"color": COLOURS[others % len(COLOURS)], "linestyle": style, "marker": marker}
            others += 1
    return out


def curves_figure(report: dict[str, Any]) -> Figure:
    """One small plot per corruption: the score it is judged by over the level, a line per contestant."""
    strategies, levels = report["strategies"], report["protocol"]["levels"]
    styles = style_of(list(strategies))
    names = list(next(iter(strategies.values()))["corruptions"])
    rows = -(-len(names) // COLUMNS)
    height = 1.75 * rows + 0.45 + _legend_in(styles, WIDE_IN)
    figure = Figure(figsize=(WIDE_IN, height), facecolor=LIGHT.ground)
    top = _most(
        v for s in strategies.values() for c in names for v in s["corruptions"][c]["curves"].get(headline(c), [])
    )
    for n, name in enumerate(names):
        ax = figure.add_subplot(rows, COLUMNS, n + 1)
        plain_axes(ax, LIGHT, "y")
        metric = headline(name)
        for label, row in strategies.items():
            curve = row["corruptions"][name]["curves"].get(metric)
            if curve and (label != SINGLE or metric == "nds"):
                ax.plot(levels, _values(curve), linewidth=1.4, markersize=3.5, **styles[label])
        words = name.replace("_", " ") + (" (F1)" if metric == "sound_f1" else "")
        ax.set_title(words, fontsize=9, color=LIGHT.text, loc="left", pad=3)
        ax.set_ylim(0, 1.08 * (1.0 if metric == "sound_f1" else top))
        ax.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
        ax.set_xlim(-0.04, 1.04)
        ax.set_xticks([0, 0.5, 1], ["clean", "", "worst"])
        if n % COLUMNS == 0:
            ax.set_ylabel("NDS", fontsize=8, color=LIGHT.muted)
    _legend(figure, report, styles)
    top = 1 - (0.3 + _legend_in(styles, WIDE_IN)) / height
    figure.subplots_adjust(left=0.05, right=0.99, top=top, bottom=0.3 / height, hspace=0.55, wspace=0.28)
    return figure


def accuracy_figure(report: dict[str, Any]) -> Figure:
    """Clean NDS against how much of it is left under corruption, and against effective robustness."""
    strategies = report["strategies"]
    styles = style_of(list(strategies))
    height = 3.6 + _legend_in(styles, ACROSS_IN)
    figure = Figure(figsize=(ACROSS_IN, height), facecolor=LIGHT.ground)
    parts = (
        ("tau_rel", "relative robustness: mean NDS over levels and corruptions"),
        ("tau_eff", "effective robustness: above late fusion's curve"),
    )
    for n, (key, title) in enumerate(parts):
        ax = figure.add_subplot(1, 2, n + 1)
        plain_axes(ax, LIGHT, "both")
        for label, row in strategies.items():
            if row[key] is not None:
                look = styles[label]
                ax.plot(row["clean"]["nds"], row[key], color=look["color"], marker=_dot(look), markersize=8)
        if key == "tau_rel":
            low, high = ax.get_xlim()
            ax.axline((low, low), slope=1, color=LIGHT.muted, linewidth=0.8, linestyle=":")
            ax.set_xlim(low - 0.02, high + 0.02)
            ax.set_ylim(min(ax.get_ylim()[0], low - 0.05), high + 0.02)
            ax.text(0.02, 0.95, "dotted: nothing lost", fontsize=8, color=LIGHT.muted, transform=ax.transAxes)
        else:
            ax.axhline(0, color=LIGHT.muted, linewidth=0.8, linestyle=":")
            ax.margins(0.12)
        ax.set_xlabel("clean NDS", fontsize=9, color=LIGHT.muted)
        ax.set_title(title, fontsize=9.5, color=LIGHT.text, loc="left")
    _legend(figure, report, styles, dots=True)
    top = 1 - (0.35 + _legend_in(styles, ACROSS_IN)) / height
    figure.subplots_adjust(left=0.06, right=0.985, top=top, bottom=0.5 / height, wspace=0.2)
    return figure


def subsets_figure(report: dict[str, Any]) -> Figure:
    """Every set of modalities: which are there, and the NDS of each strategy all around and ahead, as shades."""
    strategies = {s: r for s, r in report["strategies"].items() if s != SINGLE}
    subsets = list(next(iter(strategies.values()))["subsets"])
    every = subsets[0].split("+")
    wide, high = CELL_IN
    dots_in, panel_in, head_in = 1.5, max(wide * len(strategies), 2.0), 1.9
    width, height = dots_in + 2 * (panel_in + 0.35) + 0.55, high * len(subsets) + head_in
    figure = Figure(figsize=(width, height), facecolor=LIGHT.ground)
    body = (0.1 / height, high * len(subsets) / height)
    grid = figure.add_axes((0.01, body[0], dots_in / width - 0.02, body[1]))
    grid.set_axis_off()
    for row, subset in enumerate(subsets):
        colours = [LIGHT.text if m in subset.split("+") else LIGHT.grid for m in every]
        grid.scatter(range(len(every)), [row] * len(every), s=38, c=colours, linewidths=0)
    for column, name in enumerate(every):
        grid.text(column - 0.2, -0.8, name, rotation=55, fontsize=8, color=LIGHT.muted, ha="left", va="bottom")
    grid.set_xlim(-0.6, len(every) - 0.4)
    grid.set_ylim(len(subsets) - 0.5, -0.5)
    shades = LinearSegmentedColormap.from_list("shades", [LIGHT.ground, LIGHT.accent_soft, LIGHT.accent])
    for n, (key, title) in enumerate((("nds", "NDS all around"), ("nds_ahead", "NDS within 80° ahead"))):
        left = (dots_in + n * (panel_in + 0.35)) / width
        ax = figure.add_axes((left, body[0], panel_in / width, body[1]))
        plain_axes(ax, LIGHT, "")
        values = np.array([_values([r["subsets"][s].get(key) for r in strategies.values()]) for s in subsets])
        most = _most(values[np.isfinite(values)])
        ax.imshow(values, cmap=shades, vmin=0, vmax=most, aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                ink = LIGHT.ground if value > 0.7 * most else LIGHT.text
                ax.text(column, row, f"{value:.2f}".lstrip("0"), ha="center", va="center", fontsize=7.5, color=ink)
        ax.set_yticks([])
        names = [s.replace("_", " ") for s in strategies]
        ax.set_xticks(range(len(names)), names, rotation=55, ha="left", rotation_mode="anchor", fontsize=8)
        ax.xaxis.tick_top()
        figure.text(left, 1 - 0.12 / height, title, fontsize=9.5, color=LIGHT.text, ha="left", va="top")
    return figure


def gaps_figure(report: dict[str, Any]) -> Figure:
    """NDS tick by tick through a gap, a small plot per gap; thin lines are the same runs without it."""
    strategies = {s: r for s, r in report["strategies"].items() if s != SINGLE}
    styles = style_of(list(strategies))
    gaps = list(next(iter(strategies.values()))["gaps"])
    height = 2.7 + _legend_in(styles, WIDE_IN)
    figure = Figure(figsize=(WIDE_IN, height), facecolor=LIGHT.ground)
    top = _most(v for r in strategies.values() for g in r["gaps"].values() for v in g["nds"] + g["nds_without"])
    for n, gap in enumerate(gaps):
        ax = figure.add_subplot(1, len(gaps), n + 1)
        plain_axes(ax, LIGHT, "y")
        for label, row in strategies.items():
            told = row["gaps"][gap]
            first, end = told["gap_ticks"]
            ticks = np.arange(len(told["nds"])) - first
            ax.plot(ticks, _values(told["nds_without"]), color=styles[label]["color"], linewidth=0.8, alpha=0.45)
            ax.plot(ticks, _values(told["nds"]), linewidth=1.5, markersize=3.5, **styles[label])
        ax.axvspan(-0.5, end - first - 0.5, color=LIGHT.grid, alpha=0.7, linewidth=0)
        ax.set_title(
            f"no {gap.replace('_', ' ')}" if gap != "all_three" else "none of the three",
            fontsize=9.5,
            color=LIGHT.text,
            loc="left",
        )
        ax.set_ylim(0, top * 1.08)
        ax.set_xlabel("ticks since the gap began", fontsize=8.5, color=LIGHT.muted)
        if n == 0:
            ax.set_ylabel("NDS", fontsize=8.5, color=LIGHT.muted)
    _legend(figure, report, styles)
    top = 1 - (0.4 + _legend_in(styles, WIDE_IN)) / height
    figure.subplots_adjust(left=0.045, right=0.99, top=top, bottom=0.5 / height, wspace=0.16)
    return figure


def _legend(figure: Figure, report: dict[str, Any], styles: dict[str, dict[str, Any]], dots: bool = False) -> None:
    single = report["protocol"]["single"]
    names = {SINGLE: f"best single sensor: {single['modality']} ({single['strategy'].replace('_', ' ')})"}
    handles = [
        Line2D([], [], color=look["color"], marker=_dot(look), linestyle="", markersize=6)
        if dots
        else Line2D([], [], linewidth=1.5, markersize=4, **look)
        for look in styles.values()
    ]
    figure.legend(
        handles,
        [names.get(label, label.replace("_", " ")) for label in styles],
        loc="upper left",
        bbox_to_anchor=(0.005, 1.0),
        ncols=_columns(figure.get_figwidth()),
        frameon=False,
        fontsize=8.5,
        labelcolor=LIGHT.text,
        columnspacing=1.6,
    )


def _columns(width_in: float) -> int:
    """Of the legend: names up to some 2 inches wide."""
    return max(1, int(width_in / 2.1))


def _legend_in(styles: dict[str, Any], width_in: float) -> float:
    """The legend's height, inches."""
    return 0.1 + 0.21 * -(-len(styles) // _columns(width_in))


def _dot(look: dict[str, Any]) -> str:
    return "o" if look["marker"] == "." else str(look["marker"])


def _values(values: list[float | None]) -> np.ndarray:  # type: ignore[type-arg]
    return np.array([np.nan if v is None else v for v in values])


def _most(values: Any) -> float:
    """The greatest of what may be None; 1 where there is nothing above 0."""
    return max((v for v in values if v is not None), default=0.0) or 1.0
