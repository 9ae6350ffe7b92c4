"""A log that somebody plays into the live pipeline at another pace, with its original stamps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sensorfuse.align.aligner import Aligner
from sensorfuse.messages import Tick
from tests.align.traffic import MS, T0, Message, S, drive, longest_gap_s, make_rig, reasons, traffic

BEFORE = 500 * S  # so long ago was the log recorded


def played(k: float, seconds: float, streams: tuple[str, ...] = ("camera", "lidar", "imu")) -> list[Message]:
    """Traffic over `seconds` of the host; of `streams`, stamps from an old log that is played at `k` times its pace."""
    out = []
    for recv, header, arrays in traffic(seconds * k, lidar_delay_ms=30, jitter_ms=3):
        if header.stream in streams:
            recv = T0 + round((recv - T0) / k)
            header = replace(header, stamp_ns=header.stamp_ns - BEFORE, recv_ns=recv)
        if recv <= T0 + seconds * S:
            out.append((recv, header, arrays))
    return sorted(out, key=lambda m: m[0])


def settled(ticks: list[Tick]) -> list[Tick]:
    """Those made when the pace had been known for two seconds."""
    known = next(t.emit_ns for t in ticks if t.pace != 1.0)
    return [t for t in ticks if t.emit_ns > known + 2 * S]


@pytest.mark.parametrize("k", [0.5, 1.5, 2.0])
def test_time_goes_at_the_pace_of_the_log(k: float) -> None:
    aligner = Aligner(make_rig(), T0)
    ticks = drive(aligner, played(k, 20.0), T0 + 20 * S, step=2 * MS)
    assert ticks[0].pace == 1.0
    assert ticks[0].shift_ns == 0
    late = settled(ticks)
    assert late
    assert {t.pace for t in late} == {k}
    assert {s.status for t in late for s in t.streams} == {"ok"}
    assert not any(t.deadline_hit for t in late)
    assert max(abs(s.dt_ns) for t in late for s in t.streams if s.stream == "camera") <= S // 30
    t_refs = [t.t_ref_ns for t in ticks]
    assert set(np.diff(t_refs)) == {100 * MS}, "ticks lie on the log's seconds"
    assert np.mean(np.diff([t.emit_ns for t in late])) == pytest.approx(100 * MS / k, rel=0.02)
    assert longest_gap_s(ticks) <= 0.25
    waits = [t.emit_ns - (t.t_ref_ns + t.shift_ns) for t in late]  # all of it in the host's time
    assert min(waits) >= 0
    assert max(waits) <= 150 * MS
    assert sum("times their own pace" in a for a in aligner.alerts) == 1
    counts = reasons(ticks, aligner)
    for name, received in aligner.received().items():
        assert sum(counts[name].values()) == received


def test_the_player_may_stop_and_sensors_come_back() -> None:
    aligner, first = Aligner(make_rig(), T0), played(2.0, 12.0)
    then = [
        (recv + 12 * S, replace(h, recv_ns=recv + 12 * S, stamp_ns=h.stamp_ns + 12 * S, boot=2), arrays)
        for recv, h, arrays in traffic(20.0, lidar_delay_ms=30)
    ]
    ticks = drive(aligner, first + then, T0 + 32 * S, step=2 * MS)
    assert ticks[-1].pace == 1.0
    assert {s.status for s in ticks[-1].streams} == {"ok"}
    assert set(np.diff([t.t_ref_ns for t in ticks])) == {100 * MS}
    assert longest_gap_s(ticks) <= 0.25


def test_one_stream_with_another_pace_moves_no_time() -> None:
    """Its clock is broken; the others say so."""
    aligner = Aligner(make_rig(), T0)
    ticks = drive(aligner, played(2.0, 15.0, ("lidar",)), T0 + 15 * S, step=2 * MS)
    assert {t.pace for t in ticks} == {1.0}


def test_a_standby_that_joins_goes_by_its_twins_time() -> None:
    """Having heard nothing of how the pace was found out, it makes the same ticks."""
    messages = played(2.0, 16.0)
    begin = T0 + 12 * S
    active = Aligner(make_rig(), T0)
    ticks = drive(active, [m for m in messages if m[0] <= begin], begin, step=2 * MS)
    standby = Aligner(make_rig(), begin)
    standby.follow(ticks[-1])
    rest = [m for m in messages if m[0] > begin]
    own = []
    for aligner in (active, standby):
        made = drive(aligner, rest, T0 + 16 * S, step=2 * MS)
        own.append({t.t_ref_ns: [(s.stream, s.seqs) for s in t.streams] for t in made if t.emit_ns > begin + 2 * S})
    assert own[0]
    assert own[0] == own[1]
