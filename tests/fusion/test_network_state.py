"""A recurrent network's state between ticks, on a network that counts its ticks."""

from __future__ import annotations

import numpy as np

from sensorfuse.fusion.network_state import LONGEST_GAP_PERIODS, NetworkState

PERIOD_NS = 100_000_000
SHAPES = {"camera": ["batch", 4], "present": ["batch", 5], "count": ["batch", 2, 3]}


def make() -> NetworkState:
    return NetworkState(SHAPES, ["heat", "next_count"], PERIOD_NS)


def tick(state: NetworkState, t_ns: int, step: float = 1.0) -> float:
    """What the network counted before this tick."""
    inputs = state.at(t_ns)
    assert {n: x.shape for n, x in inputs.items()} == {"count": (1, 2, 3)}
    state.keep(t_ns, {"heat": np.ones(1), "next_count": inputs["count"] + step})
    return float(inputs["count"][0, 0, 0])


def test_it_is_handed_on_and_begins_with_zeros() -> None:
    state = make()
    assert [tick(state, k * PERIOD_NS) for k in range(5)] == [0, 1, 2, 3, 4]
    state.forget()
    assert [tick(state, k * PERIOD_NS) for k in range(5, 7)] == [0, 1]


def test_after_a_gap_or_when_time_goes_back_it_begins_anew() -> None:
    longest = LONGEST_GAP_PERIODS * PERIOD_NS
    state = make()
    times = [PERIOD_NS, PERIOD_NS + longest, PERIOD_NS + 2 * longest + 1, 2 * PERIOD_NS, 2 * PERIOD_NS]
    assert [tick(state, t) for t in times] == [0, 1, 0, 0, 0]


def test_what_is_not_finite_is_dropped() -> None:
    state = make()
    assert [tick(state, k * PERIOD_NS, s) for k, s in enumerate((1.0, np.nan, 1.0, 1.0))] == [0, 1, 0, 1]


def test_a_network_that_remembers_nothing_has_no_state() -> None:
    state = NetworkState({"camera": ["batch", 4]}, ["heat", "next_heat"], PERIOD_NS)
    assert state.at(0) == {}
    state.keep(0, {"heat": np.ones(1)})
    assert state.at(PERIOD_NS) == {}
