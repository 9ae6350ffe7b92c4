"""The kernels against the textbook recursion in plain Python, and properties of every path."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensorfuse.align import dtw
from sensorfuse.align.dtw import exact
from sensorfuse.align.dtw.band import reach_of
from sensorfuse.align.dtw.rows import read_rows, row_stride, sweep_rows
from sensorfuse.align.dtw.series import pack
from sensorfuse.align.dtw.sweep import line_stride, sweep_whole
from sensorfuse.errors import SensorfuseError

SERIES = st.tuples(st.integers(1, 24), st.integers(1, 24), st.integers(1, 4), st.integers(0, 10_000), st.booleans())
BANDS = st.one_of(st.none(), st.integers(0, 12))


def make(n, m, d, seed, gaps):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((n, d)).cumsum(0), rng.standard_normal((m, d)).cumsum(0)
    if gaps and n > 1 and m > 1:
        x[rng.integers(n), 0] = np.nan
        y[rng.integers(m), d - 1] = np.nan
    return x, y


def cell_costs(x, y):
    """(n, m), a missing pair at its channel's mean."""
    squared = (x[:, None] - y[None, :]) ** 2
    mean = np.nanmean(squared, axis=(0, 1))
    return np.where(np.isnan(squared), mean, squared).sum(-1)


def in_band(n, m, band):
    i, j = np.arange(n)[:, None], np.arange(m)[None, :]
    if band is None:
        return np.ones((n, m), bool)
    half = 0.5 if band == 0 and n != m else band
    return np.abs(i * (m - 1) - j * (n - 1)) <= half * max(n - 1, m - 1)


def textbook(x, y, band):
    costs, inside = cell_costs(x, y), in_band(len(x), len(y), band)
    totals = np.full((len(x) + 1, len(y) + 1), np.inf)
    totals[0, 0] = 0
    for i in range(len(x)):
        for j in range(len(y)):
            if inside[i, j]:
                totals[i + 1, j + 1] = costs[i, j] + min(totals[i, j], totals[i, j + 1], totals[i + 1, j])
    return np.sqrt(totals[-1, -1])


@settings(max_examples=150, deadline=None)
@given(SERIES, BANDS)
def test_distance_is_the_textbook_recursion(shape, band):
    x, y = make(*shape)
    assert dtw.distance(x, y, band=band) == pytest.approx(textbook(x, y, band), rel=1e-9)


