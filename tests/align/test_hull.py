"""The lower hull against its definition."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from sensorfuse.align.hull import lower_hull


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=20))
def test_every_point_lies_on_or_above_and_every_corner_is_one(heights: list[int]) -> None:
    points = list(enumerate(heights))
    hull = lower_hull(points)
    assert hull[0] == points[0]
    assert hull[-1] == points[-1]
    assert set(hull) <= set(points)
    slopes = [(y1 - y0) / (x1 - x0) for (x0, y0), (x1, y1) in pairwise(hull)]
    assert all(b > a for a, b in pairwise(slopes))
    for x, y in points:
        for (x0, y0), (x1, y1) in pairwise(hull):
            if x0 <= x <= x1:
                assert (y - y0) * (x1 - x0) >= (y1 - y0) * (x - x0)
