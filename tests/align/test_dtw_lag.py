"""The lag path against known offsets, and the map that is published of it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensorfuse.align import dtw
from sensorfuse.bench.lag_path import angular_rates, index_only_errors_ms, offset_errors_ms
from sensorfuse.errors import SensorfuseError


def rms(errors):
    return np.sqrt(np.mean(errors**2))


@pytest.mark.parametrize(
    ("case", "limit_ms"),
    [
        ("constant 47 ms", 2.0),
        ("drift 200 ppm", 2.0),
        ("sinus 60 ms / 30 s", 3.0),
        ("replay at 1.02", 2.5),
        ("step 100 ms", 7.0),
    ],
)
def test_recovers_offsets_at_low_noise(case, limit_ms):
    trials = [offset_errors_ms(case, 0.05, seed) for seed in range(5)]
    assert np.median([rms(path) for path, _, _ in trials]) <= limit_ms
    assert np.median([rms(published) for _, published, _ in trials]) <= limit_ms
    assert max(share for _, _, share in trials) < 0.05


def test_a_step_is_taken_within_six_seconds():
    for seed in range(5):
        _, published, _ = offset_errors_ms("step 100 ms", 0.05, seed)
        half = len(published) // 2
        assert np.median(np.abs(published[half + 300 : half + 600])) < 5
        assert np.abs(published[half + 300 :]).max() < 15


def test_frames_lost_in_bursts_with_only_counts():
    trials = [index_only_errors_ms(0.05, seed) for seed in range(5)]
    assert np.median([rms(one) for one in trials]) <= 50
    assert np.median([np.median(np.abs(one)) for one in trials]) <= 10


@settings(max_examples=30, deadline=None)
@given(st.integers(-20, 20), st.integers(0, 1000), st.integers(-8, 8))
def test_an_exact_shift_is_found_exactly(shift, seed, centre):
    rng = np.random.default_rng(seed)
    y = rng.standard_normal((200, 2))
    x = y[40 + shift : 160 + shift]
    found = dtw.lag_path(x, y, 20 + abs(centre), centre=40 + centre)
    assert (found.steps == 40 + shift).all()
    assert found.singular_share == 0
    np.testing.assert_allclose(found.cost, 0, atol=1e-12)
    assert np.abs(found.lag - found.steps).max() <= 0.5


def test_steps_change_by_one_at_most_within_the_lags():
    rng = np.random.default_rng(0)
    found = dtw.lag_path(rng.standard_normal(300), rng.standard_normal(300), 7, half_window=0, penalty=0.0)
    assert np.abs(np.diff(found.steps)).max() == 1
    assert np.abs(found.steps).max() <= 7
    assert found.singular_share > 0.35  # noise: the sign to distrust it


def test_the_path_is_the_cheapest():
    """Against the recursion over all lags in plain Python."""
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((30, 2)), rng.standard_normal((30, 2))
    x[7] = np.nan
    lags, half, penalty = 3, 2, 0.02
    pairs = (x[:, None] - y[None]) ** 2
    missing = np.nanmean(pairs, axis=(0, 1))
    raw = np.full((30, 7), missing.sum())
    for i in range(30):
        for k, lag in enumerate(range(-lags, lags + 1)):
            if 0 <= i + lag < 30:
                raw[i, k] = np.where(np.isnan(pairs[i, i + lag]), missing, pairs[i, i + lag]).sum()
    costs = np.array([raw[max(0, i - half) : i + half + 1].mean(0) for i in range(30)])
    price = penalty * missing.sum() * np.abs(np.subtract.outer(np.arange(7), np.arange(7)))
    price[np.abs(np.subtract.outer(np.arange(7), np.arange(7))) > 1] = np.inf
    totals = costs[0]
    for line in costs[1:]:
        totals = line + (totals[:, None] + price).min(0)
    found = dtw.lag_path(x, y, lags, half_window=half, penalty=penalty)
    mine = costs[np.arange(30), found.steps + lags].sum()
    mine += penalty * missing.sum() * np.abs(np.diff(found.steps)).sum()
    assert mine == pytest.approx(totals.min(), rel=1e-9)
    np.testing.assert_allclose(found.cost * missing.sum(), costs[np.arange(30), found.steps + lags])


def test_missing_samples_do_not_pull_the_lag():
    rates = angular_rates(np.random.default_rng(1), 22.0)
    at_s = np.arange(1000) / 50.0
    x, y = rates(at_s + 0.06), rates(np.arange(1100) / 50.0)
    x[400:450] = np.nan
    assert np.abs(dtw.lag_path(x, y, 25).lag / 50 - 0.06).max() < 0.005


def test_map_slopes_stay_within_the_skew_and_its_error_is_the_least():
    lag = np.where(np.arange(1000) < 500, 0.0, 5.0)  # 100 ms at 50 Hz
    published = dtw.lag_to_map(lag, 50.0)
    slopes = np.diff(published.y_s) / np.diff(published.x_s)
    assert slopes.min() >= 0.9 - 1e-9
    assert slopes.max() <= 1.1 + 1e-9
    at_s = np.arange(1000) / 50.0
    errors = published.to_y(at_s) - at_s - lag / 50
    assert np.abs(errors).max() <= 0.061  # no map within these slopes stays below 50 ms at the step
    assert np.abs(errors[:440]).max() < 1e-9
    assert np.abs(errors[560:]).max() < 1e-9
    free = dtw.lag_to_map(5 * lag, 50.0, max_skew=np.inf)
    assert (np.diff(free.y_s) / np.diff(free.x_s)).max() > 1.4


def test_map_ignores_short_excursions_and_holds_beyond_its_ends():
    lag = np.full(1000, 2.5)
    lag[300:330] = 40.0
    published = dtw.lag_to_map(lag, 50.0)
    np.testing.assert_allclose(published.y_s - published.x_s, 0.05)
    np.testing.assert_allclose(published.to_y([-5.0, 100.0]), [-4.95, 100.05])
    assert dtw.lag_to_map([3.0], 50.0).to_y(1.0) == pytest.approx(1.06)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"max_lag": 0}, "max_lag is 0"),
        ({"max_lag": 5, "half_window": -1}, "half_window is -1"),
        ({"max_lag": 5, "penalty": -0.1}, "penalty is -0.1"),
        ({"max_lag": 5, "centre": 100}, "centre 100"),
    ],
)
def test_bad_options(options, says):
    x = np.arange(10.0)
    with pytest.raises(SensorfuseError, match=says):
        dtw.lag_path(x, x, **options)


def test_bad_input():
    with pytest.raises(SensorfuseError, match="one constant"):
        dtw.lag_path(np.ones(5), np.ones(5), 2)
    for lag in ([], [1.0, np.nan], [[1.0]]):
        with pytest.raises(SensorfuseError, match="lag has shape"):
            dtw.lag_to_map(lag, 50.0)
    with pytest.raises(SensorfuseError, match="rate_hz is 0"):
        dtw.lag_to_map([1.0], 0)
