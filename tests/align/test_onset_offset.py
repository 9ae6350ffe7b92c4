"""Sound against pictures: claps that are seen and heard."""

from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.align.content.onset_offset import LEAD_S, SOUND_MPS, onset_offset
from sensorfuse.errors import SensorfuseError


def claps(seed: int, count: int, offset_s: float, distance_m: float = 0.0) -> tuple[np.ndarray, ...]:
    """30 Hz motion energy and 100 Hz onset strength of claps within 30 s; t_camera = t_microphone + offset."""
    rng = np.random.default_rng(seed)
    at = np.sort(rng.uniform(2, 28, count))
    strength = rng.uniform(0.5, 1.5, count)
    edges = np.arange(901) / 30
    fine = np.arange(0, 30, 1e-3)
    moves = (strength[:, None] * np.exp(-0.5 * ((fine - at[:, None] + LEAD_S) / 0.03) ** 2)).sum(axis=0)
    whole = np.concatenate([[0.0], np.cumsum(moves) * 1e-3])
    motion = np.diff(np.interp(edges, np.arange(len(whole)) * 1e-3, whole)) * 30 + 0.02 * rng.standard_normal(900)
    hops = np.arange(0, 30, 0.01) + 0.005
    since = hops + offset_s - at[:, None] - distance_m / SOUND_MPS
    heard = (strength[:, None] * np.where(since > 0, np.exp(-np.abs(since) / 0.015), 0.0)).sum(axis=0)
    onset = np.maximum(np.diff(heard, prepend=0.0), 0.0) + 0.02 * np.abs(rng.standard_normal(len(hops)))
    return np.stack([edges[:-1], edges[1:]], axis=1), motion, hops, onset


@pytest.mark.parametrize("offset_s", [-0.2, 0.05])
def test_twenty_claps_tell_the_offset_within_a_few_milliseconds(offset_s: float) -> None:
    got = onset_offset(*claps(1, 20, offset_s, distance_m=5.0), distance_m=5.0)
    assert got.accepted, got.reason
    assert abs(got.offset_s - offset_s) < 3 * got.sigma_s < 0.03


def test_sound_that_travelled_is_not_taken_for_an_offset() -> None:
    data = claps(2, 20, 0.0, distance_m=34.3)
    assert onset_offset(*data).offset_s - onset_offset(*data, distance_m=34.3).offset_s == pytest.approx(-0.1, abs=2e-3)


def test_silence_noise_or_one_clap_tell_nothing() -> None:
    spans, motion, hops, onset = claps(3, 20, 0.0)
    rng = np.random.default_rng(3)
    assert "nothing" in onset_offset(spans, motion, hops, np.zeros(len(hops))).reason
    assert not onset_offset(spans, motion, hops, np.abs(rng.standard_normal(len(hops)))).accepted
    assert not onset_offset(*claps(4, 1, 0.0)).accepted
    assert "measurements" in onset_offset(spans[:20], motion[:20], hops, onset).reason


def test_wrong_arguments_are_said() -> None:
    spans, motion, hops, onset = claps(5, 5, 0.0)
    with pytest.raises(SensorfuseError, match="max_lag_s"):
        onset_offset(spans, motion, hops, onset, 0.0)
    with pytest.raises(SensorfuseError, match="one number"):
        onset_offset(spans, np.ones((900, 2)), hops, onset)
