"""A stream's pace: the same whatever is lost or late, and learned anew where the stream really changes."""

from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.health.pace import Pace

MS = 1_000_000


def hear(pace: Pace, period_ms: float, count: int, first: int = 0, start_ms: float = 0.0, lose: float = 0.0) -> None:
    rng = np.random.default_rng(3)
    for k in range(count):
        if rng.random() >= lose:
            event = round((start_ms + k * period_ms) * MS)
            pace.hear(first + k, event, round((20 + rng.gamma(1.5, 2.0)) * MS))


@pytest.mark.parametrize("period_ms", [5.0, 50.0, 80.0])
@pytest.mark.parametrize("lose", [0.0, 0.1, 0.3])
def test_the_period_is_that_of_the_device_whatever_is_lost(period_ms: float, lose: float) -> None:
    pace = Pace(50 * MS)
    hear(pace, period_ms, 300, lose=lose)
    assert pace.known
    assert pace.period_ns == pytest.approx(period_ms * MS, rel=0.01)
    assert pace.drift == pytest.approx(period_ms / 50 - 1, abs=0.01)
    assert pace.missing == pytest.approx(lose, abs=0.12)
    assert (pace.missing == 0.0) == (lose == 0.0)


def test_jitter_is_that_of_the_delay() -> None:
    pace = Pace(50 * MS)
    hear(pace, 50.0, 300)
    expected = np.diff(np.quantile(np.random.default_rng(1).gamma(1.5, 2.0, 100_000), [0.5, 0.95]))[0]
    assert pace.jitter_ns / MS == pytest.approx(expected, rel=0.5)


def test_a_change_of_rate_is_learned() -> None:
    pace = Pace(50 * MS)
    hear(pace, 50.0, 100)
    hear(pace, 100.0, 100, first=100, start_ms=5000.0)
    assert pace.period_ns == pytest.approx(100 * MS, rel=0.01)


def test_what_came_before_a_silence_does_not_compare() -> None:
    pace = Pace(50 * MS)
    hear(pace, 50.0, 40)
    pace.begin_anew()
    hear(pace, 50.0, 40, first=40, start_ms=60_000.0)
    assert pace.missed == 0


def test_the_nominal_period_counts_until_one_is_known() -> None:
    pace = Pace(50 * MS)
    hear(pace, 80.0, 5)
    assert (pace.period_ns, pace.known, pace.drift, pace.missing) == (50 * MS, False, 0.0, 0.0)
