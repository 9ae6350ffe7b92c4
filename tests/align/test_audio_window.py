"""Windows of sound against a tone whose phase is known at every time."""

from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.align.audio_window import AudioRing

RATE = 16_000
TONE_HZ = 440.0
S = 1_000_000_000
BLOCK = 800


def tone(t_s: np.ndarray) -> np.ndarray:
    return np.sin(2 * np.pi * TONE_HZ * t_s)


def filled(skew: float = 0.0, jitter_s: float = 0.0, seconds: float = 12.0, lost: tuple[int, ...] = ()) -> AudioRing:
    """A ring fed with a tone by a card that samples at RATE * (1 + skew), in two channels, the second inverted."""
    ring, rng = AudioRing(RATE), np.random.default_rng(0)
    for k in range(int(seconds * RATE / BLOCK)):
        t = 5.0 + (k * BLOCK + np.arange(BLOCK)) / (RATE * (1 + skew))
        if k not in lost:
            late = rng.uniform(-jitter_s, jitter_s)
            ring.push(round((t[0] + late) * 1e9), np.column_stack([tone(t), -tone(t)]).astype(np.float32))
    return ring


@pytest.mark.parametrize("skew", [0.0, 30e-6, 120e-6, -400e-6])
def test_window_is_where_it_says(skew: float) -> None:
    ring = filled(skew)
    assert ring.skew == pytest.approx(skew, abs=1e-6)
    window = ring.cut(15 * S, 50_000_000)
    assert window.pcm.shape == (1600, 2)
    assert window.missing == 0
    assert abs(window.start_ns - 14.95 * S) <= 0.5 * S / RATE + 1
    expected = tone(window.start_ns / 1e9 + np.arange(1600) / RATE)
    most = 5e-4 if abs(skew) > 50e-6 else 2 * np.pi * TONE_HZ * 0.1 * abs(skew) + 2e-4
    np.testing.assert_allclose(window.pcm[:, 0], expected, atol=most)
    np.testing.assert_allclose(window.pcm[:, 1], -window.pcm[:, 0], atol=1e-6)


def test_jitter_of_the_stamps_is_averaged_out() -> None:
    ring = filled(200e-6, jitter_s=0.002)
    assert ring.skew == pytest.approx(200e-6, abs=60e-6)
    window = ring.cut(15 * S, 50_000_000)
    truth = tone(window.start_ns / 1e9 + np.arange(1600) / RATE)
    assert np.abs(window.pcm[:, 0] - truth).max() < 2 * np.pi * TONE_HZ * 4e-4  # 0.4 ms of 2 ms


def test_lost_blocks_are_silence_in_their_place() -> None:
    ring = filled(lost=(200, 201))  # 15.00 to 15.10 s
    window = ring.cut(round(15.05 * S), 100_000_000)
    assert window.missing == pytest.approx(0.5, abs=0.01)
    silent = np.abs(window.pcm[:, 0]) < 1e-9
    assert silent[810:2390].all()
    after = tone(window.start_ns / 1e9 + np.arange(3200) / RATE)
    np.testing.assert_allclose(window.pcm[2410:, 0], after[2410:], atol=1e-3)


def test_short_blocks_and_long_runs_cost_no_accuracy() -> None:
    ring = AudioRing(RATE)
    for k in range(6000):  # a minute of 10 ms
        t = 5.0 + (k * 160 + np.arange(160)) / (RATE * (1 + 300e-6))
        ring.push(round(t[0] * 1e9), tone(t)[:, None].astype(np.float32))
    assert ring.skew == pytest.approx(300e-6, abs=1e-6)
    assert ring.end_ns == pytest.approx((5.0 + 6000 * 160 / (RATE * (1 + 300e-6))) * 1e9, abs=2000)
    window = ring.cut(64 * S, 50_000_000)
    np.testing.assert_allclose(window.pcm[:, 0], tone(63.95 + np.arange(1600) / RATE), atol=1e-3)


def test_a_device_that_stood_still_for_some_time_is_not_taken_for_lost_blocks() -> None:
    ring = AudioRing(RATE)
    for k in range(40):
        t = 5.0 + (k * BLOCK + np.arange(BLOCK)) / RATE + (0.113 if k >= 20 else 0.0)
        ring.push(round(t[0] * 1e9), tone(t)[:, None].astype(np.float32))
    window = ring.cut(round(6.9 * S), 50_000_000)
    np.testing.assert_allclose(window.pcm[:, 0], tone(window.start_ns / 1e9 + np.arange(1600) / RATE), atol=0.02)


def test_what_has_not_come_is_missing() -> None:
    ring = filled()
    assert ring.cut(17 * S, 50_000_000).missing == pytest.approx(0.5, abs=0.01)
    assert ring.cut(40 * S, 50_000_000).missing == 1.0
    assert AudioRing(RATE).cut(S, 50_000_000).missing == 1.0


def test_a_clock_set_back_starts_anew() -> None:
    ring = filled()
    t = 2.0 + np.arange(BLOCK) / RATE
    ring.push(2 * S, np.column_stack([tone(t), tone(t)]).astype(np.float32))
    assert ring.time_ns(0) == 2 * S
    assert ring.cut(2 * S + 25_000_000, 25_000_000).missing == 0
    ring.push(3 * S, np.zeros((BLOCK, 1), np.float32))  # another number of channels
    assert ring.cut(3 * S + 25_000_000, 25_000_000).pcm.shape[1] == 1
