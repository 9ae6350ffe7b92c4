"""Offsets that move, followed over a whole recording."""

from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.align.content.offset_track import OffsetTrack, track_offsets
from sensorfuse.bench.lag_path import angular_rates
from sensorfuse.bench.turning import Turning, record
from sensorfuse.errors import SensorfuseError


def followed(made: Turning, max_lag_s: float = 0.5, **options: object) -> OffsetTrack:
    return track_offsets(made.gyro_s, made.gyro_radps, made.spans_s, made.turns_rad, max_lag_s, **options)  # type: ignore[arg-type]


def error_ms(made: Turning, track: OffsetTrack) -> np.ndarray:
    return np.asarray(1e3 * (track.at(made.spans_s.mean(axis=1)) - made.offset_s))


def test_a_replay_at_another_rate_is_followed_with_an_honest_sigma() -> None:
    rng = np.random.default_rng(1)
    made = record(angular_rates(rng, 26.0), rng, np.arange(601) / 30, lambda t: 0.02 * t - 0.1, 0.05, 1 / 30)
    track = followed(made)
    assert track.reason == ""
    assert np.sqrt(np.mean(error_ms(made, track) ** 2)) < 2.0
    assert track.measured.mean() > 0.9
    truth = 0.02 * track.time_s - 0.1
    assert 0.2 < np.sqrt(np.mean(((track.offset_s - truth) / track.sigma_s) ** 2)) < 2.0
    assert track.rotation is not None
    assert np.allclose(track.rotation, made.rotation, atol=0.05)


def test_lost_frames_that_no_stamp_shows_are_jumps() -> None:
    rng = np.random.default_rng(2)
    kept = np.ones(700, dtype=bool)
    kept[200:209] = kept[420:433] = False
    true_s = np.flatnonzero(kept)[:601] / 30
    counted = np.arange(601) / 30
    made = record(angular_rates(rng, 30.0), rng, counted, lambda t: np.interp(t, counted, true_s) - t, 0.05, 1 / 30)
    track = followed(made, 0.8, centre_s=0.4, jumps=True, rotation=made.rotation)
    assert np.median(np.abs(error_ms(made, track))) < 2.0
    assert (np.abs(error_ms(made, track)) > 20).mean() < 0.12


def test_too_little_and_constant_data_give_no_track_and_the_reason() -> None:
    rng = np.random.default_rng(3)
    made = record(angular_rates(rng, 10.0), rng, np.arange(61) / 30, lambda t: 0 * t, 0.05, 1 / 30)
    assert "too little" in followed(made).reason
    t = np.arange(0, 20, 0.005)
    spans = np.stack([1 + np.arange(500) / 30, 1 + np.arange(1, 501) / 30], axis=1)
    still = track_offsets(t, np.zeros((len(t), 3)), spans, np.zeros((500, 3)))
    assert len(still.time_s) == 0
    assert "constant" in still.reason


def test_wrong_arguments_are_said() -> None:
    with pytest.raises(SensorfuseError, match="max_lag_s"):
        track_offsets([0.0], [[0.0] * 3], [[0.0, 1.0]], [[0.0] * 3], np.nan)
    with pytest.raises(SensorfuseError, match="gyro"):
        track_offsets([0.0], [[0.0]], [[0.0, 1.0]], [[0.0] * 3])
