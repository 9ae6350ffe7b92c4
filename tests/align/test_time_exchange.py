"""Another host's clock from exchanges of stamps, on links whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensorfuse.align.time_exchange import (
    BURST,
    COASTING_NS,
    CONSISTENT,
    GATE_NS,
    LAST_PERIOD_NS,
    LATELY,
    LOCKED_AFTER,
    TimeExchange,
    ping_period_ns,
)

MS, S = 1_000_000, 1_000_000_000
Stamps = tuple[int, int, int, int]


class Link:
    """Makes exchanges with a clock that is `offset_ns` ahead at 0 and `skew` fast."""

    def __init__(self, offset_ns: int = 3 * S, skew: float = 40e-6, seed: int = 0) -> None:
        self.offset_ns, self.skew = offset_ns, skew
        self.rng = np.random.default_rng(seed)

    def truth(self, local_ns: int) -> int:
        return self.offset_ns + round(self.skew * local_ns)

    def exchange(self, t1: int, there_ns: int | None = None, back_ns: int | None = None) -> Stamps:
        """Delays of 0.5 ms and, on average, 0.2 ms more, where not given."""
        there = there_ns if there_ns is not None else MS // 2 + round(self.rng.exponential(MS // 5))
        back = back_ns if back_ns is not None else MS // 2 + round(self.rng.exponential(MS // 5))
        heard, answered = t1 + there, t1 + there + 50_000
        return t1, heard + self.truth(heard), answered + self.truth(answered), answered + back

    def feed(self, exchange: TimeExchange, until_s: float, start_ns: int = 0) -> int:
        """Exchanges at the pace of the protocol; returns the time of the last."""
        t, number, last = start_ns, 0, start_ns
        while t < start_ns + until_s * S:
            stamps = self.exchange(t)
            exchange.push(*stamps)
            last, t, number = stamps[3], t + ping_period_ns(number), number + 1
        return last


def test_offset_and_skew_are_found_to_a_small_part_of_the_delay() -> None:
    for seed in range(5):
        link, exchange = Link(-7 * S, 100e-6, seed), TimeExchange()
        last = link.feed(exchange, 60.0)
        assert abs(exchange.offset_ns(last) - link.truth(last)) < 40_000
        assert abs(exchange.skew - 100e-6) < 2e-6
        assert abs(exchange.offset_ns(last + 10 * S) - link.truth(last + 10 * S)) < 60_000
        assert exchange.round_trip_ns >= MS


def test_a_slow_way_there_is_no_loss_while_the_way_back_is_quick() -> None:
    """No exchange is quick both ways, so the best round trip is 5 ms off; each way is quick now and then."""
    link, exchange = Link(), TimeExchange()
    for k in range(60):
        slow = 10 * MS + k * 1000
        stamps = link.exchange(k * S, *((MS, slow) if k % 2 else (slow, MS)))
        assert exchange.push(*stamps)
    assert abs(exchange.offset_ns(stamps[3]) - link.truth(stamps[3])) < 100_000


def test_a_constant_asymmetry_stays_unseen_and_within_the_bound() -> None:
    link, exchange = Link(), TimeExchange()
    for k in range(60):
        stamps = link.exchange(k * S, MS, 3 * MS)
        exchange.push(*stamps)
    error = exchange.offset_ns(stamps[3]) - link.truth(stamps[3])
    assert abs(error + MS) < 50_000, "half the difference of the delays"
    assert exchange.sigma_ns(stamps[3]) < 100_000
    assert abs(error) <= exchange.bound_ns(stamps[3]) < 4 * MS


@settings(max_examples=20, deadline=None)
@given(
    st.floats(-200e-6, 200e-6),
    st.integers(-(10**18), 10**18),
    st.lists(st.tuples(st.integers(0, 30 * MS), st.integers(0, 30 * MS), st.integers(1, S)), min_size=1, max_size=30),
)
def test_no_delays_break_the_bound(skew: float, offset_ns: int, delays: list[tuple[int, int, int]]) -> None:
    link, exchange, t = Link(offset_ns, skew), TimeExchange(), 0
    for there, back, gap in delays:
        stamps = link.exchange(t, there, back)
        exchange.push(*stamps)
        for at in (stamps[3], stamps[3] + S):
            assert abs(exchange.offset_ns(at) - link.truth(at)) <= exchange.bound_ns(at) + 1
        t = stamps[3] + gap
    assert exchange.resets == 0


def test_what_was_tight_long_ago_bounds_no_more_than_rates_allow() -> None:
    link, exchange = Link(skew=100e-6), TimeExchange()
    exchange.push(*link.exchange(0, 1000, 1000))
    stamps = link.exchange(10 * S, 6 * MS, 5 * MS)
    exchange.push(*stamps)
    error = abs(exchange.offset_ns(stamps[3]) - link.truth(stamps[3]))
    assert 200_000 < error <= exchange.bound_ns(stamps[3])


def test_sigma_is_what_the_errors_are() -> None:
    errors, sigmas = [], []
    for seed in range(12):
        link, exchange = Link(3 * S, 40e-6, seed), TimeExchange()
        last = link.feed(exchange, 30.0)
        errors.append(exchange.offset_ns(last) - link.truth(last))
        sigmas.append(exchange.sigma_ns(last))
    rms = math.sqrt(np.mean(np.square(errors)))
    assert 0.25 < rms / float(np.median(sigmas)) < 1.3


def test_sigma_and_bound_grow_while_nothing_is_heard() -> None:
    link, exchange = Link(), TimeExchange()
    last = link.feed(exchange, 20.0)
    assert exchange.sigma_ns(last + 100 * S) > exchange.sigma_ns(last) + 50_000
    assert exchange.bound_ns(last + 100 * S) > exchange.bound_ns(last) + 100_000


def test_the_rate_outlasts_a_long_silence() -> None:
    link, exchange = Link(skew=80e-6), TimeExchange()
    last = link.feed(exchange, 30.0)
    stamps = link.exchange(last + 300 * S)
    assert exchange.push(*stamps)
    assert abs(exchange.skew - 80e-6) < 3e-6
    assert abs(exchange.offset_ns(stamps[3] + 5 * S) - link.truth(stamps[3] + 5 * S)) < 600_000


def test_states() -> None:
    link, exchange = Link(), TimeExchange()
    assert exchange.state(0) == "learning"
    assert (exchange.offset_ns(5), exchange.round_trip_ns) == (0, 0)
    for k in range(LOCKED_AFTER):
        assert exchange.state(k * MS) == "learning"
        stamps = link.exchange(20 * k * MS)
        exchange.push(*stamps)
    assert exchange.state(stamps[3]) == "locked"
    assert exchange.state(stamps[3] + COASTING_NS + 1) == "coasting"
    exchange.push(*link.exchange(stamps[3] + COASTING_NS))
    assert exchange.state(stamps[3] + COASTING_NS + 3 * MS) == "locked"


def test_what_is_far_slower_than_the_best_is_refused_until_that_is_long_past() -> None:
    link, exchange = Link(), TimeExchange()
    for k in range(20):
        exchange.push(*link.exchange(k * S, MS, MS))
    slow = [exchange.push(*link.exchange((20 + k) * S, MS, GATE_NS + 2 * MS)) for k in range(LATELY + 5)]
    assert slow == [False] * (LATELY - 1) + [True] * 6
    assert exchange.refused == LATELY - 1
    at = 46 * S
    assert abs(exchange.offset_ns(at) - link.truth(at)) < 100_000, "nothing of it has come in"


@pytest.mark.parametrize("jump_ns", [1500 * MS, -1500 * MS, 20 * MS, -5 * MS])
def test_a_clock_that_jumps_is_followed_after_five_exchanges(jump_ns: int) -> None:
    link, exchange = Link(), TimeExchange()
    last = link.feed(exchange, 30.0)
    skew = exchange.skew
    link.offset_ns += jump_ns
    taken = []
    for k in range(1, CONSISTENT + 1):
        before = exchange.offset_ns(last)
        stamps = link.exchange(last + k * S)
        taken.append(exchange.push(*stamps))
        if k < CONSISTENT:
            assert exchange.offset_ns(last) == before
    assert taken == [False] * (CONSISTENT - 1) + [True]
    assert exchange.resets == 1
    assert abs(exchange.offset_ns(stamps[3]) - link.truth(stamps[3])) < 300_000
    assert abs(exchange.skew - skew) < 60e-6
    assert exchange.state(stamps[3]) == "learning"
    last = link.feed(exchange, 20.0, stamps[3] + S)
    assert exchange.state(last) == "locked"
    assert abs(exchange.offset_ns(last) - link.truth(last)) < 60_000


def test_single_odd_exchanges_move_nothing() -> None:
    link, exchange = Link(), TimeExchange()
    last = link.feed(exchange, 30.0)
    for k in range(1, 40):
        stamps = link.exchange(last + k * S)
        if k % 3:
            stamps = (stamps[0], stamps[1] + 300 * MS, stamps[2] + 300 * MS, stamps[3])
        assert exchange.push(*stamps) == (k % 3 == 0)
    assert exchange.resets == 0
    assert abs(exchange.offset_ns(stamps[3]) - link.truth(stamps[3])) < 60_000


def test_odd_exchanges_that_do_not_agree_move_nothing_either() -> None:
    link, exchange = Link(), TimeExchange()
    last = link.feed(exchange, 30.0)
    for k in range(1, 30):
        t1, t2, t3, t4 = link.exchange(last + k * S)
        odd = (200 + 37 * k) * (-1) ** k * MS
        assert not exchange.push(t1, t2 + odd, t3 + odd, t4)
    assert exchange.resets == 0
    stamps = link.exchange(last + 30 * S)
    assert exchange.push(*stamps)
    assert abs(exchange.offset_ns(stamps[3]) - link.truth(stamps[3])) < 100_000


def test_one_exchange_is_known_to_half_its_round_trip() -> None:
    link, exchange = Link(), TimeExchange()
    assert exchange.bound_ns(0) > 3600 * S
    stamps = link.exchange(0, 2 * MS, 4 * MS)
    exchange.push(*stamps)
    at = stamps[3]
    assert abs(exchange.offset_ns(at) - link.truth(at) + MS) < 10_000
    assert abs(exchange.sigma_ns(at) - 3 * MS) < MS // 2
    assert abs(exchange.bound_ns(at) - 3 * MS) < 20_000


def test_impossible_stamps_are_refused() -> None:
    link, exchange = Link(), TimeExchange()
    t1, t2, t3, t4 = link.exchange(S)
    for stamps in ((t1, t2, t3, t1 - 1), (t1, t3, t2, t4), (t1, t2, t3 + (t4 - t1), t4)):
        assert not exchange.push(*stamps)
    assert exchange.push(t1, t2, t3, t4)
    assert not exchange.push(t1, t2, t3, t4), "the same once more"
    assert (exchange.exchanges, exchange.refused) == (1, 4)


def test_the_same_exchanges_give_the_same_estimate_and_a_later_origin_no_other() -> None:
    estimates = []
    for shift in (0, 0, 10**17):
        link, exchange = Link(seed=4), TimeExchange()
        stamps = [link.exchange(k * S // 3) for k in range(90)]
        for t1, t2, t3, t4 in stamps:
            exchange.push(t1 + shift, t2 + shift, t3 + shift, t4 + shift)
        at = stamps[-1][3] + shift
        estimates.append((exchange.offset_ns(at), exchange.skew, exchange.sigma_ns(at), exchange.bound_ns(at)))
    assert estimates[0] == estimates[1] == estimates[2]


def test_exchanges_are_many_at_first_and_one_in_a_second_later() -> None:
    periods = [ping_period_ns(k) for k in range(200)]
    assert periods == sorted(periods)
    assert sum(periods[:LOCKED_AFTER]) < 300 * MS
    assert periods[BURST] < 50 * MS
    assert periods[-1] == LAST_PERIOD_NS == S
    assert ping_period_ns(10**9) == S
