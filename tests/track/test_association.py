"""Association probabilities against brute-force enumeration of joint events."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensorfuse.track.association import associate, hungarian_marginals, joint_marginals


def enumerate_marginals(weights: np.ndarray, miss: np.ndarray) -> np.ndarray:
    """Every way to give each track one detection or none, no detection twice."""
    tracks, n = weights.shape
    out = np.zeros((tracks, n + 1))
    for choice in itertools.product(range(n + 1), repeat=tracks):
        taken = [c for c in choice if c < n]
        if len(taken) != len(set(taken)):
            continue
        value = np.prod([miss[t] if c == n else weights[t, c] for t, c in enumerate(choice)])
        for t, c in enumerate(choice):
            out[t, c] += value
    return out / out.sum(axis=1, keepdims=True)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 10_000))
def test_joint_marginals_are_those_of_all_events(tracks: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.exponential(2.0, (tracks, n)) * (rng.random((tracks, n)) < 0.7)
    miss = rng.uniform(0.05, 1.0, tracks)
    np.testing.assert_allclose(joint_marginals(weights, miss), enumerate_marginals(weights, miss), atol=1e-12)
    np.testing.assert_allclose(associate(weights, miss), enumerate_marginals(weights, miss), atol=1e-12)


def test_groups_are_independent() -> None:
    weights = np.zeros((4, 5))
    weights[:2, :2] = [[3.0, 1.0], [1.0, 2.0]]
    weights[2:, 3:] = [[0.5, 4.0], [0.0, 1.0]]
    miss = np.array([0.2, 0.4, 0.3, 0.9])
    np.testing.assert_allclose(associate(weights, miss), enumerate_marginals(weights, miss), atol=1e-12)


def test_large_groups_get_the_likeliest_event() -> None:
    rng = np.random.default_rng(3)
    weights, miss = rng.exponential(1.0, (3, 4)), rng.uniform(0.1, 1.0, 3)
    best, best_value = None, -1.0
    for choice in itertools.product(range(5), repeat=3):
        taken = [c for c in choice if c < 4]
        value = float(np.prod([miss[t] if c == 4 else weights[t, c] for t, c in enumerate(choice)]))
        if len(taken) == len(set(taken)) and value > best_value:
            best, best_value = choice, value
    assert np.argmax(hungarian_marginals(weights, miss), axis=1).tolist() == list(best or ())
    np.testing.assert_array_equal(associate(weights, miss, max_joint=2), hungarian_marginals(weights, miss))


@pytest.mark.parametrize(("tracks", "n"), [(0, 3), (3, 0), (2, 2)])
def test_nothing_in_the_gate_means_no_detection(tracks: int, n: int) -> None:
    out = associate(np.zeros((tracks, n)), np.ones(tracks))
    np.testing.assert_array_equal(out[:, -1], np.ones(tracks))
    assert out[:, :-1].sum() == 0
