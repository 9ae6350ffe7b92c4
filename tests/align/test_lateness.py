"""The allowed lateness follows what a stream shows, or is what the rig says."""

from __future__ import annotations

import numpy as np

from sensorfuse.align.lateness import WINDOW, Lateness

MS = 1_000_000


def test_in_order_there_is_none_and_the_rigs_word_stands() -> None:
    assert Lateness(None, 100 * MS).allowed_ns == 0
    fixed = Lateness(30 * MS, 100 * MS)
    fixed.note(5, 70 * MS)
    assert fixed.allowed_ns == 30 * MS
    assert fixed.out_of_order == 1


def test_it_is_the_percentile_of_the_last_messages() -> None:
    rng = np.random.default_rng(0)
    lateness = Lateness(None, 100 * MS)
    by = np.where(rng.random(3 * WINDOW) < 0.05, rng.integers(1, 90 * MS, 3 * WINDOW), 0)
    for number, late in enumerate(by, 1):
        if late:
            lateness.note(number, int(late))
    lateness.review(len(by))
    assert lateness.allowed_ns == np.sort(by[-WINDOW:])[-1 - WINDOW // 1000]


def test_a_single_one_counts_at_first_and_is_forgotten() -> None:
    lateness = Lateness(None, 50 * MS)
    lateness.note(100, 80 * MS)
    assert lateness.allowed_ns == 50 * MS, "no longer than the cap"
    lateness.review(999)
    assert lateness.allowed_ns == 50 * MS
    lateness.review(1001)
    assert lateness.allowed_ns == 0
