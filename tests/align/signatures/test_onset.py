"""Onsets of clicks at known samples."""

from __future__ import annotations

import numpy as np
import pytest

from sensorfuse.align.signatures.onset import Onset

RATE_HZ = 16_000
START_NS = 5_000_000_000


def _sound(seconds: float, begins: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    tone = 0.3 * np.sin(2 * np.pi * 1000 * t) * (t >= begins) * np.exp(-np.maximum(t - begins, 0) / 0.05)
    return np.asarray((tone + rng.normal(0, 1e-3, len(t)))[:, None].repeat(2, axis=1), np.float32)


def _series(sound: np.ndarray, block: int, rate_hz: int = RATE_HZ) -> tuple[np.ndarray, np.ndarray]:
    onset, times, values = Onset(), [], []
    for first in range(0, len(sound), block):
        got = onset.measure(sound[first : first + block], rate_hz, START_NS + round(first * 1e9 / rate_hz))
        if got:
            values += got["onset"]
            times += [got["onset_start_ns"] + i * got["onset_hop_ns"] for i in range(len(got["onset"]))]
    return np.array(times), np.array(values)


@pytest.mark.parametrize("begins", [0.303, 0.31, 0.4567])
def test_the_strongest_hop_holds_the_beginning(begins: float) -> None:
    times, values = _series(_sound(1.0, begins), 800)
    assert abs(times[np.argmax(values)] - START_NS - begins * 1e9) <= 5.1e6
    assert values.max() > 4 * np.median(values)


def test_blocks_do_not_show() -> None:
    sound = _sound(1.0, 0.5)
    whole = _series(sound, len(sound))
    for block in (800, 777, 100):
        times, values = _series(sound, block)
        assert np.abs(times - whole[0]).max() <= 1
        assert np.allclose(values, whole[1])
    assert (np.diff(whole[0]) == 10_000_000).all()


def test_a_gap_starts_anew_and_makes_no_onset() -> None:
    onset, sound = Onset(), _sound(0.2, 0.0)
    onset.measure(sound[:800], RATE_HZ, 0)
    late = onset.measure(sound[800:1600], RATE_HZ, 300_000_000)
    assert late["onset_start_ns"] == 315_000_000
    assert len(late["onset"]) == 4
    assert onset.measure(np.zeros((10, 1), np.float32), 8000, 350_000_000) == {}
    assert onset.measure(np.zeros((10, 1), np.float32), 0, 350_000_000) == {}


def test_silence_and_nan_are_quiet() -> None:
    onset = Onset()
    block = np.zeros((1600, 1), np.float32)
    assert max(onset.measure(block, RATE_HZ, 0)["onset"]) == 0.0
    block[5] = np.nan
    assert np.isfinite(onset.measure(block, RATE_HZ, 100_000_000)["onset"]).all()
