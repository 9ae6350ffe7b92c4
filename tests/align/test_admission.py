"""Floods are thinned evenly, bursts pass, and too many rejects close the door for a while."""

from __future__ import annotations

import numpy as np

from sensorfuse.align.admission import MAX_REJECTS, Admission

MS = 1_000_000
S = 1_000_000_000
P = 10 * MS


def test_the_nominal_rate_and_its_jitter_always_pass() -> None:
    admission = Admission(P)
    assert all(admission.admits(k * P + (k % 3) * 4 * MS) for k in range(2000))
    assert admission.refused == 0


def test_what_a_stall_held_back_passes_at_once() -> None:
    admission = Admission(P)
    assert all(admission.admits(5 * S) for _ in range(400)), "four seconds of messages"
    assert sum(admission.admits(5 * S) for _ in range(400)) == 100, "but not any number"


def test_a_flood_is_thinned_to_five_times_the_rate_evenly() -> None:
    admission = Admission(P)
    times = np.arange(0, 10 * S, MS // 4)
    passed = times[[admission.admits(int(t)) for t in times]]
    late = passed[passed > 2 * S]
    assert abs(len(late) - 8 * 500) <= 1
    assert np.diff(late).max() <= 2 * MS + MS // 4


def test_too_many_rejects_in_a_second_close_the_door_for_a_second() -> None:
    admission = Admission(P)
    assert not any(admission.note_reject(k * 11 * MS) for k in range(500)), "ninety a second are borne"
    start = 10 * S
    closed = [admission.note_reject(start + k * MS) for k in range(MAX_REJECTS + 1)]
    assert closed == [False] * MAX_REJECTS + [True]
    now = start + MAX_REJECTS * MS
    assert not any(admission.admits(now + k * P) for k in range(1, 99))
    assert admission.admits(now + S + 2 * P)
