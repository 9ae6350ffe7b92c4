"""The lower convex hull of points in a plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

P = TypeVar("P", bound=tuple[float, float])


def lower_hull(points: Sequence[P]) -> list[P]:
    """The lower convex hull of points in ascending order of their first coordinate, without points on its edges
    (Andrew's monotone chain, 1979).
    """
    hull: list[P] = []
    for point in points:
        extend_hull(hull, point)
    return hull


def extend_hull(hull: list[P], point: P) -> None:
    """Take one more point, to the right of all, into a lower hull."""
    x, y = point
    while len(hull) >= 2:
        (x0, y0), (x1, y1) = hull[-2], hull[-1]
        if (y1 - y0) * (x - x0) < (y - y0) * (x1 - x0):
            break
        hull.pop()
    hull.append(point)
