"""The port of ROS's policy has the properties that its description promises."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from sensorfuse.bench.approximate_time import ApproximateTime, Message


def run(stamps: list[list[int]], arrivals: list[list[int]], queue: int) -> list[list[Message]]:
    order = sorted((t, i, k) for i, times in enumerate(arrivals) for k, t in enumerate(times))
    policy = ApproximateTime(len(stamps), queue)
    return [made for _, i, k in order for made in policy.add(i, Message(stamps[i][k], k))]


def random_streams(seed: int) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [np.cumsum(rng.integers(p // 2, 3 * p // 2, 60)).tolist() for p in rng.integers(20, 200, 3)]


@pytest.mark.parametrize("seed", range(8))
def test_each_message_once_sets_do_not_cross_and_arrival_does_not_matter(seed: int) -> None:
    stamps = random_streams(seed)
    sets = run(stamps, stamps, 1000)
    assert len(sets) > 5
    for before, after in pairwise(sets):
        assert all(a.number > b.number for a, b in zip(after, before, strict=True))
        assert any(a.number == b.number + 1 for a, b in zip(after, before, strict=True)), "contiguous"
    late = [[t + 500 * i for t in times] for i, times in enumerate(stamps)]
    other = run(stamps, late, 1000)
    shorter = min(len(sets), len(other))
    assert shorter > 5
    assert sets[:shorter] == other[:shorter]


def test_of_the_sets_around_one_message_the_smallest_is_taken() -> None:
    sparse, dense = [100, 200, 300, 400], list(range(3, 500, 10))
    sets = run([sparse, dense], [sparse, dense], 1000)
    assert [(a.stamp_ns, b.stamp_ns) for a, b in sets] == [(100, 103), (200, 203), (300, 303), (400, 403)]


def test_a_short_queue_starves_a_late_stream() -> None:
    fast = list(range(0, 3000, 5))
    slow = list(range(2, 3000, 100))
    late = [t + 60 for t in slow]
    assert run([slow, fast], [late, fast], 10) == []
    assert len(run([slow, fast], [late, fast], 100)) >= 28
