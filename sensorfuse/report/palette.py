"""Colours and drawing defaults of every picture.

Hues are those of Okabe and Ito's palette ("Color Universal Design", 2008), which people with any common colour vision
tell apart, shaded for each background; shapes and line styles differ as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


@dataclass(frozen=True)
class Theme:
    """Colours of charts on the page's light or dark ground."""

    name: str
    ground: str
    text: str
    muted: str
    grid: str
    accent: str
    accent_soft: str
    states: dict[str, str] = field(default_factory=dict)


LIGHT = Theme(
    "light",
    ground="#ffffff",
    text="#1c2127",
    muted="#5d6773",
    grid="#e2e6ea",
    accent="#0072b2",
    accent_soft="#a9cfe6",
    states={
        "used": "#0072b2",
        "late": "#f0c419",
        "stale": "#e69f00",
        "idle": "#9aa3ad",
        "missing": "#d5dade",
        "suspect": "#cc79a7",
        "invalid": "#a02c5a",
        "recovering": "#009e73",
        "shed": "#56b4e9",
        "failed": "#d55e00",
    },
)
DARK = Theme(
    "dark",
    ground="#161b21",
    text="#e4e8ec",
    muted="#98a2ad",
    grid="#2b323a",
    accent="#56b4e9",
    accent_soft="#2c5a76",
    states={
        "used": "#3f97cc",
        "late": "#f0e442",
        "stale": "#e69f00",
        "idle": "#6b7580",
        "missing": "#3a424b",
        "suspect": "#cc79a7",
        "invalid": "#a02c5a",
        "recovering": "#009e73",
        "shed": "#b3dcf5",
        "failed": "#d55e00",
    },
)

# Scenes (bird's eye and camera) are drawn on a dark ground on either page: points and boxes of light read best there.
SCENE_GROUND = "#10151a"
SCENE_TEXT = "#d7dde3"
SCENE_MUTED = "#7f8a96"
SCENE_GRID = "#2a333c"
EGO = "#f5f7f9"
TRACK = "#56b4e9"
DETECTION = "#e69f00"
RADAR = "#f08fc0"
TRUTH = "#ffffff"
SOUND = "#f0e442"

MAX_SCENE_PNG = 160_000  # bytes


def plain_axes(ax: Any, theme: Theme, grid: str = "x") -> None:
    """An axes without a box, with quiet ticks and a grid along one axis ("x", "y" or "" for none)."""
    ax.set_facecolor(theme.ground)
    for side in ax.spines.values():
        side.set_visible(False)
    ax.tick_params(colors=theme.muted, labelsize=8, length=0)
    ax.set_axisbelow(True)
    if grid:
        ax.grid(axis=grid, color=theme.grid, linewidth=0.8)


def png_bytes(figure: Figure, dpi: int = 150) -> bytes:
    """The figure as a PNG file; the same figure gives the same bytes."""
    buffer = BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png", dpi=dpi, facecolor=figure.get_facecolor(), metadata={"Software": None})
    return buffer.getvalue()


def jpeg_bytes(figure: Figure, dpi: int = 140, quality: int = 82) -> bytes:
    """The figure as a JPEG file, for photographs."""
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    rgba = np.asarray(canvas.buffer_rgba())
    done, data = cv2.imencode(".jpg", rgba[:, :, 2::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise RuntimeError("the JPEG encoder refused a picture")
    return bytes(data.tobytes())


def scene_bytes(figure: Figure, dpi: int = 140) -> bytes:
    """A PNG, or a JPEG where the PNG would be large (a noisy radar image under the points)."""
    png = png_bytes(figure, dpi)
    return png if len(png) <= MAX_SCENE_PNG else jpeg_bytes(figure, dpi)
