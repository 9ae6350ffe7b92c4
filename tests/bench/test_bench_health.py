"""The measure of health counts what it says it counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from sensorfuse.bench import health
from sensorfuse.bench.health import (
    EPOCH_NS,
    WARM_UP_S,
    Watch,
    false_alarms,
    measure,
    noticed_and_recovered_s,
    received,
    small_rig,
)
from sensorfuse.errors import SensorfuseError
from sensorfuse.messages import StreamHealth, StreamTick, Tick
from sensorfuse.sim import SimulatedRig

S = 1_000_000_000


def ticks(states: dict[float, StreamHealth], seconds: float) -> list[Tick]:
    out = []
    for k in range(round(10 * seconds)):
        t = k / 10
        now = next(h for since, h in sorted(states.items(), reverse=True) if t >= since)
        stream = StreamTick("lidar", "lidar", "ok", health=now)
        out.append(Tick(k, EPOCH_NS + round(t * S), 0, False, [stream], None, None, None))  # type: ignore[arg-type]
    return out


OK, LATE, ODD = StreamHealth(), StreamHealth("late", "overdue"), StreamHealth("ok", "dead beams")
LOST = StreamHealth("lost", "silent", 0.0)


def test_a_stretch_that_is_not_ok_or_odd_is_one_alarm() -> None:
    seen = Watch(10.0, ticks=ticks({0: OK, 3: LATE, 4: OK, 5: ODD, 6: OK, 7: ODD}, 10))
    assert [a.split()[0] for a in false_alarms(seen)] == ["3.0", "5.0", "7.0"]
    assert len(false_alarms(seen, frozenset({"lidar"}))) == 2, "late is true where messages are lost"
    assert false_alarms(Watch(10.0, ticks=ticks({0: LATE, 1: OK}, 10))) == [], "nobody has spoken yet"


def test_seconds_of_which_none_would_count_are_refused_in_words() -> None:
    with pytest.raises(SensorfuseError, match="--seconds 2: the first 2 s do not count"):
        measure(WARM_UP_S)


def test_the_goal_names_as_many_scenarios_as_were_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Watch(3.0, ticks=ticks({0: OK, 6.5: LOST, 9.5: OK}, 14))
    monkeypatch.setattr(health, "watch", lambda *_: seen)
    assert "over 1 s of 1 scenarios" in measure(3.0, ["town"])[0].name


def test_times_of_a_fault_are_from_its_beginning_and_its_end() -> None:
    fading = StreamHealth("ok", "", 0.5)
    seen = Watch(14.0, ticks=ticks({0: OK, 7.5: LOST, 9.5: fading, 10.2: OK}, 14))
    assert noticed_and_recovered_s(seen) == (1.5, 0.5, 1.2)


def test_samples_come_in_the_order_of_receipt(tmp_path: Path) -> None:
    sim = SimulatedRig(small_rig(), "town", 0, EPOCH_NS)
    samples = list(received(sim, 0.3))
    assert [s.recv_ns for s in samples] == sorted(s.recv_ns for s in samples)
    assert {s.stream for s in samples} == set(sim.rig.streams())
    for stream in sim.rig.streams():
        assert [s.seq for s in samples if s.stream == stream] == list(range(sum(s.stream == stream for s in samples)))
