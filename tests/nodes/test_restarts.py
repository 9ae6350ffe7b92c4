"""Backoff and circuit breaker, in made-up time."""

from __future__ import annotations

import pytest
from sensorfuse.nodes.restarts import BACKOFF_S, BREAK_AFTER, CALM_S, MAX_OPEN_S, OPEN_S, Restarts


def die(restarts: Restarts, now_s: float, lived_s: float = 0.1) -> float:
    """Start when allowed, die after `lived_s`; returns when it died."""
    now_s = max(now_s, restarts.due_s)
    restarts.started(now_s)
    restarts.died(now_s + lived_s)
    return now_s + lived_s


def test_delays_grow_and_then_the_circuit_opens() -> None:
    restarts, now, delays = Restarts(), 100.0, []
    for _ in range(BREAK_AFTER):
        now = die(restarts, now)
        delays.append(round(restarts.due_s - now, 6))
        assert not restarts.broken
    assert delays == list(BACKOFF_S)
    for turn in range(8):
        now = die(restarts, now)
        assert restarts.broken
        assert round(restarts.due_s - now, 6) == min(MAX_OPEN_S, OPEN_S * 2**turn)


def test_one_start_is_tried_and_a_calm_life_closes_the_circuit() -> None:
    restarts, now = Restarts(), 0.0
    for _ in range(BREAK_AFTER + 1):
        now = die(restarts, now)
    assert restarts.broken
    restarts.started(restarts.due_s)
    assert not restarts.broken
    assert not restarts.died(restarts.due_s + CALM_S + 1), "it lived long: a first death again"
    assert restarts.deaths == 1


def test_a_process_that_lives_long_starts_at_once_however_often_it_dies() -> None:
    restarts, now = Restarts(), 0.0
    for _ in range(50):
        now = die(restarts, now, CALM_S + 1)
        assert restarts.due_s == now
        assert not restarts.broken


@pytest.mark.parametrize("lived_s", [1.0, CALM_S + 1, 1000 * CALM_S])
def test_who_says_itself_that_it_cannot_is_left_alone_at_once_however_long_it_lived(lived_s: float) -> None:
    restarts, now = Restarts(), 5.0
    for turn in range(3):
        restarts.started(now)
        now += lived_s
        restarts.fail(now)
        assert restarts.broken
        assert restarts.due_s == now + OPEN_S * (2**turn if lived_s < CALM_S else 1)
        now = restarts.due_s
    restarts.started(now)
    assert not restarts.died(now + CALM_S + 1)
    assert restarts.deaths == 1, "what it could not do has passed"


def test_kept_down_on_purpose() -> None:
    restarts = Restarts()
    restarts.started(0.0)
    restarts.died(1.0)
    restarts.hold(4.0)
    assert restarts.due_s == 4.0
