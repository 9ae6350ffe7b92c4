"""A stream's time: what is routine is placed as its clock would place it, and is told to the clock."""

from __future__ import annotations

import numpy as np
import pytest
from traffic import S, header, make_rig

from sensorfuse.align.clock_model import Counter
from sensorfuse.align.stream_clock import StreamClock
from sensorfuse.align.stream_time import StreamTime
from sensorfuse.rig import parse_rig

P = S // 10
START = 1000 * S


def messages(count: int, seed: int) -> list[tuple[int, int]]:
    """(stamp, receipt): drift, jitter, some out of order, one stamp far off, a lasting jump, a stall."""
    rng = np.random.default_rng(seed)
    true = START + np.arange(count) * P
    stamps = START + np.round((true - START) * (1 + 80e-6)).astype(np.int64)
    stamps[count // 3] += 900 * S
    stamps[count // 2 :] -= 40 * S
    received = true + 3_000_000 + np.round(1e6 * rng.gamma(1.5, 1.0, count)).astype(np.int64)
    received[3 * count // 4 : 3 * count // 4 + 8] = received[3 * count // 4 + 8]
    order = np.arange(count)
    for k in rng.choice(np.arange(2, count - 2, 4), count // 20, replace=False):
        order[[k, k + 1]] = order[[k + 1, k]]
    return list(zip(stamps[order].tolist(), np.maximum.accumulate(received[order]).tolist(), strict=True))


def stream(more: str = "") -> StreamTime:
    return StreamTime(parse_rig(make_rig(lidar=more).to_yaml()).sensors["lidar"])


@pytest.mark.parametrize("more", ["", ", clock: reference", ", offset_s: 0.5, offset_sigma_s: 0.001", "counter"])
def test_events_and_their_sigma_are_those_of_the_clock_message_by_message(more: str) -> None:
    time = stream("" if more == "counter" else more)
    config = {"": {}, ", clock: reference": {"shared": True}}.get(more, {"offset_ns": S // 2, "sigma_ns": 1_000_000})
    clock = StreamClock(P, **config)
    if more == "counter":
        time, clock = stream(", counter: {bits: 36}"), StreamClock(P, counter=Counter(1 << 36))
    fast = 0
    for seq, (stamp, recv) in enumerate(messages(1200, 1)):
        stamp %= 1 << 36 if more == "counter" else 1 << 62
        event = time.event_ns(header("lidar", "lidar", seq, stamp, recv), recv)
        fast += time.stamp_ns != time.clock.stamp_ns
        assert event == clock.event_ns(stamp, recv, recv)
        if event is not None and seq % 7 == 0:
            assert time.sigma_and_bound_ns(time.stamp_ns)[0] == clock.sigma_at(clock.stamp_ns)
    assert time.clock.epoch == clock.epoch == 1 + (more == "counter")
    assert fast > 500 or more == "counter", "nearly all are routine"


def test_what_content_shows_is_added_from_the_next_message_on() -> None:
    plain, corrected = stream(), stream()
    for seq, (stamp, recv) in enumerate(messages(300, 2)):
        if seq == 100:
            corrected.correct(7_000_000, 1000, 0)
        one, other = (t.event_ns(header("lidar", "lidar", seq, stamp, recv), recv) for t in (plain, corrected))
        if one is not None and other is not None:
            assert other - one == (7_000_000 if seq >= 100 else 0)


def test_the_step_of_coarse_stamps_is_seen_and_is_in_the_bound() -> None:
    coarse, fine = stream(), stream()
    for seq, (stamp, recv) in enumerate(messages(200, 3)):
        coarse.event_ns(header("lidar", "lidar", seq, stamp // 1_000_000 * 1_000_000, recv), recv)
        fine.event_ns(header("lidar", "lidar", seq, stamp + seq % 3, recv), recv)
    assert (coarse.step_ns, fine.step_ns) == (1_000_000, 1)
    sigma, bound = coarse.sigma_and_bound_ns(coarse.stamp_ns)
    assert bound == 2 * sigma + 999_999
