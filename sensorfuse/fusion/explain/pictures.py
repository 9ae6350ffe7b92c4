"""Pictures of an explained tick: from above by dominant modality, shares as bars, and where attention looked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from sensorfuse.fusion.explain.explanation import Attribution, Explanation
from sensorfuse.fusion.grid import GRID
from sensorfuse.messages import Detections, Modality
from sensorfuse.report import palette
from sensorfuse.report.labels import Labels
from sensorfuse.report.palette import Theme, plain_axes
from sensorfuse.report.pictures import View, bird_eye_figure
from sensorfuse.report.projection import footprints
from sensorfuse.report.wording import MODALITY_LABELS
from sensorfuse.rig import Rig

COLOURS: dict[str, dict[Modality, str]] = {
    "light": {"camera": "#d98200", "lidar": "#0072b2", "radar": "#c2588f", "imu": "#008a66", "audio": "#8a7f00"},
    "dark": {"camera": "#e69f00", "lidar": "#56b4e9", "radar": "#f08fc0", "imu": "#35d19a", "audio": "#f0e442"},
}
"""Of each modality, on a light and on a dark ground."""
REACH_M = 40.0
ROW_IN, HEAD_IN, FOOT_IN = 0.24, 0.32, 0.35
WIDE_IN = 7.4
"""From here on a chart is wide: names and legend have room."""


def scene_figure(explanation: Explanation, rig: Rig) -> Figure:
    """The tick from above, each object in the colour of the modality with its largest share, numbered as listed."""
    moment = explanation.moment
    bare = replace(moment.frame, detections=Detections.empty(), tracks=Detections.empty())
    half = REACH_M * 1.04
    figure = bird_eye_figure(bare, moment.samples, rig, view=View(half, half, half))
    ax = figure.axes[0]
    shown = explanation.shown
    found = moment.result.detections.select(np.array(shown, dtype=np.int64))
    objects = [explanation.objects[n] for n in shown]
    colours = [COLOURS["dark"][one.dominant] for one in objects]
    if len(found):
        corners = footprints(found)
        outlines = np.stack([-corners[..., 1], corners[..., 0]], axis=-1)  # forward is up
        faces = [c + _alpha(one.value) for c, one in zip(colours, objects, strict=True)]
        ax.add_collection(
            PolyCollection(list(outlines), facecolors=faces, edgecolors=colours, linewidths=1.5, zorder=9)
        )
        labels = Labels(ax)
        for n in range(len(found)):
            right, middle = float(outlines[n, :, 0].max()), float(outlines[n, :, 1].mean())
            labels.place(right + 0.6, middle, str(n + 1), colours[n])
    old = ax.get_legend()
    handles: list[Any] = [] if old is None else list(old.legend_handles)
    names = [] if old is None else [t.get_text() for t in old.get_texts()]
    for modality in dict.fromkeys(one.dominant for one in objects):
        handles.append(Patch(facecolor=COLOURS["dark"][modality]))
        names.append(f"object, mostly by {MODALITY_LABELS[modality]}")
    if handles:
        ax.legend(
            handles, names, loc="lower left", fontsize=8, labelcolor=palette.SCENE_TEXT, borderpad=0.7,
            facecolor=palette.SCENE_GROUND, edgecolor=palette.SCENE_GRID, framealpha=0.88, handlelength=1.6,
        ).set_zorder(20)  # fmt: skip
    return figure


def _alpha(score: float) -> str:
    return f"{round(40 + 120 * min(max(score, 0.0), 1.0)):02x}"


def shares_figure(
    rows: Sequence[Attribution], names: Sequence[str], players: Sequence[Modality], theme: Theme, width_in: float
) -> Figure:
    """One bar per row: shares one after the other, those below 0 to the left; a mark at their sum."""
    colours = COLOURS[theme.name]
    wide = width_in >= WIDE_IN
    head_in = HEAD_IN if wide else 2 * HEAD_IN
    height = head_in + ROW_IN * len(rows) + FOOT_IN
    figure = Figure(figsize=(width_in, height), facecolor=theme.ground)
    names_in = 0.068 * max(len(n) for n in names) + 0.15
    left, low = names_in / width_in, FOOT_IN / height
    ax = figure.add_axes((left, low, 1 - left - 0.12 / width_in, 1 - low - head_in / height))
    plain_axes(ax, theme)
    places = np.arange(len(rows))
    up, down = np.zeros(len(rows)), np.zeros(len(rows))
    marks: list[Any] = []
    for modality in players:
        share = np.array([one.shares[modality] for one in rows])
        start = np.where(share >= 0, up, down)
        ax.barh(places, share, left=start, height=0.66, color=colours[modality])
        marks.append(Patch(facecolor=colours[modality], label=MODALITY_LABELS[modality]))
        up, down = up + np.maximum(share, 0), down + np.minimum(share, 0)
    totals = np.array([sum(one.shares.values()) for one in rows])
    marks += ax.plot(
        totals, places, linestyle="", marker="|", markersize=11, markeredgewidth=2.0, color=theme.text, label="in all"
    )
    ax.axvline(0, color=theme.muted, linewidth=0.8)
    ax.set_yticks(places, names, color=theme.text, fontsize=8)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    figure.legend(
        handles=marks, loc="upper left", ncols=len(marks) if wide else 3, fontsize=8, frameon=False,
        labelcolor=theme.text, handlelength=1.1, columnspacing=1.3, borderaxespad=0.2,
    )  # fmt: skip
    return figure


def relevance_figure(explanation: Explanation) -> Figure:
    """Per modality a map of where attention read it, from above; brightest where most, on one scale for all."""
    maps = explanation.relevance
    side = 2.5
    figure = Figure(figsize=(side * len(maps), side + 0.3), facecolor=palette.SCENE_GROUND)
    most = max((float(m.max()) for m in maps.values()), default=0.0) or 1.0
    found = explanation.moment.result.detections.select(np.array(explanation.shown, dtype=np.int64))
    for k, (modality, one) in enumerate(maps.items()):
        ax = figure.add_axes((k / len(maps) + 0.01, 0.01, 1 / len(maps) - 0.02, side / (side + 0.3) - 0.02))
        ax.set_axis_off()
        ax.imshow(
            above(np.sqrt(one / most)), extent=(-GRID.half_m, GRID.half_m, -GRID.half_m, GRID.half_m), vmin=0, vmax=1,
            cmap="magma", interpolation="nearest",
        )  # fmt: skip
        ax.plot(-found.center[:, 1], found.center[:, 0], "s", color="#ffffff", markersize=5, fillstyle="none", mew=0.8)
        _axes_of_grid(ax)
        share = float(one.sum()) / max(sum(float(m.sum()) for m in maps.values()), 1e-12)
        ax.set_title(f"{MODALITY_LABELS[modality]}: {share:.0%}", color=palette.SCENE_TEXT, fontsize=9, pad=4)
    return figure


def _axes_of_grid(ax: Any) -> None:
    ax.set_xlim(-GRID.half_m, GRID.half_m)
    ax.set_ylim(-GRID.half_m, GRID.half_m)


def above(on_grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """A map (X, Y) as a picture from above: forward is up, left is left."""
    return on_grid[::-1, ::-1]
