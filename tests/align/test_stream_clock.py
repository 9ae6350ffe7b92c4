"""Stamps to the reference clock: quarantine and re-anchoring."""

from __future__ import annotations

from sensorfuse.align.stream_clock import CONSISTENT, StreamClock

S = 1_000_000_000
P = 100_000_000
DELAY = 3_000_000


def feed(clock: StreamClock, stamps: list[int], recv: list[int]) -> list:
    return [clock.read(s, r, r) for s, r in zip(stamps, recv, strict=True)]


def running(n: int, start: int = 1000 * S) -> list[int]:
    return [start + k * P for k in range(n)]


def test_known_offset_is_added_and_sigma_passed_on() -> None:
    clock = StreamClock(P, offset_ns=-66 * S, sigma_ns=5)
    reading = clock.read(1066 * S, 1000 * S, 1000 * S)
    assert reading is not None
    assert (reading.event_ns, reading.sigma_ns, reading.offset_ns) == (1000 * S, 5, -66 * S)


def test_one_stamp_from_the_future_is_quarantined_and_moves_nothing() -> None:
    clock = StreamClock(P)
    times = running(20)
    stamps = list(times)
    stamps[10] += 1000 * S
    out = feed(clock, stamps, [t + DELAY for t in times])
    assert out[10] is None
    assert [r.event_ns for i, r in enumerate(out) if i != 10] == [t for i, t in enumerate(times) if i != 10]
    assert clock.epoch == 0


def test_a_lasting_jump_is_accepted_after_consistent_stamps() -> None:
    for jump in (1000 * S, -30 * S):
        clock = StreamClock(P)
        times = running(40)
        stamps = [t if k < 20 else t + jump for k, t in enumerate(times)]
        out = feed(clock, stamps, [t + DELAY for t in times])
        assert sum(r is None for r in out) == CONSISTENT - 1
        late = [(r.event_ns - t) for r, t in zip(out[24:], times[24:], strict=True)]
        assert max(abs(e) for e in late) <= DELAY, "re-anchored on receive time less the typical delay"
        assert clock.epoch == 1
        assert out[-1].sigma_ns >= P // 2, "the new offset is only known to the delay"


def test_small_steps_back_pass_unchanged() -> None:
    clock = StreamClock(P)
    assert clock.read(1000 * S, 1000 * S, 1000 * S) is not None
    back = clock.read(1000 * S - 360_000_000, 1000 * S + P, 1000 * S + P)
    assert back is not None
    assert back.event_ns == 1000 * S - 360_000_000


def test_negative_stamp_is_quarantined_zero_is_a_time() -> None:
    clock = StreamClock(P)
    assert clock.read(-1, 0, 0) is None
    assert clock.read(0, 0, 0) is not None


def test_random_stamps_never_re_anchor() -> None:
    clock = StreamClock(P)
    feed(clock, running(5), running(5))
    odd = [10**18, 5, 10**17, 3 * 10**18, 9, 10**16, 2 * 10**18]
    out = [clock.read(s, 1001 * S, 1001 * S) for s in odd]
    assert all(r is None for r in out)
    assert clock.epoch == 0
