"""A stream's health from made-up messages: what each state takes, and that jitter and single losses take none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sensorfuse.health.monitor import HealthMonitor
from sensorfuse.messages import HEALTH_STATES
from sensorfuse.sensor_config import SensorConfig
from sensorfuse.wire import Envelope

MS, S = 1_000_000, 1_000_000_000
T0 = 1000 * S
PERIOD, DELAY, TICK = 100 * MS, 20 * MS, 100 * MS


def lidar(health: str = "{}") -> SensorConfig:
    return SensorConfig.model_validate(
        {"modality": "lidar", "rate_hz": 10, "frame": "l", "T_base_sensor": {}, "health": yaml.safe_load(health)}
    )


class Stream:
    """Drives a monitor as the aligner does: messages as they come, a poll per tick."""

    def __init__(self, health: str = "{}") -> None:
        config = lidar(health)
        self.max_age_ns = config.max_age_ns
        self.monitor = HealthMonitor(config)
        self.seq = 0
        self.coming: list[tuple[int, int, bool, Envelope]] = []
        self.newest: int | None = None
        self.epoch = 0
        self.states: list[str] = []
        self.times: list[int] = []
        self.changes: list[str] = []

    def play(
        self,
        until_ns: int,
        from_ns: int,
        *,
        period_ns: int = PERIOD,
        jitter_ns: Iterable[int] = (),
        drop: set | None = None,
        quarantined: bool = False,
        **header: object,
    ) -> Stream:
        """Messages measured every `period_ns` from `from_ns` on, and ticks, until `until_ns`."""
        more = list(jitter_ns) or [0]
        coming = self.coming
        for k in range(max(0, (until_ns - from_ns) // period_ns)):
            if drop is None or k not in drop:
                at = from_ns + k * period_ns
                arrives = at + DELAY + more[k % len(more)]
                envelope = Envelope("l", "lidar", self.seq, 1, at, arrives, arrives, "l", "start", "", {})
                coming.append((arrives, self.seq, quarantined, replace(envelope, **header)))
                self.seq += 1
        coming.sort(key=lambda c: c[:2])
        for now in range(from_ns, until_ns, TICK):
            self.tick(now)
        return self

    def tick(self, now_ns: int) -> None:
        while self.coming and self.coming[0][0] <= now_ns:
            arrived, _, quarantine, envelope = self.coming.pop(0)
            at = envelope.stamp_ns
            refused = quarantine or bool(envelope.problem)
            self.monitor.refused += refused
            self.monitor.push(envelope, None if refused else at, arrived)
            if not refused:
                self.newest = at if self.newest is None else max(at, self.newest)
        age = None if self.newest is None else now_ns - self.newest
        self.states.append(self.monitor.poll(now_ns, age, self.max_age_ns, self.epoch))
        self.times.append(now_ns)
        if self.monitor.changed:
            self.changes.append(self.monitor.changed)

    def silent(self, seconds: float) -> Stream:
        first = self.times[-1] + TICK
        for now in range(first, first + round(seconds * S), TICK):
            self.tick(now)
        return self

    @property
    def now(self) -> int:
        return self.times[-1] + TICK


def steady(seconds: float = 10.0, health: str = "{}") -> Stream:
    return Stream(health).play(T0 + round(seconds * S), T0)


def test_a_steady_stream_is_ok_and_its_pace_is_learned() -> None:
    stream = steady()
    assert set(stream.states) == {"ok"}
    report = stream.monitor.report(stream.now, stream.seq)
    assert (report.state, report.reason, report.weight, report.missed) == ("ok", "", 1.0, 0)
    assert report.period_ns == pytest.approx(PERIOD, rel=0.01)
    assert report.jitter_ns < MS


@settings(max_examples=15, deadline=None)
@given(
    jitter=st.lists(st.integers(0, 40 * MS), min_size=3, max_size=40),
    drop=st.sets(st.integers(1, 15), max_size=8).map(lambda s: {12 * k for k in s}),
)
def test_no_flapping_under_jitter_and_single_losses(jitter: list[int], drop: set[int]) -> None:
    stream = Stream().play(T0 + 20 * S, T0, jitter_ns=jitter, drop=drop)
    assert set(stream.states) == {"ok"}


@settings(max_examples=10, deadline=None)
@given(alive_s=st.floats(0.5, 8.0), jitter=st.lists(st.integers(0, 40 * MS), min_size=1, max_size=9))
def test_silence_is_late_then_stale_then_lost_within_bounded_time(alive_s: float, jitter: list[int]) -> None:
    stream = Stream().play(T0 + round(alive_s * S), T0, jitter_ns=jitter)
    before = len(stream.states)
    stream.silent(4.0)
    after = stream.states[before:]
    assert after.index("lost") * TICK <= 2.0 * S, "12 periods or 1.5 s, whatever is longer"
    worse = [HEALTH_STATES.index(s) for s in after]
    assert worse == sorted(worse), "from bad to worse, never to and fro"
    assert set(after) >= {"late", "lost"}


@settings(max_examples=10, deadline=None)
@given(away_s=st.floats(2.0, 30.0), jitter=st.lists(st.integers(0, 40 * MS), min_size=1, max_size=9))
def test_a_lost_stream_is_checked_then_votes_and_fades_in(away_s: float, jitter: list[int]) -> None:
    stream = steady().silent(away_s)
    assert stream.monitor.state == "lost"
    back = stream.now
    n = len(stream.states)
    stream.play(back + 4 * S, back, jitter_ns=jitter)
    after = stream.states[n:]
    ok_at = after.index("ok") * TICK
    assert "recovering" in after
    assert 0.3 * S <= ok_at <= 1.0 * S
    assert set(after[after.index("ok") :]) == {"ok"}
    assert stream.monitor.report(stream.now, 0).weight == 1.0


def test_without_a_check_it_votes_at_the_first_tick_after_its_first_message() -> None:
    stream = steady(health="{recover_s: 0}").silent(3.0)
    n, back = len(stream.states), stream.now
    stream.play(back + S, back)
    after = stream.states[n:]
    assert set(after) == {"lost", "ok"}
    assert after.index("ok") * TICK <= DELAY + TICK


def test_the_weight_grows_after_the_check() -> None:
    stream = steady().silent(3.0)
    weights = []
    for _ in range(25):
        stream.play(stream.now + TICK, stream.now)
        if stream.monitor.state == "ok":
            weights.append(stream.monitor.report(stream.times[-1], 0).weight)
        else:
            assert stream.monitor.report(stream.times[-1], 0).weight == 0.0
            assert not stream.monitor.votes
    assert weights == sorted(weights)
    assert weights[0] < 0.2
    assert weights[-1] == 1.0


def test_content_that_cannot_be_used_is_invalid_and_one_bad_message_is_not() -> None:
    stream = steady()
    stream.play(stream.now + PERIOD, stream.now, problem="array 'points' is missing")
    stream.play(stream.now + 2 * S, stream.now)
    assert set(stream.states) == {"ok"}
    assert stream.monitor.refused == 1
    n = len(stream.states)
    stream.play(stream.now + S, stream.now, problem="frozen")
    assert "invalid" in stream.states[n : n + 5]
    assert stream.monitor.report(stream.now, 0).reason == "frozen"
    assert not stream.monitor.votes
    n = len(stream.states)
    stream.play(stream.now + 2 * S, stream.now)
    assert stream.states[n:].index("ok") * TICK <= 1.0 * S
    assert [c.split(":")[0] for c in stream.changes] == ["ok -> invalid", "invalid -> recovering", "recovering -> ok"]


def test_stamps_that_cannot_be_and_a_clock_that_begins_anew() -> None:
    stream = steady()
    stream.play(stream.now + 550 * MS, stream.now, quarantined=True)
    assert stream.monitor.state == "invalid"
    assert "stamps" in stream.monitor.report(stream.now, 0).reason
    stream.epoch = 1
    n = len(stream.states)
    stream.play(stream.now + 2 * S, stream.now)
    assert stream.states[n] in ("invalid", "recovering")
    assert stream.states[n:].index("ok") * TICK <= 1.2 * S


def test_a_device_without_a_date_is_no_fault_at_the_start() -> None:
    stream = Stream().play(T0 + 500 * MS, T0, quarantined=True)
    stream.epoch = 1
    stream.play(T0 + 5 * S, T0 + 500 * MS)
    assert set(stream.states) == {"ok"}


def test_another_calibration_has_no_vote() -> None:
    stream = steady().silent(3.0)
    stream.play(stream.now + 2 * S, stream.now, calibration="of another day")
    assert stream.monitor.state == "invalid"
    assert "of another day" in stream.monitor.report(stream.now, 0).reason


def test_ten_times_slower_keeps_its_vote_and_a_steady_name() -> None:
    stream = steady()
    n = len(stream.states)
    stream.play(stream.now + 20 * S, stream.now, period_ns=10 * PERIOD)
    after = stream.states[n:]
    assert set(after[10:]) <= {"late", "stale"}
    assert sum(a != b for a, b in pairwise(after)) <= 4, "no flapping"


def test_a_third_of_the_messages_missing_is_late() -> None:
    stream = steady()
    stream.play(stream.now + 20 * S, stream.now, drop=set(range(0, 200, 3)))
    assert stream.monitor.state == "late"
    assert "missing" in stream.monitor.report(stream.now, 0).reason
    stream.play(stream.now + 10 * S, stream.now)
    assert stream.monitor.state == "ok"


def test_a_rate_that_drifts_is_told_and_votes() -> None:
    stream = Stream().play(T0 + 10 * S, T0, period_ns=85 * MS)
    report = stream.monitor.report(stream.now, 0)
    assert (report.state, report.weight) == ("ok", 1.0)
    assert report.reason == "a message every 85 ms, the rig says 100 ms"


@pytest.mark.parametrize(("how", "state", "weight"), [("report", "ok", 1.0), ("downweight", "ok", 0.5)])
def test_what_is_odd_is_told_and_weighed_as_the_rig_says(how: str, state: str, weight: float) -> None:
    stream = steady(health=f"{{suspect: {how}}}")
    stream.play(stream.now + S, stream.now, suspect="dead beams")
    report = stream.monitor.report(stream.now, 0)
    assert (report.state, report.reason, report.weight) == (state, "dead beams", weight)
    assert report.doubted > 5


def test_what_is_odd_can_be_left_out() -> None:
    stream = steady(health="{suspect: exclude}")
    stream.play(stream.now + S, stream.now, suspect="dead beams")
    assert stream.monitor.state == "invalid"
    stream.play(stream.now + 2 * S, stream.now)
    assert stream.monitor.state == "ok"


def test_never_heard_is_lost_after_a_while() -> None:
    stream = Stream()
    stream.tick(T0)
    stream.silent(2.0)
    assert stream.states[5] == "ok"
    assert stream.monitor.state == "lost"
    assert "not heard" in stream.monitor.report(stream.now, 0).reason


def test_what_always_comes_too_late_is_late_not_lost() -> None:
    stream = steady()
    for _ in range(30):
        stream.monitor.note_late(stream.now)
        stream.tick(stream.now)
    assert stream.monitor.state == "late"
    assert "after the ticks" in stream.monitor.report(stream.now, 0).reason


MESSAGES = st.tuples(
    st.integers(-(2**62), 2**62) | st.integers(T0, T0 + 10 * S),
    st.none() | st.integers(-(2**62), 2**62) | st.integers(T0, T0 + 10 * S),
    st.integers(0, 2**40),
    st.sampled_from(["", "", "frozen"]),
    st.sampled_from(["", "", "dark"]),
    st.sampled_from(["", "b"]),
)


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.lists(MESSAGES, max_size=20),
            st.integers(-S, 5 * S),
            st.none() | st.integers(-S, 2**62),
            st.integers(0, 3),
        ),
        max_size=30,
    )
)
def test_it_never_raises_and_the_same_input_gives_the_same_answer(steps: list) -> None:
    first, second = (_judge(steps) for _ in range(2))
    assert first == second
    assert all(r.state in HEALTH_STATES and 0.0 <= r.weight <= 1.0 for r in first)
    assert all((r.weight == 0.0) == (r.state in ("lost", "recovering", "invalid")) for r in first)


def _judge(steps: list) -> list:
    monitor, now, out = HealthMonitor(lidar()), T0, []
    for messages, step, age, epoch in steps:
        now += step
        for arrived, at, seq, problem, suspect, calibration in messages:
            envelope = Envelope(
                "l",
                "lidar",
                seq,
                0,
                at or 0,
                arrived,
                arrived,
                "l",
                "start",
                calibration,
                {},
                problem=problem,
                suspect=suspect,
            )
            monitor.push(envelope, None if problem else at, arrived)
        monitor.poll(now, age, 250 * MS, epoch)
        out.append(monitor.report(now, 0))
    return out
