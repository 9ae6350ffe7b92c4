"""The smooth form: its limit, its gradients against finite differences, its divergence."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensorfuse.align import dtw
from sensorfuse.errors import SensorfuseError

PAIR = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 3), st.integers(0, 10_000))


def make(n, m, d, seed):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)), rng.standard_normal((m, d))


def all_paths(n, m):
    """Every monotone path from corner to corner."""
    if n == 1 and m == 1:
        return [[(0, 0)]]
    paths = []
    for dn, dm in ((1, 1), (1, 0), (0, 1)):
        if n - dn >= 1 and m - dm >= 1:
            paths += [[*path, (n - 1, m - 1)] for path in all_paths(n - dn, m - dm)]
    return paths


@pytest.mark.parametrize("gamma", [0.1, 1.0, 10.0])
def test_value_is_the_soft_minimum_over_all_paths(gamma):
    x, y = make(4, 5, 2, 0)
    costs = ((x[:, None] - y[None]) ** 2).sum(-1)
    totals = np.array([sum(costs[cell] for cell in path) for path in all_paths(4, 5)])
    assert dtw.soft_dtw(x, y, gamma) == pytest.approx(-gamma * np.log(np.exp(-totals / gamma).sum()), rel=1e-9)


@settings(max_examples=40, deadline=None)
@given(PAIR)
def test_it_goes_to_the_squared_distance_from_below(shape):
    x, y = make(*shape)
    hard = dtw.distance(x, y) ** 2
    values = [dtw.soft_dtw(x, y, gamma) for gamma in (1.0, 0.1, 1e-5)]
    assert values[0] <= values[1] + 1e-9
    assert values[1] <= values[2] + 1e-9
    assert values[2] <= hard + 1e-9
    assert values[2] == pytest.approx(hard, abs=1e-3)


@pytest.mark.parametrize("function", ["soft_dtw", "soft_divergence"])
@settings(max_examples=25, deadline=None)
@given(PAIR, st.floats(0.05, 5.0))
def test_gradients_are_those_of_finite_differences(function, shape, gamma):
    x, y = make(*shape)
    value_of, gradient_of = getattr(dtw, function), getattr(dtw, f"{function}_gradient")
    value, gradient = gradient_of(x, y, gamma)
    assert value == pytest.approx(value_of(x, y, gamma), abs=1e-9)
    step = 1e-6
    for index in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[index] += step
        down[index] -= step
        numeric = (value_of(up, y, gamma) - value_of(down, y, gamma)) / (2 * step)
        assert gradient[index] == pytest.approx(numeric, rel=1e-4, abs=1e-5)


@settings(max_examples=60, deadline=None)
@given(PAIR, st.floats(0.05, 5.0))
def test_the_divergence_is_zero_at_equality_symmetric_and_not_negative(shape, gamma):
    x, y = make(*shape)
    assert dtw.soft_divergence(x, x, gamma) == pytest.approx(0, abs=1e-9)
    assert np.abs(dtw.soft_divergence_gradient(x, x, gamma).gradient).max() < 1e-9
    assert dtw.soft_divergence(x, y, gamma) == pytest.approx(dtw.soft_divergence(y, x, gamma), abs=1e-9)
    assert dtw.soft_divergence(x, y, gamma) >= -1e-9


def test_the_gradient_has_the_shape_of_x_and_descends():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(30), np.sin(np.linspace(0, 6, 40))
    values = []
    for _ in range(200):
        value, gradient = dtw.soft_divergence_gradient(x, y, 0.5)
        assert gradient.shape == (30,)
        values.append(value)
        x = x - 0.02 * gradient
    assert values[-1] < 0.1 * values[0]


def test_bad_input():
    with pytest.raises(SensorfuseError, match="gamma is 0"):
        dtw.soft_dtw([1.0], [1.0], 0)
    with pytest.raises(SensorfuseError, match="missing values"):
        dtw.soft_dtw_gradient([1.0, np.nan], [1.0])
