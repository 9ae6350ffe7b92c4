"""Names beside boxes, none over another: the first keeps its place, a later one that would cover it is left out."""

from __future__ import annotations

from typing import Any

from sensorfuse.report import palette

FONT_PT = 7.5
CHARACTER_PT, LINE_PT = 0.6 * FONT_PT, 1.35 * FONT_PT  # mean advance and height of DejaVu Sans with its margin


class Labels:
    """Places names in an axes that fills its figure and whose limits are set."""

    def __init__(self, ax: Any) -> None:
        self.ax = ax
        self._taken: list[tuple[float, float, float, float]] = []  # left, bottom, right, top in points

    def place(self, x: float, y: float, words: str, colour: str, rise_pt: float = 0.0) -> bool:
        """Write `words` to the right of data position (x, y), `rise_pt` above it; False when there is no room."""
        left, middle = self._points(x, y)
        width, height = len(words) * CHARACTER_PT, LINE_PT
        wide, tall = (float(v) * 72 for v in self.ax.figure.get_size_inches())
        middle += rise_pt
        if not (0 <= left <= wide and 0 <= middle <= tall):
            return False
        left = min(left, wide - width - 2)
        middle = min(max(middle, height / 2 + 1), tall - height / 2 - 1)
        box = (left, middle - height / 2, left + width, middle + height / 2)
        if any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in self._taken):
            return False
        self._taken.append(box)
        self.ax.annotate(
            words,
            (left, middle),
            xycoords="figure points",
            fontsize=FONT_PT,
            color=colour,
            ha="left",
            va="center_baseline",
            zorder=13,
            parse_math=False,
            annotation_clip=False,
            bbox={"boxstyle": "square,pad=0.12", "facecolor": palette.SCENE_GROUND, "alpha": 0.72, "linewidth": 0},
        )
        return True

    def _points(self, x: float, y: float) -> tuple[float, float]:
        (x0, x1), (y0, y1) = self.ax.get_xlim(), self.ax.get_ylim()
        wide, tall = (float(v) * 72 for v in self.ax.figure.get_size_inches())
        return (x - x0) / (x1 - x0) * wide, (y - y0) / (y1 - y0) * tall
