"""Corners of a picture and where they are in the next: Shi and Tomasi 1994, and Bouguet's pyramidal Lucas-Kanade."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from sensorfuse.align.signatures.picture import Grey

WINDOW = 13
LEVELS = 3
CELL_PX = 14  # of the half-size picture in which corners are looked for: one corner a cell
MARGIN_PX = 5
WEAKEST = 3e-5  # least eigenvalue of the structure tensor, grey levels over 255
MAX_CORNERS = 160
CRITERIA = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 12, 0.02)


@njit(cache=True)
def _best_of_cells(strength, cell, margin, weakest):  # type: ignore[no-untyped-def]
    """The strongest pixel of each cell that beats `weakest` and its eight neighbours: x, y, strength (K, 3)."""
    height, width = strength.shape
    rows, columns = (height - 2 * margin) // cell, (width - 2 * margin) // cell
    out = np.empty((max(rows * columns, 0), 3))
    found = 0
    for r in range(rows):
        for c in range(columns):
            best, at_x, at_y = weakest, -1, -1
            for y in range(margin + r * cell, margin + (r + 1) * cell):
                for x in range(margin + c * cell, margin + (c + 1) * cell):
                    if strength[y, x] > best:
                        best, at_x, at_y = strength[y, x], x, y
            if at_x < 0:
                continue
            peak = True
            for dy in range(-1, 2):
                for dx in range(-1, 2):
                    peak = peak and strength[at_y + dy, at_x + dx] <= best
            if peak:
                out[found, 0], out[found, 1], out[found, 2] = at_x, at_y, best
                found += 1
    return out[:found]


def corners_of(grey: Grey) -> NDArray[np.float32]:
    """Up to `MAX_CORNERS` corners (N, 2) of a picture (H, W), spread over it, the strongest first."""
    height, width = grey.shape
    if height < 8 * MARGIN_PX or width < 8 * MARGIN_PX:
        return np.zeros((0, 2), np.float32)
    half = cv2.resize(grey, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    found = _best_of_cells(cv2.cornerMinEigenVal(half, 3, ksize=3), CELL_PX, MARGIN_PX, WEAKEST)
    found = found[np.argsort(-found[:, 2], kind="stable")[:MAX_CORNERS]]
    scale = np.array([width / (width // 2), height / (height // 2)])
    return np.asarray((found[:, :2] + 0.5) * scale - 0.5, np.float32)


def track(before: Grey, after: Grey, corners: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Where corners (N, 2) of one picture are in the next, and which were found there (N,)."""
    if not len(corners) or before.shape != after.shape:
        return corners, np.zeros(0, bool)
    none: Any = None  # the type stubs know no call without a guess
    places, status, _ = cv2.calcOpticalFlowPyrLK(
        before, after, corners[:, None], none, winSize=(WINDOW, WINDOW), maxLevel=LEVELS, criteria=CRITERIA,
        minEigThreshold=1e-4,
    )  # fmt: skip
    places = np.asarray(places, np.float32)[:, 0]
    height, width = after.shape
    inside = (places > 1).all(axis=1) & (places < [width - 2, height - 2]).all(axis=1)
    return places, (np.asarray(status)[:, 0] == 1) & inside & np.isfinite(places).all(axis=1)
