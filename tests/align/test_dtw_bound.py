"""The bound is below the distance, and the search with it finds what a search without it finds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensorfuse.align import dtw
from sensorfuse.errors import SensorfuseError


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 40), st.integers(1, 3), st.integers(0, 10), st.integers(0, 10_000), st.booleans())
def test_the_bound_is_never_above_the_distance(n, d, band, seed, gap):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((n, d)).cumsum(0), rng.standard_normal((n, d)).cumsum(0)
    if gap and n > 1:
        x[0, 0] = np.nan
    assert dtw.lb_keogh(y, dtw.envelope(x, band)) <= dtw.distance(x, y, band=band) * (1 + 1e-12)


def test_the_bound_of_band_zero_is_the_distance():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 50))
    assert dtw.lb_keogh(y, dtw.envelope(x, 0)) == pytest.approx(dtw.distance(x, y, band=0), rel=1e-12)


def test_nearest_is_the_exhaustive_nearest_with_less_work():
    rng = np.random.default_rng(1)
    at = np.linspace(0, 10, 100)
    candidates = [np.sin(at * f) + 0.1 * rng.standard_normal(100) for f in rng.uniform(0.3, 3, 60)]
    x = np.sin(at * 1.1)
    found = dtw.nearest(x, candidates, band=8)
    every = [dtw.distance(x, one, band=8) for one in candidates]
    assert found.candidate == int(np.argmin(every))
    assert found.distance == min(every)
    assert found.num_computed < 30


def test_bad_input():
    with pytest.raises(SensorfuseError, match="equal lengths"):
        dtw.lb_keogh([1.0, 2.0], dtw.envelope([1.0], 2))
    with pytest.raises(SensorfuseError, match="no candidates"):
        dtw.nearest([1.0], [], band=1)
    with pytest.raises(SensorfuseError, match=r"band is 1\.0"):
        dtw.envelope([1.0], 1.0)