@pytest.mark.parametrize("room", [0, 400_000])
@settings(max_examples=120, deadline=None)
@given(SERIES, BANDS)
def test_the_path_is_monotone_continuous_in_the_band_and_costs_the_distance(room, shape, band):
    """From the whole table, by rows for so short series, and from kept diagonals."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact._room, "table", np.empty(room))
        x, y = make(*shape)
        found, path = dtw.align(x, y, band=band)
    assert path[0].tolist() == [0, 0]
    assert path[-1].tolist() == [len(x) - 1, len(y) - 1]
    assert set(map(tuple, np.diff(path, axis=0).tolist())) <= {(1, 1), (1, 0), (0, 1)}
    assert in_band(len(x), len(y), band)[path[:, 0], path[:, 1]].all()
    assert np.sqrt(cell_costs(x, y)[path[:, 0], path[:, 1]].sum()) == pytest.approx(found, rel=1e-9)
    assert found == pytest.approx(textbook(x, y, band), rel=1e-9)


@pytest.mark.parametrize(("n", "m"), [(700, 700), (900, 300), (257, 1023)])
@pytest.mark.parametrize("d", [1, 2, 3])
def test_long_paths_cross_many_kept_diagonals(n, m, d, monkeypatch):
    x, y = make(n, m, d, n + d, False)
    whole = dtw.align(x, y)
    monkeypatch.setattr(exact._room, "table", np.empty(0))
    kept = dtw.align(x, y)
    assert kept.distance == whole.distance == dtw.distance(x, y)
    np.testing.assert_array_equal(kept.path, whole.path)


@pytest.mark.parametrize(("n", "m", "band"), [(60, 64, None), (90, 57, 40), (57, 120, 26), (70, 70, 24), (70, 70, 23)])
@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("gaps", [False, True])
def test_wide_bands_go_by_diagonals_and_are_the_textbook_too(n, m, band, d, gaps):
    """Either side of where rows are left for diagonals."""
    x, y = make(n, m, d, n + m + d, gaps)
    want = textbook(x, y, band)
    found, path = dtw.align(x, y, band=band)
    assert found == pytest.approx(want, rel=1e-9)
    assert np.sqrt(cell_costs(x, y)[path[:, 0], path[:, 1]].sum()) == pytest.approx(want, rel=1e-9)
    assert dtw.distance(x, y, band=band) == found
    assert dtw.distance(x, y, band=band, max_distance=found) == found
    assert dtw.distance(x, y, band=band, max_distance=0.99 * found) == np.inf


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 4), st.integers(0, 9999), BANDS)
def test_rows_and_diagonals_give_the_same_bits(n, m, d, seed, band):
    x, y = make(n, m, d, seed, False)
    reach, prices, path = reach_of(band, n, m), np.zeros(d), np.empty((n + m - 1, 2), dtype=np.int64)
    table, zeros = np.empty((n + 1) * row_stride(n, m, reach)), np.empty(n + 1, dtype=np.int64)
    total = sweep_rows(x, pack(y, False)[0], n, m, prices, False, reach, np.inf, table, zeros)
    by_rows = path[read_rows(n, m, table, zeros, path) :].copy()
    whole = np.empty((n + m) * line_stride(n, m, reach))
    ends = sweep_whole(pack(x, False)[0], pack(y, True)[0], n, m, prices, False, reach, whole, path)
    assert ends[0] == total
    np.testing.assert_array_equal(path[ends[1] :], by_rows)


def test_read_only_and_strided_series_are_taken_as_they_are():
    x, y = make(30, 25, 2, 4, False)
    want = dtw.align(x, y)
    x.flags.writeable = False
    wide = np.repeat(y, 2, axis=1)[:, ::2]
    found = dtw.align(x, wide)
    assert found.distance == want.distance == dtw.distance(x, wide)
    np.testing.assert_array_equal(found.path, want.path)


@settings(max_examples=60, deadline=None)
@given(SERIES, BANDS)
def test_symmetric_and_zero_to_itself(shape, band):
    x, y = make(*shape)
    assert dtw.distance(x, y, band=band) == pytest.approx(dtw.distance(y, x, band=band), rel=1e-9)
    whole = np.nan_to_num(x)
    assert dtw.distance(whole, whole, band=band) == 0


@settings(max_examples=60, deadline=None)
@given(SERIES)
def test_a_wider_band_never_costs_more_and_the_widest_is_the_whole_table(shape):
    x, y = make(*shape)
    values = [dtw.distance(x, y, band=band) for band in range(25)]
    assert all(wide <= narrow * (1 + 1e-12) for narrow, wide in pairwise(values))
    assert values[-1] == dtw.distance(x, y)


def test_band_of_zero_at_equal_lengths_is_the_euclidean_distance():
    x, y = make(40, 40, 3, 0, False)
    assert dtw.distance(x, y, band=0) == pytest.approx(np.linalg.norm(x - y), rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(SERIES, BANDS, st.floats(0, 2))
def test_the_limit_abandons_exactly_what_is_above_it(shape, band, share):
    x, y = make(*shape)
    full = dtw.distance(x, y, band=band)
    limited = dtw.distance(x, y, band=band, max_distance=share * full)
    if share >= 1:
        assert limited == full
    elif full > 0 and share < 1 - 1e-9:
        assert limited == np.inf


@settings(max_examples=40, deadline=None)
@given(SERIES)
def test_independent_channels_sum_their_own_warps(shape):
    x, y = make(*shape)
    apart = [dtw.distance(x[:, c], y[:, c]) for c in range(x.shape[1])]
    assert dtw.distance(x, y, warp="independent") == pytest.approx(np.linalg.norm(apart), rel=1e-9)
    assert dtw.distance(x, y, warp="independent") <= dtw.distance(x, y) * (1 + 1e-12)


def test_independent_channels_keep_each_channels_neighbourhood_together():
    x, y = make(30, 26, 2, 3, False)
    apart = [dtw.distance(x[:, c], y[:, c], cost="shape", half_window=2) for c in range(2)]
    whole = dtw.distance(x, y, cost="shape", half_window=2, warp="independent")
    assert whole == pytest.approx(np.linalg.norm(apart), rel=1e-12)


def test_derivative_cost_does_not_see_a_constant_and_value_cost_does():
    x = np.sin(np.linspace(0, 12, 150))
    assert dtw.distance(x, x + 3.0, cost="derivative") == pytest.approx(0, abs=1e-12)
    assert dtw.distance(x, x + 3.0) > 1


def test_windowed_cost_collapses_fewer_samples_on_noise():
    """The reason for it: one sample alone says little, so the plain path stalls and jumps."""
    rng = np.random.default_rng(0)
    at = np.linspace(0, 20, 400)
    x, y = (np.sin(at) + 0.3 * rng.standard_normal(400) for _ in range(2))
    plain, shape = (dtw.align(x, y, band=40, cost=cost, half_window=8).path for cost in ("value", "shape"))
    assert len(shape) < 0.85 * len(plain)
    assert np.abs(shape[:, 0] - shape[:, 1]).mean() < 0.8 * np.abs(plain[:, 0] - plain[:, 1]).mean()


def test_a_missing_stretch_costs_the_mean_and_bridges_the_path():
    at = np.linspace(0, 6, 120)
    x, y = np.sin(at), np.sin(at)
    x[50:60] = np.nan
    found, path = dtw.align(x, y)
    outside = (path[:, 0] < 45) | (path[:, 0] > 65)
    assert np.abs(path[outside, 0] - path[outside, 1]).max() == 0
    assert 0 < found**2 <= 12 * np.nanmean((x[:, None] - y[None]) ** 2)


def test_lists_and_any_layout_are_taken():
    x, y = make(30, 20, 3, 1, False)
    want = dtw.distance(x, y)
    assert dtw.distance(np.asfortranarray(x), y[::-1][::-1]) == want
    assert dtw.distance(x.tolist(), y.tolist()) == want
    assert dtw.distance(x.astype(np.float32), y.astype(np.float32)) == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize(
    ("x", "y", "options", "says"),
    [
        ([], [1.0], {}, "x is empty"),
        ([1.0], np.zeros((0, 2)), {}, "y is empty"),
        (np.zeros((3, 2)), np.zeros(3), {}, "x has 2 channels and y has 1"),
        (np.zeros((2, 2, 2)), np.zeros(3), {}, r"x has shape \(2, 2, 2\)"),
        ([1.0, np.inf], [1.0], {}, "x has infinite values"),
        ([1.0], [1.0, -np.inf], {"cost": "shape"}, "y has infinite values"),
        ([np.nan, np.nan], [1.0], {}, "x has a channel without any value"),
        (["a"], [1.0], {}, "x is not an array of numbers"),
        ([1.0], [1.0], {"band": -1}, "band is -1"),
        ([1.0], [1.0], {"band": 0.1}, "band is 0.1"),
        ([1.0], [1.0], {"cost": "cosine"}, "cost is 'cosine'"),
        ([1.0], [1.0], {"cost": "derivative"}, "three samples"),
        ([1.0], [1.0], {"cost": "shape", "half_window": -1}, "half_window is -1"),
    ],
)
def test_bad_input_says_what_is_wrong(x, y, options, says):
    for function in (dtw.distance, dtw.align):
        with pytest.raises(SensorfuseError, match=says):
            function(x, y, **options)


def test_bad_options_of_distance():
    with pytest.raises(SensorfuseError, match="warp is 'both'"):
        dtw.distance([1.0], [1.0], warp="both")
    with pytest.raises(SensorfuseError, match="max_distance"):
        dtw.distance([1.0], [1.0], max_distance=-1.0)
    with pytest.raises(SensorfuseError, match="max_distance"):
        dtw.distance([1.0], [1.0], max_distance=float("nan"))


def test_derivative_is_keogh_and_pazzanis():
    x = np.array([0.0, 1.0, 4.0, 9.0])
    inner = [((1 - 0) + (4 - 0) / 2) / 2, ((4 - 1) + (9 - 1) / 2) / 2]
    np.testing.assert_allclose(dtw.derivative(x)[:, 0], [inner[0], *inner, inner[1]])


def test_neighbourhood_differences_are_windowed_means():
    x, y = make(20, 20, 2, 5, False)
    a, b = dtw.neighbourhood(x, 2), dtw.neighbourhood(y, 2)
    want = ((x[6:11] - y[3:8]) ** 2).sum(1).mean()
    assert ((a[8] - b[5]) ** 2).sum() == pytest.approx(want)
