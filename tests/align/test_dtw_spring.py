"""SPRING against every subsequence of a stream."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensorfuse.align import dtw
from sensorfuse.errors import SensorfuseError


def every_subsequence(stream, template):
    """Distances (start, end), infinite where end < start."""
    n = len(stream)
    table = np.full((n, n), np.inf)
    for end in range(n):
        for start in range(end + 1):
            table[start, end] = dtw.distance(stream[start : end + 1], template)
    return table


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 5), st.integers(1, 2), st.integers(0, 10_000))
def test_the_best_ending_at_each_sample_is_exact(m, d, seed):
    rng = np.random.default_rng(seed)
    stream, template = rng.standard_normal((18, d)), rng.standard_normal((m, d))
    table = every_subsequence(stream, template)
    spring = dtw.Spring(template, threshold=0.0)
    for now, sample in enumerate(stream):
        spring.push(sample)
        best = spring.ending_here
        assert best.end == now
        assert best.distance == pytest.approx(table[:, now].min(), rel=1e-9)
        assert table[best.start, now] == pytest.approx(best.distance, rel=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 5), st.floats(0.3, 2.0), st.integers(0, 10_000))
def test_matches_are_apart_and_the_best_of_those_that_overlap_them(m, threshold, seed):
    rng = np.random.default_rng(seed)
    stream, template = rng.standard_normal(24).cumsum() * 0.5, rng.standard_normal(m)
    table = every_subsequence(stream, template)
    spring = dtw.Spring(template, threshold)
    matches = [match for sample in stream for match in spring.push(sample)] + spring.finish()
    for match in matches:
        assert match.distance <= threshold
        # A path hidden by one that a report then ended is lost: what is given is never too good.
        assert table[match.start, match.end] <= match.distance * (1 + 1e-9)
    if matches:
        assert table[matches[0].start, matches[0].end] == pytest.approx(matches[0].distance, rel=1e-9)
    assert all(a.end < b.start for a, b in pairwise(matches))
    assert bool(matches) == bool((table <= threshold * (1 - 1e-9)).any())
    if matches:
        assert min(match.distance for match in matches) == pytest.approx(table.min(), rel=1e-9)


def test_a_gesture_is_found_at_other_speeds_as_soon_as_it_cannot_improve():
    at = np.linspace(0, 2 * np.pi, 40)
    template = np.stack([np.sin(at), 1 - np.cos(at)], axis=1)
    rng = np.random.default_rng(0)
    stream = 0.02 * rng.standard_normal((400, 2))
    places = [(50, 40), (150, 55), (280, 30)]
    for start, length in places:
        phase = np.linspace(0, 2 * np.pi, length)
        stream[start : start + length] += np.stack([np.sin(phase), 1 - np.cos(phase)], axis=1)
    one_by_one, block = dtw.Spring(template, 1.0), dtw.Spring(template, 1.0)
    matches, reported = [], []
    for now, sample in enumerate(stream):
        for match in one_by_one.push(sample):
            matches.append(match)
            reported.append(now)
    assert len(matches) == len(places)
    for (start, length), match, now in zip(places, matches, reported, strict=True):
        assert abs(match.start - start) <= 4
        assert abs(match.end - (start + length - 1)) <= 4
        assert match.end < now <= match.end + 20
    assert block.push_many(stream) == matches


def test_a_missing_sample_neither_ends_nor_makes_a_match():
    template = np.sin(np.linspace(0, 2 * np.pi, 30))
    stream = np.concatenate([np.zeros(20), template, np.zeros(20)])
    stream[35] = np.nan
    spring = dtw.Spring(template, 1.5)
    (match,) = spring.push_many(stream) + spring.finish()
    assert abs(match.start - 20) <= 2
    assert abs(match.end - 49) <= 2
    empty = dtw.Spring(template, 0.5)
    assert empty.push_many(np.full(100, np.nan)) + empty.finish() == []


def test_bad_input_leaves_the_search_as_it_was():
    spring = dtw.Spring(np.zeros((3, 2)) + np.arange(3)[:, None], 1.0)
    with pytest.raises(SensorfuseError, match="1 channels, the template 2"):
        spring.push(1.0)
    with pytest.raises(SensorfuseError, match="infinite"):
        spring.push_many([[0.0, 1.0], [np.inf, 0.0]])
    assert spring.num_samples == 0
    with pytest.raises(SensorfuseError, match="threshold"):
        dtw.Spring([1.0], -1.0)
    with pytest.raises(SensorfuseError, match="template is empty"):
        dtw.Spring([], 1.0)
