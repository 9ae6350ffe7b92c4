"""Boxes in the plane: corners, rotated overlap, containment."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]


def box_corners(center: Array, size: Array, yaw: Array) -> Array:
    """Corners (N, 4, 2), counter-clockwise from front left, of boxes `center` (N, 2+), `size` (N, 2+), `yaw` (N,)."""
    half = 0.5 * np.asarray(size)[:, None, :2] * np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    cos, sin = np.cos(yaw)[:, None], np.sin(yaw)[:, None]
    x = half[..., 0] * cos - half[..., 1] * sin
    y = half[..., 0] * sin + half[..., 1] * cos
    return np.asarray(np.stack([x, y], -1) + np.asarray(center)[:, None, :2])


@njit(cache=True)
def _clip_area(a: Array, b: Array) -> float:
    """Area of the intersection of two convex counter-clockwise quadrilaterals (4, 2): Sutherland and Hodgman 1974."""
    polygon = np.empty((16, 2))
    other = np.empty((16, 2))
    n = 4
    polygon[:4] = a
    for e in range(4):
        px, py = b[e]
        dx, dy = b[(e + 1) % 4, 0] - px, b[(e + 1) % 4, 1] - py
        m = 0
        for i in range(n):
            j = (i + 1) % n
            here = dx * (polygon[i, 1] - py) - dy * (polygon[i, 0] - px)
            there = dx * (polygon[j, 1] - py) - dy * (polygon[j, 0] - px)
            if here >= 0:
                other[m] = polygon[i]
                m += 1
            if (here > 0 > there) or (here < 0 < there):
                share = here / (here - there)
                other[m, 0] = polygon[i, 0] + share * (polygon[j, 0] - polygon[i, 0])
                other[m, 1] = polygon[i, 1] + share * (polygon[j, 1] - polygon[i, 1])
                m += 1
        n = m
        polygon[:n] = other[:n]
        if n == 0:
            return 0.0
    area = 0.0
    for i in range(n):
        j = (i + 1) % n
        area += polygon[i, 0] * polygon[j, 1] - polygon[j, 0] * polygon[i, 1]
    return max(0.5 * area, 0.0)


@njit(cache=True)
def _overlaps(a: Array, b: Array, area_a: Array, area_b: Array) -> Array:
    out = np.zeros((len(a), len(b)))
    for i in range(len(a)):
        for j in range(len(b)):
            dx = a[i, 0, 0] + a[i, 2, 0] - b[j, 0, 0] - b[j, 2, 0]
            dy = a[i, 0, 1] + a[i, 2, 1] - b[j, 0, 1] - b[j, 2, 1]
            reach = np.hypot(a[i, 0, 0] - a[i, 2, 0], a[i, 0, 1] - a[i, 2, 1])
            reach += np.hypot(b[j, 0, 0] - b[j, 2, 0], b[j, 0, 1] - b[j, 2, 1])
            if dx * dx + dy * dy < reach * reach:
                both = _clip_area(a[i], b[j])
                out[i, j] = both / max(area_a[i] + area_b[j] - both, 1e-12)
    return out


def overlap_matrix(center_a: Array, size_a: Array, yaw_a: Array, center_b: Array, size_b: Array, yaw_b: Array) -> Array:
    """Intersection over union (N, M) in the plane of boxes a (N) and b (M)."""
    if not len(yaw_a) or not len(yaw_b):
        return np.zeros((len(yaw_a), len(yaw_b)))
    a, b = box_corners(center_a, size_a, yaw_a), box_corners(center_b, size_b, yaw_b)
    area_a, area_b = np.prod(np.asarray(size_a)[:, :2], axis=1), np.prod(np.asarray(size_b)[:, :2], axis=1)
    return np.asarray(_overlaps(a, b, area_a, area_b))


def inside_boxes(points: Array, center: Array, size: Array, yaw: Array, margin_m: float = 0.0) -> NDArray[np.bool_]:
    """Which points (P, 2+) lie in which boxes, widened by `margin_m`: (P, N)."""
    away = np.asarray(points)[:, None, :2] - np.asarray(center)[None, :, :2]
    cos, sin = np.cos(yaw), np.sin(yaw)
    along = np.abs(away[..., 0] * cos + away[..., 1] * sin)
    across = np.abs(-away[..., 0] * sin + away[..., 1] * cos)
    return np.asarray((along <= size[:, 0] / 2 + margin_m) & (across <= size[:, 1] / 2 + margin_m))


def best_boxes(
    score: NDArray[np.floating], center: Array, size: Array, yaw: Array, seen: Array, max_overlap: float = 0.2
) -> NDArray[np.bool_]:
    """Which boxes (N,) stay when each, best score first, removes those that overlap it or were seen inside it.

    `seen` (N, 2) is the middle of what was measured of each, before its hidden part was filled in: what grazing beams
    split off an object lies within that object's box.
    """
    taken = overlap_matrix(center, size, yaw, center, size, yaw) > max_overlap
    taken |= inside_boxes(seen, center, size, yaw)
    keep = np.ones(len(score), bool)
    for n in np.argsort(-np.asarray(score), kind="stable"):
        if keep[n]:
            keep &= ~taken[:, n]
            keep[n] = True
    return keep
